# shellcheck shell=bash disable=SC2154
# Sourced by up.sh: the configuration of every server, and the objects that a new cluster begins with.

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
