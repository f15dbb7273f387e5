#!/usr/bin/env bash
# Adds Flux to the local cluster: source-controller, kustomize-controller and
# their definitions, as processes beside the other servers, with the rights that
# Flux gives itself (the whole cluster). GitRepositories and Kustomizations of
# every namespace are reconciled. This machine reaches Services and Pods by their
# addresses, not by their names, and so do the two.
#
# usage: flux.sh up     prints the address of kustomize-controller's metrics
#        flux.sh down   stops them; definitions and objects stay
#
# Leaves behind: the processes until the cluster goes down, their logs in
# log/source-controller.log and log/kustomize-controller.log of the cluster's
# state, and what they are built from in the cache (7 minutes the first time).
# A second `up` takes a moment.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=extras.sh
. "$here/extras.sh"

say() { printf '%s\n' "cluster: $*" >&2; } # the address alone goes to standard output

objects() {
  cat << Y
apiVersion: v1
kind: Namespace
metadata: {name: flux-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: flux, namespace: flux-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: flux-cluster-admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: flux, namespace: flux-system}]
Y
}

controller() { # name health metrics arguments...
  local name=$1 health=$2 metrics=$3
  shift 3
  # shellcheck disable=SC2154 # set by begin
  start "$name" env KUBECONFIG="$state/etc/flux.kubeconfig" RUNTIME_NAMESPACE=flux-system "$flux/bin/$name" \
    --health-addr="127.0.0.1:$health" --metrics-addr="127.0.0.1:$metrics" --log-level=info "$@"
}
answers() { curl -fsS --noproxy '*' --max-time 3 -o /dev/null "http://127.0.0.1:$1"; }

up() {
  begin flux
  check_ports_free source-controller kustomize-controller
  if ! alive source-controller || ! alive kustomize-controller; then
    kubectl apply --server-side --force-conflicts -f "$flux/definitions" > /dev/null
    kubectl wait --for=condition=Established --timeout=30s -f "$flux/definitions" > /dev/null
    until_ok 30 'objects of Flux' apiserver kubectl apply --server-side --force-conflicts -f - <<< "$(objects)"
    kubeconfig_of_account flux-system flux "$state/etc/flux.kubeconfig"
    mkdir -p "$state/run/flux"
    controller source-controller $((flux_port + 1)) $((flux_port + 2)) --storage-path="$state/run/flux" \
      --storage-addr="127.0.0.1:$flux_port" --storage-adv-addr="127.0.0.1:$flux_port"
    # a commit that comes while the one before waits for its health is applied at once
    controller kustomize-controller $((flux_port + 3)) $((flux_port + 4)) --feature-gates=CancelHealthCheckOnNewRevision=true
  fi
  until_ok 60 'ready source-controller' 'apiserver source-controller' answers "$((flux_port + 1))/readyz"
  until_ok 30 'artifacts of source-controller' 'apiserver source-controller' answers "$flux_port/"
  until_ok 60 'ready kustomize-controller' 'apiserver kustomize-controller' answers "$((flux_port + 3))/readyz"
  echo "127.0.0.1:$((flux_port + 4))"
}

case ${1:-} in
  up) up ;;
  down) stop kustomize-controller && stop source-controller ;;
  *) die "usage: flux.sh up|down" ;;
esac
