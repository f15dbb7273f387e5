//! `ledger deploy` and `ledger upgrade`: as a person, on a network that is not the operator's.

use std::{
    io::{IsTerminal as _, stdin},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use dcanary_ledger::{
    deploy::{self, DeployError, Deployed, Maker, Person, Wanted},
    key,
    setup::Grant,
};
use ic_agent::export::Principal;

use super::{failure, person, shipped};
use crate::{
    args::{DeployArgs, Format, Global, UpgradeArgs},
    cmd::ask::{Instead, confirmed_or},
    exit::{Exit, Failure},
    journal::place::told_at,
    output::{machine, note, print},
    render::ledger::{Meant, Place, deployed, new_canister, plan},
};

/// Runs `ledger deploy`.
pub async fn deploy(global: &Global, args: &DeployArgs) -> Result<Exit, Failure> {
    let form = global.form("dcanary ledger deploy", &[Format::Json, Format::Yaml])?;
    let (person, fetched) = person::of(&args.person).await?;
    let shipped = shipped::read(args.person.wasm.as_deref())?;
    let me = sender(&person, &args.person.identity)?;
    let operators = grants(args);
    deploy::check_separate(&operators, me).map_err(|source| refused(&person, &source))?;
    let mut rows = intro(&person, fetched, me);
    rows.push(("wasm", shipped.path.display().to_string()));
    rows.push(("sha256", hex::encode(shipped.hash)));
    rows.push((
        "canister",
        args.canister.map_or_else(
            || new_canister(&Place::of(&person), args.cycles),
            |canister| canister.to_text(),
        ),
    ));
    rows.push(("owner", args.owner.unwrap_or(me).to_text()));
    rows.extend(
        operators
            .iter()
            .map(|grant| ("operator", grant.principal.to_text())),
    );
    if !operators.is_empty() {
        rows.push((
            "may write",
            format!("project {}, domain {}", args.project, args.domain),
        ));
    }
    note(&plan(&rows));
    ask("Deploy this?", "deploy", fetched, args.person.yes)?;
    let ledger = match args.canister {
        Some(canister) => canister,
        None => create(&person, args.cycles).await?,
    };
    let wanted = Wanted {
        ledger,
        wasm: shipped.wasm,
        owner: args.owner,
        operators,
    };
    let found = deploy::deploy(&person, wanted)
        .await
        .map_err(|source| refused(&person, &source))?;
    let meant = Meant::Role {
        project: &args.project,
        domain: &args.domain,
    };
    show(&person, &found, meant, form)
}

async fn create(person: &Person, cycles: u128) -> Result<Principal, Failure> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let at = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let maker = if Place::of(person).is_mainnet() {
        Maker::CyclesLedger { at }
    } else {
        Maker::Provisional
    };
    let made = deploy::create(person, maker, cycles)
        .await
        .map_err(|source| refused(person, &source))?;
    note(&format!(
        "made canister {made}; should anything fail from here on, give --canister {made} instead of --create"
    ));
    Ok(made)
}

/// Runs `ledger upgrade`.
pub async fn upgrade(global: &Global, args: &UpgradeArgs) -> Result<Exit, Failure> {
    let form = global.form("dcanary ledger upgrade", &[Format::Json, Format::Yaml])?;
    let (person, fetched) = person::of(&args.person).await?;
    let shipped = shipped::read(args.person.wasm.as_deref())?;
    let present = deploy::look(&person, args.canister)
        .await
        .map_err(|source| refused(&person, &source))?;
    let mut rows = intro(&person, fetched, sender(&person, &args.person.identity)?);
    rows.push(("ledger", args.canister.to_text()));
    rows.push((
        "old module",
        present.module_hash.map_or_else(|| "none".to_owned(), hex::encode),
    ));
    rows.push(("new module", hex::encode(shipped.hash)));
    rows.push(("wasm", shipped.path.display().to_string()));
    note(&plan(&rows));
    let same = present.module_hash == Some(shipped.hash);
    if same {
        note("it runs this module already: no code is replaced");
    } else {
        ask("Upgrade it?", "upgrade", fetched, args.person.yes)?;
    }
    let found = deploy::upgrade(&person, args.canister, shipped.wasm)
        .await
        .map_err(|source| refused(&person, &source))?;
    if !same {
        note(
            "whoever pinned the old module hash in a trust file now pins the new one: `dcanary trust pin --replace`, with --network, --ledger and --project where no cluster names them",
        );
    }
    show(&person, &found, Meant::All { upgraded: !same }, form)
}

/// What both commands say first.
fn intro(person: &Person, fetched: bool, me: Principal) -> Vec<(&'static str, String)> {
    let place = Place::of(person);
    let word = if fetched {
        " (what the network says of itself: compare it on another way)"
    } else {
        ""
    };
    vec![
        ("network", place.network()),
        ("root key", format!("fingerprint {}{word}", place.fingerprint())),
        ("identity", me.to_text()),
    ]
}

fn grants(args: &DeployArgs) -> Vec<Grant> {
    let grant = |principal: &Principal| Grant {
        principal: *principal,
        project: args.project.clone(),
        domain: args.domain.clone(),
    };
    args.operator.iter().map(grant).collect()
}

fn ask(question: &str, verb: &str, fetched: bool, yes: bool) -> Result<(), Failure> {
    let instead = if fetched { Instead::RootKey } else { Instead::Yes };
    let mut input = stdin().lock();
    if yes || confirmed_or(question, verb, instead, stdin().is_terminal(), &mut input)? {
        return Ok(());
    }
    Err(Failure::failed("nothing was done"))
}

fn sender(person: &Person, file: &Path) -> Result<Principal, Failure> {
    key::principal_of(person.identity.as_ref())
        .map_err(|source| Failure::usage(format!("cannot sign with {}: {source}", file.display())))
}

fn show(person: &Person, found: &Deployed, meant: Meant<'_>, form: Option<Format>) -> Result<Exit, Failure> {
    let view = deployed(&Place::of(person), found, meant)?;
    match form {
        Some(format @ (Format::Json | Format::Yaml)) => print(&machine(&view.value, format)?),
        _ => print(&view.text),
    }
    Ok(Exit::Succeeded)
}

fn refused(person: &Person, source: &DeployError) -> Failure {
    match source {
        DeployError::Ledger(inner) => failure(inner, told_at(&person.transport.url, inner)),
        other => Failure::failed(other.to_string()),
    }
}
