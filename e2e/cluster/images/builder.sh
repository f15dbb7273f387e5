#!/usr/bin/env bash
# Makes registry.local:5000/builder:1, an image with a C tool chain, make, git,
# curl, jq and Python for pipelines that compile and test something, and an SSH
# server for tests that check out by SSH: a small Debian with these packages,
# user 1000 "builder", made by mmdebstrap.
#
# usage: builder.sh [--load] [--push]
#        --load  imports it into the local cluster's node
#        --push  pushes it into the local registry
# Prints the path of the OCI archive. Leaves behind: the archive in the cache,
# keyed by the package list (about a minute the first time); installs mmdebstrap
# when it is missing. Needs root the first time.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=../lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

suite=bookworm
packages=gcc,libc6-dev,make,git,ca-certificates,curl,jq,openssh-server,pkg-config,python3,xz-utils,procps
load='' push=''
for arg in "$@"; do
  case $arg in
    --load) load=1 ;;
    --push) push=1 ;;
    *) die "unknown argument '$arg'; usage: builder.sh [--load] [--push]" ;;
  esac
done

say() { printf '%s\n' "cluster: $*" >&2; } # the path alone goes to standard output

make_builder() {
  make_base "$cache"
  lock_cache builder
  if [ -d "$dir" ]; then return; fi
  need_root
  if ! command -v mmdebstrap > /dev/null; then
    command -v apt-get > /dev/null || die "mmdebstrap is needed to make the builder image; install it"
    run 'installing mmdebstrap' '10 s' "$cache/packages.log" bash -c 'apt_run install --no-install-recommends mmdebstrap'
  fi
  rm -rf "$cache"/.tmp-builder.*
  tmp=$(mktemp -d "$cache/.tmp-builder.XXXXXX")
  mkdir "$tmp/out"
  # shellcheck disable=SC2016 # expanded by mmdebstrap's hook
  run 'making the builder image (1 of 2)' '60 s' "$cache/builder.log" \
    unshare --mount env TMPDIR="$tmp" SOURCE_DATE_EPOCH=0 mmdebstrap --mode=root --variant=minbase --include="$packages" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/info/*' \
    --customize-hook='chroot "$1" useradd --uid 1000 --create-home --shell /bin/bash builder' \
    --customize-hook='rm -rf "$1"/var/cache/* "$1"/var/log/* "$1"/etc/ssh/ssh_host_* "$1"/etc/machine-id "$1"/etc/hostname "$1"/etc/resolv.conf "$1"/etc/hosts' \
    "$suite" "$tmp/rootfs.tar"
  run 'making the builder image (2 of 2)' '15 s' "$cache/builder.log" \
    "$python" "$here/images/mkimage.py" --out "$tmp/out/builder.tar" --name "$registry/builder:1" --rootfs "$tmp/rootfs.tar" \
    --dir /workspace:1777 --user 1000:1000 --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin \
    --env HOME=/home/builder --env LANG=C.UTF-8 --workdir /workspace --cmd '["bash"]'
  mv -T "$tmp/out" "$dir"
  rm -rf "$tmp"
  tmp=
  exec {lock}>&-
  lock=
}
hash=$({
  cat "$here/images/mkimage.py"
  declare -f make_builder # without comments
  echo "$registry $suite $packages"
} | sha256sum)
dir=$cache/builder-1-${hash:0:12}
stop_on_signals
if [ ! -d "$dir" ]; then make_builder; fi

if [ -n "$load" ]; then "$here/load.sh" "$dir/builder.tar" >&2; fi
if [ -n "$push" ]; then "$here/push.sh" "$dir/builder.tar" builder:1 >&2; fi
echo "$dir/builder.tar"
