#!/usr/bin/env bash
# Writes down what the server and its pages are made of (CycloneDX 1.5, JSON): crates with versions and licences.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p target/sbom
cargo cyclonedx --manifest-path server/Cargo.toml --format json --spec-version 1.5 --quiet
for package in app frontend server; do
  mv -f "$package/$package.cdx.json" target/sbom/
done
ls -l target/sbom
