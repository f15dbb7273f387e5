#!/usr/bin/env bash
# Pushes an OCI image archive into the local registry. Pods and image
# references name it registry.local:5000/NAME:TAG.
#
# usage: push.sh FILE.tar NAME:TAG     prints the reference with its digest
# Leaves behind: the image, until the cluster goes down.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ $# = 2 ] || die "usage: push.sh FILE.tar NAME:TAG"
[ -f "$1" ] || die "no such file: $1"
image=${2#"$registry"/}
pushed=$("$python" "$here/push.py" "$node_ip:$registry_port" "$1" "$image")
echo "$registry/$pushed"
