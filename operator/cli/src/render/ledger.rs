//! A ledger's network, code and head; what a person puts into the chart's values and the trust file.

use dcanary_ledger::{
    Head,
    deploy::{Deployed, Person},
};
use dcanary_types::{
    Hash,
    policy::{Policy, RoleKind},
};
use dcanary_verifier::{RootKey, TrustFile, TrustedDomain};
use ic_agent::export::Principal;
use serde_json::{Value, json};

use super::pin::fingerprint;
use crate::{exit::Failure, output::age::instant};

/// One row for each name and value.
pub fn rows<'a>(rows: impl IntoIterator<Item = (&'a str, String)>) -> String {
    rows.into_iter()
        .map(|(name, value)| format!("{name:<12} {value}\n"))
        .collect()
}

/// What is about to be done; without the last newline.
pub fn plan(lines: &[(&'static str, String)]) -> String {
    rows(lines.iter().map(|(name, value)| (*name, value.clone())))
        .trim_end()
        .to_owned()
}

/// A network.
#[derive(Clone, Debug)]
pub struct Place {
    /// URL.
    pub url: String,
    /// DER-encoded root key.
    pub root_key: Vec<u8>,
}

impl Place {
    /// That of a person.
    pub fn of(person: &Person) -> Self {
        Self {
            url: person.transport.url.clone(),
            root_key: person.root_key.clone(),
        }
    }

    fn is_mainnet(&self) -> bool {
        RootKey::from_der(&self.root_key).is_ok_and(|key| key.is_mainnet())
    }

    /// URL, and whether it is the mainnet.
    pub fn network(&self) -> String {
        if self.is_mainnet() {
            format!("{} (the Internet Computer's mainnet)", self.url)
        } else {
            self.url.clone()
        }
    }

    /// Fingerprint of the root key.
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.root_key)
    }
}

/// A deployed ledger for people and for machines.
pub struct View {
    /// Text.
    pub text: String,
    /// JSON.
    pub value: Value,
}

/// What is there now, and what to do with it. `role` is the project and domain of the operators.
///
/// # Errors
/// When the root key is none.
pub fn deployed(place: &Place, found: &Deployed, role: (&str, &str)) -> Result<View, Failure> {
    let (project, domain) = role;
    let root_key = RootKey::from_der(&place.root_key)
        .map_err(|_| Failure::usage("the root key is not a DER-encoded BLS key of 133 bytes"))?;
    let owners: Vec<String> = people(&found.policy, RoleKind::Owner, None)
        .map(|(principal, _)| principal.to_text())
        .collect();
    let writers: Vec<(Principal, String)> =
        people(&found.policy, RoleKind::Operator, Some(project)).collect();
    let trust = TrustFile {
        root_key,
        ledger: found.ledger,
        project: Some(project.to_owned()),
        module_hashes: vec![found.module_hash],
        controllers: Some(found.controllers.clone()),
        domains: Some(
            writers
                .iter()
                .map(|(principal, domain)| TrustedDomain {
                    owner: domain.clone(),
                    domain: domain.clone(),
                    principal: *principal,
                })
                .collect(),
        ),
    };
    let hex_key = hex::encode(&place.root_key);
    let values = json!({"ledger": {
        "project": project,
        "domain": domain,
        "embedded": {"enabled": false},
        "external": {"url": place.url, "rootKey": hex_key, "canister": found.ledger.to_text()},
    }});
    let mut table: Vec<(&str, String)> = vec![
        ("network", place.network()),
        ("root key", format!("fingerprint {}", place.fingerprint())),
        ("ledger", found.ledger.to_text()),
        ("module", hex::encode(found.module_hash)),
    ];
    table.extend(controllers(&found.controllers));
    table.extend(owners.iter().map(|owner| ("owner", owner.clone())));
    let writes = |(principal, domain): &(Principal, String)| {
        (
            "operator",
            format!("{principal} writes project {project}, domain {domain}"),
        )
    };
    table.extend(writers.iter().map(writes));
    table.push(("blocks", found.blocks.to_string()));
    table.push(("cycles", left(found.cycles)));
    let mut text: String = found.done.iter().map(|step| format!("{step}\n")).collect();
    if text.is_empty() {
        text.push_str("everything was there\n");
    }
    text.push('\n');
    text.push_str(&rows(table));
    text.push_str(&format!(
        "
Values of the chart:
ledger:
  project: {project}
  domain: {domain}
  embedded:
    enabled: false
  external:
    url: {}
    rootKey: {hex_key}
    canister: {}

Trust file, for everybody who verifies:
dcanary trust pin --network {} --ledger {} --project {project} --root-key {hex_key}
",
        place.url, found.ledger, place.url, found.ledger
    ));
    let trust_json = serde_json::from_str(&trust.to_json()).unwrap_or(Value::Null);
    let value = json!({
        "network": place.url,
        "rootKey": hex_key,
        "ledger": found.ledger.to_text(),
        "module": hex::encode(found.module_hash),
        "controllers": texts(&found.controllers),
        "owners": owners,
        "blocks": found.blocks,
        "cycles": found.cycles.map(|cycles| cycles.to_string()),
        "done": found.done,
        "values": values,
        "trust": trust_json,
    });
    Ok(View { text, value })
}

/// Those who hold a role, and the domain under which.
fn people<'a>(
    policy: &'a Policy,
    kind: RoleKind,
    project: Option<&'a str>,
) -> impl Iterator<Item = (Principal, String)> + 'a {
    policy
        .roles()
        .filter(move |role| role.role == kind && project.is_none_or(|project| role.project == project))
        .filter_map(|role| {
            Some((
                Principal::try_from_slice(&role.principal).ok()?,
                role.domain.clone(),
            ))
        })
}

/// Project and domain of the first operator of a policy; the chart's defaults where there is none.
pub fn told(policy: &Policy) -> (String, String) {
    let first = policy.roles().find(|role| role.role == RoleKind::Operator);
    first.map_or_else(
        || ("default".to_owned(), "local".to_owned()),
        |role| (role.project.clone(), role.domain.clone()),
    )
}

fn texts(principals: &[Principal]) -> Vec<String> {
    principals.iter().map(Principal::to_text).collect()
}

fn controllers(found: &[Principal]) -> Vec<(&'static str, String)> {
    if found.is_empty() {
        return vec![("controllers", "nobody: its code can never be changed".to_owned())];
    }
    texts(found)
        .into_iter()
        .map(|text| ("controller", text))
        .collect()
}

fn left(cycles: Option<u128>) -> String {
    let Some(cycles) = cycles else {
        return "only its controllers may know (--identity FILE)".to_owned();
    };
    let thousandths = cycles / 1_000_000_000;
    format!("{cycles} ({}.{:03} T)", thousandths / 1_000, thousandths % 1_000)
}

/// What `ledger status` shows.
pub struct Status {
    /// Canister id.
    pub ledger: Principal,
    /// URL of the network.
    pub network: String,
    /// The certified head.
    pub head: Head,
    /// The certified module hash.
    pub module: Option<Hash>,
    /// The longer form.
    pub code: Option<Code>,
}

/// What `ledger status` shows in its longer form.
pub struct Code {
    /// Whether the module is the shipped one; `None` when none is at hand.
    pub shipped: Option<bool>,
    /// The certified controllers.
    pub controllers: Vec<Principal>,
    /// How often the ledger was restored, as it says itself; `None` when it does not.
    pub incarnation: Option<u64>,
    /// Cycles left; `None` where the reader may not know.
    pub cycles: Option<u128>,
}

fn module(status: &Status) -> String {
    status.module.map_or_else(|| "none".to_owned(), hex::encode)
}

/// The status as rows.
pub fn status_rows(status: &Status) -> String {
    let head = &status.head;
    let mut table = vec![
        ("ledger", status.ledger.to_text()),
        ("network", status.network.clone()),
        ("blocks", head.size.to_string()),
        ("root", hex::encode(head.root)),
        ("last block", hex::encode(head.last_hash)),
        ("policy", hex::encode(head.policy_hash)),
        ("module", module(status)),
    ];
    if let Some(code) = &status.code {
        let shipped = match code.shipped {
            Some(true) => "yes",
            Some(false) => "no: another one runs",
            None => "not known: no wasm is at hand (--wasm FILE)",
        };
        table.push(("shipped", shipped.to_owned()));
        table.extend(controllers(&code.controllers));
        let restored = |n: u64| format!("{n} (as the ledger says; not certified)");
        table.push((
            "incarnation",
            code.incarnation.map_or_else(|| "not known".to_owned(), restored),
        ));
        table.push(("cycles", left(code.cycles)));
    }
    table.push(("certified", instant(head.time)));
    rows(table)
}

/// The status for machines.
pub fn status_value(status: &Status) -> Value {
    let head = &status.head;
    let mut value = json!({
        "ledger": status.ledger.to_text(),
        "network": status.network,
        "blocks": head.size,
        "root": hex::encode(head.root),
        "lastBlock": hex::encode(head.last_hash),
        "policy": hex::encode(head.policy_hash),
        "module": module(status),
        "certifiedAt": instant(head.time),
    });
    if let (Some(code), Some(map)) = (&status.code, value.as_object_mut()) {
        map.insert("shipped".to_owned(), json!(code.shipped));
        map.insert("controllers".to_owned(), json!(texts(&code.controllers)));
        map.insert("incarnation".to_owned(), json!(code.incarnation));
        // more than a JSON number holds exactly
        map.insert(
            "cycles".to_owned(),
            json!(code.cycles.map(|cycles| cycles.to_string())),
        );
    }
    value
}

#[cfg(test)]
#[path = "ledger_tests.rs"]
mod tests;
