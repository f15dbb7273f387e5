#!/usr/bin/env bash
# Tells which servers of the local cluster live, and the state of its node.
#
# usage: status.sh     exit 0: all live and the node is Ready; 1: not up; 2: half up
# Leaves nothing behind.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if ! state_is_current; then
  if [ -e "$state" ]; then say "not up (there are files of an earlier boot or another network namespace in $state)"; else say "not up"; fi
  exit 1
fi
rc=0
for name in $daemons; do
  if alive "$name"; then printf '%-19s running  pid %s\n' "$name" "$pid"; else
    printf '%-19s stopped  log %s\n' "$name" "$state/log/$name.log"
    rc=2
  fi
done
for name in $extra_daemons; do
  if alive "$name"; then printf '%-19s running  pid %s\n' "$name" "$pid"; fi
done
if alive apiserver; then
  kubectl=$(readlink "/proc/$pid/exe")
  ready=$("${kubectl%/*}/kubectl" --kubeconfig "$kubeconfig" --request-timeout=5s get node "$node" \
    -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status} {.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion}' 2>&1) || true
  echo "node $node: Ready=$ready"
  [ "${ready%% *}" = True ] || rc=2
fi
printf '%-19s %s\n' kubeconfig "$kubeconfig" registry "$registry (from this machine: 127.0.0.1:$registry_port)" \
  'audit log' "$state/audit/audit.log" logs "$state/log/" settings "$(cat "$state/run/settings")"
exit $rc
