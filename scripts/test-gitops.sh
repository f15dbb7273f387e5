#!/usr/bin/env bash
# The health checks that are shipped for Argo CD and Flux, run by Argo CD's Lua interpreter and by Flux's own library.
set -euo pipefail
. "$(dirname "$0")/env.sh"
cd "$ROOT"
mkdir -p "$OUT_DIR"
GOFLAGS= GOWORK=off go -C e2e/gitops build -mod=readonly -trimpath -buildvcs=false -o "$OUT_DIR/gitops" .
"$OUT_DIR/gitops" charts/gitops
