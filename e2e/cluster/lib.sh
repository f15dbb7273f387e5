#!/usr/bin/env bash
# What the scripts of this folder share: paths, settings, component keys, and
# the bookkeeping of processes. Sourced, never run.
# shellcheck disable=SC2034
#
# Environment (defaults in brackets):
#   DCANARY_CACHE  [${XDG_CACHE_HOME:-~/.cache}/dcanary]        built programs, images, certificates
#   DCANARY_STATE  [${XDG_STATE_HOME:-~/.local/state}/dcanary]  everything of the running cluster
#   DCANARY_NODE   [node1]        the node's name, also its cgroup
#   DCANARY_NODE_IP [10.255.0.1]  the node's address, on a bridge of its own
#   DCANARY_NODE_LINK [dcanary0]  that bridge
#   DCANARY_POD_CIDR [10.244.0.0/16]  DCANARY_SERVICE_CIDR [10.96.0.0/16]  (both /16)
#   DCANARY_API_PORT [6443]  DCANARY_REGISTRY_PORT [5000]  DCANARY_KUBELET_PORT [10250]
#   DCANARY_DNS_PORT [10053]  DCANARY_DNS_READY_PORT [10054]
#   DCANARY_PROXY_HEALTH_PORT [10256]  DCANARY_PROXY_METRICS_PORT [10249]
#   DCANARY_GATEWAY_PORT [10080]  DCANARY_GATEWAY_ADMIN_PORT [10081]  DCANARY_PROMETHEUS_PORT [9090]
#   DCANARY_CONTOUR_PORT [10090]  and the five after it
#   DCANARY_FLUX_PORT [10100], DCANARY_ARGOCD_PORT [10110]  and the four after each
#   DCANARY_NETPOL_PORT [10120]
#   DCANARY_VOLUMES [20]     number of PersistentVolumes
#   DCANARY_EXPOSE [0]       1: other machines may reach the API server and the registry

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source-path=SCRIPTDIR source=versions.env
. "$here/versions.env"

cache=${DCANARY_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/dcanary}/cluster
state_base=${DCANARY_STATE:-${XDG_STATE_HOME:-$HOME/.local/state}/dcanary}
state=$state_base/cluster

node=${DCANARY_NODE:-node1}
node_ip=${DCANARY_NODE_IP:-10.255.0.1}
node_link=${DCANARY_NODE_LINK:-dcanary0}
pod_cidr=${DCANARY_POD_CIDR:-10.244.0.0/16}
service_cidr=${DCANARY_SERVICE_CIDR:-10.96.0.0/16}
api_port=${DCANARY_API_PORT:-6443}
registry_port=${DCANARY_REGISTRY_PORT:-5000}
kubelet_port=${DCANARY_KUBELET_PORT:-10250}
dns_port=${DCANARY_DNS_PORT:-10053}
dns_ready_port=${DCANARY_DNS_READY_PORT:-10054}
proxy_health_port=${DCANARY_PROXY_HEALTH_PORT:-10256}
proxy_metrics_port=${DCANARY_PROXY_METRICS_PORT:-10249}
gateway_port=${DCANARY_GATEWAY_PORT:-10080}
gateway_admin_port=${DCANARY_GATEWAY_ADMIN_PORT:-10081}
prometheus_port=${DCANARY_PROMETHEUS_PORT:-9090}
contour_port=${DCANARY_CONTOUR_PORT:-10090}
flux_port=${DCANARY_FLUX_PORT:-10100}
argocd_port=${DCANARY_ARGOCD_PORT:-10110}
netpol_port=${DCANARY_NETPOL_PORT:-10120}
volumes=${DCANARY_VOLUMES:-20}
expose=${DCANARY_EXPOSE:-0}
service_prefix=${service_cidr%.*.*} # 10.96 of 10.96.0.0/16
registry=registry.local:$registry_port
kubeconfig=$state/kubeconfig
containerd_socket=$state/run/containerd.sock

# python3 of the system starts faster than a version manager's shim
if [ -x /usr/bin/python3 ]; then python=/usr/bin/python3; else python=python3; fi
export PATH=$PATH:/usr/sbin:/sbin
# nothing here goes through a proxy except package downloads
export no_proxy=${no_proxy:+$no_proxy,}127.0.0.1,localhost,$node_ip
export NO_PROXY=$no_proxy

say() { printf '%s\n' "cluster: $*"; }
die() {
  printf '%s\n' "cluster: error: $*" >&2
  exit 1
}

need_root() {
  # shellcheck disable=SC2016 # for the reader to copy
  [ "$(id -u)" = 0 ] || die 'a real node needs root: run it as  sudo env HOME="$HOME" PATH="$PATH" COMMAND  or use' \
    "CLUSTER=current with a cluster that you have (see e2e/cluster/README.md)"
}

duration() { # seconds
  if [ "$1" -ge 60 ]; then printf '%dm%02ds' $(($1 / 60)) $(($1 % 60)); else printf '%ds' "$1"; fi
}

# make_base DIR: creates a folder; under sudo it and new parents below HOME belong to the user
make_base() {
  [ ! -d "$1" ] || return 0
  make_base "$(dirname "$1")"
  mkdir -p "$1"
  if [ -n "${SUDO_UID:-}" ] && [ "${1#"$HOME"/}" != "$1" ]; then chown "$SUDO_UID:${SUDO_GID:-}" "$1"; fi
}

# --- what build.sh makes ------------------------------------------------------

components="kubernetes containerd etcd coredns helm debs images"
# what gateway.sh, prometheus.sh, contour.sh, flux.sh, argocd.sh and the bench build when they are asked for
extras="traefik prometheus kwok netpol contour envoy flux argocd redis"
deb_packages="runc containernetworking-plugins busybox-static docker-registry"

version_of() {
  case $1 in
    kubernetes) echo "$KUBERNETES_VERSION" ;;
    containerd) echo "$CONTAINERD_VERSION" ;;
    etcd) echo "$ETCD_VERSION" ;;
    coredns) echo "$COREDNS_VERSION" ;;
    helm) echo "$HELM_VERSION" ;;
    traefik) echo "$TRAEFIK_VERSION" ;;
    kwok) echo "$KWOK_VERSION" ;;
    netpol) echo "$NETPOL_VERSION" ;;
    contour) echo "$CONTOUR_VERSION" ;;
    envoy) echo "$ENVOY_VERSION" ;;
    flux) echo "$FLUX_VERSION" ;;
    argocd) echo "$ARGOCD_VERSION" ;;
    debs | images | prometheus | redis) echo 1 ;;
    *) die "unknown component '$1' (known: $components $extras)" ;;
  esac
}

# the linker flags and tags of a Go component, and what is built of it
go_recipe() {
  local v
  case $1 in
    kubernetes)
      v=k8s.io/component-base/version
      go_ldflags="-s -w -X $v.gitVersion=v$KUBERNETES_VERSION -X $v.gitTreeState=clean"
      go_ldflags+=" -X $v.gitMajor=${KUBERNETES_VERSION%%.*} -X $v.gitMinor=$(cut -d. -f2 <<< "$KUBERNETES_VERSION")"
      go_tags='' go_target=tool
      ;;
    containerd)
      go_ldflags="-s -w -X github.com/containerd/containerd/v2/version.Version=$CONTAINERD_VERSION"
      go_tags=no_btrfs,no_zfs,no_devmapper go_target=tool
      ;;
    etcd) go_ldflags='-s -w' go_tags='' go_target=. ;;
    coredns) go_ldflags='-s -w' go_tags='' go_target=. ;;
    helm)
      go_ldflags="-s -w -X helm.sh/helm/v4/internal/version.version=v$HELM_VERSION"
      go_tags='' go_target=tool
      ;;
    traefik)
      go_ldflags="-s -w -X github.com/traefik/traefik/v3/pkg/version.Version=$TRAEFIK_VERSION"
      go_tags='' go_target=tool
      ;;
    kwok)
      go_ldflags="-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=v$KWOK_VERSION"
      go_tags='' go_target=tool
      ;;
    netpol) go_ldflags='-s -w' go_tags='' go_target=tool ;;
    flux) go_ldflags='-s -w' go_tags='' go_target=tool ;;
    argocd)
      go_ldflags="-s -w -X github.com/argoproj/argo-cd/v3/common.version=$ARGOCD_VERSION"
      go_tags='' go_target=.
      ;;
    contour)
      go_ldflags="-s -w -X github.com/projectcontour/contour/internal/build.Version=v$CONTOUR_VERSION"
      go_tags='' go_target=tool
      ;;
  esac
}

# <name>-<version>-<hash of the recipe>: the folder of a component in the cache
component_key() {
  local hash
  case $1 in
    debs) hash=$(sha256sum <<< "$deb_packages") ;;
    prometheus | redis) hash=$(sha256sum <<< "$1") ;;
    envoy) hash=$(sha256sum < "$here/envoy.txt") ;;
    images)
      hash=$({
        cat "$here/images"/{base.sh,mkimage.py,pause.c}
        echo "$deb_packages $registry_port"
      } | sha256sum)
      ;;
    *)
      go_recipe "$1"
      hash=$({
        echo "$go_ldflags|$go_tags|$go_target|trimpath|cgo0"
        cat "$here/gomod/$1"/{go.mod,go.sum}
        if [ -f "$here/gomod/$1/main.go" ]; then cat "$here/gomod/$1/main.go"; fi
      } | sha256sum)
      ;;
  esac
  echo "$1-$(version_of "$1")-${hash:0:12}"
}

# --- long steps ---

child='' tmp='' lock=''
stop_child() { # for an EXIT trap: ends the running step and removes the half-made folder `tmp`
  if [ -n "$child" ]; then
    kill -- -"$child" 2> /dev/null || true
    wait "$child" 2> /dev/null || true
  fi
  if [ -n "$tmp" ]; then rm -rf --one-file-system "$tmp"; fi
}
stop_on_signals() {
  trap stop_child EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

# run TITLE ABOUT LOG COMMAND...: runs a long step, tells every 15 s how it goes
run() {
  local title=$1 hint=$2 log=$3 from=$SECONDS rc=0 ticker
  shift 3
  say "$title (about $hint the first time; log: $log)"
  setsid nice -n 5 "$@" > "$log" 2>&1 < /dev/null &
  child=$!
  {
    if [ -n "$lock" ]; then exec {lock}>&-; fi
    while ! read -rt 15 _ <> <(:) && kill -0 "$child" 2> /dev/null; do
      say "$title … $(duration $((SECONDS - from))) (about $hint the first time)"
    done
  } &
  ticker=$!
  wait "$child" || rc=$?
  child=
  kill "$ticker" 2> /dev/null || true
  if [ "$rc" != 0 ]; then
    printf '%s\n' "--- the last lines of $log" >&2
    tail -n 40 "$log" >&2
    die "$title failed after $(duration $((SECONDS - from))) (exit $rc); full log: $log"
  fi
  say "$title: done in $(duration $((SECONDS - from)))"
}

# lock_cache NAME: one build of a thing at a time, until `exec {lock}>&-`
lock_cache() {
  exec {lock}> "$cache/.lock-$1"
  if ! flock -n "$lock"; then
    say "another build of $1 is running, waiting for it"
    flock "$lock"
  fi
}

apt_run() { # apt-get arguments...; on failure once more after `apt-get update`
  local apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  "${apt[@]}" "$@" && return
  echo "refreshing the package lists"
  # a broken third-party source must not stop us: the retry tells whether it matters
  "${apt[@]}" update || true
  "${apt[@]}" "$@"
}
export -f apt_run

# --- processes ------------------------------------------------------------------
# run/NAME.pid holds "PID START": the pid and the kernel's start time of the
# process, so a pid that was given to somebody else later is never mistaken.

process_start() { # pid -> sets REPLY to the start time, fails when there is none
  local line rest
  read -r line 2> /dev/null < "/proc/$1/stat" || return 1
  rest=${line##*) }
  # shellcheck disable=SC2086
  set -- $rest
  [ "$1" != Z ] && [ "$1" != X ] || return 1
  REPLY=${20}
}

alive() { # name -> sets pid
  local began
  pid=
  read -r pid began 2> /dev/null < "$state/run/$1.pid" || return 1
  process_start "$pid" && [ "$REPLY" = "$began" ]
}

kill_daemon() { # name: ends it at once and waits for that; a zombie counts as ended
  alive "$1" || return 0
  kill -9 "$pid"
  while alive "$1"; do read -rt 0.02 _ <> <(:) || true; done
}

daemons="etcd apiserver containerd registry controller-manager scheduler kubelet kube-proxy coredns"
# started by gateway.sh, prometheus.sh, kwok.sh, netpol.sh, contour.sh, flux.sh and argocd.sh; a cluster without them is whole
extra_daemons="traefik prometheus prometheus-targets kwok netpol contour envoy source-controller kustomize-controller"
extra_daemons+=" argocd-redis argocd-repo-server argocd-application-controller"

# the running cluster belongs to this boot and this network namespace
state_is_current() {
  local boot net
  { read -r boot && read -r net; } 2> /dev/null < "$state/run/boot" || return 1
  [ "$boot" = "$(< /proc/sys/kernel/random/boot_id)" ] && [ "$net" = "$(readlink /proc/self/ns/net)" ]
}

lock_state() { # one up or down at a time; down removes the lock file, hence the check
  make_base "$state_base"
  while true; do
    exec 9> "$state_base/.cluster.lock"
    if ! flock -n 9; then
      say "another up or down is running, waiting for it"
      flock 9
    fi
    if [ "$state_base/.cluster.lock" -ef /proc/self/fd/9 ]; then return; fi
  done
}
