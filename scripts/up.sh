#!/usr/bin/env bash
# Brings up the cluster, the ledger node and the operator from the chart. Running again changes only what differs.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
CLUSTER=${CLUSTER:-local}

scripts/prerequisites.sh
if [ "$CLUSTER" = local ]; then
  e2e/cluster/build.sh
  # the cluster starts while the programs are checked
  step "starting the cluster" e2e/cluster/up.sh &
  cluster=$!
  scripts/build.sh
  wait "$cluster"
  eval "$(e2e/cluster/env.sh)"
  # the operator needs its image, its CRDs do not
  step "loading images" e2e/cluster/load.sh "$OUT_DIR/product.tar" "$OUT_DIR/product-runner.tar" &
  loading=$!
  scripts/install.sh crds
  wait "$loading"
  scripts/install.sh operator
else
  scripts/build.sh
  scripts/install.sh
fi
