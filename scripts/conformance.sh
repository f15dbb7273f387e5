#!/usr/bin/env bash
# Tries the laws of the IC interface specification on a network; arguments go to the program (`--filter TEXT`, `--json FILE`, `--list`).
#   IC_URL=http://… scripts/conformance.sh   on that network, where everybody must be allowed to create canisters
#   scripts/conformance.sh                   on a node of our own that is started for it and ends with it
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
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
