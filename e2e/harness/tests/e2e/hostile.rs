//! Steps that work against the system that runs them.

use anyhow::{Result, ensure};
use dcanary_harness::{
    fixtures::{BUILDER, BUSYBOX, LIMIT, run, stage},
    scenario,
};
use dcanary_types::record::Transition;
use serde_json::json;

/// Largest kept log of an attempt.
const LOG_BYTES: usize = 64 << 20;

#[tokio::test]
async fn a_token_that_a_step_trades_a_second_time_is_refused_shown_and_recorded() -> Result<()> {
    scenario("second-trade", |ns| async move {
        let script = r#"
            printf %s "$DCANARY_SERVER_CA" | base64 -d > ca.pem
            key=$(printf mine | sha256sum | cut -c1-64)
            code=$(curl -sS -o answer -w '%{http_code}' --cacert ca.pem -H 'Content-Type: application/json' \
              -H "Authorization: Bearer $(cat /var/run/dcanary/token)" -d "{\"protocol\": 1, \"key\": \"$key\"}" "$DCANARY_SERVER/v1/session")
            echo "code=$code" >> "$DCANARY_RESULTS"
            echo "reason=$(jq -r .type answer)" >> "$DCANARY_RESULTS"
            echo "cluster=$(ls /var/run/secrets/kubernetes.io 2> /dev/null || echo none)" >> "$DCANARY_RESULTS""#;
        let stages = json!([{"name": "thief", "image": BUILDER, "steps": [{"run": script}]}]);
        let (view, records) = ns
            .records("thief", async {
                ns.apply(&run("thief", &stages)).await?;
                ns.finished("thief", LIMIT).await
            })
            .await?;
        let stage = view.stage("thief")?;
        // the token is for the server alone; one of the cluster it has none
        let results = [("cluster", "none"), ("code", "409"), ("reason", "urn:dcanary:second-trade")];
        for (i, (name, value)) in results.into_iter().enumerate() {
            let result = &stage["results"][i];
            assert_eq!((&result["name"], &result["value"]), (&json!(name), &json!(value)), "{stage:#}");
        }
        assert_eq!(view.attempt("thief")?["disputed"], "SecondTrade", "{stage:#}");
        ensure!(records.iter().any(|kind| kind == Transition::STAGE_DISPUTED), "{records:?}");
        ns.verified("thief").await
    })
    .await
}

#[tokio::test]
async fn no_signal_of_a_step_ends_the_runner() -> Result<()> {
    scenario("signals", |ns| async move {
        let script = "n=1; while [ $n -le 64 ]; do kill -$n 1 2> /dev/null || true; kill -$n $PPID 2> /dev/null || true; n=$((n + 1)); done; exit 9";
        ns.apply(&run("signals", &json!([stage("s", script)]))).await?;
        let view = ns.finished("signals", LIMIT).await?;
        assert_eq!(view.outcomes("s")?, [("Failed", "StepFailed")], "{:#}", view.status());
        let attempt = view.attempt("s")?;
        assert_eq!(attempt["steps"][0]["exitCode"], 9, "{attempt:#}");
        assert_eq!(attempt["confirmed"], true, "{attempt:#}");
        let log = ns.logs("signals").await?;
        ensure!(log.contains("ignored signal 15"), "{log}");
        ns.verified("signals").await
    })
    .await
}

#[tokio::test]
async fn a_runner_that_a_step_brings_down_all_the_same_fails_the_stage_by_name() -> Result<()> {
    scenario("runner-down", |ns| async move {
        // the kernel lets a process of the same user set limits, and kills for them even a PID 1
        let script = "prlimit --pid 1 --cpu=1:1; while true; do seq 1 100000; done";
        let stages = json!([{"name": "s", "image": BUILDER, "timeout": "2m", "steps": [{"run": script}, {"run": "true"}]}]);
        ns.apply(&run("runner-down", &stages)).await?;
        let view = ns.finished("runner-down", LIMIT).await?;
        assert_eq!(view.outcomes("s")?, [("Failed", "RunnerKilled")], "{:#}", view.status());
        let attempt = view.attempt("s")?;
        assert_eq!(attempt["exitCode"], 137, "{attempt:#}");
        ensure!(attempt["confirmed"] != true, "{attempt:#}");
        assert_eq!(view.state("Succeeded"), ("False", "Failed"));
        ns.verified("runner-down").await
    })
    .await
}

#[tokio::test]
async fn a_step_that_ends_well_after_a_failed_one_leaves_the_stage_failed() -> Result<()> {
    scenario("whitewash", |ns| async move {
        let stages = json!([{"name": "s", "image": BUSYBOX, "steps": [
            {"name": "bad", "run": "exit 5"}, {"name": "good", "if": "always()", "run": "exit 0"},
        ]}]);
        ns.apply(&run("whitewash", &stages)).await?;
        let view = ns.finished("whitewash", LIMIT).await?;
        assert_eq!(
            view.outcomes("s")?,
            [("Failed", "StepFailed")],
            "{:#}",
            view.status()
        );
        let attempt = view.attempt("s")?;
        assert_eq!(attempt["steps"][0]["outcome"], "failed", "{attempt:#}");
        assert_eq!(attempt["steps"][1]["outcome"], "succeeded", "{attempt:#}");
        ensure!(
            attempt["message"].as_str().unwrap_or("").contains("bad"),
            "{attempt:#}"
        );
        ns.verified("whitewash").await
    })
    .await
}

#[tokio::test]
async fn a_daemon_ends_with_the_step_that_left_it_and_holds_nothing_up() -> Result<()> {
    scenario("daemon", |ns| async move {
        // it has a session of its own, ignores SIGTERM and keeps the output open
        let daemon = "setsid sh -c 'trap \"\" HUP TERM; while true; do sleep 1000; done' & echo started";
        let stages = json!([{"name": "s", "image": BUSYBOX, "timeout": "1m", "steps": [{"run": daemon}, {"run": "! pidof sleep"}]}]);
        ns.apply(&run("daemon", &stages)).await?;
        let view = ns.finished("daemon", LIMIT).await?;
        assert_eq!(view.outcomes("s")?, [("Succeeded", "Succeeded")], "{:#}", view.status());
        let log = ns.logs("daemon").await?;
        ensure!(log.contains("that the step left behind"), "{log}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_results_line_that_is_none_fails_the_step_with_the_line_named() -> Result<()> {
    scenario("results", |ns| async move {
        let script = "printf 'good=1\\nneither this nor that\\n' >> \"$DCANARY_RESULTS\"";
        ns.apply(&run("results", &json!([stage("s", script)]))).await?;
        let view = ns.finished("results", LIMIT).await?;
        assert_eq!(
            view.outcomes("s")?,
            [("Failed", "ResultsInvalid")],
            "{:#}",
            view.status()
        );
        let message = view.attempt("s")?["message"].as_str().unwrap_or("").to_owned();
        ensure!(
            message.contains("line 2") && message.contains("key=value"),
            "{message}"
        );
        ns.verified("results").await
    })
    .await
}

#[tokio::test]
async fn two_million_lines_end_and_are_kept_up_to_the_limit_with_the_gap_named() -> Result<()> {
    scenario("lines", |ns| async move {
        ns.apply(&run("lines", &json!([stage("s", "seq 1 2000000")])))
            .await?;
        let view = ns.finished("lines", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        let log = ns.logs("lines").await?;
        let lines: Vec<&str> = log.lines().map(|line| line.trim_start_matches("s | ")).collect();
        assert_eq!(lines.first(), Some(&"1"));
        assert_eq!(lines.last(), Some(&"2000000"));
        let gaps: Vec<&&str> = lines
            .iter()
            .filter(|line| line.contains("lines were dropped here"))
            .collect();
        ensure!(
            gaps.len() == 1 && gaps[0].contains(&LOG_BYTES.to_string()),
            "{gaps:?}"
        );
        // number, step, stream and time of a stored line take more than this
        let stored: usize = lines.iter().map(|line| line.len() + 64).sum();
        ensure!(
            stored < LOG_BYTES && lines.len() > 100_000,
            "{} lines, {stored} bytes",
            lines.len()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_line_of_twenty_megabytes_ends_and_is_kept_whole() -> Result<()> {
    scenario("long-line", |ns| async move {
        let script = "head -c 20000000 /dev/zero | tr '\\0' x";
        ns.apply(&run("long-line", &json!([stage("s", script)]))).await?;
        let view = ns.finished("long-line", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        let log = ns.logs("long-line").await?;
        assert_eq!(log.bytes().filter(|byte| *byte == b'x').count(), 20_000_000);
        Ok(())
    })
    .await
}
