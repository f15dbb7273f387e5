#!/usr/bin/env bash
# Format, clippy with warnings as errors, licence and advisory policy. That the generated definitions are up to date is a test of dcanary-crds.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
step "format" cargo fmt --all --check
step "dependencies" scripts/dependencies.py
# nothing but `make soak` builds them
step "lockfile of the fuzz targets" cargo fetch --locked --manifest-path canisters/fuzz/Cargo.toml
# the profile of the build: nothing that runs code at compile time is compiled twice
step "clippy" cargo clippy --release --workspace --all-targets --locked -- -D warnings
