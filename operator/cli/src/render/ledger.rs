//! A ledger's network, code and head; what a person puts into the chart's values and the trust file.

use std::{collections::BTreeSet, fmt};

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

    /// Whether it is the Internet Computer's.
    pub fn is_mainnet(&self) -> bool {
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

/// A canister that is to be made, and what becomes of `--cycles`: pure. Whether a network makes cycles from nothing is known only when it
/// has done so or not.
pub fn new_canister(place: &Place, cycles: u128) -> String {
    let cycles = left(Some(cycles));
    if place.is_mainnet() {
        return format!("a new one, with {cycles} cycles of the identity's, less the price of its creation");
    }
    format!(
        "a new one, with {cycles} cycles from nothing; a node in production mode gives it the node's default cycles instead"
    )
}

/// Whose values and trust files are shown.
#[derive(Clone, Copy, Debug)]
pub enum Meant<'a> {
    /// Those of the operators that were named.
    Role {
        /// Project that they write.
        project: &'a str,
        /// Their domain.
        domain: &'a str,
    },
    /// Those of every operator that has a role.
    All {
        /// Whether older trust files pin another module, and have to be replaced.
        upgraded: bool,
    },
}

/// A deployed ledger for people and for machines.
pub struct View {
    /// Text.
    pub text: String,
    /// JSON.
    pub value: Value,
}

/// What is there now, and what to do with it: every role, and the values and trust files of those that are meant.
///
/// # Errors
/// When the root key is none.
pub fn deployed(place: &Place, found: &Deployed, meant: Meant<'_>) -> Result<View, Failure> {
    let root_key = RootKey::from_der(&place.root_key)
        .map_err(|source| Failure::usage(format!("the root key of {} is {source}", place.url)))?;
    let owners: Vec<String> = people(&found.policy, RoleKind::Owner)
        .map(|one| one.principal.to_text())
        .collect();
    let writers: Vec<Writer> = people(&found.policy, RoleKind::Operator).collect();
    let projects = match meant {
        Meant::Role { project, .. } => BTreeSet::from([project]),
        Meant::All { .. } => writers.iter().map(|one| one.project.as_str()).collect(),
    };
    let hex_key = hex::encode(&place.root_key);
    let installed = installed(meant, &writers);
    let mut table: Vec<(&str, String)> = vec![
        ("network", place.network()),
        ("root key", format!("fingerprint {}", place.fingerprint())),
        ("ledger", found.ledger.to_text()),
        ("module", hex::encode(found.module_hash)),
    ];
    table.extend(controllers(&found.controllers));
    table.extend(owners.iter().map(|owner| ("owner", owner.clone())));
    table.extend(writers.iter().map(|one| ("operator", one.to_string())));
    table.push(("blocks", found.blocks.to_string()));
    table.push(("cycles", left(found.cycles)));
    let mut text: String = found.done.iter().map(|step| format!("{step}\n")).collect();
    if text.is_empty() {
        text.push_str("everything was there\n");
    }
    text.push('\n');
    text.push_str(&rows(table));
    let mut values = json!({"ledger": {
        "embedded": {"enabled": false},
        "external": {"url": place.url, "rootKey": hex_key, "canister": found.ledger.to_text()},
    }});
    let own = match installed {
        Some((project, domain)) => {
            values["ledger"]["project"] = json!(project);
            values["ledger"]["domain"] = json!(domain);
            format!("  project: {project}\n  domain: {domain}\n")
        }
        None => "  # project and domain: those of the installation's operator, above\n".to_owned(),
    };
    text.push_str(&format!(
        "
Values of the chart:
ledger:
{own}  embedded:
    enabled: false
  external:
    url: {}
    rootKey: {hex_key}
    canister: {}

Trust file, for everybody who verifies:
",
        place.url, found.ledger
    ));
    let replace = match meant {
        Meant::All { upgraded: true } => " --replace",
        _ => "",
    };
    // a ledger without operators is pinned for the project that they get when nobody says another one
    let pinned: Vec<&str> = match projects.len() {
        0 => vec![DEFAULT.0],
        _ => projects.into_iter().collect(),
    };
    for project in &pinned {
        text.push_str(&format!(
            "dcanary trust pin --network {} --ledger {} --project {project} --root-key {hex_key}{replace}\n",
            place.url, found.ledger
        ));
    }
    let trust = |project: &str| trust(root_key, found, &writers, project);
    let value = json!({
        "network": place.url,
        "rootKey": hex_key,
        "ledger": found.ledger.to_text(),
        "module": hex::encode(found.module_hash),
        "controllers": texts(&found.controllers),
        "owners": owners,
        "operators": writers.iter().map(Writer::value).collect::<Vec<_>>(),
        "blocks": found.blocks,
        "cycles": found.cycles.map(|cycles| cycles.to_string()),
        "done": found.done,
        "values": values,
        // a trust file is of one project
        "trust": match pinned.as_slice() {
            [only] => trust(only),
            _ => Value::Null,
        },
    });
    Ok(View { text, value })
}

/// Project and domain of an operator when nobody says other ones: the chart's defaults.
const DEFAULT: (&str, &str) = ("default", "local");

/// Project and domain of the installation that is meant, `None` where operators of several have roles: pure.
fn installed<'a>(meant: Meant<'a>, writers: &'a [Writer]) -> Option<(&'a str, &'a str)> {
    if let Meant::Role { project, domain } = meant {
        return Some((project, domain));
    }
    let mut all = writers
        .iter()
        .map(|one| (one.project.as_str(), one.domain.as_str()));
    let first = all.next().unwrap_or(DEFAULT);
    all.all(|other| other == first).then_some(first)
}

/// The trust file of a project.
fn trust(root_key: RootKey, found: &Deployed, writers: &[Writer], project: &str) -> Value {
    let domain = |one: &Writer| TrustedDomain {
        owner: one.domain.clone(),
        domain: one.domain.clone(),
        principal: one.principal,
    };
    let trust = TrustFile {
        root_key,
        ledger: found.ledger,
        project: Some(project.to_owned()),
        module_hashes: vec![found.module_hash],
        controllers: Some(found.controllers.clone()),
        domains: Some(
            writers
                .iter()
                .filter(|one| one.project == project)
                .map(domain)
                .collect(),
        ),
    };
    serde_json::from_str(&trust.to_json()).unwrap_or(Value::Null)
}

/// Somebody who holds a role.
struct Writer {
    principal: Principal,
    project: String,
    domain: String,
}

impl Writer {
    fn value(&self) -> Value {
        json!({"principal": self.principal.to_text(), "project": self.project, "domain": self.domain})
    }
}

impl fmt::Display for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            principal,
            project,
            domain,
        } = self;
        write!(f, "{principal} writes project {project}, domain {domain}")
    }
}

/// Those who hold a role.
fn people(policy: &Policy, kind: RoleKind) -> impl Iterator<Item = Writer> + '_ {
    policy
        .roles()
        .filter(move |role| role.role == kind)
        .filter_map(|role| {
            Some(Writer {
                principal: Principal::try_from_slice(&role.principal).ok()?,
                project: role.project.clone(),
                domain: role.domain.clone(),
            })
        })
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
