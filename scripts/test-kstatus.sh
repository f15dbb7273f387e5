#!/usr/bin/env bash
# The kstatus library says of the operator's own objects what `helm --wait`, Flux and people should be told.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
mkdir -p "$OUT_DIR"
GOFLAGS= GOWORK=off go -C e2e/kstatus build -mod=readonly -trimpath -buildvcs=false -o "$OUT_DIR/kstatus" .
"$OUT_DIR/kstatus" operator/core/tests/golden/kstatus operator/controller/golden/kstatus operator/rollout/tests/golden/kstatus
