#!/usr/bin/env bash
# Tests of the charts: what they render for the installations that people have, and what their schema refuses. Ends with a
# line in the form of cargo's. HELM names the program; default: helm of the local cluster (e2e/cluster/build.sh helm).
set -uo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
chart=$root/charts/dcanary
helm=${HELM:-$("$root/e2e/cluster/build.sh" --path helm)/bin/helm}
[ -x "$helm" ] || helm=$(command -v helm) || {
  echo 'helm is needed: run e2e/cluster/build.sh helm, or set HELM' >&2
  exit 1
}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0
digest=sha256:$(printf '0%.0s' {1..64})

# verdict NAME: counts the last command
verdict() {
  local code=$?
  if [ "$code" = 0 ]; then
    passed=$((passed + 1))
    echo "test $1 ... ok"
  else
    failed=$((failed + 1))
    echo "test $1 ... FAILED"
    sed 's/^/    /' "$work/error" | head -n 20
  fi
}

# render ARGUMENTS…: the objects in $work/all, each in a file of its own KIND-NAME
render() {
  rm -rf "$work/objects"
  mkdir "$work/objects"
  "$helm" template dcanary "$chart" --namespace dcanary-system "$@" > "$work/all" 2> "$work/error" || return
  awk -v dir="$work/objects" '
    function flush() { if (kind != "") printf "%s", text > (dir "/" kind "-" name); text = kind = name = "" }
    /^---/ { flush(); next }
    /^kind: / { kind = $2 }
    /^  name: / && name == "" { name = $2 }
    { text = text $0 "\n" }
    END { flush() }' "$work/all"
}

# has OBJECT TEXT…: every text is in it
has() {
  local object=$1 text
  shift
  for text in "$@"; do
    grep -qF -- "$text" "$work/objects/$object" 2> /dev/null || {
      echo "$object lacks: $text" > "$work/error"
      return 1
    }
  done
}

# lacks TEXT…: no object has it
lacks() {
  local text
  for text in "$@"; do
    if grep -qF -- "$text" "$work/all"; then
      echo "rendered: $text" > "$work/error"
      return 1
    fi
  done
}

env_is() { has "$1" "{name: $2, value: \"$3\"}"; }

# refuses NAME FIELD ARGUMENTS…: an error that names the field
refuses() {
  local name=$1 field=$2
  shift 2
  if render "$@"; then
    echo "rendered with $*" > "$work/error"
    false
  else
    grep -qF -- "$field" "$work/error"
  fi
  verdict "$name"
}

server=StatefulSet-dcanary-server operator=Deployment-dcanary-operator ledger=StatefulSet-dcanary-ledger

"$helm" lint --strict "$chart" > "$work/error" 2>&1
verdict 'the chart has no lint'
"$helm" lint --strict "$root/charts/dcanary-crds" > "$work/error" 2>&1
verdict 'the chart of the CRDs has no lint'

render &&
  has $operator 'replicas: 1' 'DCANARY_LEDGER_EMBEDDED' 'http://dcanary-ledger.dcanary-system.svc:8080' &&
  has $server 'terminationGracePeriodSeconds: 30' &&
  has $ledger dcanary-ledger-keys && has Secret-dcanary-server-tls ca.crt
verdict 'the defaults are an installation with the embedded ledger'
env_is $server DCANARY_SERVER_MAX_ARTIFACT_BYTES 10737418240 && env_is $server DCANARY_SERVER_MAX_NAMESPACE_BYTES 0 &&
  env_is $server DCANARY_SERVER_MAX_RESULTS 256 && env_is $server DCANARY_SERVER_MAX_STEPS 50 &&
  env_is $server DCANARY_SERVER_REGISTRY_RULES '[]' &&
  env_is $operator DCANARY_MAX_STAGES 256 && env_is $operator DCANARY_MAX_SCRIPT_BYTES 262144 &&
  env_is $operator DCANARY_ANALYSIS_ALLOW_LINK_LOCAL false && env_is $server DCANARY_SERVER_REGISTRY_ALLOW_LINK_LOCAL false &&
  lacks 'value: ""' DCANARY_SERVER_RESERVE_BYTES DCANARY_RUNNER_PULL_POLICY registry-ca
verdict 'limits are written as whole numbers and what is not set is left out'

render --set operator.analysis.allowLinkLocal=true && env_is $operator DCANARY_ANALYSIS_ALLOW_LINK_LOCAL true
verdict 'metrics ask link-local addresses only where that is said'
refuses 'another word than true or false is refused' allowLinkLocal --set-string operator.analysis.allowLinkLocal=maybe
render --set server.registryAllowLinkLocal=true && env_is $server DCANARY_SERVER_REGISTRY_ALLOW_LINK_LOCAL true
verdict 'registries have link-local addresses only where that is said'
refuses 'another word than true or false is refused there' registryAllowLinkLocal --set-string server.registryAllowLinkLocal=maybe

render --set ledger.embedded.enabled=false --set ledger.external.url=https://icp-api.io \
  --set ledger.external.rootKey=00ff --set ledger.external.canister=aaaaa-aa &&
  has $operator 'DCANARY_LEDGER_URL, value: "https://icp-api.io"' 'DCANARY_LEDGER_ROOT_KEY, value: "00ff"' \
    'DCANARY_LEDGER_CANISTER, value: "aaaaa-aa"' &&
  lacks DCANARY_LEDGER_EMBEDDED dcanary-ledger-keys '/bin/dcanary-node'
verdict 'an external ledger needs no node'
for missing in rootKey canister; do
  other=$([ $missing = rootKey ] && echo canister=aaaaa-aa || echo rootKey=00ff)
  refuses "an external ledger without its $missing is refused" "ledger.external.$missing" \
    --set ledger.embedded.enabled=false --set ledger.external.url=https://icp-api.io --set "ledger.external.$other"
done

external='--set ledger.external.url=https://icp-api.io --set ledger.external.rootKey=00ff --set ledger.external.canister=aaaaa-aa'
# shellcheck disable=SC2086
refuses 'an external ledger beside the embedded node is refused' 'set ledger.embedded.enabled to false' $external
for given in url=https://icp-api.io rootKey=00ff canister=aaaaa-aa; do
  refuses "ledger.external.${given%%=*} beside the embedded node is refused" \
    "ledger.external.${given%%=*} is set beside ledger.embedded.enabled: true" --set "ledger.external.$given"
done

render --set ledger.embedded.enabled=false &&
  has $operator DCANARY_SERVER_URL && lacks DCANARY_LEDGER_URL '/bin/dcanary-node'
verdict 'without any ledger nothing of it is rendered'

cat > "$work/rules.yaml" << 'Y'
server:
  registryCredentials: logins
  registryRules:
    - namespaces: [team-a, dev-*]
      repositories: [registry.example.com:5000/team-a]
    - namespaces: ["*"]
      repositories: [docker.io/library]
      access: pull
Y
render -f "$work/rules.yaml" &&
  has $server 'DCANARY_SERVER_REGISTRY_CREDENTIALS, value: /var/run/dcanary/registry}' 'secret: {secretName: logins}' \
    'mountPath: /var/run/dcanary/registry, readOnly: true' \
    '{\"namespaces\":[\"team-a\",\"dev-*\"],\"repositories\":[\"registry.example.com:5000/team-a\"]}' \
    '{\"access\":\"pull\",\"namespaces\":[\"*\"],\"repositories\":[\"docker.io/library\"]}'
verdict 'registry credentials are mounted in the server alone, with their rules'
! grep -l 'secretName: logins' "$work"/objects/* | grep -qv "$server"
verdict 'no other program gets registry credentials'

render --set server.registryCA=company-ca --set 'server.insecureRegistries={a.example:5000,b.example}' &&
  has $server 'configMap: {name: company-ca' 'DCANARY_SERVER_REGISTRY_CA, value: /var/run/dcanary/registry-ca/ca.crt' \
    'DCANARY_SERVER_INSECURE_REGISTRIES, value: "a.example:5000,b.example"'
verdict 'further certificate authorities and insecure registries reach the server'

render --set server.tls.existingSecret=own-tls &&
  has $server 'secret: {secretName: own-tls}' && has $operator 'secretName: own-tls' && lacks dcanary-server-tls
verdict 'an existing certificate is used and none is made'

render --set 'imagePullSecrets[0].name=pull' &&
  has $server '- name: pull' && has $operator '- name: pull' && has $ledger '- name: pull'
verdict 'pull secrets reach every Pod of the installation'

render --set image.digest=$digest --set image.tag=ignored &&
  has $server "image: dcanary.dev/dcanary@$digest" && has $operator "@$digest" && has $ledger "@$digest" && lacks ignored
verdict 'a digest wins over a tag'

render --set operator.replicas=3 && has $operator 'replicas: 3' && has $server 'replicas: 1'
verdict 'only the operator has replicas'

render --set runner.pullPolicy=Always && env_is $operator DCANARY_RUNNER_PULL_POLICY Always
verdict 'the pull policy of the runner reaches the operator'

render --set server.reserveBytes=2097152 --set server.stopSeconds=60 --set server.sweepMinutes=5 \
  --set server.registrySeconds=10 --set server.retentionDays=7 &&
  env_is $server DCANARY_SERVER_RESERVE_BYTES 2097152 && env_is $server DCANARY_SERVER_STOP_SECONDS 60 &&
  env_is $server DCANARY_SERVER_SWEEP_MINUTES 5 && env_is $server DCANARY_SERVER_REGISTRY_SECONDS 10 &&
  env_is $server DCANARY_SERVER_RETENTION_DAYS 7 && has $server 'terminationGracePeriodSeconds: 65'
verdict 'times and the reserve reach the server, and its Pod gets the time to stop'

render --set commonLabels.team=infra --set nameOverride=ci --set operator.priorityClassName=high &&
  has Deployment-ci-operator 'team: infra' 'priorityClassName: high' && has StatefulSet-ci-server 'team: infra'
verdict 'names, labels and placement are applied'

# limit, its smallest and its largest value, its flag
while read -r limit low high flag; do
  render --set "server.limits.$limit=$low" && env_is $server "DCANARY_SERVER_MAX_$flag" "$low" &&
    render --set "server.limits.$limit=$high" && env_is $server "DCANARY_SERVER_MAX_$flag" "$high"
  verdict "limit $limit is settable"
  refuses "limit $limit has a ceiling" "/server/limits/$limit" --set "server.limits.$limit=$((high + 1))"
  refuses "limit $limit has a floor" "/server/limits/$limit" --set "server.limits.$limit=$((low - 1))"
done << 'T'
resultBytes 1 1048576 RESULT_BYTES
runResultBytes 1 16777216 RUN_RESULT_BYTES
results 1 256 RESULTS
artifactBytes 1 10737418240 ARTIFACT_BYTES
artifacts 1 256 ARTIFACTS
namespaceBytes 0 1125899906842624 NAMESPACE_BYTES
logBytes 65536 1073741824 LOG_BYTES
framesBytes 65536 8388608 FRAMES_BYTES
steps 1 50 STEPS
connections 16 65536 CONNECTIONS
T
while read -r limit low high flag; do
  render --set "operator.limits.$limit=$low" && env_is $operator "DCANARY_MAX_$flag" "$low" &&
    render --set "operator.limits.$limit=$high" && env_is $operator "DCANARY_MAX_$flag" "$high"
  verdict "limit $limit of definitions is settable"
  refuses "limit $limit of definitions has a ceiling" "/operator/limits/$limit" --set "operator.limits.$limit=$((high + 1))"
  refuses "limit $limit of definitions has a floor" "/operator/limits/$limit" --set "operator.limits.$limit=$((low - 1))"
done << 'T'
stages 1 1000 STAGES
steps 1 50 STEPS
env 1 100 ENV
params 1 100 PARAMS
paramBytes 1 32768 PARAM_BYTES
scriptBytes 1 262144 SCRIPT_BYTES
retries 0 10 RETRIES
expressionBytes 256 4096 EXPRESSION_BYTES
inlineResultBytes 1 4096 INLINE_RESULT_BYTES
runInlineResultBytes 1 65536 RUN_INLINE_RESULT_BYTES
definitionBytes 4096 262144 DEFINITION_BYTES
T
refuses 'a limit that is taken away is refused' connections --set server.limits.connections=null
refuses 'a limit of definitions that is taken away is refused' retries --set operator.limits.retries=null
refuses 'the reserve has a ceiling' /server/reserveBytes --set server.reserveBytes=68719476737
refuses 'the reserve has a floor' /server/reserveBytes --set server.reserveBytes=1000
refuses 'the retention has a ceiling' /server/retentionDays --set server.retentionDays=3651

refuses 'a typo in a top key is refused' sever --set sever.log=debug
refuses 'a typo in a key of the server is refused' registryCredential --set server.registryCredential=logins
refuses 'a typo in a limit is refused' resultByte --set server.limits.resultByte=1
refuses 'a typo in a limit of definitions is refused' scriptByte --set operator.limits.scriptByte=1
refuses 'a number that is text is refused' /server/limits/results --set-string server.limits.results=many
refuses 'a digest of another form is refused' /image/digest --set image.digest=latest
refuses 'an unknown delivery is refused' /runner/delivery --set runner.delivery=magic
refuses 'an unknown pull policy is refused' /runner/pullPolicy --set runner.pullPolicy=Sometimes
refuses 'too many replicas are refused' /operator/replicas --set operator.replicas=4
refuses 'a URL without a scheme is refused' /ledger/external/url --set ledger.external.url=icp-api.io
refuses 'half a byte of a root key is refused' /ledger/external/rootKey --set-string ledger.external.rootKey=abc
refuses 'a size that is none is refused' /server/storage/size --set server.storage.size=big
refuses 'a rule without repositories is refused' repositories --set 'server.registryRules[0].namespaces={a}'
refuses 'a rule with a tag is refused' /server/registryRules/0/repositories/0 \
  --set 'server.registryRules[0].namespaces={a}' --set 'server.registryRules[0].repositories={reg.example/a:1}'
refuses 'a rule with a pattern in the middle is refused' /server/registryRules/0/namespaces/0 \
  --set 'server.registryRules[0].namespaces={a*b}' --set 'server.registryRules[0].repositories={reg.example/a}'
refuses 'a rule with a typo is refused' namespace --set 'server.registryRules[0].namespace={a}' \
  --set 'server.registryRules[0].namespaces={a}' --set 'server.registryRules[0].repositories={reg.example/a}'
refuses 'an unknown access is refused' /server/registryRules/0/access --set 'server.registryRules[0].access=delete' \
  --set 'server.registryRules[0].namespaces={a}' --set 'server.registryRules[0].repositories={reg.example/a}'

# what a Pod is given, its program reads
render -f "$work/rules.yaml" --set server.registryCA=ca --set server.reserveBytes=2097152 --set runner.pullPolicy=Always \
  --set 'ledger.projects={a}' --set 'server.insecureRegistries={a.example}'
known() { # OBJECT SOURCE
  local name
  : > "$work/error"
  for name in $(grep -oE 'name: DCANARY_[A-Z_]+' "$work/objects/$1" | cut -d' ' -f2); do
    grep -rqF "\"$name\"" "$root/operator/$2/src" || echo "$2 knows no $name" >> "$work/error"
  done
  [ ! -s "$work/error" ]
}
known $server server
verdict 'the server knows every variable that the chart sets'
known $operator controller
verdict 'the operator knows every variable that the chart sets'
known $ledger ../canisters/node
verdict 'the ledger node knows every variable that the chart sets'

policy=NetworkPolicy-dcanary-ledger
render --set ledger.embedded.log=dcanary_node=debug &&
  has $ledger 'failureThreshold: 6' 'terminationGracePeriodSeconds: 600' && env_is $ledger DCANARY_LOG dcanary_node=debug && has $ledger '--mode=production' '--creators-file=' 'resource: limits.memory' && ! grep -q -- '--creators=' "$work/objects/$ledger" &&
  has $policy 'component: operator' 'component: server' 'policyTypes: [Ingress]' &&
  ! grep -q 'namespaceSelector' "$work/objects/$policy"
verdict 'the ledger node is open to the operator and the server alone'
render --set 'ledger.embedded.creators={aaaaa-aa,2chl6-4hpzw}' \
  --set 'ledger.embedded.networkPolicy.allowFrom[0].namespaceSelector.matchLabels.team=audit' &&
  has $ledger '--creators=aaaaa-aa,2chl6-4hpzw' && has $policy 'team: audit'
verdict 'creators and further clients of the ledger node can be named'
render --set ledger.embedded.networkPolicy.enabled=false && lacks 'kind: NetworkPolicy'
verdict 'the network policy can be left out'
render --set ledger.embedded.mode=dev && has $ledger '--mode=dev'
verdict 'the ledger node can be one for development'
lacks '--quota-'
verdict 'the quotas of canisters are the own ones of the ledger node'
render --set ledger.embedded.quotas.disk=8589934592 --set ledger.embedded.quotas.messages=600 --set ledger.embedded.quotas.pending=unlimited &&
  has $ledger '- --quota-disk=8589934592' '- --quota-messages=600' '- --quota-pending=unlimited'
verdict 'the quotas of canisters on the ledger node can be set'
printf 'ledger: {embedded: {quotas: {disk: 8589934592}}}' > "$work/quotas.yaml"
render --values "$work/quotas.yaml" && has $ledger '- --quota-disk=8589934592' && ! grep -q -- '--quota-messages' "$work/objects/$ledger"
verdict 'a large number is not written as a fraction'
refuses 'a quota with a unit is refused' /ledger/embedded/quotas/disk --set ledger.embedded.quotas.disk=4Gi
refuses 'a quota of nothing is refused' /ledger/embedded/quotas/pending --set ledger.embedded.quotas.pending=0
refuses 'a mode of the node that there is not is refused' /ledger/embedded/mode --set ledger.embedded.mode=prod
refuses 'a creator that is no principal is refused' /ledger/embedded/creators/0 --set 'ledger.embedded.creators={Me!}'

# document KIND FILE: the document of that kind in a file, without comments
document() {
  awk -v kind="$1" '
    function flush() { if (found == kind) printf "%s", text; text = found = "" }
    /^---/ { flush(); next }
    /^#/ || /^$/ { next }
    /^kind: / { found = $2 }
    { text = text $0 "\n" }
    END { flush() }' "$2"
}
render
for policy in decisions requests; do
  for kind in ValidatingAdmissionPolicy ValidatingAdmissionPolicyBinding; do
    diff <(document $kind "$chart/policies/$policy.yaml") <(document $kind "$work/objects/$kind-dcanary-$policy") > "$work/error" 2>&1 &&
      [ -s "$work/objects/$kind-dcanary-$policy" ]
    verdict "the $kind of $policy is installed as it stands in its file"
  done
done
render --set nameOverride=ci --set commonLabels.team=infra &&
  diff <(document ValidatingAdmissionPolicy "$chart/policies/decisions.yaml") \
    <(document ValidatingAdmissionPolicy "$work/objects/ValidatingAdmissionPolicy-dcanary-decisions") > "$work/error"
verdict 'no value changes a policy: the operator compares it with its own copy'
render --set policies.install=false && lacks 'kind: ValidatingAdmissionPolicy'
verdict 'a second installation can leave the policies to the first'
refuses 'a typo in the values of the policies is refused' instal --set policies.instal=false

render && has ClusterRole-dcanary-operator 'verbs: [create, requestfor]' 'validatingadmissionpolicybindings' 'verbs: [impersonate]'
verdict 'the operator may ask for others, look after the policies and write as service accounts of Environments'
! grep -l requestfor "$work"/objects/*Role-* | grep -qv 'ClusterRole-dcanary-operator$'
verdict 'nobody else may ask for others'
# impersonating OBJECT…: these alone have the right
impersonating() {
  diff <(printf '%s\n' "$@") <(cd "$work/objects" && grep -l impersonate ./* | cut -c3-) > "$work/error"
}
impersonating ClusterRole-dcanary-operator && lacks dcanary-operator-environments
verdict 'only the operator may impersonate, and it may everywhere unless something else is said'
render --set 'operator.environments.namespaces={shop,docs,shop}' &&
  impersonating Role-dcanary-operator-environments &&
  has Role-dcanary-operator-environments 'namespace: shop' 'namespace: docs' 'resources: [serviceaccounts]' &&
  has RoleBinding-dcanary-operator-environments 'namespace: shop' 'namespace: docs' 'name: dcanary-operator-environments}' \
    '{kind: ServiceAccount, name: dcanary-operator, namespace: dcanary-system}' &&
  [ "$(grep -c impersonate "$work/all")" = 2 ]
verdict 'the operator impersonates in the namespaces of Environments alone when they are named'
render --set-json 'operator.environments.namespaces=[]' && lacks impersonate dcanary-operator-environments &&
  has ClusterRole-dcanary-operator 'resources: [environments, promotions,'
verdict 'where there are no Environments the operator impersonates nobody'
render --set-json 'operator.environments.namespaces=["*","shop"]' && impersonating ClusterRole-dcanary-operator
verdict 'every namespace includes those that are named beside it'
refuses 'a namespace of Environments that none can be called is refused' /operator/environments/namespaces/0 \
  --set 'operator.environments.namespaces={Shop}'
refuses 'a pattern of namespaces of Environments is refused' /operator/environments/namespaces/0 \
  --set 'operator.environments.namespaces={team-*}'
refuses 'namespaces of Environments that are taken away are refused' namespaces --set operator.environments.namespaces=null
render
has ClusterRole-dcanary-approver 'resources: [decisions]' 'verbs: [approve, reject, abort, pause, resume]' &&
  ! grep -qE 'aggregate|update|patch' "$work/objects/ClusterRole-dcanary-approver" &&
  ! grep -q 'name: dcanary-approver}' "$work/all"
verdict 'the role of approvers is given to nobody by itself and may change nothing'
has ClusterRole-dcanary-view 'environments, releases, promotions, decisions, templates' 'aggregate-to-view: "true"' &&
  has ClusterRole-dcanary-edit 'resources: [environments/scale]' 'verbs: [undo, hold]' &&
  has ClusterRole-dcanary-admin 'verbs: [approve, reject, skip, override]' 'verbs: [unhold]' &&
  ! grep -qE 'approve|unhold|override' "$work/objects/ClusterRole-dcanary-edit"
verdict 'what passes over a safeguard takes the admin role'

result=ok
[ $failed = 0 ] || result=FAILED
printf '\ntest result: %s. %d passed; %d failed; 0 ignored\n' $result $passed $failed
[ $failed = 0 ]
