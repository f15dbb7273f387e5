# shellcheck shell=bash disable=SC2154
# Sourced by up.sh: the certificates of the cluster, made once for a set of names.

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

# ensure_pki: sets `pki` to the folder of the certificates and makes them when they are missing or about to expire
ensure_pki() {
  local tmp
  pki=$cache/pki-$({ sed -n '/^make_pki/,/^}/p' "$here/pki.sh"; echo "$node $node_ip $service_prefix"; } | sha256sum | cut -c-12)
  if ! openssl x509 -noout -checkend $((30 * 86400)) -in "$pki/ca.crt" > /dev/null 2>&1; then
    rm -rf "$pki" "$cache"/.tmp-pki.*
    tmp=$(mktemp -d "$cache/.tmp-pki.XXXXXX")
    (make_pki "$tmp")
    mv -T "$tmp" "$pki"
  fi
}
