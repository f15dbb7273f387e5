#!/usr/bin/env bash
# Two builds of the canisters in two folders with different names and homes for their output give the same bytes, and
# neither folder's name is in them.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd "$HERE/.." && pwd -P)
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# What a checkout has, with changes that are not committed yet.
copy() {
  mkdir -p "$1"
  git -C "$ROOT" ls-files -z --cached --others --exclude-standard |
    (cd "$ROOT" && xargs -0 sh -c 'for f; do [ -e "$f" ] && printf "%s\0" "$f"; done; :' _ | tar -c --null -T - -f -) |
    tar -x -C "$1" -f -
}

for name in first "a second, longer folder"; do
  copy "$WORK/$name"
  start=$SECONDS
  env -u CARGO_TARGET_DIR -u DCANARY_CANISTER_TARGET "$WORK/$name/canisters/build.sh" "$WORK/$name/out" > "$WORK/$name/sums"
  printf '%s: %ss, %s bytes, %s\n' "$name" $((SECONDS - start)) "$(wc -c < "$WORK/$name/out/orchestrator.wasm")" \
    "$(cat "$WORK/$name/sums")"
done

cmp "$WORK/first/out/orchestrator.wasm" "$WORK/a second, longer folder/out/orchestrator.wasm"
for trace in "$WORK" "${CARGO_HOME:-$HOME/.cargo}" "$HOME"; do
  if grep -qF -- "$trace" "$WORK/first/out/orchestrator.wasm"; then
    echo "the module names $trace" >&2
    exit 1
  fi
done
grep -qF "icp:public candid:service" "$WORK/first/out/orchestrator.wasm"
echo "same bytes"
