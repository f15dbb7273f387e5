#!/usr/bin/env bash
# Adds a second Gateway API implementation to the local cluster, beside that of
# gateway.sh, which it starts as well for the definitions: Contour and its Envoy
# as processes beside the other servers, the GatewayClass "contour", and the
# Gateway "contour-test" in namespace "gateway", to which routes of every
# namespace may attach. Unlike Traefik it mirrors requests (all of them; it
# takes a percentage and pays no heed to it) and knows timeouts.
#
# usage: contour.sh up     prints the address where the Gateway listens
#        contour.sh down   stops both processes; definitions and objects stay
#
# Leaves behind: the processes until the cluster goes down, their logs in
# log/contour.log and log/envoy.log of the cluster's state, and what they are
# built from in the cache (3 minutes the first time).
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
# shellcheck source=extras.sh
. "$here/extras.sh"

say() { printf '%s\n' "cluster: $*" >&2; } # the address alone goes to standard output

objects() {
  cat << Y
apiVersion: v1
kind: ServiceAccount
metadata: {name: contour, namespace: gateway}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: contour-gateway}
rules:
- {apiGroups: [""], resources: [namespaces, secrets, services], verbs: [get, list, watch]}
- {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [get, list, watch]}
- {apiGroups: [networking.k8s.io], resources: [ingresses], verbs: [get, list, watch]}
- {apiGroups: [projectcontour.io], resources: [httpproxies, tlscertificatedelegations], verbs: [get, list, watch]}
- apiGroups: [gateway.networking.k8s.io]
  resources: [gatewayclasses, gateways, grpcroutes, httproutes, referencegrants]
  verbs: [get, list, watch]
- apiGroups: [gateway.networking.k8s.io]
  resources: [gateways/status, grpcroutes/status, httproutes/status]
  verbs: [update]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: contour-gateway}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: contour-gateway}
subjects: [{kind: ServiceAccount, name: contour, namespace: gateway}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: contour}
spec: {controllerName: projectcontour.io/gateway-controller}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: contour-test, namespace: gateway}
spec:
  gatewayClassName: contour
  listeners:
  # Envoy listens on the port of the listener and 8000 more
  - {name: http, protocol: HTTP, port: $((contour_port - 8000)), allowedRoutes: {namespaces: {from: All}}}
Y
}

# A Contour that serves one given Gateway writes no status of its class. What it passes of the Gateway API's conformance tests is said for it,
# as an administrator would: all mirrors but those of a percentage.
class_status() {
  cat << J
{"status": {
  "conditions": [{"type": "Accepted", "status": "True", "reason": "Accepted", "message": "by contour.sh", "observedGeneration": 1,
    "lastTransitionTime": "2026-01-01T00:00:00Z"}],
  "supportedFeatures": [{"name": "GRPCRoute"}, {"name": "Gateway"}, {"name": "HTTPRoute"}, {"name": "HTTPRouteBackendTimeout"},
    {"name": "HTTPRouteRequestMirror"}, {"name": "HTTPRouteRequestTimeout"}, {"name": "ReferenceGrant"}]}}
J
}

configuration() {
  cat << Y
gateway: {gatewayRef: {namespace: gateway, name: contour-test}}
network: {admin-port: $((contour_port + 5))}
accesslog-level: disabled
Y
}

up() {
  "$here/gateway.sh" up > /dev/null
  begin contour
  begin envoy
  if ! alive contour || ! alive envoy; then
    # shellcheck disable=SC2154 # set by begin
    kubectl apply --server-side --force-conflicts -f "$contour/definitions.yaml" > /dev/null
    kubectl wait --for=condition=Established --timeout=30s -f "$contour/definitions.yaml" > /dev/null
    until_ok 30 'objects of the Gateway' apiserver kubectl apply --server-side --force-conflicts -f - <<< "$(objects)"
    until_ok 30 'status of the GatewayClass' apiserver \
      kubectl patch gatewayclass contour --subresource=status --type=merge --patch "$(class_status)"
    kubeconfig_of_account gateway contour "$state/etc/contour.kubeconfig"
    configuration > "$state/etc/contour.yaml"
    start contour "$contour/bin/contour" serve --kubeconfig="$state/etc/contour.kubeconfig" --config-path="$state/etc/contour.yaml" \
      --disable-leader-election --ingress-status-address="$node_ip" --envoy-service-http-address="$node_ip" \
      --disable-feature=extensionservices --disable-feature=tlsroutes --disable-feature=tcproutes --disable-feature=backendtlspolicies \
      --insecure --xds-address=127.0.0.1 --xds-port=$((contour_port + 1)) \
      --http-address=127.0.0.1 --http-port=$((contour_port + 2)) --health-address=127.0.0.1 --health-port=$((contour_port + 2)) \
      --debug-http-address=127.0.0.1 --debug-http-port=$((contour_port + 3)) \
      --stats-address=127.0.0.1 --stats-port=$((contour_port + 4))
    "$contour/bin/contour" bootstrap "$state/etc/envoy.json" --admin-address="$state/run/envoy-admin.sock" \
      --xds-address=127.0.0.1 --xds-port=$((contour_port + 1)) >> "$state/log/contour.log" 2>&1
    # shellcheck disable=SC2154 # set by begin
    start envoy "$envoy/bin/envoy" --config-path "$state/etc/envoy.json" --service-cluster contour --service-node envoy \
      --concurrency 2 --disable-hot-restart --log-level warning
  fi
  until_ok 30 'Programmed condition of the Gateway' 'apiserver contour' \
    kubectl -n gateway wait --for=condition=Programmed gateway/contour-test --timeout=10s
  until_ok 30 'ready Envoy' 'contour envoy' curl -fsS --noproxy '*' --max-time 3 "http://127.0.0.1:$((contour_port + 4))/ready"
  echo "$node_ip:$contour_port"
}

case ${1:-} in
  up) up ;;
  down)
    stop envoy
    stop contour
    ;;
  *) die "usage: contour.sh up|down" ;;
esac
