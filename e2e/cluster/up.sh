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

# --- certificates, made once for a set of names -------------------------------------

pki=$cache/pki-$({ sed -n '/^make_pki/,/^}/p' "$here/up.sh"; echo "$node $node_ip $service_prefix"; } | sha256sum | cut -c-12)
make_pki() { # dir
  cd "$1"
  local days=3650 name subject ext
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout ca.key -out ca.crt \
    -subj /CN=dcanary-local-ca -days $days -addext keyUsage=critical,keyCertSign,cRLSign 2> /dev/null
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout front-proxy-ca.key -out front-proxy-ca.crt \
    -subj /CN=dcanary-local-front-proxy-ca -days $days -addext keyUsage=critical,keyCertSign,cRLSign 2> /dev/null
  openssl genrsa -out sa.key 2048 2> /dev/null
  openssl rsa -in sa.key -pubout -out sa.pub 2> /dev/null
  while read -r name subject ext; do
    local ca=ca usage=clientAuth
    case $name in
      front-proxy-client) ca=front-proxy-ca ;;
      apiserver | kubelet-server) usage=serverAuth ;;
    esac
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout "$name.key" -out "$name.csr" \
      -subj "$subject" 2> /dev/null
    printf 'keyUsage=critical,digitalSignature\nextendedKeyUsage=%s\n%s\n' "$usage" "$ext" > "$name.ext"
    openssl x509 -req -in "$name.csr" -CA $ca.crt -CAkey $ca.key -set_serial "0x$(openssl rand -hex 16)" -days $days \
      -out "$name.crt" -extfile "$name.ext" 2> /dev/null
    rm "$name.csr" "$name.ext"
  done << T
apiserver /CN=kube-apiserver subjectAltName=IP:127.0.0.1,IP:$node_ip,IP:$service_prefix.0.1,DNS:localhost,DNS:$node,DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local
kubelet-server /O=system:nodes/CN=system:node:$node subjectAltName=IP:127.0.0.1,IP:$node_ip,DNS:$node
kubelet /O=system:nodes/CN=system:node:$node
apiserver-kubelet-client /O=system:masters/CN=kube-apiserver-kubelet-client
front-proxy-client /CN=front-proxy-client
admin /O=system:masters/CN=kubernetes-admin
controller-manager /CN=system:kube-controller-manager
scheduler /CN=system:kube-scheduler
kube-proxy /CN=system:kube-proxy
coredns /CN=system:coredns
T
}
if ! openssl x509 -noout -checkend $((30 * 86400)) -in "$pki/ca.crt" > /dev/null 2>&1; then
  rm -rf "$pki" "$cache"/.tmp-pki.*
  tmp=$(mktemp -d "$cache/.tmp-pki.XXXXXX")
  (make_pki "$tmp")
  mv -T "$tmp" "$pki"
fi

# --- files ----------------------------------------------------------------------------

kubeconfig_for() { # user file
  cat > "$2" << Y
apiVersion: v1
kind: Config
clusters: [{name: dcanary, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority: $state/pki/ca.crt}}]
users: [{name: $1, user: {client-certificate: $state/pki/$1.crt, client-key: $state/pki/$1.key}}]
contexts: [{name: dcanary, context: {cluster: dcanary, user: $1}}]
current-context: dcanary
Y
}

write_files() {
  local name i
  mkdir -p "$state"/{run,pki,etc/cni,etc/certs.d/"$registry",log,audit,containerd,kubelet,registry,volumes,pod-logs}
  chmod 711 "$state"
  chmod 700 "$state"/{pki,audit,etc,run}
  cp "$pki"/* "$state/pki/"
  for name in controller-manager scheduler kubelet kube-proxy coredns; do
    kubeconfig_for $name "$state/etc/$name.kubeconfig"
  done

  # the user's own kubeconfig holds its keys, so it can be copied elsewhere
  (
    umask 077
    cat > "$kubeconfig" << Y
apiVersion: v1
kind: Config
clusters:
- name: dcanary
  cluster:
    server: https://127.0.0.1:$api_port
    certificate-authority-data: $(base64 -w0 "$state/pki/ca.crt")
users:
- name: dcanary-admin
  user:
    client-certificate-data: $(base64 -w0 "$state/pki/admin.crt")
    client-key-data: $(base64 -w0 "$state/pki/admin.key")
contexts:
- name: dcanary
  context: {cluster: dcanary, user: dcanary-admin}
current-context: dcanary
Y
  )
  if [ -n "${SUDO_UID:-}" ]; then chown "$SUDO_UID" "$kubeconfig"; fi

  cat > "$state/etc/audit-policy.yaml" << 'Y'
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
Y

  cat > "$state/etc/containerd.toml" << T
version = 3
root = "$state/containerd/root"
state = "$state/containerd/state"
disabled_plugins = ["io.containerd.nri.v1.nri", "io.containerd.tracing.processor.v1.otlp", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$containerd_socket"
[plugins.'io.containerd.internal.v1.opt']
  path = "$state/containerd/opt"
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = "$registry/pause:1"
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = "$state/etc/certs.d"
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["$cni"]
  conf_dir = "$state/etc/cni"
  use_internal_loopback = true
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = false
    BinaryName = "$debs/runc"
    Root = "$state/containerd/runc"
T
  cat > "$state/etc/certs.d/$registry/hosts.toml" << T
server = "http://$node_ip:$registry_port"
[host."http://$node_ip:$registry_port"]
  capabilities = ["pull", "resolve"]
T

  # every Pod has a routed link to the node; outgoing traffic is masqueraded by a
  # rule of ours instead of some per Pod
  cat > "$state/etc/cni/10-dcanary.conflist" << J
{"cniVersion": "1.0.0", "name": "dcanary-$node", "plugins": [
  {"type": "ptp", "ipMasq": false, "mtu": 1500,
   "ipam": {"type": "host-local", "dataDir": "$state/run/cni", "ranges": [[{"subnet": "$pod_cidr"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}]}
J

  cat > "$state/etc/kubelet.yaml" << Y
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
failCgroupV1: false
cgroupDriver: cgroupfs
cgroupRoot: /$node
containerRuntimeEndpoint: unix://$containerd_socket
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $state/pki/ca.crt}}
authorization: {mode: Webhook}
address: $node_ip
port: $kubelet_port
healthzPort: 0
tlsCertFile: $state/pki/kubelet-server.crt
tlsPrivateKeyFile: $state/pki/kubelet-server.key
clusterDomain: cluster.local
clusterDNS: [$service_prefix.0.10]
failSwapOn: false
resolvConf: ""
podLogsDir: $state/pod-logs
volumePluginDir: $state/kubelet/plugins-exec
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
# images cannot be pulled again, so a full disk must not delete them
imageGCHighThresholdPercent: 100
# an image that was loaded stays usable when the same one was also pulled under another name
imagePullCredentialsVerificationPolicy: NeverVerify
maxPods: 500
serializeImagePulls: false
Y
  cat > "$state/etc/kube-proxy.yaml" << Y
apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
clientConnection: {kubeconfig: $state/etc/kube-proxy.kubeconfig}
mode: iptables
clusterCIDR: $pod_cidr
hostnameOverride: $node
healthzBindAddress: 127.0.0.1:$proxy_health_port
metricsBindAddress: 127.0.0.1:$proxy_metrics_port
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
iptables: {minSyncPeriod: 100ms}
Y

  local forward=''
  if grep -qs '^nameserver' /etc/resolv.conf; then forward=$'forward . /etc/resolv.conf\n  cache 30'; fi
  cat > "$state/etc/Corefile" << C
cluster.local:$dns_port in-addr.arpa:$dns_port ip6.arpa:$dns_port {
  bind $node_ip
  errors
  ready 127.0.0.1:$dns_ready_port
  kubernetes cluster.local in-addr.arpa ip6.arpa {
    kubeconfig $state/etc/coredns.kubeconfig
    pods insecure
    ttl 5
  }
  loadbalance
}
.:$dns_port {
  bind $node_ip
  errors
  hosts {
    $node_ip registry.local
    fallthrough
  }
  $forward
}
C

  cat > "$state/etc/registry.yaml" << Y
version: 0.1
log: {level: warn, accesslog: {disabled: true}}
storage:
  filesystem: {rootdirectory: $state/registry}
  delete: {enabled: true}
http: {addr: "0.0.0.0:$registry_port", secret: not-shared}
Y

  {
    cat << Y
apiVersion: storage.k8s.io/v1
kind: StorageClass
metadata:
  name: standard
  annotations: {storageclass.kubernetes.io/is-default-class: "true"}
provisioner: kubernetes.io/no-provisioner
volumeBindingMode: WaitForFirstConsumer
reclaimPolicy: Retain
---
apiVersion: v1
kind: Service
metadata: {name: kube-dns, namespace: kube-system, labels: {k8s-app: kube-dns, kubernetes.io/name: CoreDNS}}
spec:
  clusterIP: $service_prefix.0.10
  ports: [{name: dns, port: 53, targetPort: $dns_port, protocol: UDP}, {name: dns-tcp, port: 53, targetPort: $dns_port, protocol: TCP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: kube-dns-host
  namespace: kube-system
  labels: {kubernetes.io/service-name: kube-dns, endpointslice.kubernetes.io/managed-by: dcanary-local-cluster}
addressType: IPv4
ports: [{name: dns, port: $dns_port, protocol: UDP}, {name: dns-tcp, port: $dns_port, protocol: TCP}]
endpoints: [{addresses: [$node_ip], conditions: {ready: true}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: system:coredns}
rules:
- {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: system:coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: system:coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: system:coredns}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: local-registry-hosting, namespace: kube-public}
data:
  localRegistryHosting.v1: |
    host: "127.0.0.1:$registry_port"
    hostFromContainerRuntime: "$registry"
    hostFromClusterNetwork: "$registry"
Y
    for i in $(seq -w 1 "$volumes"); do
      mkdir -p "$state/volumes/local-$i"
      chmod 777 "$state/volumes/local-$i"
      cat << Y
---
apiVersion: v1
kind: PersistentVolume
metadata: {name: local-$i}
spec:
  capacity: {storage: 20Gi}
  accessModes: [ReadWriteOnce, ReadWriteMany]
  persistentVolumeReclaimPolicy: Retain
  storageClassName: standard
  local: {path: $state/volumes/local-$i}
  nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: [$node]}]}]}}
Y
    done
  } > "$state/etc/cluster.yaml"
}

# --- the machine -------------------------------------------------------------------------

remember_machine() { # what teardown.py puts back
  local name
  for name in net/ipv4/ip_forward net/ipv4/conf/all/route_localnet net/ipv4/conf/all/forwarding net/bridge/bridge-nf-call-iptables \
    vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
    if [ -r "/proc/sys/$name" ]; then echo "$name $(< "/proc/sys/$name")"; fi
  done > "$state/run/sysctl"
  for name in /var/lib/cni /var/lib/kubelet /var/log/containers /var/log/pods /run/containerd /run/kubernetes /run/mount /run/xtables.lock \
    /opt/cni /opt/containerd /etc/cni /etc/containerd /usr/libexec/kubernetes /var/lib/containerd; do
    if [ ! -e "$name" ]; then echo "$name"; fi
  done > "$state/run/created"
  { iptables-save && ip6tables-save; } 2> /dev/null | sed -n 's/^:\(CNI-[^ ]*\).*/\1/p' > "$state/run/foreign-chains"
  echo "$node $node_link $pod_cidr" > "$state/run/node"
  settings > "$state/run/settings"
  echo "$used" > "$state/run/versions"
  { cat /proc/sys/kernel/random/boot_id && readlink /proc/self/ns/net; } > "$state/run/boot"
}

check_network_free() {
  local cidr other
  for cidr in "$pod_cidr" "$service_cidr" "$node_ip/32"; do
    other=$({ ip -4 route show to root "$cidr"; ip -4 route show to match "$cidr"; } | grep -v "^default\|dev $node_link" | head -n1 || true)
    [ -z "$other" ] || die "this machine already routes $cidr ($other); set DCANARY_POD_CIDR, DCANARY_SERVICE_CIDR or" \
      "DCANARY_NODE_IP to free addresses"
  done
  other=$(iptables-save -t nat 2> /dev/null | grep -m1 '^:KUBE-SERVICES' || true)
  [ -z "$other" ] || die "another Kubernetes node runs in this network namespace (it has iptables chains KUBE-*); stop it," \
    "or run this one in a network namespace of its own (see e2e/cluster/README.md)"
}

ports_of() {
  case $1 in
    apiserver) echo "$api_port" ;;
    registry) echo "$registry_port" ;;
    kubelet) echo "$kubelet_port" ;;
    coredns) echo "$dns_port $dns_ready_port" ;;
    kube-proxy) echo "$proxy_health_port $proxy_metrics_port" ;;
  esac
}
check_ports_free() {
  local name port line listeners
  listeners=$(ss -Hlntup)
  for name in $daemons; do
    if alive "$name"; then continue; fi
    for port in $(ports_of "$name"); do
      line=$(awk -v p=":$port" 'substr($5, length($5) - length(p) + 1) == p {print $7; exit}' <<< "$listeners")
      [ -z "$line" ] || die "port $port, which $name needs, is taken by" \
        "$(sed -E 's/users:\(\("([^"]*)",pid=([0-9]+).*/\1 (pid \2)/' <<< "$line"); stop that, or choose another port" \
        "with $(port_variable "$port") (see e2e/cluster/lib.sh)"
    done
  done
}
port_variable() {
  case $1 in
    "$api_port") echo DCANARY_API_PORT ;;
    "$registry_port") echo DCANARY_REGISTRY_PORT ;;
    "$kubelet_port") echo DCANARY_KUBELET_PORT ;;
    "$dns_port") echo DCANARY_DNS_PORT ;;
    "$dns_ready_port") echo DCANARY_DNS_READY_PORT ;;
    "$proxy_health_port") echo DCANARY_PROXY_HEALTH_PORT ;;
    *) echo DCANARY_PROXY_METRICS_PORT ;;
  esac
}

setup_network() {
  local dev reject=''
  ip link show dev "$node_link" > /dev/null 2>&1 || ip link add "$node_link" type bridge
  ip -batch - << T
addr replace $node_ip/32 dev $node_link
link set $node_link up
link set lo up
route replace $service_cidr dev $node_link src $node_ip
route replace unreachable $pod_cidr
T
  echo 1 > /proc/sys/net/ipv4/ip_forward
  if [ "$expose" != 1 ]; then
    for dev in $(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u); do
      reject+="-A DCANARY-INPUT -i $dev -p tcp -m multiport --dports $api_port,$registry_port,$kubelet_port -j REJECT --reject-with tcp-reset"$'\n'
    done
  fi
  iptables-restore -w 10 --noflush << T
*nat
:DCANARY-POSTROUTING - [0:0]
-A DCANARY-POSTROUTING -s $pod_cidr ! -d $pod_cidr -j MASQUERADE
COMMIT
*filter
:DCANARY-INPUT - [0:0]
:DCANARY-FORWARD - [0:0]
-A DCANARY-FORWARD -s $pod_cidr -j ACCEPT
-A DCANARY-FORWARD -d $pod_cidr -j ACCEPT
${reject}COMMIT
T
  iptables -w 10 -t nat -C POSTROUTING -j DCANARY-POSTROUTING 2> /dev/null || iptables -w 10 -t nat -A POSTROUTING -j DCANARY-POSTROUTING
  iptables -w 10 -C INPUT -j DCANARY-INPUT 2> /dev/null || iptables -w 10 -I INPUT -j DCANARY-INPUT
  iptables -w 10 -C FORWARD -j DCANARY-FORWARD 2> /dev/null || iptables -w 10 -I FORWARD -j DCANARY-FORWARD
}

setup_cgroups() {
  local h
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then # version 2
    mkdir -p "/sys/fs/cgroup/$node"
    for h in cpuset cpu io memory hugetlb pids; do
      echo "+$h" 2> /dev/null > /sys/fs/cgroup/cgroup.subtree_control || true
      echo "+$h" 2> /dev/null > "/sys/fs/cgroup/$node/cgroup.subtree_control" || true
    done
    return
  fi
  # version 1: the folder must exist in every hierarchy, with CPUs and memory nodes assigned
  for h in /sys/fs/cgroup/*/; do
    [ "$h" != /sys/fs/cgroup/unified/ ] || continue
    mkdir -p "$h$node"
    if [ -e "$h/cpuset.cpus" ]; then
      cat "$h/cpuset.cpus" > "$h$node/cpuset.cpus"
      cat "$h/cpuset.mems" > "$h$node/cpuset.mems"
    fi
  done
}

# --- the servers ---------------------------------------------------------------------------

start() { # name command...
  local name=$1
  if alive "$name"; then return; fi
  shift
  if [ -n "$recovering" ]; then say "starting $name"; fi
  (
    cd /
    ulimit -n 1048576 2> /dev/null || true
    unset KUBECONFIG NOTIFY_SOCKET
    export PATH=$debs:$containerd:$PATH
    NO_PROXY+=,$pod_cidr,$service_cidr,.svc,.cluster.local,registry.local
    no_proxy=$NO_PROXY
    exec setsid "$@"
  ) >> "$state/log/$name.log" 2>&1 < /dev/null 9>&- &
  local pid=$!
  disown
  process_start "$pid" || REPLY=0
  echo "$pid $REPLY" > "$state/run/$name.pid.new"
  mv "$state/run/$name.pid.new" "$state/run/$name.pid"
}

# until_ok SECONDS "what" DAEMONS COMMAND...: repeats the command until it
# succeeds; gives up at once when one of the daemons is gone
until_ok() {
  local limit=$((SECONDS + $1)) what=$2 needs=$3 name out
  shift 3
  until out=$("$@" 2>&1); do
    for name in $needs; do alive "$name" || fail "$name" "$name ended while waiting for $what"; done
    [ "$SECONDS" -lt "$limit" ] || fail "${needs##* }" "no $what in time (${out:-no answer})"
    read -rt 0.05 _ <> <(:) || true # a pause without a process
  done
}
fail() { # daemon message
  printf '%s\n' "--- the last lines of $state/log/$1.log" >&2
  tail -n 40 "$state/log/$1.log" >&2
  die "$2; the log is $state/log/$1.log; run e2e/cluster/down.sh and then up again for a fresh start"
}

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
  start controller-manager "$kubernetes/kube-controller-manager" --kubeconfig="$state/etc/controller-manager.kubeconfig" \
    --authentication-kubeconfig="$state/etc/controller-manager.kubeconfig" --authorization-kubeconfig="$state/etc/controller-manager.kubeconfig" \
    --service-account-private-key-file="$state/pki/sa.key" --root-ca-file="$state/pki/ca.crt" --use-service-account-credentials \
    --cluster-signing-cert-file="$state/pki/ca.crt" --cluster-signing-key-file="$state/pki/ca.key" \
    --kube-api-qps=300 --kube-api-burst=600 --leader-elect=false --secure-port=0 --profiling=false \
    --flex-volume-plugin-dir="$state/kubelet/plugins-exec"
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
check_ports_free
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
