#!/usr/bin/env bash
# Adds fake nodes to the local cluster, on which Pods are ready at once and cost
# nothing, for measurements with many of them (KWOK). The nodes are named fake-1
# and so on and have the label type=kwok and the taint kwok.x-k8s.io/node=fake:NoSchedule;
# Pods land on them with
#   nodeSelector: {type: kwok}
#   tolerations: [{key: kwok.x-k8s.io/node, operator: Exists}]
#
# usage: kwok.sh up [NODES]   (default: 2, for 1000 Pods each)
#        kwok.sh down         stops it and removes the nodes
#
# Leaves behind: the process and its log (log/kwok.log of the cluster's state)
# until the cluster goes down, and the program in the cache (2 minutes the first time).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=extras.sh
. "$here/extras.sh"

nodes() { # how many
  local i
  for i in $(seq "$1"); do
    cat << Y
---
apiVersion: v1
kind: Node
metadata:
  name: fake-$i
  annotations: {node.alpha.kubernetes.io/ttl: "0", kwok.x-k8s.io/node: fake}
  labels: {kubernetes.io/hostname: fake-$i, kubernetes.io/os: linux, type: kwok}
spec: {taints: [{key: kwok.x-k8s.io/node, value: fake, effect: NoSchedule}]}
status:
  allocatable: {cpu: "64", memory: 512Gi, pods: "1000"}
  capacity: {cpu: "64", memory: 512Gi, pods: "1000"}
Y
  done
}

up() {
  begin kwok
  # shellcheck disable=SC2154 # set by begin
  start kwok "$kwok/bin/kwok" --kubeconfig="$kubeconfig" --config="$kwok/stages.yaml" --manage-all-nodes=false \
    --manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake --node-lease-duration-seconds=40 --cidr=10.88.0.1/16 --v=WARN
  nodes "$1" | kubectl apply --server-side --force-conflicts -f - > /dev/null
  until_ok 60 'ready fake nodes' 'apiserver kwok' kubectl wait --for=condition=Ready node -l type=kwok --timeout=30s
  say "$1 fake nodes are ready"
}

case ${1:-} in
  up) up "${2:-2}" ;;
  down)
    stop kwok
    if state_is_current && alive apiserver; then
      kubernetes=$cache/$(component_key kubernetes)
      kubectl delete node -l type=kwok --ignore-not-found > /dev/null
    fi
    ;;
  *) die "usage: kwok.sh up [NODES] | kwok.sh down" ;;
esac
