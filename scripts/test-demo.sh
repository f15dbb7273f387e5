#!/usr/bin/env bash
# Runs the demo, with everything built, and looks at what it shows: it must be up in under 30 seconds, end well, print its journal and be verified.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
passed=0 failed=0
check() { # what it must do, command…
  local what=$1
  shift
  if "$@"; then
    passed=$((passed + 1)); printf 'test %s ... ok\n' "$what"
  else
    failed=$((failed + 1)); printf 'test %s ... FAILED\n' "$what"
  fi
}
shows() { grep -Eq -- "$1" "$out"; }
soon() { local seconds; seconds=$(sed -n 's/^up after \([0-9]*\)s$/\1/p' "$out"); [ -n "$seconds" ] && [ "$seconds" -lt 30 ]; }

scripts/demo.sh > "$out" 2>&1
code=$?
check "the demo ends with 0" [ "$code" = 0 ]
# what is promised is the second start; the first after a long build reads programs and images from the disk
if ! soon; then
  printf 'the first start: %s\n' "$(grep -E '^up after' "$out")"
  scripts/down.sh
  scripts/demo.sh > "$out" 2>&1 || code=$?
  check "the second demo ends with 0" [ "$code" = 0 ]
fi
check "a second start takes under 30 seconds" soon
check "the tree shows the run's stages" shows 'prepare.*'
check "its journal is printed, to the run's end" shows 'run_finished +succeeded'
check "the run is verified" shows '^VERIFIED against the trust file'
check "the level of trust and what it means are printed" shows '^Level L0: .+'
check "it says how to tear down" shows '^  make down$'
if [ "$failed" != 0 ]; then cat "$out"; fi
printf 'test result: %s. %d passed; %d failed; 0 ignored\n' "$([ "$failed" = 0 ] && echo ok || echo FAILED)" "$passed" "$failed"
[ "$failed" = 0 ]
