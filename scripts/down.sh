#!/usr/bin/env bash
# Stops everything that `make up` and `make demo` started on this machine. A cluster named by CLUSTER=current is left alone.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
if [ "${CLUSTER:-local}" = current ]; then
  echo "CLUSTER=current: nothing was started here. Remove the charts with: helm uninstall dcanary -n dcanary-system"
  exit 0
fi
step "stopping the cluster" e2e/cluster/down.sh
