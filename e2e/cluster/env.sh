#!/usr/bin/env bash
# Prints shell lines that make kubectl and helm of the local cluster usable.
#
# usage: eval "$(e2e/cluster/env.sh)"
# Leaves nothing behind.
set -euo pipefail
# shellcheck source-path=SCRIPTDIR source=lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for name in kubernetes helm; do
  dir=$cache/$(component_key $name)/bin
  [ -d "$dir" ] || die "$name is not built; run e2e/cluster/build.sh $name"
  # shellcheck disable=SC2016 # expanded by the caller
  printf 'export PATH=%q:"$PATH"\n' "$dir"
done
printf 'export KUBECONFIG=%q\n' "$kubeconfig"
