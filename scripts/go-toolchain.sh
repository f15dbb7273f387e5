#!/usr/bin/env bash
# go-toolchain.sh VERSION DIR: the Go toolchain as the module that the Go module proxy serves, with any older Go. Its hash is checked by the
# checksum database like that of every module.
set -euo pipefail
version=$1 dir=$2
case $(uname -m) in
  x86_64) arch=amd64 ;;
  aarch64) arch=arm64 ;;
  *) echo "no Go toolchain for $(uname -m)" >&2; exit 1 ;;
esac
module=golang.org/toolchain@v0.0.1-go$version.linux-$arch
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
# outside of any module, and with the running toolchain only
GOTOOLCHAIN=local GOFLAGS= go mod download "$module"
found=$(go env GOMODCACHE)/$module
mkdir -p "$(dirname "$dir")"
rm -rf "$dir.new" "$dir"
cp -r "$found" "$dir.new"
chmod -R u+w "$dir.new"
# modules carry no executable bits
chmod +x "$dir.new"/bin/* "$dir.new"/pkg/tool/*/* 2> /dev/null || chmod +x "$dir.new"/bin/*
mv "$dir.new" "$dir"
"$dir/bin/go" version
