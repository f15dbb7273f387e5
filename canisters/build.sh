#!/usr/bin/env bash
# Builds the canisters: canisters/build.sh [--tests] [OUT_DIR]
#
# OUT_DIR (default target/canisters) gets orchestrator.wasm; with --tests only tests/cdk.wasm, which tests of the node need and no image gets.
# The same source and toolchain give the same bytes in any folder and for any user: paths are remapped, dependencies are locked, and nothing of the machine is in the output.
# The toolchain is part of the input: rust-toolchain.toml pins it. Without rustup's wasm target, Debian's compiler
# builds the standard library from source; that works as well and gives other bytes.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
ROOT=$(cd "$HERE/.." && pwd -P)
TESTS=
if [ "${1:-}" = --tests ]; then
  TESTS=yes
  shift
fi
OUT=${1:-${CARGO_TARGET_DIR:-$ROOT/target}/canisters}${TESTS:+/tests}
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd -P)
TRIPLE=wasm32-unknown-unknown
cd "$ROOT"

# A target folder of its own: a build of the workspace that runs meanwhile does not hold this one up.
export CARGO_TARGET_DIR=${DCANARY_CANISTER_TARGET:-${CARGO_TARGET_DIR:-$ROOT/target}/canister-build}
export SOURCE_DATE_EPOCH=0
# Whatever the caller has set for the host's programs is not for canisters.
unset RUSTFLAGS CARGO_BUILD_RUSTFLAGS CARGO_ENCODED_RUSTFLAGS RUSTC_WRAPPER CARGO_BUILD_RUSTC_WRAPPER
unset CARGO_PROFILE_RELEASE_LTO CARGO_PROFILE_RELEASE_DEBUG CARGO_INCREMENTAL

has_wasm_target() {
  command -v rustup > /dev/null || return 1
  rustup target list --installed 2> /dev/null | grep -qx "$TRIPLE" || rustup target add "$TRIPLE" > /dev/null 2>&1
}

STD=()
if ! has_wasm_target; then
  # Debian's rustc-web and rust-web-src: no prebuilt standard library for wasm, so it is built with the canister.
  export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1
  [ -x "$RUSTC" ] || {
    echo "neither rustup's target $TRIPLE nor Debian's rustc-web is here; run scripts/prerequisites.sh" >&2
    exit 1
  }
  STD=("-Zbuild-std=std,panic_abort")
  host=$(rustc -vV 2> /dev/null | sed -n 's/^host: //p')
  linker=$(rustc --print sysroot 2> /dev/null)/lib/rustlib/$host/bin/rust-lld
  if [ ! -x "$linker" ]; then linker=$(command -v wasm-ld || true); fi # Debian's lld
  if [ -n "$linker" ]; then export CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER=$linker; fi
fi

compiler=${RUSTC:-rustc}
sysroot=$("$compiler" --print sysroot)
commit=$("$compiler" -vV | sed -n 's/^commit-hash: //p')
mkdir -p "${CARGO_HOME:-$HOME/.cargo}" # not there before the first build with Debian's cargo
cargo_home=$(cd "${CARGO_HOME:-$HOME/.cargo}" && pwd -P)
# The first separator-free form that cargo takes: flags with 0x1f between them, so that paths may have spaces.
flags=(
  "--remap-path-prefix=$ROOT=/dcanary"
  "--remap-path-prefix=$CARGO_TARGET_DIR=/target"
  "--remap-path-prefix=$cargo_home=/cargo"
  # Where the sources of the standard library are installed the compiler names them there, else as published.
  "--remap-path-prefix=$sysroot/lib/rustlib/src/rust=/rustc/$commit"
  "--remap-path-prefix=$sysroot=/sysroot"
)
CARGO_ENCODED_RUSTFLAGS=$(IFS=$'\x1f' && printf '%s' "${flags[*]}")
export CARGO_ENCODED_RUSTFLAGS

# The bytes of a number in unsigned LEB128, as printf escapes.
leb128() {
  local n=$1 low out=
  while :; do
    low=$((n & 127)) n=$((n >> 7))
    if [ "$n" -eq 0 ]; then
      printf '%s\\x%02x' "$out" "$low"
      return
    fi
    out+=$(printf '\\x%02x' $((low | 128)))
  done
}

# with_section WASM NAME CONTENT: the module with one more custom section at its end.
with_section() {
  local name=$2 length
  length=$(wc -c < "$3")
  cat "$1"
  # shellcheck disable=SC2059 # the format is the bytes
  printf "\\x00$(leb128 $((1 + ${#name} + length)))$(leb128 ${#name})"
  printf '%s' "$name"
  cat "$3"
}

# build NAME [CANDID]: with its interface as a custom section, if that is given.
build() {
  local name=$1 made=$CARGO_TARGET_DIR/$TRIPLE/canister/$1.wasm
  cargo build --quiet --locked --profile canister --target "$TRIPLE" "${STD[@]}" -p "dcanary-$name" --bin "$name"
  # Written beside and renamed, so that nobody reads half a module.
  if [ -n "${2:-}" ]; then
    with_section "$made" "icp:public candid:service" "$2" > "$OUT/.$name.wasm.$$"
  else
    cp "$made" "$OUT/.$name.wasm.$$"
  fi
  mv "$OUT/.$name.wasm.$$" "$OUT/$name.wasm"
  (cd "$OUT" && sha256sum "$name.wasm")
}

if [ -n "$TESTS" ]; then
  build cdk
else
  build orchestrator "$HERE/orchestrator/orchestrator.did"
fi
