//! The journal as people see it: pinning, verifying, exporting.

use std::time::Duration;

use anyhow::{Result, ensure};
use dcanary_harness::{
    Namespace,
    cli::{dcanary, said},
    fixtures::{BUSYBOX, run, stage},
    journal,
    ledger::Stolen,
    scenario,
};
use dcanary_ledger::{Answer, Ledger, Record, RunKey, Segment};
use dcanary_types::record::{Record as Typed, Transition};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(180);

async fn recorded_hello(ns: &Namespace) -> Result<()> {
    ns.apply_dir("examples/hello").await?;
    ns.finished("hello", LIMIT).await?;
    ns.run_until("hello", LIMIT, |view| {
        let journal = &view.status()["journal"];
        journal["next"].is_i64() && journal["next"] == journal["recorded"]
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_recorded_run_verifies_against_a_pinned_key_and_not_against_another() -> Result<()> {
    scenario("verify", |ns| async move {
        recorded_hello(&ns).await?;
        let folder = tempfile::tempdir()?;
        let trust = folder.path().join("trust.json");
        let trust = trust.to_str().unwrap();
        let verify = ["-n", &ns.name, "verify", "run", "hello", "--trust", trust];

        let pinned = dcanary(&["trust", "pin", "--yes", "--trust", trust]).await?;
        ensure!(pinned.status.success(), "{}", said(&pinned));
        let good = dcanary(&verify).await?;
        assert_eq!(good.status.code(), Some(0), "{}", said(&good));
        ensure!(said(&good).contains("L0"), "no level: {}", said(&good));

        let mut file: serde_json::Value = serde_json::from_slice(&std::fs::read(trust)?)?;
        let key = file["root_key"].as_str().unwrap().to_owned();
        // another valid key: the IC mainnet's
        file["root_key"] = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100814c0e6ec71fab583b08bd81373c255c3c371b2e84863c98a4f1e08b74235d14fb5d9c0cd546d9685f913a0c0b2cc5341583bf4b4392e467db96d65b9bb4cb717112f8472e0d5a4d14505ffd7484b01291091c5f87b98883463f98091a0baaae".into();
        assert_ne!(file["root_key"], key.as_str());
        std::fs::write(trust, file.to_string())?;
        let bad = dcanary(&verify).await?;
        assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn without_a_trust_file_nothing_is_called_verified() -> Result<()> {
    scenario("no-trust", |ns| async move {
        recorded_hello(&ns).await?;
        let folder = tempfile::tempdir()?;
        let nowhere = folder.path().join("missing.json");
        let output = dcanary(&[
            "-n",
            &ns.name,
            "verify",
            "run",
            "hello",
            "--trust",
            nowhere.to_str().unwrap(),
        ])
        .await?;
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_export_verifies_offline_and_a_changed_byte_is_found() -> Result<()> {
    scenario("export", |ns| async move {
        recorded_hello(&ns).await?;
        let folder = tempfile::tempdir()?;
        let trust = folder.path().join("trust.json");
        let export = folder.path().join("journal.cbor");
        let (trust, file) = (trust.to_str().unwrap(), export.to_str().unwrap());
        for args in [
            vec!["trust", "pin", "--yes", "--trust", trust],
            vec!["ledger", "export", "-o", file],
        ] {
            let output = dcanary(&args).await?;
            ensure!(output.status.success(), "{args:?}: {}", said(&output));
        }
        let good = dcanary(&["verify", "export", file, "--trust", trust]).await?;
        assert_eq!(good.status.code(), Some(0), "{}", said(&good));
        let mut bytes = std::fs::read(&export)?;
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&export, bytes)?;
        let bad = dcanary(&["verify", "export", file, "--trust", trust]).await?;
        assert_eq!(bad.status.code(), Some(1), "{}", said(&bad));
        Ok(())
    })
    .await
}

/// A Pipeline of a project, and a run of it.
fn of_project(project: &str) -> String {
    format!(
        "apiVersion: dcanary.dev/v1alpha1
kind: Pipeline
metadata: {{name: named}}
spec: {{project: {project}, stages: [{{name: s, image: {BUSYBOX}, steps: [{{run: 'true'}}]}}]}}
---
apiVersion: dcanary.dev/v1alpha1
kind: PipelineRun
metadata: {{name: named}}
spec: {{pipelineRef: {{name: named}}}}
"
    )
}

#[tokio::test]
async fn a_run_of_another_project_that_the_chart_lists_is_recorded_and_verifies_against_its_own_pin()
-> Result<()> {
    scenario("second-project", |ns| async move {
        ns.apply(&of_project("second")).await?;
        ns.run_until("named", LIMIT, |view| {
            let journal = &view.status()["journal"];
            view.state("Finished").0 == "True" && journal["next"] == 4 && journal["recorded"] == 4
        })
        .await?;
        let folder = tempfile::tempdir()?;
        for (project, code) in [("second", 0), ("default", 1)] {
            let trust = folder.path().join(project);
            let trust = trust.to_str().unwrap();
            let pinned = dcanary(&["trust", "pin", "--project", project, "--yes", "--trust", trust]).await?;
            ensure!(pinned.status.success(), "{}", said(&pinned));
            let found = dcanary(&["-n", &ns.name, "verify", "run", "named", "--trust", trust]).await?;
            assert_eq!(
                found.status.code(),
                Some(code),
                "pinned {project}: {}",
                said(&found)
            );
        }
        Ok(())
    })
    .await
}

/// Offers a record as the operator would.
async fn forge(stolen: &Stolen, run: &str, n: u64, transition: Transition) -> Result<Answer> {
    let typed = Typed {
        run: run.to_owned(),
        n,
        claimed_ts: 1,
        transition,
    };
    let record = Record {
        n,
        btype: typed.btype().to_owned(),
        claimed_ts: typed.claimed_ts,
        body: typed.encode_body(),
    };
    let segment = Segment {
        key: RunKey::new("default", "local", run),
        graph: None,
        records: vec![record],
    };
    let mut appended = stolen.ledger.append(&[segment]).await?;
    Ok(appended.answers.remove(0))
}

#[tokio::test]
async fn another_record_under_the_same_number_is_refused_noted_and_stops_the_journal_of_the_run_by_name()
-> Result<()> {
    scenario("conflict", |ns| async move {
        let stolen = Stolen::take(&ns.cluster).await?;
        ns.apply(&run("twice", &json!([stage("s", "sleep 8")]))).await?;
        ns.running_pod("twice").await?;
        let uid = ns.runs().get("twice").await?.metadata.uid.unwrap();
        let failed = || Transition::StageFailed {
            stage: "s".into(),
            attempt: 1,
            reason: "Forged".into(),
        };
        // the operator's own records 0 and 1 may still be on their way
        let deadline = tokio::time::Instant::now() + LIMIT;
        let answer = loop {
            let answer = forge(&stolen, &uid, 2, failed()).await?;
            if !matches!(answer, Answer::Gap { .. }) || tokio::time::Instant::now() > deadline {
                break answer;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        };
        ensure!(matches!(answer, Answer::Recorded(_)), "{answer:?}");
        let view = ns
            .run_until("twice", LIMIT, |view| {
                view.state("Recorded").1 == "LedgerConflict"
            })
            .await?;
        assert_eq!(view.state("Recorded").0, "False", "{:#}", view.status());
        let view = ns.finished("twice", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        assert_eq!(
            view.state("Stalled"),
            ("True", "LedgerConflict"),
            "{:#}",
            view.status()
        );
        assert_eq!(journal::conflicts(&uid).await?.first(), Some(&2));
        let folder = tempfile::tempdir()?;
        let trust = folder.path().join("trust.json");
        let trust = trust.to_str().unwrap();
        let pinned = dcanary(&["trust", "pin", "--yes", "--trust", trust]).await?;
        ensure!(pinned.status.success(), "{}", said(&pinned));
        let found = dcanary(&["-n", &ns.name, "verify", "run", "twice", "--trust", trust]).await?;
        assert_eq!(found.status.code(), Some(1), "{}", said(&found));
        ensure!(said(&found).contains("cluster"), "{}", said(&found));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_run_of_a_project_that_nobody_listed_says_where_to_list_it() -> Result<()> {
    scenario("unlisted-project", |ns| async move {
        ns.apply(&of_project("nobodys")).await?;
        let view = ns
            .run_until("named", LIMIT, |view| view.state("Recorded").0 == "False")
            .await?;
        let condition = view.condition("Recorded").unwrap().to_string();
        ensure!(
            condition.contains("project nobodys") && condition.contains("ledger.projects"),
            "{condition}"
        );
        assert_eq!(ns.finished("named", LIMIT).await?.state("Succeeded").0, "True");
        Ok(())
    })
    .await
}
