#!/usr/bin/env bash
# Tests the scripts of this folder: brings a cluster up, checks what the product
# relies on, breaks and recovers it, takes it down and looks for leftovers.
#
# usage: selftest.sh            in a network namespace and state of its own, so that
#                               a cluster that runs on this machine is not touched
#        selftest.sh --host     on the machine's own network, as `make up` does;
#                               refuses when a cluster is up
#        --keep                 do not take it down when a check has failed
#
# Leaves nothing behind but the cache. Ends with a line "N passed, N failed".
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

mode=isolated keep=
for arg in "$@"; do
  case $arg in
    --host) mode=host ;;
    --inside) mode=inside ;;
    --keep) keep=1 ;;
    *) die "unknown argument '$arg'; usage: selftest.sh [--host] [--keep]" ;;
  esac
done
need_root

if [ $mode = isolated ]; then
  "$here/build.sh" # before the network is gone
  netns=dcanary-selftest
  export DCANARY_STATE=$state_base/selftest DCANARY_NODE=selftest
  cleanup() {
    if [ -n "$keep" ] && [ -e "$DCANARY_STATE" ]; then
      say "kept; remove it with: nsenter --net=/run/netns/$netns env DCANARY_STATE=$DCANARY_STATE $here/down.sh"
      return
    fi
    if [ -e "/run/netns/$netns" ]; then
      nsenter --net="/run/netns/$netns" "$here/down.sh" > /dev/null || true
      ip netns delete "$netns"
    fi
  }
  make_base "$state_base"
  exec 7> "$state_base/.selftest.lock"
  flock -n 7 || die "another selftest.sh is running"
  keep='' cleanup # what a killed one left
  ip netns add "$netns"
  ip -n "$netns" link set lo up
  trap cleanup EXIT
  # not `ip netns exec`, which hides the cgroup mounts
  rc=0
  nsenter --net="/run/netns/$netns" "$here/selftest.sh" --inside ${keep:+--keep} 7>&- || rc=$?
  rm -f "$state_base/.selftest.lock"
  exit $rc
fi
[ ! -e "$state" ] || die "a cluster is up in $state; run selftest.sh without --host, or down.sh first"

work=$(mktemp -d)
passed=0 failed=0
finish() {
  if [ "$failed" = 0 ] || [ -z "$keep" ]; then "$here/down.sh" > /dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

check() { # "what" function: runs it in a subshell that stops at the first error
  local began=$EPOCHREALTIME rc=0
  set +e
  (
    set -eu
    "$2"
  ) > "$work/out" 2>&1
  rc=$?
  set -e
  if [ $rc = 0 ]; then
    passed=$((passed + 1))
    printf 'ok    %-62s %5.1f s\n' "$1" "$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN {print b - a}')"
  else
    failed=$((failed + 1))
    printf 'FAIL  %s\n' "$1"
    sed 's/^/      /' "$work/out" | tail -n 30
  fi
}
kubectl() { "$cache/$(component_key kubernetes)/bin/kubectl" --kubeconfig "$kubeconfig" "$@"; }
t() { kubectl -n selftest "$@"; }
succeeds() { # pod: waits for its end, shows its log, fails unless it succeeded
  t wait --for=jsonpath='{.status.phase}'=Succeeded "pod/$1" --timeout=60s || {
    t describe "pod/$1"
    t logs "$1"
    return 1
  }
  t logs "$1"
}

machine() { # what must be the same before and after
  ip -o link show | sed -E 's/^[0-9]+: ([^:@]*).*/link \1/'
  ip route show table all | sed 's/^/route /' | grep -v 'expires\|fe80\|multicast' || true
  sed -E 's/^([^ ]+) ([^ ]+) .*/mount \2/' /proc/mounts
  { iptables-save; ip6tables-save; } 2> /dev/null | grep '^-A\|^:[^ ]* -' | sed -E 's/ \[[0-9:]*\]//' || true
  find /sys/fs/cgroup -mindepth 2 -type d -path "*/$node*" -printf 'cgroup %p\n'
  for file in net/ipv4/ip_forward net/ipv4/conf/all/route_localnet vm/overcommit_memory kernel/panic kernel/panic_on_oops; do
    echo "sysctl $file $(< /proc/sys/$file)"
  done
}
machine > "$work/before"

# --- the checks ------------------------------------------------------------------------

a_taken_port_is_named() {
  "$python" -c '
import socket, sys
s = socket.create_server(("127.0.0.1", int(sys.argv[1])))
print("listening", flush=True)
sys.stdin.read()' "$registry_port" < <(exec sleep 60) > "$work/listener" &
  listener=$!
  trap 'kill $listener' EXIT
  # shellcheck disable=SC2016 # expanded by the inner shell
  timeout 10 bash -c 'until grep -q listening "$1"; do read -rt 0.05 _ <> <(:) || true; done' _ "$work/listener"
  if "$here/up.sh" > "$work/refused" 2>&1; then return 1; fi
  cat "$work/refused"
  grep -q "port $registry_port, which registry needs, is taken by python3.* (pid $listener)" "$work/refused"
  [ ! -e "$state" ]
}

comes_up() { "$here/up.sh"; }
is_up_already() {
  "$here/up.sh" | tee "$work/again"
  grep -q 'already up' "$work/again"
}
node_is_ready() { kubectl wait --for=condition=Ready "node/$node" --timeout=5s; }

sets_the_scene() {
  kubectl create namespace selftest
  kubectl label namespace selftest pod-security.kubernetes.io/enforce=restricted
  kubectl -n selftest wait --for=create serviceaccount/default --timeout=30s
  "$python" "$here/images/mkimage.py" --out "$work/tool.tar" --name "$registry/tool:1" --require-static \
    --file "$cache/$(component_key debs)/bin/busybox:/busybox:755"
  "$here/push.sh" "$work/tool.tar" tool:1
  "$here/push.sh" "$cache/$(component_key images)/busybox.tar" pulled:1
}

pod() { # name script [extra spec lines]: a Pod that satisfies the restricted profile
  cat << Y
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: selftest}
spec:
  restartPolicy: Never
  terminationGracePeriodSeconds: 1
  automountServiceAccountToken: false
  securityContext: {runAsNonRoot: true, runAsUser: 1000, runAsGroup: 1000, fsGroup: 2000, seccompProfile: {type: RuntimeDefault}}
  volumes: ${4:-[]}
  containers:
  - name: main
    image: ${5:-$registry/busybox:1}
    imagePullPolicy: ${6:-IfNotPresent}
    command: [sh, -ec, '$2']
    securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
    volumeMounts: ${3:-[]}
---
Y
}

runs_a_restricted_pod() {
  pod restricted 'id -u; grep -E "^(CapEff|Seccomp|NoNewPrivs):" /proc/self/status; echo finished' | kubectl apply -f -
  succeeds restricted > "$work/log"
  cat "$work/log"
  grep -qx finished "$work/log"
  grep -q 'CapEff:.*0000000000000000' "$work/log"
  grep -q 'Seccomp:.*2' "$work/log"
  # and the profile is enforced
  if t run forbidden --image="$registry/busybox:1" --privileged -- true; then return 1; fi
}

serves_and_resolves() {
  cat << Y | kubectl apply -f -
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: selftest}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      securityContext: {runAsNonRoot: true, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: web
        image: $registry/busybox:1
        command: [sh, -ec, 'echo hello-from-web > /tmp/index.html; exec httpd -f -p 8080 -h /tmp']
        readinessProbe: {httpGet: {path: /index.html, port: 8080}, periodSeconds: 1}
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: selftest}
spec: {selector: {app: web}, ports: [{port: 80, targetPort: 8080}]}
Y
  t wait --for=condition=Available deployment/web --timeout=60s
  {
    pod dns 'nslookup kubernetes.default.svc.cluster.local | tee /dev/stderr | grep -q '"$service_prefix.0.1"'; nslookup registry.local | grep -q '"$node_ip"
    pod service 'timeout 5 wget -qO- http://web/; timeout 5 wget -qO- http://web.selftest.svc.cluster.local/'
  } | kubectl apply -f -
  succeeds dns
  succeeds service | tee "$work/log"
  [ "$(grep -c hello-from-web "$work/log")" = 2 ]
}

binds_a_volume() {
  {
    cat << 'Y'
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: data, namespace: selftest}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
Y
    # shellcheck disable=SC2016 # expanded in the Pod
    pod writer 'echo kept > /data/file; ls -ln /data; test "$(stat -c %g /data/file)" = 2000' '[{name: data, mountPath: /data}]' \
      '[{name: data, persistentVolumeClaim: {claimName: data}}]'
  } | kubectl apply -f -
  succeeds writer
  pod reader 'cat /data/file' '[{name: data, mountPath: /data}]' '[{name: data, persistentVolumeClaim: {claimName: data}}]' | kubectl apply -f -
  [ "$(succeeds reader | tail -n1)" = kept ]
}

pulls_from_the_registry() {
  pod pulled 'echo pulled-and-ran' '' '' "$registry/pulled:1" Always | kubectl apply -f -
  succeeds pulled | grep -qx pulled-and-ran
  t get pod pulled -o 'jsonpath={.status.containerStatuses[0].imageID}' | grep "$registry/pulled@sha256:"
}

executes_from_an_image_volume() {
  pod imagevolume 'grep " /tools " /proc/mounts; /tools/busybox echo from-the-image-volume; ! echo x 2> /dev/null > /tools/new' \
    '[{name: tools, mountPath: /tools, readOnly: true}]' "[{name: tools, image: {reference: '$registry/tool:1', pullPolicy: IfNotPresent}}]" |
    kubectl apply -f -
  succeeds imagevolume | tee "$work/log"
  grep -qx from-the-image-volume "$work/log"
}

issues_bound_tokens() {
  local token
  t run holder --image="$registry/busybox:1" --overrides='{"spec": {"terminationGracePeriodSeconds": 1, "securityContext": {"runAsNonRoot": true,
    "seccompProfile": {"type": "RuntimeDefault"}}, "containers": [{"name": "holder", "image": "'"$registry"'/busybox:1", "command": ["sleep", "1000"],
    "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}]}}'
  t wait --for=condition=Ready pod/holder --timeout=30s
  token=$(t create token default --audience=dcanary --bound-object-kind=Pod --bound-object-name=holder)
  printf '{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": "%s", "audiences": ["dcanary"]}}' "$token" |
    kubectl create -o json -f - | tee "$work/review"
  grep -q '"authenticated": true' "$work/review"
  grep -q 'authentication.kubernetes.io/pod-uid' "$work/review"
}

enforces_quota() {
  kubectl create namespace selftest-quota
  kubectl -n selftest-quota wait --for=create serviceaccount/default --timeout=30s
  kubectl -n selftest-quota create quota none --hard=pods=0
  kubectl -n selftest-quota wait --for=jsonpath='{.status.hard.pods}'=0 quota/none --timeout=30s
  if kubectl -n selftest-quota run x --image="$registry/busybox:1" 2> "$work/quota"; then return 1; fi
  grep 'exceeded quota' "$work/quota"
}

execs_and_forwards() {
  [ "$(t exec holder -- cat /etc/hostname)" = holder ]
  echo through-stdin | t exec -i holder -- cat | grep -qx through-stdin
  local line
  coproc forward { exec "$cache/$(component_key kubernetes)/bin/kubectl" --kubeconfig "$kubeconfig" -n selftest port-forward service/web :80; }
  # shellcheck disable=SC2154 # set by coproc
  read -rt 20 line <&"${forward[0]}"
  echo "$line"
  line=${line#*127.0.0.1:}
  curl -fsS --noproxy '*' --max-time 10 "http://127.0.0.1:${line%% *}/" | grep -qx hello-from-web
  # shellcheck disable=SC2154
  kill "$forward_PID"
}

writes_the_audit_log() {
  "$python" - "$state/audit/audit.log" << 'P'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
assert all(e["kind"] == "Event" and e["level"] == "Metadata" for e in lines)
made = [e for e in lines if e["verb"] == "create" and (e.get("objectRef") or {}).get("resource") == "pods"
        and e["objectRef"].get("name") == "holder" and not e["objectRef"].get("subresource")]
assert made and made[0]["user"]["username"] == "kubernetes-admin", made
print(len(lines), "events")
P
}

hides_its_secrets() {
  [ "$(stat -c %a "$state/pki" "$state/audit" "$state/run" "$state/etc" | sort -u)" = 700 ]
  [ "$(stat -c %a "$kubeconfig")" = 600 ]
}

recovers_killed_servers() {
  local name uid
  uid=$(t get pod holder -o 'jsonpath={.metadata.uid}')
  for name in apiserver scheduler; do kill_daemon $name; done
  # a pid that belongs to another process by now must not be taken for a server
  echo "$$ 12345" > "$state/run/scheduler.pid"
  if "$here/status.sh"; then return 1; fi
  "$here/up.sh"
  "$here/status.sh"
  kill -0 $$
  [ "$(t get pod holder -o 'jsonpath={.metadata.uid}')" = "$uid" ]
  pod after 'echo still-here' | kubectl apply -f -
  succeeds after | grep -qx still-here
}

recovers_everything_killed() {
  local name pids=()
  for name in $daemons; do
    alive "$name"
    pids+=("$pid")
  done
  # not waited for: up has to notice that they are ending
  kill -9 "${pids[@]}"
  "$here/up.sh"
  t wait --for=condition=Ready pod/holder --timeout=60s
  t exec holder -- true
}

recycles_volumes() {
  local pv
  pv=$(t get pvc data -o 'jsonpath={.spec.volumeName}')
  t delete pod writer reader
  t delete pvc data
  kubectl wait --for=jsonpath='{.status.phase}'=Released "pv/$pv" --timeout=30s
  "$here/up.sh"
  kubectl wait --for=jsonpath='{.status.phase}'=Available "pv/$pv" --timeout=30s
  [ -z "$(ls -A "$state/volumes/$pv")" ]
}

completes_an_interrupted_start() {
  "$here/down.sh"
  # cut off at several moments; the next start has to cope with what is there
  for moment in 0.15 0.6 2; do timeout "$moment" "$here/up.sh" || [ $? = 124 ]; done
  "$here/up.sh"
  "$here/status.sh"
}

starts_again_quickly() {
  "$here/down.sh"
  "$here/up.sh"
  kubectl run one --image="$registry/busybox:1" --restart=Never -- sleep 1000
  kubectl wait --for=condition=Ready pod/one --timeout=30s
}

leaves_nothing() {
  "$here/down.sh"
  machine > "$work/after"
  diff "$work/before" "$work/after"
  [ ! -e "$state" ]
  if pgrep -f -a -- "$state"; then return 1; fi
  if [ "$(find /var/log/containers -lname "$state/*" 2> /dev/null | wc -l)" != 0 ]; then return 1; fi
  "$here/down.sh" | grep 'not up'
}

check 'a port that is taken is named, and nothing is left' a_taken_port_is_named
check 'the cluster comes up' comes_up
check 'a second up finds it up' is_up_already
check 'the node is Ready' node_is_ready
check 'images are pushed to the registry' sets_the_scene
check 'a restricted Pod runs, and others are refused' runs_a_restricted_pod
check 'DNS and a ClusterIP Service work from a Pod' serves_and_resolves
check 'a claim is bound and writable for a non-root Pod with fsGroup' binds_a_volume
check 'an image is pulled from the local registry' pulls_from_the_registry
check 'a restricted Pod executes a program of an image volume' executes_from_an_image_volume
check 'Pod-bound tokens with an audience are issued and reviewed' issues_bound_tokens
check 'ResourceQuota is enforced' enforces_quota
check 'exec, stdin and port-forward work' execs_and_forwards
check 'the audit log is written' writes_the_audit_log
check 'keys and logs are readable for root only' hides_its_secrets
check 'killed servers are recovered, with the cluster'\''s data' recovers_killed_servers
check 'all servers killed at once are recovered' recovers_everything_killed
check 'released volumes are recycled' recycles_volumes
check 'interrupted starts are completed' completes_an_interrupted_start
check 'down and up again' starts_again_quickly
check 'down leaves nothing' leaves_nothing

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
