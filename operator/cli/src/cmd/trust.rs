//! `trust pin` and `trust show`
//!
//! Pinning is the one moment of trust on first use, so it is the only place in the product that asks a network for its
//! root key, and it shows what it got.

use std::{
    fs,
    io::{BufRead as _, IsTerminal as _, Write as _, stdin},
    path::Path,
    sync::Arc,
};

use dcanary_ledger::{Ledger as _, Transport, transport};
use dcanary_types::policy::{Policy, RoleKind};
use dcanary_verifier::{RootKey, TrustFile, TrustedDomain};
use ic_agent::{export::Principal, identity::AnonymousIdentity};

use crate::{
    args::{Format, Global, PinArgs, Trust},
    cluster::{Cluster, ledger_config::LedgerConfig},
    exit::{Exit, Failure},
    journal::{self, Target},
    output::{note, print},
    render::pin::pins,
    trust_file::{self, Folders},
};

/// Runs the subcommand.
pub async fn run(global: &Global, command: Trust) -> Result<Exit, Failure> {
    let folders = Folders::of_process();
    match command {
        Trust::Show { trust } => {
            let path = folders.trust_file(trust.as_deref())?;
            let Some((path, trust)) = trust_file::load(trust.as_deref(), &folders)? else {
                return Err(Failure::usage(format!(
                    "there is no trust file {}; write it with `dcanary trust pin`",
                    path.display()
                )));
            };
            match global.format()? {
                Some(Format::Json | Format::Yaml) => print(&trust.to_json()),
                _ => print(&format!("{}\n{}", path.display(), pins(&trust))),
            }
            Ok(Exit::Succeeded)
        }
        Trust::Pin(args) => pin(global, &args, &folders).await,
    }
}

async fn pin(global: &Global, args: &PinArgs, folders: &Folders) -> Result<Exit, Failure> {
    let path = folders.trust_file(args.trust.as_deref())?;
    let all_named = args.network.is_some() && args.ledger.is_some() && args.project.is_some();
    let (cluster, hints) = if all_named {
        (None, None)
    } else {
        let cluster = Cluster::connect(global).await?;
        let hints = cluster.ledger_config().await?;
        (Some(cluster), Some(hints))
    };
    let found = look(args, cluster.as_ref(), hints.as_ref(), folders).await?;
    let before = fs::read(&path).ok();
    let same = before
        .as_deref()
        .and_then(|text| TrustFile::parse(text).ok())
        .is_some_and(|old| old == found);
    if same {
        print(&format!(
            "{} pins this already:\n{}",
            path.display(),
            pins(&found)
        ));
        return Ok(Exit::Succeeded);
    }
    print(&format!("{} will pin:\n{}", path.display(), pins(&found)));
    if before.is_some() && !args.replace {
        return Err(Failure::failed(format!(
            "{} pins something else; a changed pin means another network, ledger or code: find out why, then give --replace",
            path.display()
        )));
    }
    note("Compare the fingerprint with what the ledger's owner tells you on another way.");
    if !args.yes && !confirmed()? {
        return Err(Failure::failed("nothing was written"));
    }
    save(&path, &found)?;
    note(&format!("wrote {}", path.display()));
    Ok(Exit::Succeeded)
}

/// Asks network and ledger for what they are now.
async fn look(
    args: &PinArgs,
    cluster: Option<&Cluster>,
    hints: Option<&LedgerConfig>,
    folders: &Folders,
) -> Result<TrustFile, Failure> {
    let missing = |what: &str| Failure::usage(format!("name {what}, or a kubeconfig of a cluster that does"));
    let network = args
        .network
        .clone()
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
    let root_key = match &args.root_key {
        Some(text) => hex::decode(text).map_err(|_| Failure::usage("--root-key is not hex"))?,
        None => fetch_root_key(&route.url).await?,
    };
    if hints.is_some_and(|hints| args.network.is_none() && hints.root_key != root_key) {
        return Err(Failure::failed(
            "the network has another root key than the cluster's ConfigMap dcanary-ledger names: one of them is not what it says",
        ));
    }
    let pinned = RootKey::from_der(&root_key)
        .map_err(|_| Failure::usage("the root key is not a DER-encoded BLS key of 133 bytes"))?;
    let target = Target {
        root_key,
        ledger,
        network: route.url.clone(),
    };
    let access = journal::access(&target, None, folders).await?;
    let refused = |source: dcanary_ledger::LedgerError| Failure::cannot_tell(source.to_string());
    let code = access.ledger.code().await.map_err(refused)?;
    let module = code.module_hash.ok_or_else(|| {
        Failure::cannot_tell(format!(
            "nothing is installed under canister {ledger} of that network"
        ))
    })?;
    access.ledger.ready().await.map_err(refused)?;
    let policy = access.ledger.proven_policy().await.map_err(refused)?;
    let project = args
        .project
        .clone()
        .or_else(|| hints.map(|hints| hints.project.clone()));
    Ok(TrustFile {
        root_key: pinned,
        ledger,
        domains: project.as_deref().map(|project| domains(&policy, project)),
        project,
        module_hashes: vec![module],
        controllers: code.controllers,
    })
}

/// The only question for a root key in the product. The answer is worth what the way to it is worth.
async fn fetch_root_key(url: &str) -> Result<Vec<u8>, Failure> {
    let agent = transport::agent(&Transport::new(url), &[], Arc::new(AnonymousIdentity))
        .map_err(|source| Failure::usage(source.to_string()))?;
    let status = agent.status().await.map_err(|source| {
        Failure::cannot_tell(format!(
            "cannot reach the network at {url}: {}",
            crate::cluster::causes(&source)
        ))
    })?;
    // The mainnet's boundary nodes give none: its key is known to everybody.
    Ok(status.root_key.unwrap_or_else(|| RootKey::mainnet().to_der()))
}

/// The writers of a project, as the certified policy has them.
fn domains(policy: &Policy, project: &str) -> Vec<TrustedDomain> {
    policy
        .roles()
        .filter(|role| role.role == RoleKind::Operator && role.project == project)
        .map(|role| TrustedDomain {
            owner: role.domain.clone(),
            domain: role.domain.clone(),
            principal: Principal::from_slice(&role.principal),
        })
        .collect()
}

fn confirmed() -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err(Failure::usage(
            "there is nobody to ask; give --yes to pin without a question",
        ));
    }
    let mut err = std::io::stderr();
    let _ = write!(err, "Pin this? [y/N] ").and_then(|()| err.flush());
    let mut answer = String::new();
    stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|source| Failure::cannot_tell(format!("cannot read the answer: {source}")))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn save(path: &Path, trust: &TrustFile) -> Result<(), Failure> {
    let write = || -> std::io::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let beside = path.with_extension("part");
        fs::write(&beside, trust.to_json())?;
        fs::rename(&beside, path)
    };
    write().map_err(|source| Failure::usage(format!("cannot write {}: {source}", path.display())))
}
