#!/usr/bin/env bash
# Tries the laws of the IC interface specification on a network; arguments go to the program (`--filter TEXT`, `--json FILE`, `--list`).
#   IC_URL=http://… scripts/conformance.sh   on that network, where everybody must be allowed to create canisters
#   scripts/conformance.sh                   on a node of our own that is started for it and ends with it
#   scripts/conformance.sh matrix            tests the laws: on nodes with a fault those must fail that are meant to notice it
#   scripts/conformance.sh matrix --whole    … with all laws, which also tells which laws notice no fault (a quarter of an hour)
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"

if [ "${1:-}" = matrix ]; then
  shift
  # The same target folder and features as the product's, so that only the node itself is compiled once more; its program with faults has
  # another name. Naming a test, whichever, gives dependencies the features that they have where programs and tests are built together.
  # shellcheck disable=SC2046 # no word or two
  step "building laws and the node with faults" cargo build --release --locked --workspace --bin conformance --bin dcanary-node-faults \
    --features dcanary-node/faults $([ -z "${DCANARY_BUILD:-}" ] || echo --test purity)
  exec "$BIN_DIR/conformance" matrix --node "$BIN_DIR/dcanary-node-faults" "$@"
fi

# scripts/test.sh has built them
if [ -z "${DCANARY_BUILD:-}" ]; then
  # with the features that the rest of the workspace has, so that nothing is compiled again
  step "building laws and node" cargo build --release --locked --workspace --bin conformance --bin dcanary-node
fi

if [ -n "${IC_URL:-}" ]; then
  exec "$BIN_DIR/conformance" --url "$IC_URL" "$@"
fi

folder=$(mktemp -d)
trap 'kill "${node:-}" 2> /dev/null || true; rm -rf "$folder"' EXIT
"$BIN_DIR/dcanary-node" --ephemeral --listen 127.0.0.1:0 --ready-file "$folder/ready" 2> "$folder/log" &
node=$!
until [ -s "$folder/ready" ]; do
  kill -0 "$node" 2> /dev/null || { cat "$folder/log" >&2; exit 1; }
  timeout 0.1 tail --pid="$node" -f /dev/null || true
done
url=$(sed -n 's/.*"url":"\([^"]*\)".*/\1/p' "$folder/ready")
"$BIN_DIR/conformance" --url "$url" "$@"
