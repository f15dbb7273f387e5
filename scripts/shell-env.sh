#!/usr/bin/env bash
# Prints shell lines that put dcanary, and for the local cluster kubectl, helm and KUBECONFIG, into the calling shell.
set -euo pipefail
. "$(dirname "$0")/env.sh"
if [ "${CLUSTER:-local}" = local ]; then
  "$ROOT/e2e/cluster/env.sh"
fi
# shellcheck disable=SC2016 # expanded by the caller
printf 'export PATH=%q:"$PATH"\n' "$OUT_DIR/bin"
