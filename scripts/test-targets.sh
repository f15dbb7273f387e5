#!/usr/bin/env bash
# The commands of the Makefile for clusters: those of the local cluster, which is up, and CLUSTER=current, which is tried with a kubeconfig of
# the same cluster and must start, stop and load nothing. With `up`, the product is installed by CLUSTER=current too, and runs an example; the local
# installation is made again after it.
set -uo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
# says NAME CODE PATTERN COMMAND…: it ends with the code, and what it says has the pattern
says() {
  local what=$1 code=$2 pattern=$3 is=0
  shift 3
  "$@" > "$work/out" 2>&1 < /dev/null || is=$?
  if [ "$is" = "$code" ] && grep -Eq -- "$pattern" "$work/out"; then
    passed=$((passed + 1)); printf 'test %s ... ok\n' "$what"
  else
    failed=$((failed + 1)); printf 'test %s ... FAILED\n' "$what"
    printf 'it ended with %s instead of %s, or does not say `%s`:\n' "$is" "$code" "$pattern"
    cat "$work/out"
  fi
}
unset KUBECONFIG MAKEFLAGS MAKELEVEL
eval "$(e2e/cluster/env.sh)"
local=$KUBECONFIG
cp "$local" "$work/own"
own() { env KUBECONFIG="$work/own" "$@"; }
context=$(kubectl config current-context)
pids() { cat "$DCANARY_STATE"/cluster/run/*.pid | sort; }

says "kubeconfig prints the path of the local cluster's file" 0 "^$local\$" make -s CLUSTER=local kubeconfig
says "load without an image says how it is used" 2 'usage: make load IMAGE=' make -s CLUSTER=local load
says "load of a file that is none names it" 2 'no such file: .*/none.tar' make -s CLUSTER=local load "IMAGE=$work/none.tar"
says "load of an archive names what was loaded" 0 'loaded dcanary.dev/runner:dev' make -s CLUSTER=local load "IMAGE=$OUT_DIR/product-runner.tar"
says "another word for the cluster is refused" 2 "CLUSTER must be local or current, not 'kind'" make -s CLUSTER=kind up
before=$(pids)
says "the current cluster's kubeconfig is the one that is set" 0 "^$work/own\$" own make -s CLUSTER=current kubeconfig
says "several kubeconfig files are refused" 2 'names several files' env KUBECONFIG="$work/own:$local" make -s CLUSTER=current kubeconfig
says "a kubeconfig that is not there is named" 2 "no kubeconfig file at $work/none" env KUBECONFIG="$work/none" make -s CLUSTER=current kubeconfig
says "the current context is named before it is used" 0 "using the current context $context" own make -s CLUSTER=current cluster-status
says "nothing is loaded into the current cluster" 2 'load x.tar with the tool of your cluster' own make -s CLUSTER=current load IMAGE=x.tar
says "the current cluster is left as it is" 0 'is yours and is left' own make -s CLUSTER=current cluster-down
if [ "${1:-}" = up ]; then
  says "the product is installed into the current context" 0 'installing the operator \(' own make -s CLUSTER=current up
  own kubectl create namespace targets > /dev/null
  own kubectl config set-context --current --namespace targets > /dev/null
  own kubectl apply -f examples/hello > /dev/null
  says "a run succeeds there" 0 'Succeeded' own "$BIN_DIR/dcanary" run hello --wait
  own kubectl delete namespace targets --wait=false > /dev/null
  says "the local installation is made again" 0 'installing the operator \(' make -s CLUSTER=local up
fi
now=$(pids)
says "no server was started or stopped by it" 0 '^same$' sh -c '[ "$1" = "$2" ] && echo same' sh "$before" "$now"
printf 'test result: %s. %d passed; %d failed; 0 ignored\n' "$([ "$failed" = 0 ] && echo ok || echo FAILED)" "$passed" "$failed"
[ "$failed" = 0 ]
