#!/usr/bin/env bash
# What deliveries need besides the cluster, on the local one: a gateway, Prometheus, and the images of the example application.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
step "starting the gateway" e2e/cluster/gateway.sh up
step "starting Prometheus" e2e/cluster/prometheus.sh up
step "pushing the example application" e2e/cluster/images/app.sh "$OUT_DIR/bin/dcanary-example-app" "$OUT_DIR/app" --push
