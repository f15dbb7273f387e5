//! Every example, applied as a user would, with real Pods: end state, logs, artifacts, journal.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{cluster::repository, fixtures::LIMIT, git_server, scenario};

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
        ns.recorded("hello").await.map(drop)
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
        ns.recorded("diamond").await.map(drop)
    })
    .await
}

#[tokio::test]
async fn secrets_never_reach_logs_or_status_in_any_form() -> Result<()> {
    scenario("secrets", |ns| async move {
        ns.apply_dir("examples/secrets").await?;
        let run = ns.finished("secrets", LIMIT).await?;
        assert_eq!(run.state("Succeeded").0, "True", "{:#}", run.status());
        let text = ns.logs("secrets").await?;
        ensure!(text.contains("***"), "nothing was masked: {text}");
        // base64 of the token, at its own alignment
        for secret in [
            "s3cr3t-t0ken-of-the-example",
            "czNjcjN0LXQwa2VuLW9mLXRoZS1leGFtcGxl",
            "password=two-lines-long",
        ] {
            ensure!(!text.contains(secret), "{secret} is in the logs: {text}");
            ensure!(!run.0.to_string().contains(secret), "{secret} is in the run");
        }
        Ok(())
    })
    .await
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
        for (stage, name) in [("build", "lz4"), ("package", "dist"), ("package", "lz4-image")] {
            let digest = artifact(stage, name)?["digest"].as_str().unwrap_or("").to_owned();
            ensure!(
                digest.starts_with("sha256:") && digest.len() == 71,
                "{name}: {digest}"
            );
        }
        // the image is in the registry under the digest that the run tells
        let image = artifact("package", "lz4-image")?;
        let digest = image["digest"].as_str().unwrap_or("");
        let manifest = reqwest::Client::new()
            .get(format!("http://127.0.0.1:5000/v2/lz4/manifests/{digest}"))
            .header("Accept", "application/vnd.oci.image.manifest.v1+json")
            .send()
            .await?;
        assert_eq!(manifest.status(), 200, "{image:#}");
        ns.recorded("c-project").await.map(drop)
    })
    .await
}
