#!/usr/bin/env bash
# Checks all dependencies for known vulnerabilities. Fails if an advisory database cannot be reached: an unknown status is
# not a safe one.
set -uo pipefail
cd "$(dirname "$0")/.."

failed=0
cargo deny --locked check advisories || { echo "cargo deny: a known vulnerability, or the advisory database could not be reached" >&2; failed=1; }
# After some failures to reach its database, npm exits like a successful audit. So the report must have its usual form.
report=$(npm audit --prefix end2end --json 2>/dev/null)
if ! node -e 'const report = JSON.parse(process.argv[1]); process.exit(report.metadata?.vulnerabilities ? 0 : 1)' "$report" 2>/dev/null; then
  echo "npm audit: the advisory database could not be reached" >&2
  failed=1
else
  npm audit --prefix end2end --audit-level=low || failed=1
fi
exit $failed
