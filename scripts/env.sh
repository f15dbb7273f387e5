# shellcheck shell=bash
# Sourced by every script: where caches and state are, and how to print progress.
# DCANARY_CACHE  big builds, kept between checkouts   (default ~/.cache/dcanary)
# DCANARY_STATE  the running cluster and the demo     (default ~/.local/state/dcanary)
ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export DCANARY_CACHE=${DCANARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dcanary}
export DCANARY_STATE=${DCANARY_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/dcanary}
# One for each checkout: Cargo goes by the times of files, so in one that several share it takes another checkout's older work for its own.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$DCANARY_CACHE/target-$(printf %s "$ROOT" | sha256sum | cut -c1-8)}
export CARGO_TERM_COLOR=${CARGO_TERM_COLOR:-auto}
mkdir -p "$DCANARY_CACHE" "$DCANARY_STATE"

# Go that prerequisites.sh fetched because there was none, or an old one.
GO_DIR=$DCANARY_CACHE/go
if [ -x "$GO_DIR/bin/go" ]; then export PATH=$GO_DIR/bin:$PATH; fi
export GO_DIR

TRIPLE=$(rustc -vV 2> /dev/null | sed -n 's/^host: //p' || true)
# before prerequisites.sh has installed Rust
TRIPLE=${TRIPLE:-$(uname -m)-unknown-linux-gnu}
# Programs of the product, static.
export BIN_DIR=$CARGO_TARGET_DIR/$TRIPLE/release
# What `scripts/build.sh` makes: canister wasm and image archives.
export OUT_DIR=${DCANARY_OUT:-$DCANARY_CACHE/out}

# step TITLE COMMAND…: runs the command with its output in a log, prints elapsed time every 15 s and at the end.
step() {
  local title=$1 log start pid now shown=0
  shift
  mkdir -p "$DCANARY_STATE/log"
  log=$DCANARY_STATE/log/$(echo "$title" | tr -cs 'A-Za-z0-9' '-' | sed 's/-*$//').log
  start=$SECONDS
  "$@" > "$log" 2>&1 &
  pid=$!
  while kill -0 "$pid" 2> /dev/null; do
    # ends with the command, or after 15 seconds; without -s it would look once a second
    timeout 15 tail -s 0.05 --pid="$pid" -f /dev/null || true
    now=$((SECONDS - start))
    if kill -0 "$pid" 2> /dev/null && [ $((now - shown)) -ge 14 ]; then
      printf '  … %s (%dm%02ds, log: %s)\n' "$title" $((now / 60)) $((now % 60)) "$log"
      shown=$now
    fi
  done
  if wait "$pid"; then
    printf '  ✔ %s (%ds)\n' "$title" $((SECONDS - start))
  else
    local code=$?
    printf '  ✖ %s failed (exit %d). The end of %s:\n' "$title" "$code" "$log" >&2
    tail -n 40 "$log" >&2
    return "$code"
  fi
}
