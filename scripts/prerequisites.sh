#!/usr/bin/env bash
# Installs what is missing: small tools and, where there is no rustup, Rust from Debian's packages; Go from Debian's package and the toolchain
# that the Go module proxy serves. Run by `make demo` and `make test`; with the argument `clients` also Node.js and Chromium, for tests. What cannot be installed is named. With CLUSTER=current nothing needs root.
set -euo pipefail
. "$(dirname "$0")/env.sh"

fail() { printf 'dcanary: %s\n' "$*" >&2; exit 1; }
packages() { # what for, packages…
  local what=$1
  shift
  if ! command -v apt-get > /dev/null || [ "$(id -u)" != 0 ]; then fail "$what needed: please install $* (or what your system calls it), then run this again"; fi
  step "installing $*" sh -c "apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $*"
}

if [ "${CLUSTER:-local}" = local ]; then
  [ "$(id -u)" = 0 ] || fail "the local cluster needs root (containers, network): run as root, or use CLUSTER=current"
else
  for program in kubectl helm; do
    command -v $program > /dev/null || fail "CLUSTER=current needs $program on PATH"
  done
fi

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); } # program package
need gcc gcc; need make make; need git git; need curl curl; need openssl openssl; need python3 python3; need pkg-config pkg-config; need strip binutils
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
[ -e /etc/ssl/certs/ca-certificates.crt ] || missing+=(ca-certificates)
python3 -c 'import venv, ensurepip' 2> /dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then packages "tools are" "${missing[@]}"; fi

at_least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -n 1)" = "$1" ]; } # least found

rust=$(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml")
if ! command -v cargo > /dev/null; then packages "Rust $rust is" rustc-web cargo-web rustfmt-web rust-web-clippy; fi
found=$(cd "$ROOT" && rustc --version | cut -d' ' -f2) || fail "rustc does not run; with rustup: rustup toolchain install $rust"
at_least "$rust" "$found" || fail "Rust $rust or newer is needed, $(command -v rustc) is $found"

# the official clients of the Internet Computer, which the node is tried with
if [ "${1:-}" = clients ]; then
  missing=()
  need node nodejs; need npm npm; need chromium chromium
  if [ ${#missing[@]} -gt 0 ]; then packages "Node.js and a browser are" "${missing[@]}"; fi
fi

# canisters are wasm: rustup's target where it can be had, else Debian's compiler builds the standard library from source
wasm=wasm32-unknown-unknown
if ! { command -v rustup > /dev/null && { rustup target list --installed | grep -qx $wasm || rustup target add $wasm > /dev/null 2>&1; }; }; then
  if [ ! -x /usr/bin/rustc ] || [ ! -d /usr/src/rustc-"$(/usr/bin/rustc --version | cut -d' ' -f2)" ]; then
    packages "a compiler for wasm is" rustc-web rust-web-src lld
  fi
fi

if [ "${CLUSTER:-local}" = local ]; then
  # shellcheck source=../e2e/cluster/versions.env
  . "$ROOT/e2e/cluster/versions.env"
  if ! command -v go > /dev/null || ! at_least "$GO_MINIMUM" "$(GOTOOLCHAIN=local go env GOVERSION | sed 's/^go//')"; then
    command -v go > /dev/null || packages "Go is" golang-go
    step "fetching Go $GO_TOOLCHAIN" "$ROOT/scripts/go-toolchain.sh" "$GO_TOOLCHAIN" "$GO_DIR"
  fi
fi
