# shellcheck shell=bash disable=SC2154
# Sourced by gateway.sh, prometheus.sh, kwok.sh, netpol.sh and contour.sh: what servers need that are added to a running cluster.
# shellcheck source=daemon.sh
. "$here/daemon.sh"
# shellcheck source=machine.sh
. "$here/machine.sh"

kubectl() { "$kubernetes/bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }

# begin NAME: the cluster must be up; builds the component of that name where it is missing, and sets NAME to its folder
begin() {
  need_root
  { state_is_current && alive apiserver; } || die "the local cluster is not up; start it with make cluster-up"
  kubernetes=$cache/$(component_key kubernetes)
  declare -g "$1=$cache/$(component_key "$1")"
  if [ ! -d "${!1}" ]; then "$here/build.sh" "$1" >&2; fi
  # two tests may ask at once
  if ! alive "$1"; then lock_state; fi
  check_ports_free "$1"
}

# kubeconfig_of_account NAMESPACE NAME FILE: for a server that runs beside the cluster with the rights of a service account
kubeconfig_of_account() {
  local token
  token=$(kubectl -n "$1" create token "$2" --duration=8760h)
  (
    umask 077
    cat > "$3.new" << Y
apiVersion: v1
kind: Config
clusters: [{name: dcanary, cluster: {server: "https://127.0.0.1:$api_port", certificate-authority: $state/pki/ca.crt}}]
users: [{name: $2, user: {token: "$token"}}]
contexts: [{name: dcanary, context: {cluster: dcanary, user: $2}}]
current-context: dcanary
Y
    mv "$3.new" "$3"
  )
}

stop() { # name
  if [ -e "$state" ]; then
    need_root
    if alive "$1"; then
      kill_daemon "$1"
      say "$1 stopped"
    fi
  fi
}
