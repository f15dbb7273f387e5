//! What the program's arguments and environment do.

use crate::network::*;
use crate::process::Program;
use candid::{CandidType, Decode, Encode};
use dcanary_node::{Config, Creators, Mode, Node};
use ic_agent::Identity;
use ic_agent::identity::{AnonymousIdentity, BasicIdentity};
use std::collections::BTreeSet;

/// What the program says until it is told to stop.
fn said(log: Option<&str>) -> String {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_with(folder.path(), |command| {
        // Another program's variable.
        command.env("RUST_LOG", "off");
        match log {
            Some(level) => command.env("DCANARY_LOG", level),
            None => command.env_remove("DCANARY_LOG"),
        };
    });
    program.terminate();
    std::fs::read_to_string(folder.path().join("stderr")).unwrap()
}

#[test]
fn dcanary_log_sets_what_the_program_says() {
    assert!(said(None).contains("serving"), "info is not the default");
    assert!(said(Some("info")).contains("serving"));
    let quiet = said(Some("error"));
    assert!(quiet.is_empty(), "{quiet}");
}

#[test]
fn the_program_may_have_as_many_open_files_as_the_system_allows() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start_with(folder.path(), |command| {
        let arguments: Vec<_> = command.get_args().map(ToOwned::to_owned).collect();
        let said = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let mut shell = std::process::Command::new("sh");
        shell
            .args(["-c", "ulimit -S -n 100; exec \"$@\"", "sh"])
            .arg(command.get_program())
            .args(arguments)
            .stderr(said);
        *command = shell;
    });
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", program.id())).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let [soft, hard] = [3, 4].map(|at| line.unwrap().split_whitespace().nth(at).unwrap());
    assert_eq!(soft, hard);
    assert_ne!(soft, "100");
    program.terminate();
}

#[tokio::test]
async fn a_log_that_cannot_be_written_ends_the_program_with_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::start(folder.path());
    // The name of the next log file is taken by a folder.
    std::fs::create_dir(folder.path().join("data/log-0000000000000001")).unwrap();
    let client = agent(&program.url, &program.root_key, AnonymousIdentity);
    let signed = client
        .update(&management(), "provisional_create_canister_with_cycles")
        .with_effective_canister_id(anywhere())
        .with_arg(Encode!(&Nothing {}).unwrap())
        .sign()
        .unwrap();
    client
        .update_signed(anywhere(), signed.signed_update)
        .await
        .unwrap_err();
    let (status, said) = program.ended();
    assert!(!status.success());
    assert!(said.contains("the log cannot be written"), "{said}");
    assert!(!folder.path().join("ready.json").exists());
}

#[test]
fn the_ready_file_is_that_of_the_node_that_has_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let ready = folder.path().join("ready.json");
    let program = Program::start(folder.path());
    let announced = std::fs::read(&ready).unwrap();
    let (status, said) = Program::spawn_again(folder.path()).ended();
    assert!(!status.success());
    assert!(said.contains("is in use by another process"), "{said}");
    assert_eq!(std::fs::read(&ready).unwrap(), announced);
    program.terminate();
    assert!(!ready.exists());
    // What one that was killed has left is taken back by the next start, also by one that comes no further.
    Program::start(folder.path()).kill();
    assert!(ready.exists());
    std::fs::write(folder.path().join("data/restoring"), "").unwrap();
    let (status, said) = Program::spawn_again(folder.path()).ended();
    assert!(!status.success());
    assert!(said.contains("is not whole"), "{said}");
    assert!(!ready.exists());
}

#[derive(CandidType)]
struct Nothing {}

#[tokio::test]
async fn only_creators_create_and_everybody_else_is_refused_before_ordering() {
    let key = |byte| BasicIdentity::from_raw_key(&[byte; 32]);
    let only = Creators::Only(BTreeSet::from([key(7).sender().unwrap()]));
    for (creators, expected) in [
        (Creators::Anyone, [true, true, true]),
        (Creators::Signed, [true, true, false]),
        (only, [true, false, false]),
    ] {
        let node = Node::start(Config::ephemeral().creators(creators.clone()))
            .await
            .unwrap();
        let agents = [
            agent(&node.url(), node.root_key(), key(7)),
            agent(&node.url(), node.root_key(), key(8)),
            agent(&node.url(), node.root_key(), AnonymousIdentity),
        ];
        for (agent, expected) in agents.iter().zip(expected) {
            for method in ["provisional_create_canister_with_cycles", "create_canister"] {
                let result = agent
                    .update(&management(), method)
                    .with_effective_canister_id(anywhere())
                    .with_arg(Encode!(&Nothing {}).unwrap())
                    .call_and_wait()
                    .await;
                assert_eq!(result.is_ok(), expected, "{creators:?} {method}");
                if let Err(error) = result {
                    let text = format!("{error:?}");
                    assert!(
                        text.contains("UncertifiedReject") && text.contains("--creators"),
                        "{text}"
                    );
                }
            }
        }
        node.shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn in_production_nothing_is_provisional_and_nobody_is_anonymous_but_who_may_create_does() {
    let key = BasicIdentity::from_raw_key(&[7; 32]);
    let only = Creators::Only(BTreeSet::from([key.sender().unwrap()]));
    let node = Node::start(Config::ephemeral().creators(only).mode(Mode::Production))
        .await
        .unwrap();
    let ask = async |agent: &ic_agent::Agent, method: &str| {
        agent
            .update(&management(), method)
            .with_effective_canister_id(anywhere())
            .with_arg(Encode!(&Nothing {}).unwrap())
            .call_and_wait()
            .await
    };
    let signed = agent(&node.url(), node.root_key(), key);
    let refused = ask(&signed, "provisional_create_canister_with_cycles")
        .await
        .unwrap_err();
    assert!(
        format!("{refused:?}").contains("--mode production"),
        "{refused:?}"
    );
    let made = ask(&signed, "create_canister").await.unwrap();
    let canister = Decode!(&made, ic_management_canister_types::CanisterIdRecord)
        .unwrap()
        .canister_id;
    install(
        &signed,
        canister,
        &counter(),
        ic_management_canister_types::CanisterInstallMode::Install,
    )
    .await
    .unwrap();
    let nobody = agent(&node.url(), node.root_key(), AnonymousIdentity);
    let refused = nobody.update(&canister, "inc").call_and_wait().await.unwrap_err();
    assert!(
        format!("{refused:?}").contains("no anonymous updates"),
        "{refused:?}"
    );
    signed.update(&canister, "inc").call_and_wait().await.unwrap();
    // reading is for everybody
    nobody.query(&canister, "get").call().await.unwrap();
    node.shutdown().await.unwrap();
}

#[test]
fn the_program_takes_its_creators_from_a_file_and_refuses_one_without_any() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("creators");
    let who = BasicIdentity::from_raw_key(&[7; 32]).sender().unwrap();
    let with = |command: &mut std::process::Command| {
        command
            .arg("--creators-file")
            .arg(&file)
            .args(["--memory-limit", "1073741824"]);
    };
    std::fs::write(&file, format!("{who}\n")).unwrap();
    Program::start_with(folder.path(), with).terminate();
    std::fs::write(&file, "\n").unwrap();
    let (status, said) = Program::spawn(folder.path(), with).ended();
    assert!(!status.success());
    assert!(said.contains("the list of creators is empty"), "{said}");
}

#[test]
fn a_memory_limit_under_which_no_ledger_fits_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let little = Program::spawn(folder.path(), |command| {
        command.env("DCANARY_MEMORY_LIMIT", "1000000");
    });
    let (status, said) = little.ended();
    assert!(!status.success());
    assert!(said.contains("is too little"), "{said}");
}
