#!/usr/bin/env bash
# The long loops: as `make test`, with more of everything. SOAK_BLOCKS (1,000,000) blocks in one journal, SOAK_CRASHES (100,000) crashes of the
# node, SOAK_KILLS (1,000) kills of its program under load, SOAK_HISTORIES (512) random histories of deliveries for each of their laws, SOAK_CASES
# (8,192) of runs, state machines and the node, which are shorter, FUZZ_SECONDS (60) for each fuzz target, SOAK_ROUNDS (3) rounds of the tests that
# disturb the installation; with any of those, a canary under Argo CD and Flux themselves, NetworkPolicies in force (a cluster of your own
# has to enforce them), and on the local cluster a ledger of others.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
export DCANARY_SOAK_BLOCKS=${SOAK_BLOCKS:-1000000} DCANARY_NODE_CRASHES=${SOAK_CRASHES:-100000} DCANARY_NODE_KILLS=${SOAK_KILLS:-1000}
scripts/prerequisites.sh
e2e/cluster/build.sh debs
PATH=$PATH:$(e2e/cluster/build.sh --path debs)/bin
export DCANARY_BUILD="--bins --tests"
scripts/build.sh
export DCANARY_CANISTERS=$OUT_DIR/canisters DCANARY_BIN=$OUT_DIR/bin/dcanary

soak() {
  local title=$1 start=$SECONDS
  shift
  printf '== %s\n' "$title"
  "$@"
  printf '== %s: %ds\n' "$title" $((SECONDS - start))
}
run() { scripts/tests.py "$@"; }

soak "two builds of the canisters in two folders" canisters/test-reproducible.sh
soak "a journal of $DCANARY_SOAK_BLOCKS blocks is upgraded" run --test node -- --nocapture scale::
soak "$DCANARY_NODE_CRASHES crashes of the node" run --lib -- log::crash:: tests::crashes:: at_a_crash
soak "$DCANARY_NODE_KILLS kills of the node under load" run --test agent -- --nocapture kill_9
soak "readers of foreign bytes" scripts/fuzz.sh
soak "the local cluster, broken and recovered" e2e/cluster/selftest.sh
# this variable goes before the number that a law says of itself, so each kind of history gets its own
PROPTEST_CASES=${SOAK_HISTORIES:-512} soak "random histories of deliveries" run --test laws -- whatever
PROPTEST_CASES=${SOAK_CASES:-8192} soak "random histories of runs" run --test laws -- every_run_ends two_replicas
PROPTEST_CASES=${SOAK_CASES:-8192} soak "state machines, and replay of the node" run --lib -- machine_and_oracle replaying_gives a_mapped_heap calls_neither
if [ "${SOAK_ROUNDS:-3}" -gt 0 ]; then
  scripts/up.sh
  if [ "${CLUSTER:-local}" = local ]; then
    eval "$(e2e/cluster/env.sh)"
    step "loading the builder image" e2e/cluster/images/builder.sh --load
    scripts/data-plane.sh
    e2e/cluster/flux.sh up
    e2e/cluster/argocd.sh up
    # and stays: nothing that follows may need what a policy forbids
    e2e/cluster/netpol.sh up
    soak "the Makefile's commands, and a cluster of one's own" scripts/test-targets.sh up
  fi
  # on a cluster of your own they have to be there (e2e/harness/src/gitops.rs)
  if [ "${CLUSTER:-local}" = local ] || { [ -n "${DCANARY_FLUX:-}" ] && [ -n "${DCANARY_ARGOCD:-}" ]; }; then
    soak "deliveries under Argo CD and Flux" run --test e2e -- --test-threads 2 --nocapture gitops_tools::
  fi
  soak "network policies in force" run --test e2e -- --nocapture enforced::
  if [ "${CLUSTER:-local}" = local ]; then
    soak "a ledger of others" run --test e2e -- --test-threads 1 --nocapture external::
  fi
  for round in $(seq "${SOAK_ROUNDS:-3}"); do
    soak "outages, round $round" run --test e2e -- --test-threads 1 outages::
    # each kill in a story of its own
    DCANARY_FAILPOINTS=alone soak "failpoints, round $round" run --test e2e -- --test-threads 1 --nocapture failpoints::
  done
fi
