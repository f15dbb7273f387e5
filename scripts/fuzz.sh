#!/usr/bin/env bash
# Fuzzes each reader of foreign bytes (canisters/fuzz), one after the other: FUZZ_SECONDS (60) each, all or the named ones. What a run learns is
# kept for the next one; what it finds ends it, stays beside, and belongs into the property tests of that reader.
#
# usage: scripts/fuzz.sh [TARGET…]
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT/canisters/fuzz"
work=$DCANARY_CACHE/fuzz
# coverage for libFuzzer, in everything; checks that are off in the product. Build scripts need none of it, so the target is named
export CARGO_TARGET_DIR=$work/target CARGO_INCREMENTAL=0
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
  -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions --cfg=fuzzing"
RUSTFLAGS=${RUSTFLAGS//$'\n'/ }
step "building fuzz targets" cargo build --release --locked --target "$TRIPLE"
targets=("$@")
if [ $# = 0 ]; then mapfile -t targets < <(cd fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//'); fi
for target in "${targets[@]}"; do
  corpus=$work/corpus/$target
  mkdir -p "$corpus" "$work/found"
  printf '== %s\n' "$target"
  "$work/target/$TRIPLE/release/$target" -max_total_time="${FUZZ_SECONDS:-60}" -rss_limit_mb=4096 -timeout=20 -print_final_stats=1 \
    -artifact_prefix="$work/found/$target-" "$corpus" 2>&1 | tee "$work/$target.log" | grep -E '^(stat::number_of_executed|stat::peak_rss|==|SUMMARY|artifact|thread)' || true
  # the program's own answer, not that of what shows it
  if ! grep -q '^stat::number_of_executed' "$work/$target.log" || grep -qE '^(SUMMARY: libFuzzer: (deadly|timeout|out-of-memory)|==[0-9]+== ?ERROR)' "$work/$target.log"; then
    tail -n 30 "$work/$target.log" >&2
    printf 'found something in %s: %s\n' "$target" "$work/found" >&2
    exit 1
  fi
done
