#!/usr/bin/env bash
# Writes a software bill of materials (CycloneDX 1.5, JSON): all crates of the server and the pages, with versions and
# licences.
set -euo pipefail
cd "$(dirname "$0")/.."

mkdir -p target/sbom
cargo cyclonedx --manifest-path server/Cargo.toml --format json --spec-version 1.5 --quiet
for package in app frontend server; do
  mv -f "$package/$package.cdx.json" target/sbom/
done
ls -l target/sbom
