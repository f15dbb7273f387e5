#!/usr/bin/env bash
# Builds the product: static programs, canister wasm, image archives in OUT_DIR. A second call with nothing changed takes a second.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
mkdir -p "$OUT_DIR/canisters"

step "building programs" cargo build --release --locked \
  -p dcanary-controller -p dcanary-server -p dcanary-runner -p dcanary-node -p dcanary-cli --bins
step "building canisters" canisters/build.sh "$OUT_DIR/canisters"
step "building images" e2e/cluster/images/product.sh "$BIN_DIR" "$OUT_DIR/product.tar" "$OUT_DIR/canisters"
