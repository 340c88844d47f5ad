#!/usr/bin/env bash
# Throws bytes at every parser that meets a stranger's, a minute at each. SECONDS_EACH sets another time.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! rustup toolchain list 2>/dev/null | grep -q '^nightly' || ! cargo fuzz --version >/dev/null 2>&1; then
  echo "fuzz: not run, there is no nightly toolchain; the same inputs are tried as properties by make rust-test" >&2
  exit 1
fi
for target in headers forms texts; do
  mkdir -p "tools/fuzz/corpus/$target"
  cargo +nightly fuzz run --fuzz-dir tools/fuzz --sanitizer none "$target" "tools/fuzz/corpus/$target" "tools/fuzz/seeds/$target" -- \
    -max_total_time="${SECONDS_EACH:-60}" -max_len=4096 -verbosity=0 -print_final_stats=1
done
