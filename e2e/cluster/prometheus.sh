#!/usr/bin/env bash
# Adds Prometheus to the local cluster, as a process beside the other servers. It
# scrapes every Pod with the annotation prometheus.io/scrape: "true" (port and
# path by prometheus.io/port and prometheus.io/path) once a second. Its series
# have the labels namespace, pod, and of Pods of an Environment also environment
# and release. Pods reach it at http://prometheus.monitoring:9090.
#
# usage: prometheus.sh up     prints the address where it listens
#        prometheus.sh down   stops it
#
# Leaves behind: the process and its data until the cluster goes down, its log in
# log/prometheus.log of the cluster's state, and the program in the cache.
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
metadata: {name: monitoring}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: prometheus, namespace: monitoring}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: prometheus}
rules:
- {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: prometheus}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: prometheus}
subjects: [{kind: ServiceAccount, name: prometheus, namespace: monitoring}]
---
apiVersion: v1
kind: Service
metadata: {name: prometheus, namespace: monitoring}
spec: {ports: [{name: http, port: 9090, targetPort: $prometheus_port}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: prometheus-host
  namespace: monitoring
  labels: {kubernetes.io/service-name: prometheus, endpointslice.kubernetes.io/managed-by: dcanary-local-cluster}
addressType: IPv4
ports: [{name: http, port: $prometheus_port, protocol: TCP}]
endpoints: [{addresses: [$node_ip], conditions: {ready: true}}]
Y
}

configuration() {
  cat << Y
global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}
scrape_configs:
- job_name: pods
  file_sd_configs:
  - {files: ["$state/run/prometheus-targets.json"]}
Y
}

up() {
  begin prometheus
  if ! alive prometheus || ! alive prometheus-targets; then
    until_ok 30 'objects of Prometheus' apiserver kubectl apply --server-side --force-conflicts -f - <<< "$(objects)"
    (umask 077 && kubectl -n monitoring create token prometheus --duration=8760h > "$state/etc/prometheus.token")
    start prometheus-targets "$python" "$here/targets.py" "https://127.0.0.1:$api_port" "$state/pki/ca.crt" \
      "$state/etc/prometheus.token" "$state/run/prometheus-targets.json"
    until_ok 30 'list of Pods' 'apiserver prometheus-targets' test -s "$state/run/prometheus-targets.json"
    configuration > "$state/etc/prometheus.yaml"
    start prometheus "$prometheus/bin/prometheus" --config.file="$state/etc/prometheus.yaml" \
      --storage.tsdb.path="$state/run/prometheus" --storage.tsdb.retention.time=6h \
      --web.listen-address="$node_ip:$prometheus_port" --log.level=warn
  fi
  until_ok 30 'ready Prometheus' 'apiserver prometheus' curl -fsS --noproxy '*' --max-time 3 "http://$node_ip:$prometheus_port/-/ready"
  echo "$node_ip:$prometheus_port"
}

case ${1:-} in
  up) up ;;
  down) stop prometheus && stop prometheus-targets ;;
  *) die "usage: prometheus.sh up|down" ;;
esac
