//! What the API server itself refuses of an Environment, so that nobody waits for something that cannot work.

use anyhow::{Context, Result, ensure};
use dcanary_harness::scenario;
use kube::api::PostParams;
use serde_json::{Value, json};

type Change = fn(&mut Value);

/// A change of a good Environment, and what the refusal says.
const WRONG: [(Change, &str); 13] = [
    (
        |spec| spec["workload"]["ref"] = json!({"name": "web"}),
        "give exactly one of workload.template and workload.ref",
    ),
    (
        |spec| spec["strategy"]["blueGreen"] = json!({}),
        "give at most one of rolling, blueGreen and canary",
    ),
    (
        |spec| spec["workload"]["template"]["kind"] = json!("StatefulSet"),
        "canary needs a Deployment",
    ),
    (
        |spec| {
            spec["strategy"] = json!({"blueGreen": {}});
            spec["workload"]["template"]["kind"] = json!("DaemonSet");
        },
        "blueGreen needs a Deployment",
    ),
    (
        |spec| {
            spec["strategy"] = json!({"rolling": {}});
            spec["workload"]["template"]["kind"] = json!("DaemonSet");
            spec["workload"]["disruptionBudget"] = json!({"maxUnavailable": "1"});
        },
        "strategy.rolling.maxUnavailable says how many",
    ),
    (
        |spec| spec["workload"]["disruptionBudget"] = json!({"maxUnavailable": "1", "minAvailable": "1"}),
        "give exactly one of minAvailable and maxUnavailable",
    ),
    (
        |spec| drop(spec.as_object_mut().map(|spec| spec.remove("traffic"))),
        "give traffic.ports",
    ),
    (
        |spec| spec["strategy"]["canary"]["steps"][0]["pause"] = json!({}),
        "a step is exactly one of weight, pause, analysis, replicas and mirror",
    ),
    (
        |spec| spec["strategy"]["canary"]["steps"][0]["weight"] = json!(101),
        "should be less than or equal to 100",
    ),
    (
        |spec| spec["approval"] = json!({"required": 2}),
        "name users or groups who may approve",
    ),
    (
        |spec| {
            let metric = json!({"name": "errors", "success": "true", "job": {"image": "a"}, "web": {"url": "http://a/"}});
            spec["analysis"] = json!({"metrics": [metric]});
        },
        "give exactly one of prometheus, web and job",
    ),
    (
        |spec| {
            let verify = json!({"url": "http://gateway.infra"});
            spec["traffic"]["route"] =
                json!({"kind": "GRPCRoute", "ref": {"name": "shop"}, "verify": verify});
        },
        "take route.verify out, or set route.kind to HTTPRoute",
    ),
    (
        |spec| {
            let verify = json!({"url": "http://me:secret@gateway.infra/admin"});
            spec["traffic"]["route"] = json!({"ref": {"name": "shop"}, "verify": verify});
        },
        "verify.url is the address of the gateway",
    ),
];

#[tokio::test]
async fn what_cannot_work_is_refused_with_the_field_and_with_what_to_do() -> Result<()> {
    scenario("schema", |ns| async move {
        let strategy = json!({"canary": {"steps": [{"weight": 50}]}});
        let good = ns.plain_environment("web", &strategy);
        let dry = PostParams {
            dry_run: true,
            field_manager: None,
        };
        ns.environments()
            .create(&dry, &serde_json::from_value(good.clone())?)
            .await
            .context("a good one")?;
        for (change, says) in WRONG {
            let mut wrong = good.clone();
            change(&mut wrong["spec"]);
            let refused = ns
                .environments()
                .create(&dry, &serde_json::from_value(wrong)?)
                .await
                .err();
            let refused = refused
                .with_context(|| format!("it was taken: {says}"))?
                .to_string();
            ensure!(refused.contains(says), "{says}: {refused}");
            ensure!(refused.contains("spec"), "{says}: {refused}");
        }
        Ok(())
    })
    .await
}
