#!/usr/bin/env bash
# Adds a Gateway API implementation to the local cluster: the definitions of the
# Gateway API, Traefik as a process beside the other servers, the GatewayClass
# "traefik", and the Gateway "dcanary-test" in namespace "gateway", to which
# routes of every namespace may attach.
#
# usage: gateway.sh up     prints the address where the Gateway listens
#        gateway.sh down   stops Traefik; definitions and objects stay
#
# Leaves behind: the process until the cluster goes down, its log in
# log/traefik.log of the cluster's state, and what it is built from in the cache
# (8 minutes the first time). A second `up` takes a moment.
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
metadata: {name: gateway}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: traefik, namespace: gateway}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: traefik-gateway}
rules:
- {apiGroups: [""], resources: [namespaces, nodes], verbs: [list, watch]}
- {apiGroups: [""], resources: [services, secrets, configmaps], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies, gatewayclasses, gateways, grpcroutes, httproutes, referencegrants, tcproutes, tlsroutes]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [backendtlspolicies/status, gatewayclasses/status, gateways/status, grpcroutes/status, httproutes/status, tcproutes/status, tlsroutes/status]
  verbs: [update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: traefik-gateway}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: traefik-gateway}
subjects: [{kind: ServiceAccount, name: traefik, namespace: gateway}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: traefik}
spec: {controllerName: traefik.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: dcanary-test, namespace: gateway}
spec:
  gatewayClassName: traefik
  listeners:
  - {name: http, protocol: HTTP, port: $gateway_port, allowedRoutes: {namespaces: {from: All}}}
Y
}

up() {
  begin traefik
  if ! alive traefik; then
    kubectl apply --server-side --force-conflicts -f "$traefik/gateway-api" > /dev/null
    kubectl wait --for=condition=Established --timeout=30s -f "$traefik/gateway-api" > /dev/null
    until_ok 30 'objects of the Gateway' apiserver kubectl apply --server-side --force-conflicts -f - <<< "$(objects)"
    kubeconfig_of_account gateway traefik "$state/etc/traefik.kubeconfig"
    # nobody speaks TLS to it; without a certificate it makes a new one with each change of anything, which was half of what it did
    cat > "$state/etc/traefik.yaml" << Y
tls: {stores: {default: {defaultCertificate: {certFile: "$state/pki/apiserver.crt", keyFile: "$state/pki/apiserver.key"}}}}
Y
    # weights and endpoints are in force within 100 ms; unused connections to Pods are kept as a gateway does
    start traefik env KUBECONFIG="$state/etc/traefik.kubeconfig" "$traefik/bin/traefik" \
      --entryPoints.web.address="$node_ip:$gateway_port" --entryPoints.traefik.address="127.0.0.1:$gateway_admin_port" \
      --providers.kubernetesGateway=true --providers.kubernetesGateway.statusAddress.ip="$node_ip" \
      --providers.file.filename="$state/etc/traefik.yaml" --providers.file.watch=false \
      --providers.providersThrottleDuration=100ms --ping=true --api.insecure=true --api.dashboard=false \
      --log.level=INFO --global.checkNewVersion=false --global.sendAnonymousUsage=false
  fi
  until_ok 30 'answering Traefik' 'apiserver traefik' curl -fsS --noproxy '*' --max-time 3 "http://127.0.0.1:$gateway_admin_port/ping"
  until_ok 30 'Programmed condition of the Gateway' 'apiserver traefik' \
    kubectl -n gateway wait --for=condition=Programmed gateway/dcanary-test --timeout=10s
  echo "$node_ip:$gateway_port"
}

case ${1:-} in
  up) up ;;
  down) stop traefik ;;
  *) die "usage: gateway.sh up|down" ;;
esac
