//! `ledger status`

use std::{path::Path, sync::Arc};

use dcanary_ledger::{IcLedger, Ledger as _, LedgerError, Transport, deploy::Person, key};
use ic_agent::Identity;

use super::{explain, reach, shipped};
use crate::{
    args::{Format, Global, LedgerAt},
    exit::{Exit, Failure},
    journal::Access,
    output::{machine, print},
    render::ledger::{Code, Status, status_rows, status_value},
};

/// Runs the command.
pub async fn run(
    global: &Global,
    at: &LedgerAt,
    identity: Option<&Path>,
    wasm: Option<&Path>,
) -> Result<Exit, Failure> {
    let known = [Format::Json, Format::Yaml, Format::Wide, Format::Name];
    let form = global.form("dcanary ledger status", &known)?;
    let identity = identity
        .map(|path| key::load_person(path).map_err(|source| Failure::usage(source.to_string())))
        .transpose()?;
    // only a file that was named must be there
    let shipped = match wasm {
        Some(path) => Some(shipped::read(Some(path))?.hash),
        None => shipped::read(None).ok().map(|shipped| shipped.hash),
    };
    let access = reach(global, at).await?;
    let refused = |source: LedgerError| explain(&access, &source);
    let ledger = &access.ledger;
    ledger.ready().await.map_err(refused)?;
    let head = ledger.head().await.map_err(refused)?;
    let code = ledger.code().await.map_err(refused)?;
    let mut status = Status {
        ledger: ledger.id(),
        network: access.route.url.clone(),
        head,
        module: code.module_hash,
        code: None,
    };
    if matches!(form, Some(Format::Json | Format::Yaml | Format::Wide)) {
        let cycles = match identity {
            Some(identity) => as_person(&access, identity)?.cycles().await,
            None => ledger.cycles().await,
        };
        status.code = Some(Code {
            shipped: shipped.map(|hash| Some(hash) == status.module),
            controllers: code.controllers.unwrap_or_default(),
            incarnation: ledger.stats().await.ok().map(|stats| stats.incarnation),
            cycles,
        });
    }
    match form {
        Some(format @ (Format::Json | Format::Yaml)) => print(&machine(&status_value(&status), format)?),
        Some(Format::Name) => print(&format!("{}\n", status.ledger)),
        _ => print(&status_rows(&status)),
    }
    Ok(Exit::Succeeded)
}

/// The same ledger, asked by somebody who may know more than everybody.
fn as_person(access: &Access, identity: Arc<dyn Identity>) -> Result<IcLedger, Failure> {
    let person = Person {
        transport: Transport::new(access.route.url.clone()),
        root_key: access.root_key.clone(),
        identity,
    };
    person
        .client(access.ledger.id())
        .map_err(|source| explain(access, &source))
}
