#!/usr/bin/env bash
# Installs CRDs and operator with the charts into the cluster of KUBECONFIG and waits until they serve.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
ns=dcanary-system
step "installing CRDs" helm upgrade --install dcanary-crds charts/dcanary-crds --namespace "$ns" --create-namespace
kubectl label namespace "$ns" pod-security.kubernetes.io/enforce=restricted --overwrite > /dev/null
# the images of the local cluster are rebuilt under the same tag: their content decides whether Pods are replaced
step "installing the operator" helm upgrade --install dcanary charts/dcanary --namespace "$ns" \
  --set image.repository=dcanary.dev/dcanary --set image.tag=dev --set image.pullPolicy=Never \
  --set runner.image=dcanary.dev/runner:dev --set "commonLabels.dcanary\.dev/build=$(sha256sum "$OUT_DIR/product.tar" | cut -c1-16)" \
  --set "server.insecureRegistries={registry.local:5000}" --set "ledger.projects={second}" \
  --wait --timeout 120s
