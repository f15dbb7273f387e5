#!/usr/bin/env bash
# Brings everything up and shows, live and under requests from this machine: a good canary, a bad canary that rolls itself back, and a
# blue/green switch with its undo. Fails when something goes another way, or when a single request is lost.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
[ "${CLUSTER:-local}" = local ] || { echo "demo-delivery needs the local cluster: its gateway, Prometheus and registry" >&2; exit 2; }
started=$SECONDS

echo "DCanary delivery demo: a Kubernetes with a gateway and Prometheus, the operator, and an application in good and bad versions"
scripts/up.sh
scripts/data-plane.sh
eval "$(scripts/shell-env.sh)"
gateway=$(e2e/cluster/gateway.sh up)
printf '\nup after %ds\n' $((SECONDS - started))

ns=shop
kubectl delete namespace "$ns" --ignore-not-found --wait > /dev/null
kubectl create namespace "$ns" > /dev/null
kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted > /dev/null

load='' lost=0
requests() { # host: from now on, a line a second
  "$BIN_DIR/dcanary-load" "$gateway" "$1" &
  load=$!
}
no_more_requests() {
  [ -n "$load" ] || return 0
  kill -TERM "$load" 2> /dev/null || true
  wait "$load" || lost=1
  load=
}
trap no_more_requests EXIT
show() { printf '\n$ %s\n' "$*"; "$@"; }
title() { printf '\n── %s\n' "$1"; }
# promote ENVIRONMENT RELEASE succeeds|fails
promote() {
  local ended=0
  show dcanary -n "$ns" promote "$1" "$2" --wait --timeout 5m || ended=$?
  case $3 in
    succeeds) [ "$ended" = 0 ] || { echo "release $2 was not promoted" >&2; exit 1; } ;;
    fails) [ "$ended" != 0 ] || { echo "release $2 was promoted, and should not have been" >&2; exit 1; } ;;
  esac
}

title "an environment with a canary of 20 % and 50 %, watched by Prometheus, and its first release"
show kubectl apply -n "$ns" -f examples/canary/deployer.yaml -f examples/canary/template.yaml -f examples/canary/environment.yaml
echo "\$ scripts/pin.sh examples/canary/releases.yaml | kubectl apply -n $ns -f -"
scripts/pin.sh examples/canary/releases.yaml | kubectl apply -n "$ns" -f -
promote web one succeeds

title "a good release: its share grows while its error rate is watched"
requests canary.shop.test
promote web two succeeds

title "a bad release: three of ten of its answers are errors, so it goes back by itself"
promote web bad fails
no_more_requests
show dcanary -n "$ns" get env web

title "blue/green: a whole second release, switched to at once"
show kubectl apply -n "$ns" -f examples/blue-green/deployer.yaml -f examples/blue-green/environment.yaml
scripts/pin.sh examples/blue-green/releases.yaml | kubectl apply -n "$ns" -f - > /dev/null
promote till blue succeeds
requests blue-green.shop.test
show dcanary -n "$ns" promote till green
kubectl -n "$ns" wait --for=condition=Paused denv/till --timeout=120s > /dev/null
show dcanary -n "$ns" resume till
kubectl -n "$ns" wait --for=jsonpath='{.status.stable.release}'=green denv/till --timeout=120s > /dev/null
title "and back, at once: the old Pods are still there"
show dcanary -n "$ns" undo till
kubectl -n "$ns" wait --for=jsonpath='{.status.stable.release}'=blue denv/till --timeout=120s > /dev/null
no_more_requests
show dcanary -n "$ns" get env till
cat << TEXT

Look further:
  eval "\$(make -s env)"                    kubectl, dcanary and KUBECONFIG in this shell
  dcanary -n $ns get env web -w
  kubectl -n $ns get dprom,drel,denv
  curl -H 'Host: canary.shop.test' http://$gateway/
Tear down:
  make down
TEXT
exit "$lost"
