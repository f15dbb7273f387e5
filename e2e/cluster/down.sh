#!/usr/bin/env bash
# Stops the local cluster and removes everything that it made on this machine:
# servers, containers, mounts, the bridge and the Pods' links, iptables chains,
# cgroups, changed kernel settings and all of its files. Fine when none runs.
#
# usage: down.sh     (root; any checkout can stop the cluster of any other)
# Leaves behind: the cache (built programs and certificates), nothing else.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ ! -e "$state" ]; then
  say "not up"
  exit
fi
need_root
lock_state
began=$EPOCHREALTIME
"$python" "$here/teardown.py" "$state" 9>&-
say "down in $(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f s", b - a}')"
rm -f "$state_base/.cluster.lock"
rmdir "$state_base" 2> /dev/null || true
