//! `ledger deploy` and `ledger upgrade`: as a person, on a network that is not the operator's.

use std::{
    io::{IsTerminal as _, stdin},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use dcanary_ledger::{
    LedgerError,
    deploy::{self, DeployError, Deployed, Maker, Person, Wanted},
    key,
    setup::Grant,
};
use dcanary_types::policy::RoleKind;
use ic_agent::export::Principal;

use super::{failure, person, shipped};
use crate::{
    args::{DeployArgs, Format, Global, UpgradeArgs},
    cmd::ask::{Instead, confirmed_or},
    exit::{Exit, Failure},
    journal::place::{Anchor, MAINNET_URL, told_at},
    output::{machine, note, print},
    render::ledger::{Meant, Place, deployed, new_canister, plan},
};

/// Runs `ledger deploy`.
pub async fn deploy(global: &Global, args: &DeployArgs) -> Result<Exit, Failure> {
    let form = global.form("dcanary ledger deploy", &[Format::Json, Format::Yaml])?;
    let operators = checked(args)?;
    let (person, fetched) = person::of(&args.person).await?;
    let shipped = shipped::read(args.person.wasm.as_deref())?;
    let me = sender(&person, &args.person.identity)?;
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
    let named = !operators.is_empty();
    let wanted = Wanted {
        ledger,
        wasm: shipped.wasm,
        owner: args.owner,
        operators,
    };
    let found = deploy::deploy(&person, wanted)
        .await
        .map_err(|source| refused(&person, &source))?;
    show(&person, &found, meant(args, named, writes(&found)), form)
}

/// Whose values and trust files are shown: those of the operators that were named. Where none was, what the ledger has, as after an
/// upgrade; one that has none is for the project that was named. Pure.
fn meant(args: &DeployArgs, named: bool, has_writers: bool) -> Meant<'_> {
    if !named && has_writers {
        return Meant::All { upgraded: false };
    }
    Meant::Role {
        project: &args.project,
        domain: &args.domain,
    }
}

/// Whether anybody may write the ledger.
fn writes(found: &Deployed) -> bool {
    found.policy.roles().any(|role| role.role == RoleKind::Operator)
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
    let same = present.module_hash == Some(shipped.hash);
    let strange = if same || present.module_hash.is_none() {
        None
    } else {
        no_ledger(deploy::ask(&person, args.canister).await).map_err(|source| refused(&person, &source))?
    };
    let mut rows = intro(&person, fetched, sender(&person, &args.person.identity)?);
    rows.push(("ledger", args.canister.to_text()));
    rows.push((
        "old module",
        present.module_hash.map_or_else(|| "none".to_owned(), hex::encode),
    ));
    if let Some(source) = &strange {
        rows.push((
            "",
            format!("the present code is no ledger ({source}): the journal will be compared with nothing"),
        ));
    }
    rows.push(("new module", hex::encode(shipped.hash)));
    rows.push(("wasm", shipped.path.display().to_string()));
    note(&plan(&rows));
    if same {
        note("it runs this module already: no code is replaced");
    } else {
        ask("Upgrade it?", "upgrade", fetched, args.person.yes)?;
    }
    let replaced = match strange {
        None => deploy::upgrade(&person, args.canister, shipped.wasm).await,
        Some(_) => deploy::mend(&person, args.canister, shipped.wasm).await,
    };
    let found = replaced.map_err(|source| refused(&person, &source))?;
    if !same {
        note(
            "whoever pinned the old module hash in a trust file now pins the new one: `dcanary trust pin --replace`, with --network, --ledger and --project where no cluster names them",
        );
    }
    show(&person, &found, Meant::All { upgraded: !same }, form)
}

/// What shows that the present code is no ledger, if it is none: pure.
fn no_ledger(asked: Result<(), DeployError>) -> Result<Option<LedgerError>, DeployError> {
    match asked {
        Ok(()) => Ok(None),
        Err(DeployError::Ledger(source)) if source.is_of_no_ledger() => Ok(Some(source)),
        Err(other) => Err(other),
    }
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
        ("network", network(&place)),
        ("root key", format!("fingerprint {}{word}", place.fingerprint())),
        ("identity", me.to_text()),
    ]
}

/// The network as it is before anything is proven. A root key that was given for another URL than the mainnet's says nothing yet: pure.
fn network(place: &Place) -> String {
    if place.is_mainnet() && place.url != MAINNET_URL {
        return format!(
            "{} (with the root key of the Internet Computer's mainnet, whose URL is {MAINNET_URL}: another network is refused)",
            place.url
        );
    }
    place.network()
}

/// The roles that are wanted, when a ledger can grant them and the names can stand in values and trust files: pure.
fn checked(args: &DeployArgs) -> Result<Vec<Grant>, Failure> {
    let operators = grants(args);
    deploy::check_name("--project", &args.project)
        .and_then(|()| deploy::check_name("--domain", &args.domain))
        .and_then(|()| deploy::check_roles(&operators, args.owner))
        .map_err(|source| Failure::usage(source.to_string()))?;
    Ok(operators)
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
    Err(Failure::failed("nothing was done").with(Exit::Cancelled))
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
    if !writes(found) {
        note(&format!(
            "nobody may write this ledger yet, so nothing can be pinned: grant an operator its role first, with `dcanary ledger deploy --canister {} --operator PRINCIPAL --project NAME --domain NAME` and the same --network, --root-key and --identity",
            found.ledger
        ));
    }
    Ok(Exit::Succeeded)
}

fn refused(person: &Person, source: &DeployError) -> Failure {
    match source {
        DeployError::Ledger(inner) => failure(inner, told_at(&person.transport.url, inner, Anchor::Named)),
        other => Failure::failed(other.to_string()),
    }
}

#[cfg(test)]
#[path = "deploy_tests.rs"]
mod tests;
