//! What an analysis measures, and what it makes of it.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView, artifacts,
    cli::{dcanary, said},
    data_plane::PROMETHEUS,
    example_app::error_share,
    fixtures::{LIMIT, object, stage},
    scenario,
};
use serde_json::{Value, json};

use super::{all_on, canary, decide, journal::replays, load, prepared};

/// An Environment of one Pod whose preview is measured before the switch.
fn measured(ns: &Namespace, analysis: &Value) -> Value {
    let strategy = json!({"blueGreen": {"prePromotionAnalysis": analysis, "scaleDownDelay": "1s"}});
    let mut environment = ns.plain_environment("web", &strategy);
    environment["spec"]["replicas"] = json!(1);
    environment["spec"]["traffic"]["drain"] = json!("1s");
    environment
}

/// A metric of Prometheus that is good above a half, with further fields.
fn number(name: &str, query: &str, more: Value) -> Value {
    let mut metric = json!({
        "name": name, "interval": "1s", "success": "result > 0.5",
        "prometheus": {"address": PROMETHEUS, "query": query},
    });
    if let (Some(metric), Value::Object(more)) = (metric.as_object_mut(), more) {
        metric.extend(more);
    }
    metric
}

/// The metric of the first analysis by name.
fn metric<'a>(of: &'a Value, name: &str) -> Result<&'a Value> {
    let all = of["analyses"][0]["metrics"].as_array();
    all.into_iter()
        .flatten()
        .find(|metric| metric["name"] == name)
        .with_context(|| format!("no metric {name} in {:#}", of["analyses"]))
}

async fn asked(ns: &Namespace, release: &str, tag: &str) -> Result<RunView> {
    ns.release(release, tag).await?;
    ns.promote(release, "web").await
}

/// An answer of Prometheus without an element.
const EMPTY: &str = "http_requests_total{namespace=\"$(namespace)\",release=\"nobody\"}";
/// One that is not a number.
const NAN: &str = "vector(0) / vector(0)";

#[tokio::test]
async fn a_dry_run_is_shown_and_decides_nothing_and_no_data_counts_as_what_is_said_for_it() -> Result<()> {
    scenario("dry-run", |ns| async move {
        prepared(&ns).await?;
        let mut metrics = vec![
            number("decides", "vector(1)", json!({"count": 5})),
            number("bad", "vector(0)", json!({"dryRun": true})),
            // good samples all, but two with data were asked for
            number(
                "few",
                EMPTY,
                json!({"dryRun": true, "count": 2, "minSamples": 2, "onNoData": "success"}),
            ),
            number(
                "early",
                "vector(1)",
                json!({"dryRun": true, "count": 100, "consecutiveSuccess": 2}),
            ),
        ];
        let mut expected = vec![
            ("bad", "Failed"),
            ("few", "Inconclusive"),
            ("early", "Passed"),
            ("decides", "Passed"),
        ];
        for (name, query, on_no_data, verdict) in [
            ("empty-unsaid", EMPTY, None, "Inconclusive"),
            ("empty-inconclusive", EMPTY, Some("inconclusive"), "Inconclusive"),
            ("empty-success", EMPTY, Some("success"), "Passed"),
            ("empty-failure", EMPTY, Some("failure"), "Failed"),
            ("nan-inconclusive", NAN, Some("inconclusive"), "Inconclusive"),
            ("nan-success", NAN, Some("success"), "Passed"),
            ("nan-failure", NAN, Some("failure"), "Failed"),
        ] {
            let mut metric = number(name, query, json!({"dryRun": true, "inconclusiveLimit": 0}));
            if let Some(counts_as) = on_no_data {
                metric["onNoData"] = json!(counts_as);
            }
            metrics.push(metric);
            expected.push((name, verdict));
        }
        ns.apply(&measured(&ns, &json!({"metrics": metrics})).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        let promotion = asked(&ns, "two", "2").await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        for (name, verdict) in expected {
            let found = metric(ended.status(), name)?;
            assert_eq!(found["verdict"], verdict, "{found:#}");
        }
        for (name, field, count) in [
            ("few", "successful", 2),
            ("few", "withData", 0),
            ("early", "taken", 2),
            ("decides", "taken", 5),
        ] {
            let found = metric(ended.status(), name)?;
            assert_eq!(found[field], count, "{found:#}");
        }
        assert_eq!(
            ended.status()["analyses"][0]["verdict"],
            "Passed",
            "{:#}",
            ended.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_answer_without_data_goes_back_where_it_is_bad_and_asks_a_person_where_nothing_is_said()
-> Result<()> {
    scenario("no-data", |ns| async move {
        let me = prepared(&ns).await?;
        let silent = |on_no_data: &str| {
            json!({"metrics": [number("silent", NAN, json!({"inconclusiveLimit": 0, "onNoData": on_no_data}))]})
        };
        ns.apply(&measured(&ns, &silent("failure")).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let bad = asked(&ns, "two", "2").await?;
        let ended = ns.promotion_fails(&bad, "AnalysisFailed").await?;
        let said = ended.says("Succeeded");
        ensure!(said.contains("`silent` failed: no data"), "{said}");
        ns.apply(&measured(&ns, &silent("inconclusive")).to_string())
            .await?;
        let third = asked(&ns, "three", "3").await?;
        let view = ns
            .environment_until("web", LIMIT, |view| view.state("Paused").0 == "True")
            .await?;
        assert_eq!(
            view.state("Paused").1,
            "AnalysisInconclusive",
            "{:#}",
            view.status()
        );
        ensure!(
            view.says("Paused").contains("neither good nor bad"),
            "{:#}",
            view.status()
        );
        decide(&me, Verb::Resume, &third).await?;
        ns.promotion_succeeds(&third).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_template_measures_by_its_parameters_and_without_it_nothing_is_deployed() -> Result<()> {
    scenario("template", |ns| async move {
        prepared(&ns).await?;
        let params =
            json!([{"name": "wanted", "value": "2"}, {"name": "of", "value": "$(environment)-candidate"}]);
        let analysis = json!({"templates": [{"name": "version", "params": params}]});
        ns.apply(&measured(&ns, &analysis).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let promotion = asked(&ns, "two", "2").await?;
        let lacks = |view: &RunView| view.state("Succeeded").1 == "TemplateNotFound";
        let waits = ns.promotion_until(&promotion, LIMIT, lacks).await?;
        ensure!(
            waits.says("Succeeded").contains("version"),
            "{:#}",
            waits.status()
        );
        let parts = ns.pods_labelled("dcanary.dev/environment=web").await?;
        assert_eq!(parts.len(), 1, "something of it was deployed");

        let template = json!({
            "params": [{"name": "wanted"}, {"name": "of"}, {"name": "path", "default": "$.version"}],
            "metrics": [{
                "name": "version", "interval": "1s", "count": 100, "consecutiveSuccess": 3, "failureLimit": 0,
                "success": "result == \"$(wanted)\"",
                "web": {"url": "http://$(of).$(namespace)/", "jsonPath": "$(path)"},
            }],
        });
        ns.apply(&object("Template", "version", &template)).await?;
        let ended = ns.promotion_succeeds(&promotion).await?;
        let found = metric(ended.status(), "version")?;
        // a question that nobody answered yet is forgiven
        assert_eq!(
            (&found["verdict"], &found["streak"]),
            (&json!("Passed"), &json!(3)),
            "{found:#}"
        );
        let last = found["samples"].as_array().and_then(|samples| samples.last());
        assert_eq!(last.context("samples")?["value"], "\"2\"", "{found:#}");

        // the same Template says of another one that it is not that
        let promotion = asked(&ns, "three", "3").await?;
        let ended = ns.promotion_fails(&promotion, "AnalysisFailed").await?;
        ensure!(
            ended.says("Succeeded").contains("result \"3\""),
            "{:#}",
            ended.status()
        );
        ns.serves("web", "two").await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_exit_code_of_a_job_is_a_sample() -> Result<()> {
    scenario("job", |ns| async move {
        prepared(&ns).await?;
        let look = "wget -q -O - \"http://$PARAM_environment-candidate/\" | grep '\"version\":\"2\"'";
        let analysis = json!({"metrics": [
            {"name": "looks", "job": stage("look", look)},
            {"name": "shown", "dryRun": true, "job": stage("break", "exit 3")},
        ]});
        ns.apply(&measured(&ns, &analysis).to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        let bad = asked(&ns, "three", "3").await?;
        let ended = ns.promotion_fails(&bad, "AnalysisFailed").await?;
        let said = ended.says("Succeeded");
        ensure!(
            said.contains("`looks` failed: the job failed") && said.contains("PipelineRun"),
            "{said}"
        );
        let good = asked(&ns, "two", "2").await?;
        let ended = ns.promotion_succeeds(&good).await?;
        assert_eq!(
            metric(ended.status(), "looks")?["verdict"],
            "Passed",
            "{:#}",
            ended.status()
        );
        Ok(())
    })
    .await
}

/// What `dcanary analysis replay` says of a document, and whether it agrees.
async fn replayed(document: &Value) -> Result<(bool, Value)> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("evidence.json");
    tokio::fs::write(&file, document.to_string()).await?;
    let file = file.to_str().context("path")?;
    let output = dcanary(&["analysis", "replay", file, "-o", "json"]).await?;
    let told = serde_json::from_slice(&output.stdout).with_context(|| said(&output))?;
    Ok((output.status.code() == Some(0), told))
}

#[tokio::test]
async fn a_canary_is_compared_with_the_stable_release_and_its_evidence_cannot_be_made_up() -> Result<()> {
    scenario("compare", |ns| async move {
        prepared(&ns).await?;
        let mut analysis = error_share();
        let compared = &mut analysis["metrics"][0];
        compared["compare"] = json!(true);
        compared["success"] = json!("result <= baseline + 0.05");
        compared["failure"] = json!("result > baseline + 0.05");
        compared["failureLimit"] = json!(0);
        let steps = json!([{"weight": 50}, {"analysis": analysis}]);
        ns.apply(&ns.environment("web", &canary(&steps)).to_string())
            .await?;
        ns.deployed("web", "one", "1").await?;
        let load = load(&ns, "web").await?;
        let promotion = asked(&ns, "bad", "2-errors").await?;
        let ended = ns.promotion_fails(&promotion, "AnalysisFailed").await?;
        let said = ended.says("Succeeded");
        ensure!(
            said.contains("baseline 0") && said.contains("baseline + 0.05"),
            "{said}"
        );
        all_on(&load, "1").await?;
        load.stop().await.none_lost()?;

        let digest = ended.status()["analyses"][0]["evidence"]
            .as_str()
            .context("no evidence")?;
        replays(&ns, digest, "Failed").await?;
        let document: Value = serde_json::from_slice(&artifacts::evidence(&ns, digest).await?)?;
        let samples = document["metrics"][0]["samples"].as_array().context("samples")?;
        let last = samples.len().checked_sub(1).context("no sample")?;
        let forged = |change: &dyn Fn(&mut Value)| {
            let mut forged = document.clone();
            change(&mut forged);
            forged
        };
        for (what, forged) in [
            (
                "a verdict",
                forged(&|document| document["verdict"] = json!("Passed")),
            ),
            (
                "a sample",
                forged(&|document| {
                    document["metrics"][0]["samples"][last]["value"] = json!("0");
                }),
            ),
            (
                "a threshold",
                forged(&|document| {
                    document["metrics"][0]["failure"] = json!("result > baseline + 0.9");
                }),
            ),
            (
                "a limit",
                forged(&|document| document["metrics"][0]["rules"]["failureLimit"] = json!(100)),
            ),
        ] {
            let (agrees, told) = replayed(&forged).await.context(what)?;
            ensure!(!agrees, "{what} was made up, and replay agrees: {told:#}");
            ensure!(
                told["agrees"] == false && told["differences"].as_array().is_some_and(|all| !all.is_empty()),
                "{what}: {told:#}"
            );
            ensure!(told["digest"] != digest, "{what}: {told:#}");
        }
        Ok(())
    })
    .await
}
