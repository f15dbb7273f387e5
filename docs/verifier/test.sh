#!/usr/bin/env bash
# Runs the second verifier over the test vectors, in a virtual environment outside the work tree.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${DCANARY_CACHE:-$HOME/.cache/dcanary}
venv=$cache/venv/$(sha256sum "$here/requirements.txt" | cut -c1-16)
if [[ ! -e $venv/complete ]]; then
  rm -rf "$venv"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  touch "$venv/complete"
fi
PYTHONDONTWRITEBYTECODE=1 exec "$venv/bin/python" "$here/test_vectors.py" "$@"
