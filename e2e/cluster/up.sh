#!/usr/bin/env bash
# Brings up a real one-node Kubernetes on this machine and waits until it works.
#
# usage: up.sh     (root; settings: see the top of lib.sh; DCANARY_TRACE=1 shows where time goes)
#
# A healthy cluster is left as it is (about a second). A half-started one is
# completed: servers that died are started again with their data. What belongs
# to an earlier boot, or cannot be completed, is cleaned up and started afresh.
# Programs that are not built yet are built first (build.sh).
#
# Leaves behind: the servers, a bridge, iptables rules and a cgroup, and all
# their files below ${DCANARY_STATE:-~/.local/state/dcanary}/cluster, among them
# kubeconfig, log/*.log and audit/audit.log; certificates in the cache. down.sh
# removes all of that but the cache.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=pki.sh
. "$here/pki.sh"
# shellcheck source=files.sh
. "$here/files.sh"
# shellcheck source=machine.sh
. "$here/machine.sh"
# shellcheck source=daemon.sh
. "$here/daemon.sh"

began=$EPOCHREALTIME
elapsed() { awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {printf "%.1f s", b - a}'; }
trace() { if [ -n "${DCANARY_TRACE:-}" ]; then say "  $(elapsed) $*"; fi; }

recovering='' old_logs=''
need_root
[ ${#state} -le 80 ] || die "DCANARY_STATE is too long for the sockets below it (at most 72 characters): $state_base"
if [ "${1:-}" = --complete ]; then
  recovering=1 # called by ourselves, below, who hold the lock
else
  lock_state
fi

kubectl() { "$kubernetes/kubectl" --kubeconfig "$kubeconfig" "$@"; }
api() { # curl options and a path, as admin
  curl -fsS --noproxy '*' --max-time 5 --cacert "$state/pki/ca.crt" --cert "$state/pki/admin.crt" \
    --key "$state/pki/admin.key" "${@:1:$#-1}" "https://127.0.0.1:$api_port${*: -1}"
}

healthy() { # all servers live and answer
  local name
  for name in $daemons; do alive "$name" || return 1; done
  [ -f "$state/run/complete" ] || return 1
  api -o /dev/null /readyz 2> /dev/null || return 1
  curl -fs --noproxy '*' --max-time 3 --fail-early -o /dev/null "http://$node_ip:$registry_port/v2/" \
    -o /dev/null "http://127.0.0.1:$dns_ready_port/ready" || return 1
  api "/api/v1/nodes/$node" 2> /dev/null | tr -d ' \n' | grep -q '"type":"Ready","status":"True"\|"status":"True"[^}]*"type":"Ready"' || return 1
}

settings() { # what a running cluster was started with
  echo "node=$node ip=$node_ip link=$node_link pods=$pod_cidr services=$service_cidr ports=$api_port,$registry_port,$kubelet_port,$dns_port,$dns_ready_port,$proxy_health_port,$proxy_metrics_port expose=$expose"
}

recycle_volumes() { # gives released volumes back, emptied
  local pv
  for pv in $(kubectl get pv -o 'jsonpath={range .items[?(@.status.phase=="Released")]}{.metadata.name}{"\n"}{end}'); do
    [ -d "$state/volumes/$pv" ] || continue
    find "$state/volumes/$pv" -mindepth 1 -delete
    kubectl patch pv "$pv" --type=json -p '[{"op":"remove","path":"/spec/claimRef"}]' > /dev/null
  done
}

used=
for name in kubernetes containerd etcd coredns debs images; do
  key=$(component_key "$name")
  used+=" $key"
  declare "$name=$cache/$key"
  [ -d "${!name}" ] || missing+=" $name"
done
if [ -n "${missing:-}" ]; then
  # shellcheck disable=SC2086
  "$here/build.sh" $missing 9>&-
  began=$EPOCHREALTIME
fi
for name in openssl curl ip ss iptables; do
  command -v "$name" > /dev/null || { "$here/build.sh" debs 9>&- && break; }
done
# shellcheck disable=SC2154 # set by declare
kubernetes=$kubernetes/bin containerd=$containerd/bin etcd=$etcd/bin coredns=$coredns/bin cni=$debs/cni debs=$debs/bin
daemon_path=$debs:$containerd

if [ -n "$recovering" ]; then
  : # the state is there
elif state_is_current; then
  if [ "$(settings)" != "$(cat "$state/run/settings")" ]; then
    die "a cluster runs here with other settings; run e2e/cluster/down.sh first" \
      $'\n  '"running: $(cat "$state/run/settings")"$'\n  '"asked:   $(settings)"
  fi
  if [ "$used" != "$(cat "$state/run/versions")" ]; then
    say "note: the running cluster is of another version of e2e/cluster; down and up would renew it"
  fi
  if healthy; then
    recycle_volumes
    say "already up ($(elapsed)); export KUBECONFIG=$kubeconfig"
    exit
  fi
  say "completing a half-started cluster"
  # twice: a server that was just dying may have looked alive the first time
  for _ in 1 2; do
    rc=0
    "$here/up.sh" --complete || rc=$?
    [ $rc = 1 ] || exit $rc
  done
  say "it cannot be completed; starting afresh without its data (its logs: $state/log/failed)"
  old_logs=$(mktemp -d)
  cp -r "$state/log/." "$old_logs"
  "$python" "$here/teardown.py" "$state"
elif [ -e "$state" ]; then
  say "cleaning up what an earlier cluster left"
  "$python" "$here/teardown.py" "$state"
fi

# --- the servers ---------------------------------------------------------------------------

start_servers() {
  start etcd "$etcd/etcd" --name=node --data-dir="$state/etcd" --unsafe-no-fsync --log-level=warn \
    --listen-client-urls="unix://$state/run/etcd.sock" --advertise-client-urls=http://127.0.0.111:0 \
    --listen-peer-urls=http://127.0.0.1:0 --initial-advertise-peer-urls=http://127.0.0.1:1 \
    --initial-cluster=node=http://127.0.0.1:1 --quota-backend-bytes=8589934592 --auto-compaction-retention=5m
  start apiserver "$kubernetes/kube-apiserver" --etcd-servers="unix://$state/run/etcd.sock" \
    --service-cluster-ip-range="$service_cidr" --bind-address=0.0.0.0 --secure-port="$api_port" --advertise-address="$node_ip" \
    --tls-cert-file="$state/pki/apiserver.crt" --tls-private-key-file="$state/pki/apiserver.key" \
    --client-ca-file="$state/pki/ca.crt" --service-account-issuer=https://kubernetes.default.svc.cluster.local \
    --service-account-key-file="$state/pki/sa.pub" --service-account-signing-key-file="$state/pki/sa.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged=true --profiling=false \
    --kubelet-client-certificate="$state/pki/apiserver-kubelet-client.crt" --kubelet-client-key="$state/pki/apiserver-kubelet-client.key" \
    --kubelet-certificate-authority="$state/pki/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --requestheader-client-ca-file="$state/pki/front-proxy-ca.crt" --requestheader-allowed-names=front-proxy-client \
    --requestheader-username-headers=X-Remote-User --requestheader-group-headers=X-Remote-Group \
    --requestheader-extra-headers-prefix=X-Remote-Extra- --proxy-client-cert-file="$state/pki/front-proxy-client.crt" \
    --proxy-client-key-file="$state/pki/front-proxy-client.key" \
    --audit-policy-file="$state/etc/audit-policy.yaml" --audit-log-path="$state/audit/audit.log" \
    --audit-log-maxsize=200 --audit-log-maxbackup=3
  start containerd "$containerd/containerd" -c "$state/etc/containerd.toml"
  start registry "$debs/docker-registry" serve "$state/etc/registry.yaml"
}

load_base_images() {
  local i
  until_ok 30 'a ready containerd' containerd "$containerd/ctr" -a "$containerd_socket" version
  [ ! -f "$state/run/images" ] || return 0
  for i in pause busybox; do
    "$containerd/ctr" -a "$containerd_socket" -n k8s.io images import "${images:?}/$i.tar" > "$state/log/import.log" 2>&1 ||
      fail import "the image $i could not be imported"
  done
  trace "images imported"
  until_ok 30 'an answering registry' registry curl -fs --noproxy '*' "http://$node_ip:$registry_port/v2/"
  "$python" "$here/push.py" "$node_ip:$registry_port" "$images/busybox.tar" busybox:1 > /dev/null
  touch "$state/run/images"
}

start_node() {
  # nothing here reads Endpoints, which EndpointSlices have taken the place of; they were one write in fifteen
  start controller-manager "$kubernetes/kube-controller-manager" --kubeconfig="$state/etc/controller-manager.kubeconfig" \
    --authentication-kubeconfig="$state/etc/controller-manager.kubeconfig" --authorization-kubeconfig="$state/etc/controller-manager.kubeconfig" \
    --service-account-private-key-file="$state/pki/sa.key" --root-ca-file="$state/pki/ca.crt" --use-service-account-credentials \
    --cluster-signing-cert-file="$state/pki/ca.crt" --cluster-signing-key-file="$state/pki/ca.key" \
    --kube-api-qps=300 --kube-api-burst=600 --leader-elect=false --secure-port=0 --profiling=false \
    --flex-volume-plugin-dir="$state/kubelet/plugins-exec" --controllers='*,-endpoints-controller,-endpointslice-mirroring-controller'
  start scheduler "$kubernetes/kube-scheduler" --kubeconfig="$state/etc/scheduler.kubeconfig" --leader-elect=false \
    --secure-port=0 --profiling=false
  start kubelet "$kubernetes/kubelet" --config="$state/etc/kubelet.yaml" --kubeconfig="$state/etc/kubelet.kubeconfig" \
    --hostname-override="$node" --root-dir="$state/kubelet" --cert-dir="$state/kubelet/pki" --node-ip="$node_ip"
  start kube-proxy "$kubernetes/kube-proxy" --config="$state/etc/kube-proxy.yaml"
}

if [ -n "$recovering" ] && ! { alive etcd && alive apiserver; }; then
  # its clients back off for up to a minute after an outage; started again they work at once
  for name in controller-manager scheduler kubelet kube-proxy coredns; do
    if alive $name; then say "restarting $name"; fi
    kill_daemon $name
  done
fi
ensure_pki
# shellcheck disable=SC2086
check_ports_free $daemons
if [ -z "$recovering" ]; then
  check_network_free
  write_files
  if [ -n "$old_logs" ]; then mv "$old_logs" "$state/log/failed"; fi
  remember_machine
fi
trace "files"
start_servers
setup_network
setup_cgroups
trace "network"
load_base_images &
loading=$!
until_ok 60 'a ready API server' 'etcd apiserver' api /livez
trace "API server live"
start_node
until_ok 60 'a ready API server' 'etcd apiserver' api /readyz
trace "API server ready"
until_ok 30 'the basic objects' apiserver kubectl apply --server-side --force-conflicts -f "$state/etc/cluster.yaml"
trace "objects"
start coredns "$coredns/coredns" -conf "$state/etc/Corefile"
wait "$loading"
until_ok 60 "Node $node" 'apiserver containerd kubelet' kubectl wait --for=create "node/$node" --timeout=10s
until_ok 90 "Ready condition of Node $node" 'apiserver containerd kubelet' kubectl wait --for=condition=Ready "node/$node" --timeout=10s
trace "node Ready"
until_ok 30 'default ServiceAccount' 'apiserver controller-manager' kubectl -n default wait --for=create serviceaccount/default --timeout=10s
until_ok 30 'cluster DNS' 'apiserver coredns' curl -fs --noproxy '*' "http://127.0.0.1:$dns_ready_port/ready"
until_ok 30 'kube-proxy' 'apiserver kube-proxy' curl -fs --noproxy '*' "http://127.0.0.1:$proxy_health_port/healthz"
touch "$state/run/complete"
if [ -n "$recovering" ]; then recycle_volumes; fi
say "up in $(elapsed): Kubernetes $KUBERNETES_VERSION, node $node Ready; export KUBECONFIG=$kubeconfig"
