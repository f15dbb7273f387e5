# shellcheck shell=bash disable=SC2154
# Sourced by up.sh and the scripts of extras.sh: starting servers and waiting for what they do.

start() { # name command...
  local name=$1
  if alive "$name"; then return; fi
  shift
  if [ -n "${recovering:-}" ]; then say "starting $name"; fi
  (
    cd /
    ulimit -n 1048576 2> /dev/null || true
    unset KUBECONFIG NOTIFY_SOCKET
    export PATH=${daemon_path:+$daemon_path:}$PATH
    NO_PROXY+=,$pod_cidr,$service_cidr,.svc,.cluster.local,registry.local
    no_proxy=$NO_PROXY
    # most of them are in Go, and collect garbage after every few megabytes: for a cluster that lives for a test, memory is cheaper
    export GOGC=${GOGC:-400} GOMEMLIMIT=${GOMEMLIMIT:-1GiB}
    exec setsid "$@"
  ) >> "$state/log/$name.log" 2>&1 < /dev/null 9>&- &
  local pid=$!
  disown
  process_start "$pid" || REPLY=0
  echo "$pid $REPLY" > "$state/run/$name.pid.new"
  mv "$state/run/$name.pid.new" "$state/run/$name.pid"
}

# until_ok SECONDS "what" DAEMONS COMMAND...: repeats the command until it
# succeeds; gives up at once when one of the daemons is gone
until_ok() {
  local limit=$((SECONDS + $1)) what=$2 needs=$3 name out
  shift 3
  until out=$("$@" 2>&1); do
    for name in $needs; do alive "$name" || fail "$name" "$name ended while waiting for $what"; done
    [ "$SECONDS" -lt "$limit" ] || fail "${needs##* }" "no $what in time (${out:-no answer})"
    read -rt 0.05 _ <> <(:) || true # a pause without a process
  done
}
fail() { # daemon message
  printf '%s\n' "--- the last lines of $state/log/$1.log" >&2
  tail -n 40 "$state/log/$1.log" >&2
  die "$2; the log is $state/log/$1.log; run e2e/cluster/down.sh and then up again for a fresh start"
}
