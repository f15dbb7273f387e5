#!/usr/bin/env bash
# Prints the path of the local cluster's kubeconfig file, and nothing else.
#
# usage: kubeconfig.sh     (exit 1 when the cluster is not up)
# Leaves nothing behind.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -r "$kubeconfig" ] || die "the local cluster is not up (no $kubeconfig); start it with make cluster-up"
echo "$kubeconfig"
