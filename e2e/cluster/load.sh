#!/usr/bin/env bash
# Imports OCI image archives into the local cluster's node, where Pods find them
# under the names that they carry.
#
# usage: load.sh FILE.tar...     (root)
# Leaves behind: the images, until the cluster goes down.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# -gt 0 ] || die "usage: load.sh FILE.tar..."
need_root
alive containerd || die "the local cluster is not up; start it with make cluster-up"
ctr=$(readlink "/proc/$pid/exe")
ctr=${ctr%/*}/ctr
for file in "$@"; do
  [ -f "$file" ] || die "no such file: $file"
  rc=0
  out=$("$ctr" -a "$containerd_socket" -n k8s.io images import --all-platforms "$file" 2>&1) || rc=$?
  if [ $rc != 0 ]; then
    sed '/^time=.*DEPRECATION/d' <<< "$out" >&2
    die "$file could not be imported; it must be an OCI image archive"
  fi
  # containerd tells its progress from time to time only, so of a quick import nothing: the names are those in the archive
  names=$(tar -xOf "$file" index.json 2> /dev/null | grep -o '"io\.containerd\.image\.name": *"[^"]*"' | cut -d '"' -f 4) || names=
  while read -r name; do echo "cluster: loaded ${name:-$file}"; done <<< "$names"
done
