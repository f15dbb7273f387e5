#!/usr/bin/env bash
# Makes the two images that every cluster starts with: pause (the sandbox of
# each Pod) and busybox. Called by build.sh.
#
# usage: base.sh OUT_DIR BUSYBOX REGISTRY
# Leaves behind: OUT_DIR/pause.tar and OUT_DIR/busybox.tar.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=$1 busybox=$2 registry=$3

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
gcc -static -O2 -s -o "$work/pause" "$here/pause.c"
"$here/mkimage.py" --out "$out/pause.tar" --name "$registry/pause:1" --require-static \
  --file "$work/pause:/pause" --entrypoint '["/pause"]' --user 65535:65535

# every applet as a link in /bin; the default user is nobody, who may write to /tmp and /workspace
links=(--link /usr/bin/env=/bin/busybox)
for applet in $("$busybox" --list | grep -vx busybox); do links+=(--link "/bin/$applet=/bin/busybox"); done
"$here/mkimage.py" --out "$out/busybox.tar" --name "$registry/busybox:1" --require-static \
  --file "$busybox:/bin/busybox" "${links[@]}" \
  --dir /tmp:1777 --dir /workspace:1777 --dir /root:700 \
  --text '/etc/passwd=root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/tmp:/bin/sh\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n' \
  --text '/etc/group=root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n' \
  --user 65534:65534 --env PATH=/bin:/usr/bin --env HOME=/tmp --cmd '["sh"]'
