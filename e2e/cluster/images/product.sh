#!/usr/bin/env bash
# Makes the product's images from its static binaries, without a container engine:
#   OUT.tar         dcanary.dev/dcanary:dev  all programs in /bin, user 65532, /data,
#                   and canister wasm files in /canisters when CANISTER_DIR is given
#   OUT-runner.tar  dcanary.dev/runner:dev   only /dcanary-runner: the image volume of
#                   every build Pod
#
# usage: product.sh BIN_DIR OUT.tar [CANISTER_DIR]
#        BIN_DIR holds dcanary-operator dcanary-server dcanary-runner dcanary-node dcanary
#        DCANARY_IMAGE_TAG [dev] is the tag of both
# Prints the paths of both archives. Leaves behind: these two files; the same
# binaries give the same bytes. Needs no root.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  echo "usage: product.sh BIN_DIR OUT.tar [CANISTER_DIR]" >&2
  exit 2
fi
bin=$1 out=$2 canisters=${3:-} tag=${DCANARY_IMAGE_TAG:-dev}
runner=${out%.tar}-runner.tar
mkdir -p "$(dirname "$out")"

content=()
for name in dcanary-operator dcanary-server dcanary-runner dcanary-node dcanary; do
  if [ ! -f "$bin/$name" ]; then
    echo "product.sh: $bin/$name is missing; build it first" >&2
    exit 1
  fi
  content+=(--file "$bin/$name:/bin/$name:755")
done
if [ -n "$canisters" ]; then
  wasm=$(find "$canisters" -maxdepth 1 \( -name '*.wasm' -o -name '*.wasm.gz' \) | sort)
  if [ -z "$wasm" ]; then
    echo "product.sh: no .wasm or .wasm.gz file in $canisters" >&2
    exit 1
  fi
  while read -r file; do content+=(--file "$file:/canisters/$(basename "$file"):644"); done <<< "$wasm"
fi
# certificate authorities for forges and networks outside; the machine's own set
bundle=/etc/ssl/certs/ca-certificates.crt
if [ -f $bundle ]; then content+=(--file "$bundle:$bundle:644"); fi

"$here/mkimage.py" --out "$out" --name "dcanary.dev/dcanary:$tag" --require-static "${content[@]}" \
  --dir /tmp:1777 --dir /data:755:65532:65532 \
  --text '/etc/passwd=root:x:0:0:root:/:/none\ndcanary:x:65532:65532:dcanary:/data:/none\n' \
  --text '/etc/group=root:x:0:\ndcanary:x:65532:\n' \
  --user 65532:65532 --env PATH=/bin --env HOME=/data --workdir /data
"$here/mkimage.py" --out "$runner" --name "dcanary.dev/runner:$tag" --require-static \
  --file "$bin/dcanary-runner:/dcanary-runner:755" --user 65532:65532 --entrypoint '["/dcanary-runner"]'
printf '%s\n' "$out" "$runner"
