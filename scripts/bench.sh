#!/usr/bin/env bash
# Measures runs against bare Pods on the cluster and prints the table; arguments go to the program (`--help`, `--quick`, `--write`).
# Nothing else should run on the machine meanwhile. Takes about ten minutes once the cluster is up, `--quick` two.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

scripts/up.sh
if [ "${CLUSTER:-local}" = local ]; then
  eval "$(e2e/cluster/env.sh)"
fi
export DCANARY_CANISTERS=$OUT_DIR/canisters
exec "$BIN_DIR/dcanary-bench" "$@"
