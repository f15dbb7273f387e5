#!/usr/bin/env bash
# Everything that proves the project. `scripts/test.sh [unit|e2e]`; without an argument: unit (the end-to-end tests are not part of the landing tier yet). Ends with a plain count.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
what=${1:-all}
results=$DCANARY_STATE/test-results
rm -rf "$results"
mkdir -p "$results"
status=0

# suite NAME COMMAND…: runs it with its output shown and kept for the count
suite() {
  local name=$1 start=$SECONDS
  shift
  printf '== %s\n' "$name"
  if ! "$@" 2>&1 | tee "$results/$name.log"; then
    printf '== %s FAILED\n' "$name"
    status=1
  fi
  printf '== %s (%ds)\n' "$name" $((SECONDS - start))
}

scripts/prerequisites.sh

if [ "$what" != e2e ]; then
  # the crates whose suites are proven; the others join as theirs are
  suite unit cargo test --release --locked --quiet \
    -p dcanary-types -p dcanary-verifier -p dcanary-node -p dcanary-expr -p dcanary-crds
  suite verifier-python docs/verifier/test.sh
fi
if [ "$what" = e2e ]; then
  scripts/build.sh
  export DCANARY_CANISTERS=$OUT_DIR/canisters
  scripts/up.sh
  if [ "${CLUSTER:-local}" = local ]; then
    eval "$(e2e/cluster/env.sh)"
    step "loading the builder image" e2e/cluster/images/builder.sh --load
  fi
  export DCANARY_BIN=$OUT_DIR/bin/dcanary
  suite e2e cargo test --release --locked -p dcanary-harness --quiet -- --test-threads 4
fi

scripts/count.py "$results"
exit "$status"
