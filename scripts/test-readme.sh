#!/usr/bin/env bash
# Runs the README's own shell blocks, from `make up` to the verified run, as a newcomer would type them, in a namespace and with a trust file
# of their own, and lints its YAML blocks. A command that fails ends it. The block with `make demo` and `make test` is what runs this.
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
passed=0 failed=0
awk '/^```yaml$/ {on = 1; print "---"; next} /^```$/ {on = 0} on' README.md > "$work/readme.yaml"
if grep -q '^kind: Pipeline$' "$work/readme.yaml" && "$BIN_DIR/dcanary" lint "$work/readme.yaml" > "$work/out" 2>&1; then
  echo 'test the objects of the README are without fault ... ok'
  passed=$((passed + 1))
else
  cat "$work/out"
  echo 'test the objects of the README are without fault ... FAILED'
  failed=$((failed + 1))
fi
if grep -q 'kubectl apply' "$work/run.sh" && timeout 300 bash "$work/run.sh" > "$work/out" 2>&1 < /dev/null; then
  echo 'test the commands of the README work in order ... ok'
  passed=$((passed + 1))
else
  cat "$work/out"
  echo 'test the commands of the README work in order ... FAILED'
  failed=$((failed + 1))
fi
printf 'test result: %s. %d passed; %d failed; 0 ignored\n' "$([ "$failed" = 0 ] && echo ok || echo FAILED)" "$passed" "$failed"
[ "$failed" = 0 ]
