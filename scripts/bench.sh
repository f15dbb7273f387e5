#!/usr/bin/env bash
# Measures on the cluster and prints a table; arguments go to the program (`--help`, `--quick`, `--write`).
#   scripts/bench.sh [runs]     runs against bare Pods: about ten minutes once the cluster is up, `--quick` two
#   scripts/bench.sh delivery   deliveries under load and on fake nodes: about half an hour, `--quick` five minutes
#   scripts/bench.sh node       the embedded node alone, without a cluster: about three minutes, `--quick` one
# Nothing else should run on the machine meanwhile. `delivery` leaves a gateway, Prometheus and fake nodes in the local cluster; on one of your
# own it needs the first two (e2e/harness/src/data_plane.rs) and KWOK's nodes with the label type=kwok.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
what=runs
case ${1:-} in
  runs | delivery | node)
    what=$1
    shift
    ;;
esac
export DCANARY_CANISTERS=$OUT_DIR/canisters

if [ "$what" = node ]; then
  scripts/prerequisites.sh
  scripts/build.sh
  exec "$BIN_DIR/dcanary-bench" node "$@"
fi

scripts/up.sh
if [ "${CLUSTER:-local}" = local ]; then
  eval "$(e2e/cluster/env.sh)"
  if [ "$what" = delivery ]; then
    scripts/data-plane.sh
    step "starting fake nodes" e2e/cluster/kwok.sh up
  fi
fi
exec "$BIN_DIR/dcanary-bench" "$what" "$@"
