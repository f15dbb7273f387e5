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
case ${DCANARY_BUILD:-} in *--tests*) step "building a canister for tests" canisters/build.sh --tests "$OUT_DIR/canisters" ;; esac
# without symbols: the image is loaded at every start of the cluster
images() {
  local program
  mkdir -p "$OUT_DIR/bin"
  for program in "${programs[@]}"; do strip -o "$OUT_DIR/bin/$program" "$BIN_DIR/$program"; done
  e2e/cluster/images/product.sh "$OUT_DIR/bin" "$OUT_DIR/product.tar" "$OUT_DIR/canisters"
}
programs=(dcanary-operator dcanary-server dcanary-runner dcanary-node dcanary dcanary-example-app)
# what the images are made of, by content where it is quick to read, else by place, size and time: several checkouts share OUT_DIR
made_of() {
  sha256sum e2e/cluster/images/product.sh e2e/cluster/images/mkimage.py "$OUT_DIR"/canisters/*.wasm
  (cd "$BIN_DIR" && stat -c '%n %s %.9Y' "$PWD" "${programs[@]}")
  stat -c '%n %s %.9Y' /etc/ssl/certs/ca-certificates.crt 2> /dev/null || true
  echo "${DCANARY_IMAGE_TAG:-dev}"
}
made() {
  local file
  for file in "${programs[@]/#/bin/}" product.tar product-runner.tar; do [ -f "$OUT_DIR/$file" ] || return 1; done
  [ "$1" = "$(cat "$OUT_DIR/made-of" 2> /dev/null)" ]
}
# one checkout at a time: what another one writes meanwhile would go under this one's name
exec 8> "$OUT_DIR/lock"
flock 8
now=$(made_of)
if ! made "$now"; then
  rm -f "$OUT_DIR/made-of"
  step "building images" images 8>&-
  printf '%s\n' "$now" > "$OUT_DIR/made-of"
fi
