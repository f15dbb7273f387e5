#!/usr/bin/env bash
# Makes the images of the example application from its static binary. They differ
# in their environment variables, so each has a digest of its own:
#   example-app:1 :2 :3      good versions
#   example-app:2-errors     answers three of ten requests with 500
#   example-app:2-slow       takes 800 ms for an answer
#   example-app:2-crash      ends at its start
#   example-app:2-unready    is never ready
#
# usage: app.sh BINARY OUT_DIR [--push]
#        --push  pushes them into the local registry and prints the references
# Leaves behind: OUT_DIR/app-*.tar; the same binary gives the same bytes.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 2 ] || [ $# -gt 3 ] || [ "${3:---push}" != --push ]; then
  echo "usage: app.sh BINARY OUT_DIR [--push]" >&2
  exit 2
fi
binary=$1 out=$2 push=${3:-}
mkdir -p "$out"

image() { # tag, variables...
  local tag=$1 variable environment=()
  shift
  for variable in "VERSION=$tag" "$@"; do environment+=(--env "$variable"); done
  "$here/mkimage.py" --out "$out/app-$tag.tar" --name "registry.local:${DCANARY_REGISTRY_PORT:-5000}/example-app:$tag" --require-static \
    --file "$binary:/dcanary-example-app:755" --user 65532:65532 --entrypoint '["/dcanary-example-app"]' "${environment[@]}"
  if [ -n "$push" ]; then "$here/../push.sh" "$out/app-$tag.tar" "example-app:$tag"; fi
}
image 1
image 2
image 3
image 2-errors ERROR_RATE=0.3
image 2-slow LATENCY_MS=800
image 2-crash CRASH_AFTER=0
image 2-unready READY=false
