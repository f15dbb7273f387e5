#!/usr/bin/env bash
# Runs the README's own shell blocks, from `make up` to the verified run, as a newcomer would type them, in a namespace and with a trust file
# of their own. A command that fails ends it. The block with `make demo` and `make test` is what runs this.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
awk '/^```sh$/ {on = 1; next} /^```$/ {on = 0} on' README.md | grep -v '^make \(demo\|test\) ' > "$work/readme.sh"
export DCANARY_TRUST=$work/trust.json
ns=readme
{
  echo 'set -eux'
  # what a block makes for a file stays out of the checkout
  sed "s|journal.cbor|$work/journal.cbor|" "$work/readme.sh" | awk -v ns="$ns" '{print} /make -s env/ {
    print "kubectl create namespace " ns " --dry-run=client -o yaml | kubectl apply -f -"
    print "cp \"$KUBECONFIG\" '"$work"'/kubeconfig; export KUBECONFIG='"$work"'/kubeconfig"
    print "kubectl config set-context --current --namespace=" ns
    print "kubectl delete pipelineruns.dcanary.dev --all --wait"}'
} > "$work/run.sh"
if grep -q 'kubectl apply' "$work/run.sh" && timeout 300 bash "$work/run.sh" > "$work/out" 2>&1 < /dev/null; then
  echo 'test the commands of the README work in order ... ok'
  echo 'test result: ok. 1 passed; 0 failed; 0 ignored'
else
  cat "$work/out"
  echo 'test the commands of the README work in order ... FAILED'
  echo 'test result: FAILED. 0 passed; 1 failed; 0 ignored'
  exit 1
fi
