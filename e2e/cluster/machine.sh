# shellcheck shell=bash disable=SC2154
# Sourced by up.sh: what is changed on this machine (network, cgroups), and whether it is free for that; the latter also for extras.sh.

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
    traefik) echo "$gateway_port $gateway_admin_port" ;;
    prometheus) echo "$prometheus_port" ;;
    netpol) echo "$netpol_port" ;;
    contour) echo "$((contour_port + 1)) $((contour_port + 2)) $((contour_port + 3))" ;;
    source-controller) echo "$flux_port $((flux_port + 1)) $((flux_port + 2))" ;;
    kustomize-controller) echo "$((flux_port + 3)) $((flux_port + 4))" ;;
    argocd-repo-server) echo "$argocd_port $((argocd_port + 1))" ;;
    argocd-application-controller) echo "$((argocd_port + 2))" ;;
    argocd-redis) echo "$((argocd_port + 3))" ;;
    envoy) echo "$contour_port $((contour_port + 4)) $((contour_port + 5))" ;;
  esac
}
check_ports_free() { # servers...
  local name port line listeners
  listeners=$(ss -Hlntup)
  for name in "$@"; do
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
    "$gateway_port") echo DCANARY_GATEWAY_PORT ;;
    "$gateway_admin_port") echo DCANARY_GATEWAY_ADMIN_PORT ;;
    "$prometheus_port") echo DCANARY_PROMETHEUS_PORT ;;
    "$proxy_metrics_port") echo DCANARY_PROXY_METRICS_PORT ;;
    *) # one of a row
      if [ "$1" = "$netpol_port" ]; then
        echo DCANARY_NETPOL_PORT
      elif [ "$1" -ge "$argocd_port" ] && [ "$1" -le $((argocd_port + 4)) ]; then
        echo DCANARY_ARGOCD_PORT
      elif [ "$1" -ge "$flux_port" ] && [ "$1" -le $((flux_port + 4)) ]; then
        echo DCANARY_FLUX_PORT
      else
        echo DCANARY_CONTOUR_PORT
      fi
      ;;
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
