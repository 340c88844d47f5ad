#!/usr/bin/env bash
# Fuzzes every parser of untrusted input, one minute each. SECONDS_EACH sets another duration.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! rustup toolchain list 2>/dev/null | grep -q '^nightly' || ! cargo fuzz --version >/dev/null 2>&1; then
  echo "fuzz: skipped, a nightly toolchain or cargo-fuzz is missing; make rust-test covers the same parsers with property tests" >&2
  exit 1
fi
for target in headers forms texts; do
  mkdir -p "tools/fuzz/corpus/$target"
  cargo +nightly fuzz run --fuzz-dir tools/fuzz --sanitizer none "$target" "tools/fuzz/corpus/$target" "tools/fuzz/seeds/$target" -- \
    -max_total_time="${SECONDS_EACH:-60}" -max_len=4096 -verbosity=0 -print_final_stats=1
done
