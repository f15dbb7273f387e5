#!/usr/bin/env bash
# Format, clippy with warnings as errors, generated files up to date, licence policy.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
step "format" cargo fmt --all --check
step "clippy" cargo clippy --release --workspace --all-targets --locked -- -D warnings
step "generated files" scripts/generate.sh --check
step "licences" scripts/licences.py
