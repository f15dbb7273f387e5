//! The program as people and scripts call it: no cluster, exit codes, plain output.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{
    path::Path,
    process::{Command, Output},
};

use serde_json::Value;

fn dcanary(home: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dcanary"))
        .args(arguments)
        .env_clear()
        .env("HOME", home)
        .env("KUBECONFIG", home.join("none"))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn vectors() -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/vectors/exports.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn every_export_of_the_vectors_gets_its_checks_and_exit_code() {
    let home = tempfile::tempdir().unwrap();
    let all = vectors();
    assert!(all.len() > 50);
    for vector in all {
        let name = vector["name"].as_str().unwrap();
        let export = home.path().join("export");
        std::fs::write(&export, hex::decode(vector["export"].as_str().unwrap()).unwrap()).unwrap();
        let mut arguments = vec!["verify", "export", export.to_str().unwrap(), "-o", "json"];
        let trust = home.path().join("trust.json");
        if let Some(pinned) = vector["trust"].as_str() {
            std::fs::write(&trust, pinned).unwrap();
            arguments.extend(["--trust", trust.to_str().unwrap()]);
        }
        let done = dcanary(home.path(), &arguments);
        let expected = vector["exit_code"].as_i64().unwrap();
        assert_eq!(
            done.status.code().map(i64::from),
            Some(expected),
            "{name}: {}",
            text(&done.stderr)
        );
        let report: Value = serde_json::from_slice(&done.stdout).unwrap();
        assert_eq!(report["exitCode"].as_i64(), Some(expected), "{name}");
        for check in report["checks"].as_array().unwrap() {
            let which = check["check"].as_str().unwrap();
            assert_eq!(check["status"], vector["checks"][which], "{name}: {which}");
        }
    }
}

#[test]
fn a_good_export_is_verified_for_people_and_without_trust_file_it_is_not() {
    let home = tempfile::tempdir().unwrap();
    let good = vectors()
        .into_iter()
        .find(|vector| vector["exit_code"] == 0)
        .unwrap();
    let export = home.path().join("export");
    std::fs::write(&export, hex::decode(good["export"].as_str().unwrap()).unwrap()).unwrap();
    let folder = home.path().join(".config/dcanary");
    let export = export.to_str().unwrap();

    let unpinned = dcanary(home.path(), &["verify", "export", export]);
    assert_eq!(unpinned.status.code(), Some(2));
    let said = text(&unpinned.stdout);
    assert!(
        said.contains("dcanary trust pin") && said.contains("ledger:"),
        "{said}"
    );

    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("trust.json"), good["trust"].as_str().unwrap()).unwrap();
    let pinned = dcanary(home.path(), &["verify", "export", export]);
    assert_eq!(pinned.status.code(), Some(0), "{}", text(&pinned.stderr));
    let said = text(&pinned.stdout);
    assert!(
        said.contains("Level L0: ") && said.contains("As of ") && !said.contains('\u{1b}'),
        "{said}"
    );
    assert!(said.ends_with("VERIFIED against the trust file\n"), "{said}");
}

#[test]
fn without_a_cluster_the_exit_code_says_that_it_cannot_tell_and_the_message_what_to_do() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["get", "runs"][..],
        &["cancel", "x"],
        &["logs", "x"],
        &["run", "web"],
        &["ledger", "status"],
        &["get", "env"],
        &["get", "promotions"],
        &["promote", "production", "web-42"],
        &["approve", "web-42-x", "--yes"],
        &["undo", "production"],
        &["hold", "production", "web-42", "--reason", "x"],
    ] {
        let done = dcanary(home.path(), arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(5), "{arguments:?}: {said}");
        assert!(
            said.starts_with("dcanary: ") && said.contains("--kubeconfig"),
            "{said}"
        );
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(done.stdout.is_empty());
    }
    let done = dcanary(home.path(), &["verify", "run", "x"]);
    assert_eq!(done.status.code(), Some(2), "`verify` has its own codes");
}

#[test]
fn wrong_usage_is_exit_code_2() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["frobnicate"][..],
        &["run"],
        &["get", "runs", "-o", "xml"],
        &["run", "web", "-p", "x"],
        &["lint", "/nowhere"],
        // what would have no effect is refused, not ignored
        &["run", "web", "--timeout", "5m"],
        &["promote", "live", "web-1", "--timeout", "5m"],
        &["run", "web", "--commit", "abc123"],
        &["run", "web", "-A"],
        &["cancel", "x", "-A"],
        &["logs", "x", "-A"],
        &["get", "run", "x", "-A"],
        &["get", "env", "x", "-A"],
        &["approve", "x", "-A"],
        &["verify", "run", "x", "-A"],
    ] {
        let done = dcanary(home.path(), arguments);
        assert_eq!(
            done.status.code(),
            Some(2),
            "{arguments:?}: {}",
            text(&done.stderr)
        );
    }
}

#[test]
fn a_form_that_a_command_does_not_print_is_refused_and_never_ignored() {
    let home = tempfile::tempdir().unwrap();
    for arguments in [
        &["logs", "x", "-o", "json"][..],
        &["get", "run", "x", "-w", "-o", "yaml"],
        &["get", "run", "x", "-w", "-o", "wide"],
        &["get", "runs", "-o", "xml"],
        &["run", "web", "-o", "wide"],
        &["cancel", "x", "-o", "wide"],
        &["get", "env", "x", "-w", "-o", "yaml"],
        &["promote", "x", "y", "-o", "wide"],
        &["approve", "x", "-o", "wide"],
        &["abort", "x", "-o", "wide"],
        &["unhold", "x", "y", "-o", "wide"],
        &["verify", "run", "x", "-o", "name"],
        &["verify", "export", "x", "-o", "wide"],
        &["lint", "x", "-o", "name"],
        &["ledger", "restore", "x", "-o", "json"],
        &["ledger", "init-key", "x", "-o", "json"],
        &["trust", "show", "-o", "name"],
        &["trust", "pin", "-o", "json"],
        &["completion", "bash", "-o", "json"],
        &["version", "-o", "name"],
    ] {
        let done = dcanary(home.path(), arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains("does not print `-o "), "{arguments:?}: {said}");
        assert!(done.stdout.is_empty());
    }
    assert!(!home.path().join("x").exists(), "no key was made");
}

#[test]
fn the_trust_file_is_shown_for_people_and_programs() {
    let home = tempfile::tempdir().unwrap();
    let none = dcanary(home.path(), &["trust", "show"]);
    assert_eq!(none.status.code(), Some(2));
    assert!(
        text(&none.stderr).contains("dcanary trust pin"),
        "{}",
        text(&none.stderr)
    );

    let pinned = vectors()
        .into_iter()
        .find(|vector| vector["exit_code"] == 0)
        .unwrap();
    let pinned = pinned["trust"].as_str().unwrap();
    let file = home.path().join("t.json");
    std::fs::write(&file, pinned).unwrap();
    let file = file.to_str().unwrap();
    let shown = dcanary(home.path(), &["trust", "show", "--trust", file]);
    let said = text(&shown.stdout);
    assert_eq!(shown.status.code(), Some(0), "{}", text(&shown.stderr));
    for part in [file, "fingerprint", "ledger", "level         L0"] {
        assert!(said.contains(part), "no {part}: {said}");
    }
    let pinned: Value = serde_json::from_str(pinned).unwrap();
    let json = dcanary(home.path(), &["trust", "show", "--trust", file, "-o", "json"]);
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap(), pinned);
    let yaml = text(&dcanary(home.path(), &["trust", "show", "--trust", file, "-o", "yaml"]).stdout);
    assert!(yaml.starts_with("format: dcanary-trust/1"), "{yaml}");
}

#[test]
fn lint_checks_runs_as_well_as_pipelines() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("r.yaml");
    std::fs::write(
        &file,
        "apiVersion: dcanary.dev/v1alpha1\nkind: PipelineRun\nmetadata: {name: r}\nspec:\n  pipelinRef: {name: web}\n",
    )
    .unwrap();
    let done = dcanary(home.path(), &["lint", file.to_str().unwrap(), "-o", "json"]);
    assert_eq!(done.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&done.stdout).unwrap();
    let misspelt = found
        .as_array()
        .unwrap()
        .iter()
        .find(|one| {
            one["message"]
                .as_str()
                .unwrap()
                .contains("did you mean `pipelineRef`?")
        })
        .unwrap_or_else(|| panic!("{found}"));
    assert_eq!(
        (misspelt["line"].as_u64(), misspelt["column"].as_u64()),
        (Some(5), Some(3))
    );
}

#[test]
fn lint_prints_places_and_fails() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("p.yaml");
    std::fs::write(
        &file,
        "apiVersion: dcanary.dev/v1alpha1\nkind: Pipeline\nmetadata: {name: p}\nspec:\n  stagse: []\n",
    )
    .unwrap();
    let done = dcanary(home.path(), &["lint", file.to_str().unwrap()]);
    assert_eq!(done.status.code(), Some(1));
    let said = text(&done.stdout);
    assert!(
        said.contains("p.yaml:5:3: ") && said.contains("did you mean `stages`?"),
        "{said}"
    );
}

#[test]
fn completions_are_made_for_every_shell() {
    let home = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = dcanary(home.path(), &["completion", shell]);
        assert!(
            done.status.success() && text(&done.stdout).contains("dcanary"),
            "{shell}"
        );
    }
}

#[test]
fn a_new_key_is_never_written_over_an_old_one() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key.pem");
    let key = key.to_str().unwrap();
    let made = dcanary(home.path(), &["ledger", "init-key", key]);
    assert!(made.status.success());
    assert_eq!(
        text(&made.stdout).trim().split('-').count(),
        11,
        "a self-authenticating principal"
    );
    let again = dcanary(home.path(), &["ledger", "init-key", key]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("never overwritten"));
}

#[test]
fn the_version_is_printed_for_people_and_programs() {
    let home = tempfile::tempdir().unwrap();
    assert!(text(&dcanary(home.path(), &["version"]).stdout).starts_with("dcanary 0."));
    let machine: Value =
        serde_json::from_slice(&dcanary(home.path(), &["version", "-o", "json"]).stdout).unwrap();
    assert_eq!(machine["api"], "dcanary.dev/v1alpha1");
}

#[test]
fn an_analysis_is_replayed_and_the_exit_code_says_whether_its_verdict_follows() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("evidence.json");
    let document = r#"{"analysis":"step-1","endless":false,"environment":"production","format":"dcanary-evidence/1","images":{},"message":"","metrics":[{"compare":false,"dryRun":false,"initialDelay":0,"interval":30,"name":"errors","onNoData":"inconclusive","rules":{"count":1,"errorLimit":4,"failureLimit":0,"inconclusiveLimit":3,"minSamples":1},"samples":[{"at":"2026-03-01T12:00:00Z","value":"0.5","verdict":"Failure"}],"source":{"prometheus":{"address":"http://p","query":"x"}},"success":"result < 0.01","verdict":"Failed"}],"namespace":"shop","release":"web-42","verdict":"Failed"}"#;
    let replay = |text: &str, more: &[&str]| {
        std::fs::write(&file, text).unwrap();
        let arguments = [&["analysis", "replay", file.to_str().unwrap()][..], more].concat();
        dcanary(home.path(), &arguments)
    };
    let same = replay(document, &[]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stderr));
    assert!(text(&same.stdout).ends_with("Failed, as the document says\n"));

    let forged = document.replace("\"Failed\"", "\"Passed\"");
    let differs = replay(&forged, &["-o", "json"]);
    assert_eq!(differs.status.code(), Some(1), "{}", text(&differs.stderr));
    let told: Value = serde_json::from_slice(&differs.stdout).unwrap();
    assert_eq!(told["agrees"], false);
    assert_eq!(told["differences"][0]["place"], "metrics[0] (errors).verdict");

    for wrong in ["", "{}", &document.replace("evidence/1", "evidence/9")] {
        let unread = replay(wrong, &[]);
        assert_eq!(unread.status.code(), Some(2), "{wrong}");
        assert!(text(&unread.stderr).starts_with("dcanary: cannot replay "));
    }
    let missing = dcanary(home.path(), &["analysis", "replay", "/nowhere/evidence.json"]);
    assert_eq!(missing.status.code(), Some(2));
}
