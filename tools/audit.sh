#!/usr/bin/env bash
# Looks up known vulnerabilities of everything that this project uses. Where the databases cannot be reached it says so
# and fails: not to know is not to be safe.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
cargo deny --locked check advisories || { echo "cargo deny: a known vulnerability, or the advisory database could not be reached" >&2; failed=1; }
# npm answers some failures to reach its database as if there was nothing to tell: the report must be one.
report=$(npm audit --prefix end2end --json 2>/dev/null)
if ! node -e 'const report = JSON.parse(process.argv[1]); process.exit(report.metadata?.vulnerabilities ? 0 : 1)' "$report" 2>/dev/null; then
  echo "npm audit: the advisory database could not be reached" >&2
  failed=1
else
  npm audit --prefix end2end --audit-level=low || failed=1
fi
exit $failed
