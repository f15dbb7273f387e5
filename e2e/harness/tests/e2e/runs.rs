//! What a run does by its own rules: conditions, retries, limits, results.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    cli::dcanary,
    fixtures::{BUSYBOX, LIMIT, object, run, run_with, stage},
    scenario,
};
use dcanary_types::record::Transition;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::{Value, json};

fn time(value: &Value) -> Result<Timestamp> {
    Ok(value.as_str().context("a time")?.parse()?)
}

#[tokio::test]
async fn a_stage_whose_condition_is_false_is_skipped_without_an_attempt_and_holds_nothing_back() -> Result<()>
{
    scenario("when", |ns| async move {
        let mut deploy = stage("deploy", "exit 1");
        deploy["when"] = json!("params.deploy == \"yes\"");
        let mut after = stage("after", "true");
        after["dependsOn"] = json!(["deploy"]);
        let spec = json!({"pipelineSpec": {"params": [{"name": "deploy", "default": "no"}], "stages": [stage("build", "true"), deploy, after]}});
        let (view, records) = ns
            .records("when", async {
                ns.apply(&run_with("when", &spec)).await?;
                ns.finished("when", LIMIT).await
            })
            .await?;
        assert_eq!(view.state("Succeeded"), ("True", "Succeeded"), "{:#}", view.status());
        for (name, state, reason) in [("build", "Succeeded", ""), ("deploy", "Skipped", "Condition"), ("after", "Succeeded", "")] {
            let stage = view.stage(name)?;
            assert_eq!(stage["state"], state, "{stage:#}");
            assert_eq!(stage["reason"].as_str().unwrap_or(""), reason, "{stage:#}");
        }
        assert_eq!(view.outcomes("deploy")?, []);
        assert_eq!(records.iter().filter(|kind| *kind == Transition::STAGE_SKIPPED).count(), 1, "{records:?}");
        ns.verified("when").await
    })
    .await
}

#[tokio::test]
async fn a_failed_stage_is_tried_again_after_pauses_that_double() -> Result<()> {
    scenario("retries", |ns| async move {
        let mut flaky = stage("flaky", "test \"$DCANARY_ATTEMPT\" -ge 3");
        flaky["retries"] = json!({"count": 2, "backoff": "2s"});
        let (view, records) = ns
            .records("flaky", async {
                ns.apply(&run("flaky", &json!([flaky]))).await?;
                ns.finished("flaky", LIMIT).await
            })
            .await?;
        let expected = [
            ("Failed", "StepFailed"),
            ("Failed", "StepFailed"),
            ("Succeeded", "Succeeded"),
        ];
        assert_eq!(view.outcomes("flaky")?, expected, "{:#}", view.status());
        let attempts = view.stage("flaky")?["attempts"].as_array().context("attempts")?;
        for (before, (after, pause)) in attempts.iter().zip(attempts.iter().skip(1).zip([2, 4])) {
            let waited = time(&after["createdAt"])?
                .duration_since(time(&before["finishedAt"])?)
                .as_secs_f64();
            ensure!(
                (f64::from(pause)..f64::from(pause) + 5.0).contains(&waited),
                "{waited} s instead of {pause} s"
            );
        }
        assert_eq!(
            records
                .iter()
                .filter(|kind| *kind == Transition::STAGE_RETRIED)
                .count(),
            2,
            "{records:?}"
        );
        ns.verified("flaky").await
    })
    .await
}

#[tokio::test]
async fn a_run_out_of_time_ends_timed_out_after_its_finally_stages_and_the_command_line_exits_with_4()
-> Result<()> {
    scenario("run-timeout", |ns| async move {
        let mut after = stage("after", "true");
        after["dependsOn"] = json!(["slow"]);
        let spec = json!({
            "timeouts": {"run": "6s"}, "stages": [stage("slow", "sleep 300"), after], "finally": [stage("clean", "true")],
        });
        ns.apply(&object("Pipeline", "slow", &spec)).await?;
        ns.pipeline_until("slow", LIMIT, |view| view.state("Ready").0 == "True").await?;
        let waited = dcanary(&["-n", &ns.name, "run", "slow", "--name", "slow-1", "--wait"]).await?;
        assert_eq!(waited.status.code(), Some(4), "{}", String::from_utf8_lossy(&waited.stderr));
        let watched = dcanary(&["-n", &ns.name, "get", "run", "slow-1", "-w"]).await?;
        assert_eq!(watched.status.code(), Some(4), "{}", String::from_utf8_lossy(&watched.stdout));
        let view = ns.finished("slow-1", LIMIT).await?;
        assert_eq!(view.state("Succeeded"), ("False", "TimedOut"), "{:#}", view.status());
        assert_eq!(view.outcomes("slow")?, [("Cancelled", "RunTimedOut")], "{:#}", view.status());
        assert_eq!(view.stage("after")?["state"], "Skipped");
        assert_eq!(view.stage("clean")?["state"], "Succeeded");
        ns.verified("slow-1").await
    })
    .await
}

#[tokio::test]
async fn a_pod_that_does_not_start_in_its_pending_time_ends_the_stage_with_the_clusters_reason() -> Result<()>
{
    scenario("pending", |ns| async move {
        let mut homeless = stage("homeless", "true");
        homeless["pendingTimeout"] = json!("4s");
        homeless["podTemplate"] = json!({"nodeSelector": {"example.com/no-such": "node"}});
        ns.apply(&run("pending", &json!([homeless]))).await?;
        let waiting = ns
            .run_until("pending", LIMIT, |view| {
                view.status()["stages"][0]["attempts"][0]["reason"] == "Unschedulable"
            })
            .await?;
        assert_eq!(waiting.state("Succeeded").0, "Unknown");
        let view = ns.finished("pending", LIMIT).await?;
        assert_eq!(
            view.outcomes("homeless")?,
            [("TimedOut", "PendingTimedOut")],
            "{:#}",
            view.status()
        );
        let message = view.attempt("homeless")?["message"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        ensure!(message.contains("Unschedulable"), "{message}");
        ns.verified("pending").await
    })
    .await
}

#[tokio::test]
async fn a_pod_whose_secret_is_missing_ends_the_stage_and_says_where_the_reason_stands() -> Result<()> {
    scenario("no-secret", |ns| async move {
        let mut use_it = stage("use", "true");
        use_it["pendingTimeout"] = json!("5s");
        use_it["secrets"] = json!([{"name": "nobody-made-it"}]);
        ns.apply(&run("no-secret", &json!([use_it]))).await?;
        let view = ns.finished("no-secret", LIMIT).await?;
        assert_eq!(
            view.outcomes("use")?,
            [("TimedOut", "PendingTimedOut")],
            "{:#}",
            view.status()
        );
        let attempt = view.attempt("use")?;
        let (pod, message) = (
            attempt["pod"].as_str().unwrap_or(""),
            attempt["message"].as_str().unwrap_or(""),
        );
        ensure!(
            message.contains(&format!("involvedObject.name={pod})")),
            "{message}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_result_that_nobody_wrote_fails_the_stage_that_names_it_and_the_run() -> Result<()> {
    scenario("no-result", |ns| async move {
        let mut use_it = stage("use", "true");
        use_it["dependsOn"] = json!(["make"]);
        use_it["env"] = json!([{"name": "TAG", "value": "$(stages.make.results.tga)"}]);
        let make = stage("make", "echo tag=1 >> \"$DCANARY_RESULTS\"");
        ns.apply(&run("no-result", &json!([make, use_it]))).await?;
        let view = ns.finished("no-result", LIMIT).await?;
        assert_eq!(
            view.state("Succeeded"),
            ("False", "Failed"),
            "{:#}",
            view.status()
        );
        assert_eq!(
            view.attempt("use")?["reason"],
            "ResultMissing",
            "{:#}",
            view.status()
        );
        ns.verified("no-result").await
    })
    .await
}

/// Most spans that overlap at one moment; one that begins when another ends does not.
fn most_at_once(spans: &[(Timestamp, Timestamp)]) -> usize {
    let at = |moment: Timestamp| {
        spans
            .iter()
            .filter(|(from, to)| (*from..*to).contains(&moment))
            .count()
    };
    spans.iter().map(|(from, _)| at(*from)).max().unwrap_or(0)
}

#[tokio::test]
async fn never_more_stages_work_at_once_than_the_limit_of_the_run() -> Result<()> {
    scenario("parallelism", |ns| async move {
        let stages: Vec<Value> = (1..=6).map(|n| stage(&format!("s{n}"), "sleep 1")).collect();
        let spec = json!({"pipelineSpec": {"parallelism": 2, "stages": stages}});
        ns.apply(&run_with("few", &spec)).await?;
        let view = ns.finished("few", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        let (mut attempts, mut steps) = (Vec::new(), Vec::new());
        for n in 1..=6 {
            let attempt = view.attempt(&format!("s{n}"))?;
            attempts.push((time(&attempt["createdAt"])?, time(&attempt["finishedAt"])?));
            let step = &attempt["steps"][0];
            steps.push((time(&step["startedAt"])?, time(&step["finishedAt"])?));
        }
        assert_eq!(most_at_once(&attempts), 2, "{:#}", view.status());
        ensure!(most_at_once(&steps) <= 2, "{:#}", view.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn pull_secrets_of_an_executor_are_set_on_its_pods() -> Result<()> {
    scenario("pull-secrets", |ns| async move {
        ns.apply(&object(
            "Executor",
            "private",
            &json!({"image": BUSYBOX, "imagePullSecrets": ["registry-a", "registry-b"]}),
        ))
        .await?;
        ns.apply(&run(
            "pull",
            &json!([{"name": "s", "executor": "private", "steps": [{"run": "sleep 3"}]}]),
        ))
        .await?;
        let pod = ns.running_pod("pull").await?;
        let pod = ns.api::<Pod>().get(&pod).await?;
        let names: Vec<String> = pod
            .spec
            .and_then(|spec| spec.image_pull_secrets)
            .unwrap_or_default()
            .into_iter()
            .map(|one| one.name)
            .collect();
        assert_eq!(names, ["registry-a", "registry-b"]);
        assert_eq!(ns.finished("pull", LIMIT).await?.state("Succeeded").0, "True");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_large_result_is_kept_by_digest_and_reaches_later_stages_as_a_file() -> Result<()> {
    scenario("large-result", |ns| async move {
        let make = "printf 'small=1\\nlarge=%s\\n' \"$(head -c 100000 /dev/zero | tr '\\0' x)\" >> \"$DCANARY_RESULTS\"";
        let mut read = stage("read", "test \"$(wc -c < \"$DCANARY_INPUTS/make/large\")\" = 100000; test \"$RESULT_make_small\" = 1; sha256sum < \"$DCANARY_INPUTS/make/large\"");
        read["dependsOn"] = json!(["make"]);
        ns.apply(&run("large", &json!([stage("make", make), read]))).await?;
        let view = ns.finished("large", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        let large = &view.stage("make")?["results"][0];
        assert_eq!((&large["name"], &large["size"], &large["value"]), (&json!("large"), &json!(100_000), &Value::Null));
        let digest = large["digest"].as_str().and_then(|digest| digest.strip_prefix("sha256:")).context("digest")?.to_owned();
        let log = ns.logs("large").await?;
        ensure!(log.contains(&digest), "{digest}: {log}");
        ns.verified("large").await
    })
    .await
}
