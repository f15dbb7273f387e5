#!/usr/bin/env bash
# Stops everything that `make up` and `make demo` started on this machine. A cluster named by CLUSTER=current is left alone.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
if [ "${CLUSTER:-local}" = current ]; then
  echo "CLUSTER=current: nothing was started here. docs/uninstall.md says how to take DCanary off a cluster: runs and Environments go before the operator"
  exit 0
fi
step "stopping the cluster" e2e/cluster/down.sh
