#!/usr/bin/env bash
# Format and licence policy; `scripts/lint.sh clippy` runs clippy with warnings as errors too.
# That the generated definitions are up to date is a test of dcanary-crds.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
step "format" cargo fmt --all --check
step "licences" scripts/licences.py
if [ "${1:-}" = clippy ]; then
  step "clippy" cargo clippy --release --workspace --all-targets --locked -- -D warnings
fi
