//! Every example, applied as a user would, with real Pods: end state, logs, artifacts, journal.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{artifacts, cluster::repository, fixtures::LIMIT, git_server, journal, scenario};
use k8s_openapi::api::{core::v1::Pod, events::v1::Event};
use kube::{
    ResourceExt,
    api::{DeleteParams, ListParams, LogParams},
};
use sha2::{Digest, Sha256};

#[tokio::test]
async fn hello_passes_a_parameter_and_a_result_and_is_recorded() -> Result<()> {
    scenario("hello", |ns| async move {
        ns.apply_dir("examples/hello").await?;
        let run = ns.finished("hello", LIMIT).await?;
        assert_eq!(
            run.state("Succeeded"),
            ("True", "Succeeded"),
            "{:#}",
            run.status()
        );
        assert_eq!(run.stage("greet")?["results"][0]["value"], "hello, canary");
        let text = ns.logs("hello").await?;
        ensure!(text.contains("I heard \"hello, canary\""), "{text}");
        ns.verified("hello").await?;
        let expected = [
            "dcanary_run_opened",
            "dcanary_stage_started greet#1",
            "dcanary_stage_succeeded greet#1",
            "dcanary_stage_started answer#1",
            "dcanary_stage_succeeded answer#1",
            "dcanary_run_finished",
        ];
        assert_eq!(journal::records(run.uid()).await?, expected);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn diamond_skips_retries_and_survives_a_failing_optional_stage() -> Result<()> {
    scenario("diamond", |ns| async move {
        ns.apply_dir("examples/diamond").await?;
        let run = ns.finished("diamond", LIMIT).await?;
        assert_eq!(run.state("Succeeded").0, "True", "{:#}", run.status());
        for (stage, state) in [
            ("prepare", "Succeeded"),
            ("left", "Succeeded"),
            ("right", "Succeeded"),
            ("lint", "Failed"),
            ("docs", "Skipped"),
            ("join", "Succeeded"),
            ("notify", "Succeeded"),
        ] {
            assert_eq!(run.stage(stage)?["state"], state, "{stage}: {:#}", run.status());
        }
        assert_eq!(run.stage("right")?["attempts"].as_array().map(Vec::len), Some(2));
        let total = run.stage("join")?["results"]
            .as_array()
            .context("results")?
            .iter()
            .find(|r| r["name"] == "total");
        assert_eq!(total.context("total")?["value"], "6");
        // the digest of "1\n2\n3\n"
        let numbers = &run.stage("left")?["artifacts"][0];
        assert_eq!(
            numbers["digest"],
            "sha256:14c5e74c4b96ccef41cd94db73a9ec3348038ac094feca4fd897cecffa07cdae"
        );
        let text = ns.logs("diamond").await?;
        for line in [
            "right | attempt 1",
            "right#2 | attempt 2",
            "style is bad",
            "label-build 7; touch /pwned",
            "the run has ended",
        ] {
            ensure!(text.contains(line), "{line}: {text}");
        }
        ns.verified("diamond").await?;
        let mut records = journal::records(run.uid()).await?;
        assert_eq!(records.first().map(String::as_str), Some("dcanary_run_opened"));
        assert_eq!(records.last().map(String::as_str), Some("dcanary_run_finished"));
        let at = |what: &str| {
            records
                .iter()
                .position(|record| record == what)
                .context(what.to_owned())
        };
        for (before, after) in [
            (
                "dcanary_stage_succeeded prepare#1",
                "dcanary_stage_started left#1",
            ),
            ("dcanary_stage_retried right#1", "dcanary_stage_started right#2"),
            ("dcanary_stage_succeeded right#2", "dcanary_stage_started join#1"),
            ("dcanary_stage_failed lint#1", "dcanary_stage_started join#1"),
            ("dcanary_stage_succeeded join#1", "dcanary_stage_started notify#1"),
        ] {
            ensure!(at(before)? < at(after)?, "{records:?}");
        }
        let mut expected = vec![
            "dcanary_run_opened",
            "dcanary_stage_skipped docs",
            "dcanary_run_finished",
        ];
        expected.extend([
            "dcanary_stage_started prepare#1",
            "dcanary_stage_succeeded prepare#1",
            "dcanary_stage_started left#1",
            "dcanary_stage_succeeded left#1",
            "dcanary_stage_started right#1",
            "dcanary_stage_retried right#1",
            "dcanary_stage_started right#2",
            "dcanary_stage_succeeded right#2",
            "dcanary_stage_started lint#1",
            "dcanary_stage_failed lint#1",
            "dcanary_stage_started join#1",
            "dcanary_stage_succeeded join#1",
            "dcanary_stage_started notify#1",
            "dcanary_stage_succeeded notify#1",
        ]);
        expected.sort_unstable();
        records.sort_unstable();
        assert_eq!(records, expected);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn secrets_never_reach_logs_status_events_or_the_journal_in_any_form() -> Result<()> {
    scenario("secrets", |ns| async move {
        ns.apply_dir("examples/secrets").await?;
        let run = ns.finished("secrets", LIMIT).await?;
        assert_eq!(run.state("Succeeded").0, "True", "{:#}", run.status());
        ns.recorded("secrets").await?;
        let text = ns.logs("secrets").await?;
        let pod = run.attempt("use")?["pod"].as_str().context("pod")?.to_owned();
        let container = ns.api::<Pod>().logs(&pod, &LogParams::default()).await?;
        for text in [&text, &container] {
            ensure!(text.contains("***"), "nothing was masked: {text}");
        }
        let events = ns.api::<Event>().list(&ListParams::default()).await?;
        let events = serde_json::to_string(&events.items)?;
        ensure!(events.contains("PipelineRun"), "{events}");
        let journal = journal::export().await?;
        // the export does hold the run, and texts can be found in it
        ensure!(holds(&journal, run.uid()), "the run is not in the journal");
        let expected = [
            "dcanary_run_opened",
            "dcanary_stage_started use#1",
            "dcanary_stage_succeeded use#1",
            "dcanary_run_finished",
        ];
        assert_eq!(journal::records(run.uid()).await?, expected);
        // base64 of the token, at its own alignment
        for secret in [
            "s3cr3t-t0ken-of-the-example",
            "czNjcjN0LXQwa2VuLW9mLXRoZS1leGFtcGxl",
            "password=two-lines-long",
        ] {
            for (place, text) in [
                ("log", &text),
                ("container's log", &container),
                ("events", &events),
            ] {
                ensure!(!text.contains(secret), "{secret} is in the {place}: {text}");
            }
            ensure!(!run.0.to_string().contains(secret), "{secret} is in the run");
            ensure!(!holds(&journal, secret), "{secret} is in the journal");
        }
        Ok(())
    })
    .await
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// A bare repository of lz4, made from Debian's source package.
async fn lz4() -> Result<Vec<u8>> {
    let script = repository().join("e2e/harness/fixtures/lz4.sh");
    let output = tokio::process::Command::new(&script).output().await?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let path = String::from_utf8(output.stdout)?;
    Ok(tokio::fs::read(path.trim()).await?)
}

#[tokio::test]
async fn c_project_is_checked_out_built_tested_packaged_and_pushed() -> Result<()> {
    scenario("c-project", |ns| async move {
        git_server::serve(&ns, &lz4().await?).await?;
        ns.apply_dir("examples/c-project").await?;
        let run = ns.finished("c-project", LIMIT).await?;
        assert_eq!(run.state("Succeeded").0, "True", "{:#}", run.status());
        let text = ns.logs("c-project").await?;
        ensure!(text.contains("lz4"), "{text}");
        let artifact = |stage: &str, name: &str| -> Result<serde_json::Value> {
            let found = run.stage(stage)?["artifacts"]
                .as_array()
                .and_then(|all| all.iter().find(|artifact| artifact["name"] == name).cloned());
            found.with_context(|| format!("no artifact {name} of {stage} in {:#}", run.status()))
        };
        // everything is at the server, also when no Pod is left
        for pod in ns
            .api::<Pod>()
            .list(&ListParams::default().labels("dcanary.dev/run-uid"))
            .await?
        {
            ns.api::<Pod>()
                .delete(&pod.name_any(), &DeleteParams::default().grace_period(0))
                .await?;
            ns.pod_gone(&pod.name_any(), LIMIT).await?;
        }
        for (stage, name) in [("build", "lz4"), ("package", "dist"), ("package", "lz4-image")] {
            let found = artifact(stage, name)?;
            let digest = found["digest"].as_str().unwrap_or("").to_owned();
            ensure!(
                digest.starts_with("sha256:") && digest.len() == 71,
                "{name}: {digest}"
            );
            if name == "lz4-image" {
                continue;
            }
            let bytes = artifacts::download(&ns, &digest).await?;
            assert_eq!(
                format!("sha256:{}", hex::encode(Sha256::digest(&bytes))),
                digest,
                "{name}"
            );
            assert_eq!(found["size"], bytes.len(), "{name}");
        }
        // the image is in the registry under the digest that the run tells, with the program in its last layer
        let image = artifact("package", "lz4-image")?;
        let digest = image["digest"].as_str().unwrap_or("");
        let manifest = registry(&format!("manifests/{digest}")).await?;
        assert_eq!(
            format!("sha256:{}", hex::encode(Sha256::digest(&manifest))),
            digest
        );
        let manifest: serde_json::Value = serde_json::from_slice(&manifest)?;
        let layers = manifest["layers"].as_array().context("layers")?;
        ensure!(layers.len() > 1, "the base is missing: {manifest:#}");
        let last = layers
            .last()
            .and_then(|layer| layer["digest"].as_str())
            .context("a layer")?;
        let layer = tempfile::NamedTempFile::new()?;
        std::fs::write(layer.path(), registry(&format!("blobs/{last}")).await?)?;
        let listed = tokio::process::Command::new("tar")
            .arg("-tf")
            .arg(layer.path())
            .output()
            .await?;
        let listed = String::from_utf8(listed.stdout)?;
        ensure!(
            listed
                .lines()
                .any(|name| name.trim_start_matches("./") == "usr/bin/lz4"),
            "{listed}"
        );
        ns.verified("c-project").await?;
        let expected = [
            "dcanary_run_opened",
            "dcanary_stage_started build#1",
            "dcanary_stage_succeeded build#1",
            "dcanary_stage_started test#1",
            "dcanary_stage_succeeded test#1",
            "dcanary_stage_started package#1",
            "dcanary_stage_succeeded package#1",
            "dcanary_run_finished",
        ];
        assert_eq!(journal::records(run.uid()).await?, expected);
        Ok(())
    })
    .await
}

/// A manifest or blob of the pushed image.
async fn registry(path: &str) -> Result<Vec<u8>> {
    let answer = reqwest::Client::new()
        .get(format!("http://127.0.0.1:5000/v2/lz4/{path}"))
        .header("Accept", "application/vnd.oci.image.manifest.v1+json")
        .send()
        .await?
        .error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}
