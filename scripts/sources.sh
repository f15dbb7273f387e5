#!/usr/bin/env bash
# Lets Cargo see which sources of a new checkout are those it has built at this place before. It goes by the times of files, and in a new
# checkout every file is new: CI would compile the whole product for a change of one line. For CI only: what compiles in between without
# these two calls is not remembered, and then nothing counts as known.
#
# usage: sources.sh known   before the build: files with the content of the last build get an old time
#        sources.sh built   after a build that went to its end: remembers what they are
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
list=$CARGO_TARGET_DIR/sources

# what is not committed has no name to remember it by
clean() { [ -z "$(git status --porcelain 2> /dev/null || echo none)" ]; }
# whether Cargo has compiled something since the list was written
built_since() { [ -n "$(find "$CARGO_TARGET_DIR" -path '*/.fingerprint/*' -newer "$list" -print -quit)" ]; }
contents() { git ls-files --stage | LC_ALL=C sort; }

case ${1:-} in
  known)
    if [ -f "$list" ] && clean && ! built_since; then
      # NUL: names of files may hold anything
      LC_ALL=C comm -12 "$list" <(contents) | cut -f 2- | tr '\n' '\0' | xargs -0 -r touch -d 2000-01-01 --
    fi
    # of a build that is broken off nobody knows what was compiled
    rm -f "$list"
    ;;
  built) if clean; then contents > "$list"; fi ;;
  *) echo "usage: sources.sh known|built" >&2; exit 2 ;;
esac
