#!/usr/bin/env bash
# Packs the release into target/dist: the archive and its SHA-256, and in target/dist/image what the container image
# consists of. `make dist` runs it, after the site is built.
set -euo pipefail
cd "$(dirname "$0")/../.."

version=$(sed -n '/^\[workspace.package\]/,/^$/s/^version = "\(.*\)"/\1/p' Cargo.toml)
grep -q "^## $version" CHANGELOG.md || { echo "CHANGELOG.md does not mention version $version" >&2; exit 1; }
architecture=$(uname -m)
out=target/dist
archive=mecha-console-$version-$architecture-linux.tar.gz
# Statically linked: runs on every distribution, and in an image that contains nothing else.
target=$architecture-unknown-linux-musl
if ls "$(rustc --print target-libdir --target "$target")"/libstd-*.rlib >/dev/null 2>&1 && command -v musl-gcc >/dev/null; then
  LEPTOS_OUTPUT_NAME=mecha-console cargo build --locked --release -p server --features embed --target "$target"
  cargo build --locked --release -p cli --target "$target"
  built=target/$target/release
else
  echo "The target $target or musl-gcc is missing: the binaries need the C library of this machine, and no image is built." >&2
  built=target/release
  cargo build --locked --release -p cli
fi

licences=$out/LICENCES-OF-DEPENDENCIES.txt
mkdir -p "$out"
if [ ! -e $licences ] || [ Cargo.lock -nt $licences ] || [ tools/dist/about.toml -nt $licences ]; then
  cargo about --color never generate --offline --locked --config tools/dist/about.toml --workspace \
    --features embed --output-file $licences tools/dist/licences.hbs
fi

rm -rf $out/mecha-console $out/image $out/*.tar.gz*
mkdir -p $out/mecha-console $out/image/data
cp $built/mecha-console $built/mecha LICENSE* $licences README.md CHANGELOG.md $out/mecha-console/
cp -r deploy examples $out/mecha-console/
rm -f $out/mecha-console/deploy/.env
# The same input gives the same archive: files in order, of root, with the time of the commit.
time=$(git log -1 --format=%ct 2>/dev/null || echo 0)
tar -C $out --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$time" -c mecha-console | gzip -9n >"$out/$archive"
(cd $out && sha256sum "$archive" >"$archive.sha256")
[ $built = target/release ] || cp "$out/$archive" deploy/Dockerfile $out/image/
ls -l "$out/$archive"
