#!/usr/bin/env bash
# Installs what is missing from Debian's packages and says clearly what it cannot install. Run by `make demo` and `make test`.
set -euo pipefail
. "$(dirname "$0")/env.sh"

fail() { printf 'dcanary: %s\n' "$*" >&2; exit 1; }
[ "$(id -u)" = 0 ] || fail "the local cluster needs root (containers, network): run as root, or use CLUSTER=current"

missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); } # program package
need gcc gcc; need make make; need git git; need curl curl; need openssl openssl; need python3 python3; need pkg-config pkg-config
python3 -c 'import venv, ensurepip' 2> /dev/null || missing+=(python3-venv)
if [ ${#missing[@]} -gt 0 ]; then
  step "installing ${missing[*]}" sh -c "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
fi

command -v cargo > /dev/null || fail "Rust is missing: install rustup and toolchain $(sed -n 's/^channel = "\(.*\)"/\1/p' "$ROOT/rust-toolchain.toml") (see rustup's own page), then run this again"
command -v go > /dev/null || fail "Go is missing: install Go 1.26 or newer, or Debian's golang-go from backports (1.21 or newer fetches the rest by itself)"
