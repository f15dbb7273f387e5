//! Rights of the product against what it asked for: no granted verb unused, none wider than its use, none denied.
//!
//! Reads the audit log of the local cluster, so it runs after all other end-to-end tests.

use std::{collections::BTreeSet, io::BufRead, path::PathBuf};

use anyhow::{Context, Result, ensure};
use dcanary_harness::Cluster;
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role, RoleBinding, Subject};
use kube::{Api, api::ListParams};
use serde_json::Value;

/// API group, resource with subresource, verb, name of the one object where that is said. Uses have names for Secrets only: of everything else
/// there are too many.
type Right = (String, String, String, Option<String>);
/// A right and the namespace that it is for; without one it is for all of them and for what is in none.
type Scoped = (Option<String>, Right);

const ACCOUNTS: [&str; 3] = ["dcanary-operator", "dcanary-server", "dcanary-ledger"];

fn expand(rules: Option<Vec<PolicyRule>>) -> Vec<Right> {
    let mut rights = Vec::new();
    for rule in rules.unwrap_or_default() {
        for group in rule.api_groups.iter().flatten() {
            for resource in rule.resources.iter().flatten() {
                for verb in &rule.verbs {
                    let named = |name| (group.clone(), resource.clone(), verb.clone(), name);
                    match rule.resource_names.as_deref().unwrap_or_default() {
                        [] => rights.push(named(None)),
                        names => rights.extend(names.iter().cloned().map(Some).map(named)),
                    }
                }
            }
        }
    }
    rights
}

fn names(subjects: Option<&Vec<Subject>>, account: &str, namespace: &str) -> bool {
    subjects.into_iter().flatten().any(|subject| {
        subject.kind == "ServiceAccount"
            && subject.name == account
            && subject.namespace.as_deref() == Some(namespace)
    })
}

async fn granted(cluster: &Cluster, account: &str) -> Result<BTreeSet<Scoped>> {
    let (client, namespace) = (cluster.client.clone(), cluster.operator_namespace.as_str());
    let mut rights = BTreeSet::new();
    let everywhere: Api<ClusterRoleBinding> = Api::all(client.clone());
    let roles: Api<ClusterRole> = Api::all(client.clone());
    for binding in everywhere.list(&ListParams::default()).await?.items {
        if names(binding.subjects.as_ref(), account, namespace) {
            let rules = expand(roles.get(&binding.role_ref.name).await?.rules);
            rights.extend(rules.into_iter().map(|right| (None, right)));
        }
    }
    let here: Api<RoleBinding> = Api::all(client.clone());
    for binding in here.list(&ListParams::default()).await?.items {
        if names(binding.subjects.as_ref(), account, namespace) {
            let place = binding.metadata.namespace.context("namespace")?;
            let local: Api<Role> = Api::namespaced(client.clone(), &place);
            let rules = expand(local.get(&binding.role_ref.name).await?.rules);
            rights.extend(rules.into_iter().map(|right| (Some(place.clone()), right)));
        }
    }
    Ok(rights)
}

/// Files of the audit log, the rotated ones too.
fn audit_files() -> Result<Vec<PathBuf>> {
    let state = std::env::var_os("DCANARY_STATE").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".local/state/dcanary"),
        PathBuf::from,
    );
    let folder = state.join("cluster/audit");
    let files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .with_context(|| format!("no audit log in {}", folder.display()))?
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .collect();
    ensure!(!files.is_empty(), "no audit log in {}", folder.display());
    Ok(files)
}

/// What an account asked for and where, and what of it was denied.
fn asked(account: &str, namespace: &str) -> Result<(BTreeSet<Scoped>, Vec<String>)> {
    let user = format!("system:serviceaccount:{namespace}:{account}");
    let (mut used, mut denied) = (BTreeSet::new(), Vec::new());
    for file in audit_files()? {
        for line in std::io::BufReader::new(std::fs::File::open(file)?).lines() {
            let line = line?;
            if !line.contains(&user) {
                continue;
            }
            // the line that is being written at this moment may be cut
            let Ok(event) = serde_json::from_str::<Value>(&line) else {
                continue;
            };
            if event["user"]["username"] != user.as_str() {
                continue;
            }
            if !event["impersonatedUser"].is_null() {
                // what is asked for as somebody else is theirs to be allowed or not
                let [group, resource, verb] = ["", "serviceaccounts", "impersonate"].map(str::to_owned);
                let whose = event["impersonatedUser"]["username"].as_str().unwrap_or("");
                let place = whose.split(':').nth(2).map(str::to_owned);
                used.insert((place, (group, resource, verb, None)));
                continue;
            }
            let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
            let reference = &event["objectRef"];
            let mut resource = text(&reference["resource"]);
            if let Some(sub) = reference["subresource"].as_str() {
                resource = format!("{resource}/{sub}");
            }
            // what is made has no name yet when it is allowed
            let verb = text(&event["verb"]);
            let name = reference["name"]
                .as_str()
                .filter(|_| resource == "secrets" && verb != "create");
            let right = (
                text(&reference["apiGroup"]),
                resource,
                verb,
                name.map(str::to_owned),
            );
            if event["annotations"]["authorization.k8s.io/decision"] == "forbid" {
                denied.push(format!("{right:?} at {}", text(&event["requestURI"])));
            }
            used.insert((reference["namespace"].as_str().map(str::to_owned), right));
        }
    }
    Ok((used, denied))
}

/// Whether a right allows a use.
fn covers(right: &Right, wanted: &Right) -> bool {
    (&right.0, &right.1, &right.2) == (&wanted.0, &wanted.1, &wanted.2)
        && (right.3.is_none() || right.3 == wanted.3)
}

/// Rights that were not needed as they were granted: never used, used at home only though they are for every namespace, granted twice, or for
/// every Secret.
fn superfluous(granted: &BTreeSet<Scoped>, used: &BTreeSet<Scoped>, home: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    for grant in granted {
        let (place, right) = grant;
        let uses: Vec<_> = used
            .iter()
            .filter(|(_, used)| covers(right, used))
            .map(|(place, _)| place.as_deref())
            .collect();
        // the admission policies ask for this verb; it is no request of its own, so no audit log has it
        if right.2 == "requestfor" {
            continue;
        }
        if right.1 == "secrets" && right.2 != "create" && right.3.is_none() {
            wrong.push(format!("has {right:?} for every Secret and does not name them"));
        } else if place.is_some() && granted.contains(&(None, right.clone())) {
            wrong.push(format!("has {right:?} in every namespace and in one"));
        } else if uses.is_empty() || place.is_some() && !uses.contains(&place.as_deref()) {
            wrong.push(format!("never used {right:?}"));
        } else if place.is_none() && uses.iter().all(|place| *place == Some(home)) {
            wrong.push(format!(
                "has {right:?} in every namespace, used it in {home} only"
            ));
        }
    }
    wrong
}

#[test]
fn a_right_that_is_wider_than_its_use_is_noticed() {
    let right = |resource: &str, verb: &str, name: Option<&str>| {
        let [group, resource, verb] = ["", resource, verb].map(str::to_owned);
        (group, resource, verb, name.map(str::to_owned))
    };
    let scoped = |place: Option<&str>, verb| (place.map(str::to_owned), right("pods", verb, None));
    let secret = |verb, name| (Some("home".to_owned()), right("secrets", verb, name));
    let says = |granted: &[&Scoped], used: &[&Scoped]| {
        let [granted, used] = [granted, used].map(|all| all.iter().copied().cloned().collect());
        superfluous(&granted, &used, "home").len()
    };
    let (all, home, away) = (
        &scoped(None, "get"),
        &scoped(Some("home"), "get"),
        &scoped(Some("away"), "get"),
    );
    assert_eq!(says(&[all], &[away]), 0);
    assert_eq!(says(&[all], &[all]), 0);
    assert_eq!(says(&[home], &[home]), 0);
    assert_eq!(says(&[all], &[home]), 1);
    assert_eq!(says(&[all], &[&scoped(Some("away"), "list")]), 1);
    assert_eq!(says(&[home], &[away]), 1);
    assert_eq!(says(&[all, home], &[all]), 1);
    let (mine, other) = (&secret("get", Some("mine")), &secret("get", Some("other")));
    assert_eq!(says(&[mine], &[mine]), 0);
    assert_eq!(says(&[mine, other], &[mine]), 1);
    assert_eq!(says(&[&secret("get", None)], &[mine]), 1);
    assert_eq!(says(&[&secret("create", None)], &[&secret("create", None)]), 0);
}

#[tokio::test]
async fn every_granted_verb_is_used_and_none_is_denied() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let mut wrong = Vec::new();
    for account in ACCOUNTS {
        let granted = granted(&cluster, account).await?;
        let (used, denied) = asked(account, &cluster.operator_namespace)?;
        ensure!(
            used.is_empty() == granted.is_empty(),
            "{account}: granted {granted:?}, the audit log has {used:?}"
        );
        wrong.extend(
            denied
                .into_iter()
                .map(|what| format!("{account} was denied {what}")),
        );
        wrong.extend(
            superfluous(&granted, &used, &cluster.operator_namespace)
                .into_iter()
                .map(|what| format!("{account} {what}")),
        );
    }
    wrong.sort();
    wrong.dedup();
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}
