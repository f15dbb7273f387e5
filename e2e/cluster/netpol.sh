#!/usr/bin/env bash
# Has the local cluster enforce NetworkPolicies: kube-network-policies as a
# process beside the other servers. New connections to and from Pods that a
# policy selects are judged; those of root on the node (probes, the API server,
# the gateways of this folder) are not. Its own rules are of nftables and need a
# kernel with nft_queue; here a rule of iptables hands it the packets instead.
#
# usage: netpol.sh up     prints where its metrics are
#        netpol.sh down   stops it; everything may connect again
#
# Leaves behind: the process and the rules until the cluster goes down, its log
# (log/netpol.log of the cluster's state), and the program in the cache (3 minutes
# the first time).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=extras.sh
. "$here/extras.sh"

queue=100
chain=DCANARY-NETPOL # down.sh removes chains of such names
say() { printf '%s\n' "cluster: $*" >&2; } # the address alone goes to standard output

objects() {
  cat << 'Y'
apiVersion: v1
kind: ServiceAccount
metadata: {name: kube-network-policies, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: kube-network-policies}
rules:
- {apiGroups: [""], resources: [pods, namespaces], verbs: [list, watch]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kube-network-policies}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: kube-network-policies}
subjects: [{kind: ServiceAccount, name: kube-network-policies, namespace: kube-system}]
Y
}

rules() { # new connections from and to Pods, as they are after a Service's address was replaced; without the process they pass
  remove_rules
  iptables-restore -w 10 --noflush << T
*mangle
:$chain - [0:0]
-A $chain -m owner --uid-owner 0 -j RETURN
-A $chain -d $pod_cidr -j NFQUEUE --queue-num $queue --queue-bypass
-A $chain -s $pod_cidr -j NFQUEUE --queue-num $queue --queue-bypass
-A POSTROUTING -m conntrack --ctstate NEW -j $chain
COMMIT
T
}

remove_rules() {
  while iptables -w 10 -t mangle -D POSTROUTING -m conntrack --ctstate NEW -j "$chain" 2> /dev/null; do :; done
  iptables -w 10 -t mangle -F "$chain" 2> /dev/null && iptables -w 10 -t mangle -X "$chain" || true
  if command -v nft > /dev/null; then nft delete table inet kube-network-policies 2> /dev/null || true; fi
}

up() {
  begin netpol
  if ! alive netpol; then
    until_ok 30 'account of kube-network-policies' apiserver kubectl apply --server-side --force-conflicts -f - <<< "$(objects)"
    mkdir -p "$state/etc/netpol"
    (
      umask 077
      kubectl -n kube-system create token kube-network-policies --duration=8760h > "$state/etc/netpol/token"
    )
    cp "$state/pki/ca.crt" "$state/etc/netpol/ca.crt"
    # it knows the API server from where a Pod has it, so it gets a /run of its own with that in it
    # shellcheck disable=SC2016,SC2154 # $0 and $@ are the inner shell's; netpol is set by begin
    start netpol env KUBERNETES_SERVICE_HOST=127.0.0.1 KUBERNETES_SERVICE_PORT="$api_port" unshare --mount sh -c '
      mount -t tmpfs run /run && mkdir -p /run/secrets/kubernetes.io && cp -r "$0" /run/secrets/kubernetes.io/serviceaccount && exec "$@"' \
      "$state/etc/netpol" "$netpol/bin/kube-network-policies" --hostname-override="$node" --nfqueue-id="$queue" --disable-nri --fail-open \
      --metrics-bind-address="127.0.0.1:$netpol_port"
  fi
  # it judges what is in its queue from here on
  until_ok 30 'queue of kube-network-policies' 'apiserver netpol' grep -q "^ *$queue " /proc/net/netfilter/nfnetlink_queue
  rules
  echo "127.0.0.1:$netpol_port"
}

case ${1:-} in
  up) up ;;
  down)
    stop netpol
    remove_rules
    ;;
  *) die "usage: netpol.sh up|down" ;;
esac
