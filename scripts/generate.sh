#!/usr/bin/env bash
# Writes the generated files of the repository. With --check: says which are out of date and fails.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
flag=${1:-}
cargo run --quiet --release --locked -p dcanary-crds --bin generate-crds -- crds/yaml ${flag:+"$flag"}
if [ "$flag" = --check ]; then unset DCANARY_VECTORS; else export DCANARY_VECTORS=write; fi
cargo test --quiet --release --locked -p dcanary-verifier --test vectors committed
