#!/usr/bin/env bash
# Installs CRDs and operator with the charts into the cluster of KUBECONFIG and waits until they serve.
#
# usage: install.sh [crds|operator]     without an argument: both; `operator` needs `crds` before it
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
ns=dcanary-system
case ${1:-} in
  '' | crds | operator) ;;
  *) echo "usage: install.sh [crds|operator]" >&2; exit 2 ;;
esac
if [ "${1:-}" != operator ]; then
  step "installing CRDs" helm upgrade --install dcanary-crds charts/dcanary-crds --namespace "$ns" --create-namespace
  kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted --overwrite > /dev/null
fi
if [ "${1:-}" = crds ]; then exit; fi
if [ "${CLUSTER:-local}" = local ]; then
  # the images were loaded under a tag that is built anew: their content decides whether Pods are replaced
  settings=(--set image.pullPolicy=Never --set "commonLabels.dcanary\.dev/build=$(sha256sum "$OUT_DIR/product.tar" | cut -c1-16)"
    --set "server.insecureRegistries={registry.local:5000}" --set "ledger.projects={second}")
else
  # your cluster: load or push the images (e2e/cluster/README.md); more settings in DCANARY_HELM_ARGS
  settings=(--set image.pullPolicy=IfNotPresent)
fi
# --force-conflicts: what was changed by hand or by a test that was broken off (a ledger scaled to zero) becomes again what the chart says
# shellcheck disable=SC2086 # several words
step "installing the operator" helm upgrade --install dcanary charts/dcanary --namespace "$ns" --force-conflicts \
  --set image.repository=dcanary.dev/dcanary --set image.tag=dev --set runner.image=dcanary.dev/runner:dev \
  "${settings[@]}" ${DCANARY_HELM_ARGS:-} --wait --timeout 120s
# the operator serves before it has made the ledger's canister and said where it is; what is verified needs that
if [ "${CLUSTER:-local}" = local ]; then
  step "making the ledger" kubectl -n "$ns" wait --for=create configmap/dcanary-ledger --timeout=120s
fi
