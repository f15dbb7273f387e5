//! Test vectors: makes them, compares them with the committed ones, and runs the verifier over the committed ones.
//!
//! `DCANARY_VECTORS=write cargo test --release -p dcanary-verifier --test vectors` writes `docs/vectors` anew. Keys come
//! from fixed seeds, so the same code always writes the same files.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::semicolon_if_nothing_returned,
    missing_docs
)]

mod attacks;
mod certificates;
mod chains;
mod deployments;
mod environment;
mod environments;
mod exports;
mod flips;
mod forge;
mod graphs;
mod heads;
mod plain;
mod proofs;
mod records;
mod run;
mod runs;
mod trusts;
mod world;

use std::path::PathBuf;

use dcanary_verifier::{TrustFile, verify_export};
use serde_json::Value as Json;

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/vectors")
        .join(format!("{name}.json"))
}

/// Compares one file with what the generator makes, or writes it.
fn committed(name: &str, made: &Json) {
    let text = serde_json::to_string_pretty(made).unwrap() + "\n";
    if std::env::var("DCANARY_VECTORS").is_ok_and(|v| v == "write") {
        std::fs::write(path(name), &text).unwrap();
    }
    let found = std::fs::read_to_string(path(name)).unwrap_or_default();
    assert!(
        found == text,
        "docs/vectors/{name}.json is not what the generator makes; write it anew with DCANARY_VECTORS=write"
    );
}

#[test]
fn committed_values_are_what_the_generator_makes() {
    committed("values", &plain::make_values());
}

#[test]
fn committed_trees_are_what_the_generator_makes() {
    committed("trees", &plain::make_trees());
}

#[test]
fn committed_blocks_are_what_the_generator_makes() {
    committed("blocks", &plain::make_blocks());
}

#[test]
fn committed_runs_are_what_the_generator_makes() {
    committed("runs", &runs::make());
}

#[test]
fn committed_certificates_are_what_the_generator_makes() {
    committed("certificates", &certificates::make_certificates());
}

#[test]
fn committed_heads_are_what_the_generator_makes() {
    committed("heads", &heads::make_heads());
}

#[test]
fn committed_checkpoints_are_what_the_generator_makes() {
    committed("checkpoints", &heads::make_checkpoints());
}

#[test]
fn committed_trust_files_are_what_the_generator_makes() {
    committed("trust", &trusts::make());
}

#[test]
fn committed_exports_are_what_the_generator_makes() {
    committed("exports", &exports::make());
}

#[test]
fn committed_proofs_are_what_the_generator_makes() {
    committed("proofs", &proofs::make());
}

#[test]
fn committed_environments_are_what_the_generator_makes() {
    committed("environments", &environments::make());
}

#[test]
fn committed_exports_with_environments_are_what_the_generator_makes() {
    committed("environment_exports", &environment::make_exports());
}

#[test]
fn committed_proofs_of_environments_are_what_the_generator_makes() {
    committed("environment_proofs", &environment::make_proofs());
}

#[test]
fn the_verifier_says_of_each_committed_export_what_the_file_says() {
    let read =
        |name| -> Vec<Json> { serde_json::from_str(&std::fs::read_to_string(path(name)).unwrap()).unwrap() };
    for case in [read("exports"), read("environment_exports")].concat() {
        let trust = case["trust"]
            .as_str()
            .map(|text| TrustFile::parse(text.as_bytes()).unwrap());
        let report = verify_export(
            hex::decode(case["export"].as_str().unwrap()).unwrap().as_slice(),
            trust.as_ref(),
        );
        for finding in report.findings() {
            assert_eq!(
                case["checks"][finding.check.as_str()],
                finding.status.as_str(),
                "{}: {finding:?}",
                case["name"]
            );
        }
        assert_eq!(case["exit_code"], report.exit_code(), "{}", case["name"]);
    }
}
