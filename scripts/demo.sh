#!/usr/bin/env bash
# Brings everything up, runs an example live, prints its journal and verifies it. Ends as the run ended, or as its verification did.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
started=$SECONDS
image=${DCANARY_DEMO_IMAGE:-}
if [ "${CLUSTER:-local}" = current ] && [ -z "$image" ]; then
  echo "the example's image, registry.local:5000/busybox:1, is in the registry of the local cluster; name one with a shell that your cluster" \
    "can pull, for example DCANARY_DEMO_IMAGE=busybox:1 make CLUSTER=current demo" >&2
  exit 2
fi

echo "DCanary demo: a Kubernetes, the ledger node and the operator on this machine"
scripts/up.sh
eval "$(scripts/shell-env.sh)"
export DCANARY_TRUST=$DCANARY_STATE/demo/trust.json
mkdir -p "$(dirname "$DCANARY_TRUST")"
printf '\nup after %ds\n\n' $((SECONDS - started))

ns=demo
kubectl create namespace "$ns" --dry-run=client -o yaml | kubectl apply -f - > /dev/null
kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted --overwrite > /dev/null
echo "\$ dcanary trust pin --yes          # once, before anything is believed"
dcanary trust pin --yes --replace
echo
echo "\$ kubectl apply -n $ns -f examples/diamond/pipeline.yaml"
sed "s|registry.local:5000/busybox:1|${image:-&}|" examples/diamond/pipeline.yaml | kubectl apply -n "$ns" -f -
run=diamond-$(date +%H%M%S)
echo "\$ dcanary -n $ns run diamond --name $run"
dcanary -n "$ns" run diamond --name "$run"
echo "\$ dcanary -n $ns get run $run -w"
outcome=0
dcanary -n "$ns" get run "$run" -w || outcome=$?
echo
kubectl -n "$ns" wait --for=condition=Recorded "dpr/$run" --timeout=60s > /dev/null
echo "\$ dcanary -n $ns verify run $run -o wide"
verified=0
dcanary -n "$ns" verify run "$run" -o wide || verified=$?
cat << TEXT

Look further:
  eval "\$(make -s env)"                         kubectl, dcanary and KUBECONFIG in this shell
  export DCANARY_TRUST=$DCANARY_TRUST
  dcanary -n $ns logs $run            what the steps printed
  dcanary -n $ns get run $run -o yaml everything that is known about the run
  dcanary ledger export -o journal.cbor          the whole journal; verify it anywhere:
  dcanary verify export journal.cbor
Tear down:
  make down
TEXT
if [ "$outcome" != 0 ]; then exit "$outcome"; fi
exit "$verified"
