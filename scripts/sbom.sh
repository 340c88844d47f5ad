#!/usr/bin/env bash
# Writes down what the server and its pages are made of (CycloneDX 1.5, JSON): crates with versions and licences.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p target/sbom
for package in server frontend; do
  cargo cyclonedx --manifest-path "$package/Cargo.toml" --format json --spec-version 1.5 --quiet
done
for file in $(git ls-files --others --ignored --exclude-standard --exclude='*.cdx.json' -- '*.cdx.json'; git ls-files --others --exclude-standard -- '*.cdx.json'); do
  mv -f "$file" target/sbom/
done
ls -l target/sbom
