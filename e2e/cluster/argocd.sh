#!/usr/bin/env bash
# Adds Argo CD to the local cluster: its application controller, its repository
# server and a Redis as processes beside the other servers, its definitions, the
# project "default", and the health checks of charts/gitops/argocd. There is no
# user interface and no API server. Applications of every namespace are compared
# every three seconds, with the rights that Argo CD gives itself (the whole
# cluster). This machine reaches Services and Pods by their addresses, not by
# their names, and so does the repository server.
#
# usage: argocd.sh up     prints the address of the application controller's metrics
#        argocd.sh down   stops them; definitions and objects stay
#
# Leaves behind: the processes until the cluster goes down, their logs in
# log/argocd-*.log of the cluster's state, and what they are built from in the
# cache (7 minutes the first time). A second `up` takes a moment.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=extras.sh
. "$here/extras.sh"

say() { printf '%s\n' "cluster: $*" >&2; } # the address alone goes to standard output

objects() {
  local kind
  cat << Y
apiVersion: v1
kind: Namespace
metadata: {name: argocd}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: argocd-application-controller, namespace: argocd}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: argocd-cluster-admin}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: argocd-application-controller, namespace: argocd}]
---
apiVersion: v1
kind: Secret
metadata: {name: argocd-secret, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}
stringData: {server.secretkey: nobody-signs-in-here}
---
apiVersion: argoproj.io/v1alpha1
kind: AppProject
metadata: {name: default, namespace: argocd}
spec:
  sourceRepos: ["*"]
  sourceNamespaces: ["*"]
  destinations: [{server: "*", namespace: "*"}]
  clusterResourceWhitelist: [{group: "*", kind: "*"}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: argocd-cm, namespace: argocd, labels: {app.kubernetes.io/part-of: argocd}}
data:
Y
  for kind in Environment Promotion PipelineRun; do
    echo "  resource.customizations.health.dcanary.dev_$kind: |"
    sed 's/^/    /' "$here/../../charts/gitops/argocd/dcanary.dev/$kind/health.lua"
  done
}

component() { # name arguments...
  local name=$1
  shift
  # shellcheck disable=SC2154 # set by begin
  start "$name" env KUBECONFIG="$state/etc/argocd.kubeconfig" TMPDIR="$state/run/argocd" ARGOCD_FAKE_IN_CLUSTER=true \
    ARGOCD_GPG_ENABLED=false "$argocd/bin/$name" --redis="127.0.0.1:$((argocd_port + 3))" --loglevel=info --logformat=text "$@"
}
answers() { curl -fsS --noproxy '*' --max-time 3 -o /dev/null "http://127.0.0.1:$1"; }

up() {
  local redis
  begin argocd
  check_ports_free argocd-redis argocd-repo-server argocd-application-controller
  redis=$cache/$(component_key redis)
  if [ ! -d "$redis" ]; then "$here/build.sh" redis >&2; fi
  if ! alive argocd-redis || ! alive argocd-repo-server || ! alive argocd-application-controller; then
    kubectl apply --server-side --force-conflicts -f "$argocd/definitions" > /dev/null
    kubectl wait --for=condition=Established --timeout=30s -f "$argocd/definitions" > /dev/null
    until_ok 30 'objects of Argo CD' apiserver kubectl apply --server-side --force-conflicts -f - <<< "$(objects)"
    kubeconfig_of_account argocd argocd-application-controller "$state/etc/argocd.kubeconfig"
    mkdir -p "$state/run/argocd"
    start argocd-redis env LD_LIBRARY_PATH="$redis/lib" "$redis/bin/redis-server" --bind 127.0.0.1 --port $((argocd_port + 3)) \
      --save '' --appendonly no --dir "$state/run/argocd"
    component argocd-repo-server --address=127.0.0.1 --port="$argocd_port" --metrics-address=127.0.0.1 \
      --metrics-port=$((argocd_port + 1)) --disable-tls --revision-cache-expiration=1s
    component argocd-application-controller --namespace=argocd --application-namespaces='*' --repo-server="127.0.0.1:$argocd_port" \
      --repo-server-plaintext --metrics-port=$((argocd_port + 2)) --app-resync=3 --app-resync-jitter=0
  fi
  until_ok 30 'ready repository server' 'apiserver argocd-redis argocd-repo-server' answers "$((argocd_port + 1))/metrics"
  until_ok 60 'ready application controller' 'apiserver argocd-redis argocd-application-controller' answers "$((argocd_port + 2))/healthz"
  echo "127.0.0.1:$((argocd_port + 2))"
}

case ${1:-} in
  up) up ;;
  down) stop argocd-application-controller && stop argocd-repo-server && stop argocd-redis ;;
  *) die "usage: argocd.sh up|down" ;;
esac
