#!/usr/bin/env bash
# Measures on the cluster and prints a table; arguments go to the program (`--help`, `--quick`, `--write`).
#   scripts/bench.sh [runs]     runs against bare Pods: about ten minutes once the cluster is up, `--quick` two
# Nothing else should run on the machine meanwhile.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
what=runs
case ${1:-} in
  runs)
    what=$1
    shift
    ;;
esac

scripts/up.sh
if [ "${CLUSTER:-local}" = local ]; then
  eval "$(e2e/cluster/env.sh)"
fi
export DCANARY_CANISTERS=$OUT_DIR/canisters
exec "$BIN_DIR/dcanary-bench" "$what" "$@"
