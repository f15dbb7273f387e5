#!/usr/bin/env bash
# Builds the product: static programs, canister wasm, image archives in OUT_DIR. A second call with nothing changed takes a second.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
mkdir -p "$OUT_DIR/canisters"

# the whole workspace at once: one set of features, so dependencies are compiled once. The tests set DCANARY_BUILD="--bins --tests".
# shellcheck disable=SC2086 # several words
step "building programs" cargo build --release --locked --workspace ${DCANARY_BUILD:---bins}
step "building canisters" canisters/build.sh "$OUT_DIR/canisters"
# without symbols: the image is loaded at every start of the cluster
mkdir -p "$OUT_DIR/bin"
for program in dcanary-operator dcanary-server dcanary-runner dcanary-node dcanary dcanary-example-app; do
  strip -o "$OUT_DIR/bin/$program" "$BIN_DIR/$program"
done
step "building images" e2e/cluster/images/product.sh "$OUT_DIR/bin" "$OUT_DIR/product.tar" "$OUT_DIR/canisters"
