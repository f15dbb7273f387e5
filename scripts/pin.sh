#!/usr/bin/env bash
# Prints a manifest with the tags of images in the local registry replaced by their digests, as a Release needs them.
#
# usage: scripts/pin.sh FILE | kubectl apply -f -
set -euo pipefail
[ $# = 1 ] || { echo "usage: scripts/pin.sh FILE" >&2; exit 2; }
text=$(< "$1")
# the longest first: one tag may begin with another
for reference in $(grep -oE 'registry\.local:5000/[a-z0-9./_-]+:[A-Za-z0-9._-]+' "$1" | sort -ru); do
  name=${reference#registry.local:5000/} tag=${reference##*:}
  name=${name%:*}
  digest=$(curl -fsSI --noproxy '*' -H 'Accept: application/vnd.oci.image.manifest.v1+json' "http://127.0.0.1:5000/v2/$name/manifests/$tag" |
    tr -d '\r' | sed -n 's/^docker-content-digest: //Ip')
  [ -n "$digest" ] || { echo "pin.sh: the registry has no $name:$tag" >&2; exit 1; }
  text=${text//"$reference"/"registry.local:5000/$name@$digest"}
done
printf '%s\n' "$text"
