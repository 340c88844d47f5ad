#!/usr/bin/env bash
# Checks the systemd units: their syntax, and that the exposure of each is at most 1.5 of 10.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
for unit in deploy/mecha-console.service examples/mecha-runtime.service; do
  copy=$root/$(basename $unit)
  # The binary need not be installed on this machine.
  sed 's#^ExecStart=.*#ExecStart=/bin/true#' $unit >"$copy"
  systemd-analyze verify --man=no "$copy"
  systemd-analyze security --offline=true --threshold=15 "$copy" | tail -1
done
