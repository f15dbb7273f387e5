#!/usr/bin/env bash
# Everything that proves the project. `scripts/test.sh [unit|e2e|delivery]`; without an argument: all, and deliveries are part of e2e. Ends
# with a plain count.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
what=${1:-all}
# the tests themselves look at it
export CLUSTER=${CLUSTER:-local}
results=$DCANARY_STATE/test-results
rm -rf "$results"
mkdir -p "$results"
status=0

# suite NAME COMMAND…: runs it with its output shown and kept for the count
suite() {
  local name=$1 start=$SECONDS
  shift
  printf '== %s\n' "$name"
  if ! "$@" 2>&1 | tee "$results/$name.log"; then
    printf '== %s FAILED\n' "$name"
    status=1
  fi
  printf '== %s (%ds)\n' "$name" $((SECONDS - start))
}

# tests NAME ARGUMENTS… [-- ARGUMENTS OF THE TEST PROGRAM…], as scripts/tests.py takes them
tests() {
  local name=$1
  shift
  suite "$name" scripts/tests.py --no-fail-fast "$@"
}

# patient NAME ARGUMENTS…: tests beside which much else runs. A few that fail are told again by themselves; both outcomes are shown, and what
# fails alone has failed. A program that ended otherwise than by saying what failed (a signal, say) has failed for good.
told_all() { [ "$(grep -c '^error: test failed, to rerun' "$1")" = "$(grep -c '^test result: FAILED' "$1")" ]; }
patient() {
  local name=$1 before=$status again arguments=()
  tests "$@"
  mapfile -t again < <(sed -nE 's/^[.]*(test )?([a-z0-9_:]+) (\.\.\.|---) FAILED$/\2/p' "$results/$name.log" | sort -u)
  if [ "${#again[@]}" -ge 1 ] && [ "${#again[@]}" -le 5 ] && told_all "$results/$name.log"; then
    printf '== failed beside others, told again alone: %s\n' "${again[@]}"
    status=$before
    shift
    while [ $# -gt 0 ] && [ "$1" != -- ]; do arguments+=("$1"); shift; done
    tests "$name-alone" "${arguments[@]}" -- --test-threads 1 --exact "${again[@]}"
  fi
}

# What needs processors and no cluster.
computing() {
  # the server's tests push to a real registry
  if command -v apt-get > /dev/null; then PATH=$PATH:$(e2e/cluster/build.sh --path debs)/bin; fi
  suite suites scripts/test-suites.py
  # all but what needs a cluster, the laws, which are next, and the journal's program, whose tests are its library's: it would be compiled once
  # more for nothing. Many wait for something, so more of them than there are processors
  patient unit --without dcanary-harness --without laws --without orchestrator -- --test-threads 6
  tests laws --test laws
  # the laws of the interface specification, as any network has to keep them, and nodes that break one, which the laws must notice
  suite conformance scripts/conformance.sh
  suite conformance-matrix scripts/conformance.sh matrix
  if [ "$(uname -m)" = x86_64 ]; then
    suite clients canisters/node/tests/clients/run.sh "$BIN_DIR/dcanary-node" "$OUT_DIR/canisters/orchestrator.wasm"
  fi
  if [ "$CLUSTER" = local ]; then
    suite chart charts/test.sh
    suite kstatus scripts/test-kstatus.sh
    suite gitops scripts/test-gitops.sh
  fi
  suite verifier-python docs/verifier/test.sh
}
# Outages and kills mostly wait, and nothing else may run on their cluster: so what needs no cluster takes what processors they leave over. Its
# output comes when it is done.
compute_beside() {
  printf '== units, laws, clients, charts and recipes, beside the next\n'
  (
    renice -n 19 "$BASHPID" > /dev/null
    unset KUBECONFIG
    status=0
    computing > "$results/beside.txt" 2>&1
    exit "$status"
  ) &
  beside=$!
}
compute_over() {
  [ -n "${beside:-}" ] || return 0
  wait "$beside" || status=1
  cat "$results/beside.txt"
}

scripts/prerequisites.sh
# programs and tests in one go: with one set of features every dependency is compiled once
export DCANARY_BUILD="--bins --tests"
scripts/build.sh
export DCANARY_CANISTERS=$OUT_DIR/canisters DCANARY_BIN=$OUT_DIR/bin/dcanary

if [ "$what" = all ] || [ "$what" = unit ]; then
  # what of it has to be fetched or built, before anything is measured
  if command -v apt-get > /dev/null; then e2e/cluster/build.sh debs; fi
  if [ "$(uname -m)" = x86_64 ]; then scripts/prerequisites.sh clients; fi
  if [ "$CLUSTER" = local ]; then e2e/cluster/build.sh helm; fi
  if [ "$what" = unit ]; then computing; fi
fi
if [ "$what" != unit ]; then
  if [ "$CLUSTER" = local ]; then e2e/cluster/build.sh; fi
  # first, as it says how long everything takes to be up: on a machine where nothing runs, from nothing
  if [ "$what" != delivery ]; then suite demo scripts/test-demo.sh; fi
  scripts/up.sh
  if [ "$CLUSTER" = local ]; then eval "$(e2e/cluster/env.sh)"; fi
fi
if [ "$what" = all ] || [ "$what" = e2e ]; then
  # what the README promises, as it is written there
  suite readme scripts/test-readme.sh
  if [ "$CLUSTER" = local ]; then suite targets scripts/test-targets.sh; fi
fi
if [ "$what" != unit ]; then
  out=()
  if [ "$CLUSTER" = local ]; then
    step "loading the builder image" e2e/cluster/images/builder.sh --load
    # a test runs a registry of its own, which only a node on this machine reaches
    PATH=$PATH:$(e2e/cluster/build.sh --path debs)/bin
    scripts/data-plane.sh
    step "starting the second gateway" e2e/cluster/contour.sh up
  else
    # a registry that only a node on this machine reaches; and on a cluster of your own deliveries need a Gateway and a Prometheus, some of
    # them a second Gateway (e2e/harness/src/data_plane.rs)
    out=(private_registry::)
    if [ -z "${DCANARY_GATEWAY:-}" ]; then out+=(delivery::); elif [ -z "${DCANARY_CONTOUR:-}" ]; then out+=(delivery::contour::); fi
    printf '== left out: %s\n' "${out[@]}"
  fi
  if [ "$what" = delivery ]; then which=(delivery::); else which=(--skip failpoints:: --skip outages:: --skip rbac:: --skip gitops_tools:: --skip enforced:: --skip external::); fi
  # Each test has a namespace of its own. Six at once on one machine, and deliveries measure requests
  patient e2e --test e2e -- --test-threads 6 "${out[@]/#/--skip=}" "${which[@]}"
fi
if [ "$what" = all ] || [ "$what" = e2e ]; then
  # these kill parts of the installation, so nothing else may run on it
  if [ "$what" = all ]; then compute_beside; fi
  tests e2e-outages --test e2e -- --test-threads 1 outages::
  tests e2e-failpoints --test e2e -- --test-threads 1 --nocapture failpoints::
  compute_over
  if [ "$CLUSTER" = local ]; then
    # last: compares what was granted with everything that was asked for above; needs the audit log
    tests e2e-rbac --test e2e -- rbac::
  fi
fi

scripts/count.py "$results" || status=1
exit "$status"
