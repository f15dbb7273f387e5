//! `version`

use serde_json::json;

use crate::{
    args::{Format, Global},
    exit::{Exit, Failure},
    output::{machine, print},
};

/// Prints the versions of program, interface and formats.
pub fn run(global: &Global) -> Result<Exit, Failure> {
    let version = env!("CARGO_PKG_VERSION");
    match global.form("dcanary version", &[Format::Json, Format::Yaml])? {
        Some(format @ (Format::Json | Format::Yaml)) => print(&machine(
            &json!({
                "version": version,
                "ledgerInterface": dcanary_ledger::ic::PROTOCOL,
                "runnerProtocol": dcanary_protocol::PROTOCOL,
                "api": format!("{}/{}", dcanary_crds::GROUP, dcanary_crds::VERSION),
            }),
            format,
        )?),
        _ => print(&format!("dcanary {version}\n")),
    }
    Ok(Exit::Succeeded)
}
