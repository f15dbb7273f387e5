//! `trust pin` and `trust show`
//!
//! Pinning is a moment of trust on first use, so it asks the network for its root key, and it shows what it got.

use std::{
    collections::BTreeSet,
    fs,
    io::{ErrorKind, IsTerminal as _, stdin},
    path::Path,
};

use dcanary_ledger::{Ledger as _, LedgerError};
use dcanary_types::policy::{Policy, RoleKind};
use dcanary_verifier::{TrustFile, TrustedDomain};
use ic_agent::export::Principal;

use super::{
    ask::{Instead, confirmed_or},
    root_key::{self, RootKeyError, Source},
};
use crate::{
    args::{Format, Global, PinArgs, Trust},
    cluster::{
        Cluster,
        ledger_config::{LedgerConfig, NAME},
    },
    exit::{Exit, Failure},
    journal::{
        self, Target,
        place::{self, Anchor, Unnamed},
    },
    output::{machine, note, print},
    render::pin::{fingerprint, pins},
    trust_file::{self, Folders},
    whole_file::{Readers, WholeFile},
};

/// Runs the subcommand.
pub async fn run(global: &Global, command: Trust) -> Result<Exit, Failure> {
    let folders = Folders::of_process();
    match command {
        Trust::Show { trust } => {
            let form = global.form("dcanary trust show", &[Format::Json, Format::Yaml])?;
            let path = folders.trust_file(trust.as_deref())?;
            let Some((path, trust)) = trust_file::load(trust.as_deref(), &folders)? else {
                return Err(Failure::usage(format!(
                    "there is no trust file {}; write it with `dcanary trust pin`",
                    path.display()
                )));
            };
            match form {
                Some(format @ (Format::Json | Format::Yaml)) => print(&machine(&trust, format)?),
                _ => print(&format!("{}\n{}", path.display(), pins(&trust))),
            }
            Ok(Exit::Succeeded)
        }
        Trust::Pin(args) => {
            global.form("dcanary trust pin", &[])?;
            pin(global, &args, &folders).await
        }
    }
}

async fn pin(global: &Global, args: &PinArgs, folders: &Folders) -> Result<Exit, Failure> {
    let path = folders.trust_file(args.trust.as_deref())?;
    let all_named = args.network.is_some() && args.ledger.is_some() && args.project.is_some();
    let (cluster, hints) = if all_named {
        (None, None)
    } else {
        let (cluster, hints) = Cluster::with_ledger(global)
            .await
            .map_err(|cause| Unnamed::to_pin(args, cause))?;
        (Some(cluster), Some(hints))
    };
    let found = look(args, cluster.as_ref(), hints.as_ref(), folders, &path).await?;
    // A file that cannot be read is one that is there.
    let before = match fs::read(&path) {
        Err(source) if source.kind() == ErrorKind::NotFound => None,
        other => Some(other.unwrap_or_default()),
    };
    let step = step(before.as_deref(), &found, args);
    if step == Step::Same {
        print(&format!(
            "{} pins this already:\n{}",
            path.display(),
            pins(&found)
        ));
        return Ok(Exit::Succeeded);
    }
    print(&format!("{} will pin:\n{}", path.display(), pins(&found)));
    if step == Step::Refuse {
        return Err(Failure::failed(format!(
            "{} pins something else; a changed pin means another network, ledger, project or code: find out why, then give --replace, or pin into another file with --trust FILE",
            path.display()
        )));
    }
    note("Compare the fingerprint with what the ledger's owner tells you on another way.");
    // what the cluster names is known on another way than the network's own word
    let instead = match source(args)? {
        Source::Fetch if args.network.is_some() || hints.is_none() => Instead::RootKey,
        _ => Instead::Yes,
    };
    if step == Step::Ask
        && !confirmed_or(
            "Pin this?",
            "pin",
            instead,
            stdin().is_terminal(),
            &mut stdin().lock(),
        )?
    {
        return Err(Failure::failed("nothing was written").with(Exit::Cancelled));
    }
    save(&path, &found)?;
    note(&format!("wrote {}", path.display()));
    Ok(Exit::Succeeded)
}

/// What becomes of a pin.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// The file says it already.
    Same,
    /// The file says something else, and may not be replaced.
    Refuse,
    /// A person has to say yes.
    Ask,
    /// Write it.
    Write,
}

/// Decides: pure.
fn step(before: Option<&[u8]>, found: &TrustFile, args: &PinArgs) -> Step {
    match before {
        Some(text) if TrustFile::parse(text).is_ok_and(|old| old == *found) => Step::Same,
        Some(_) if !args.replace => Step::Refuse,
        _ if args.yes => Step::Write,
        _ => Step::Ask,
    }
}

/// Asks network and ledger for what they are now.
async fn look(
    args: &PinArgs,
    cluster: Option<&Cluster>,
    hints: Option<&LedgerConfig>,
    folders: &Folders,
    path: &Path,
) -> Result<TrustFile, Failure> {
    let missing = |what: &str| Failure::usage(format!("name {what}, or a kubeconfig of a cluster that does"));
    let named = args.network.as_deref();
    let network = named
        .map(|network| place::url(network).to_owned())
        .or_else(|| hints.map(|hints| hints.network.clone()))
        .ok_or_else(|| missing("the network with --network URL"))?;
    let ledger = match &args.ledger {
        Some(text) => Principal::from_text(text)
            .map_err(|_| Failure::usage(format!("--ledger {text} is not the text form of a canister id")))?,
        None => hints
            .map(|hints| hints.ledger)
            .ok_or_else(|| missing("the ledger with --ledger ID"))?,
    };
    let route = match cluster {
        Some(cluster) => cluster.route(&network).await?,
        None => crate::cluster::ledger_config::Route::direct(network.clone()),
    };
    let pinned = match source(args)? {
        Source::Named(key) => key,
        Source::Fetch => root_key::fetch(&route.url).await?,
    };
    let root_key = pinned.to_der();
    agrees(hints.filter(|_| args.network.is_none()), &root_key)?;
    let target = Target {
        root_key,
        ledger,
        network: route.url.clone(),
        anchor: Anchor::Named,
    };
    let access = journal::access(&target, None, folders, Some(path)).await?;
    let refused = |source: LedgerError| {
        let told = access.told(&source);
        match source {
            LedgerError::Forked(_) => Failure::failed(told),
            _ => Failure::cannot_tell(told),
        }
    };
    let code = access.ledger.code().await.map_err(refused)?;
    let module = code.module_hash.ok_or_else(|| {
        Failure::cannot_tell(format!(
            "nothing is installed under canister {ledger} at {}: check whether --ledger and --network name the same network's ledger",
            route.url
        ))
    })?;
    if let Err(source) = access.ledger.ready().await {
        return Err(match no_ledger(&source, ledger, &route.url) {
            Some(failure) => failure,
            None => refused(source),
        });
    }
    let (head, document) = journal::head::with_policy(access.ledger.as_ref())
        .await
        .map_err(refused)?;
    let policy = Policy::decode(&document)
        .ok()
        .filter(|_| journal::head::is_of(&head, &document))
        .ok_or_else(|| Failure::failed("the ledger's policy document is not the one that it certifies"))?;
    let project = args
        .project
        .clone()
        .or_else(|| hints.map(|hints| hints.project.clone()));
    Ok(TrustFile {
        root_key: pinned,
        ledger,
        domains: project
            .as_deref()
            .map(|project| domains(&policy, ledger, project))
            .transpose()?,
        project,
        module_hashes: vec![module],
        controllers: code.controllers,
    })
}

/// Where the root key comes from. Pinning is for a network of which nothing is known, so it is asked unless it is named: pure.
fn source(args: &PinArgs) -> Result<Source, RootKeyError> {
    match (args.network.as_deref(), args.root_key.as_deref()) {
        (Some("ic"), named) => root_key::source("ic", named),
        (_, None) => Ok(Source::Fetch),
        (network, named) => root_key::source(network.unwrap_or_default(), named),
    }
}

/// Whether the network has the root key that the cluster names, if it names one of that network: pure.
fn agrees(hints: Option<&LedgerConfig>, root_key: &[u8]) -> Result<(), Failure> {
    match hints {
        Some(hints) if hints.root_key != root_key => Err(Failure::failed(format!(
            "the network's root key (fingerprint {}) is not the one that the cluster's ConfigMap {NAME} names (fingerprint {}): one of them is not what it says; nothing was written",
            fingerprint(root_key),
            fingerprint(&hints.root_key),
        ))),
        _ => Ok(()),
    }
}

/// What is said of a canister that is no ledger, if it is none: pure.
fn no_ledger(source: &LedgerError, ledger: Principal, url: &str) -> Option<Failure> {
    source.is_of_no_ledger().then(|| {
        Failure::failed(format!(
            "canister {ledger} at {url} is no DCanary ledger ({source}): check whether --ledger and --network name the same network's ledger"
        ))
    })
}

/// The writers of a project, as the certified policy has them: pure.
fn domains(policy: &Policy, ledger: Principal, project: &str) -> Result<Vec<TrustedDomain>, Failure> {
    let operators = || policy.roles().filter(|role| role.role == RoleKind::Operator);
    let known: BTreeSet<&str> = operators().map(|role| role.project.as_str()).collect();
    if known.is_empty() {
        return Err(Failure::failed(format!(
            "nobody may write runs in ledger {ledger} yet: one of its owners grants an operator its role first, with `dcanary ledger deploy --canister {ledger} --operator PRINCIPAL --project {project} --domain NAME`; then pin again"
        )));
    }
    if !known.contains(project) {
        let near = dcanary_core::problem::suggestion(project, known.iter().copied());
        let known: Vec<&str> = known.into_iter().collect();
        return Err(Failure::failed(format!(
            "nobody may write runs of project `{project}` in this ledger, which has {}: name one with --project, or list the project in the chart's ledger.projects{near}",
            known.join(", ")
        )));
    }
    Ok(operators()
        .filter(|role| role.project == project)
        .map(|role| TrustedDomain {
            owner: role.domain.clone(),
            domain: role.domain.clone(),
            principal: Principal::from_slice(&role.principal),
        })
        .collect())
}

fn save(path: &Path, trust: &TrustFile) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        WholeFile::keep(path, Readers::All, trust.to_json().as_bytes())
    };
    write().map_err(|source| Failure::usage(format!("cannot write {}: {source}", path.display())))
}

#[cfg(test)]
#[path = "trust_tests.rs"]
mod tests;
