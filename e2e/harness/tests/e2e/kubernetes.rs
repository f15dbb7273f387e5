//! What the cluster and its API server do to runs: eviction, quota, limits, deletion, validation.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    Namespace, RunView,
    cli::dcanary,
    fixtures::{BUSYBOX, LIMIT, object, run, run_with, stage},
    kubectl::kubectl,
    scenario,
};
use dcanary_types::record::Transition;
use k8s_openapi::api::core::v1::{Namespace as CoreNamespace, Pod, ResourceQuota};
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, EvictParams, Patch, PatchParams, PostParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::{Value, json};

/// Ends at once when it is tried a second time.
const FIRST_HANGS: &str = "test \"$DCANARY_ATTEMPT\" -ge 2 || sleep 300";

/// Time for a run to go on by itself once it can.
const SOON: Duration = Duration::from_secs(45);

fn message(value: &Value) -> &str {
    value["message"].as_str().unwrap_or("")
}

#[tokio::test]
async fn an_evicted_pod_is_lost_and_its_stage_is_tried_again_outside_the_users_retries() -> Result<()> {
    scenario("eviction", |ns| async move {
        let (view, records) = ns
            .records("evicted", async {
                ns.apply(&run("evicted", &json!([stage("s", FIRST_HANGS)])))
                    .await?;
                let pod = ns.running_pod("evicted").await?;
                ns.api::<Pod>().evict(&pod, &EvictParams::default()).await?;
                ns.finished("evicted", LIMIT).await
            })
            .await?;
        assert_eq!(
            view.state("Succeeded"),
            ("True", "Succeeded"),
            "{:#}",
            view.status()
        );
        let expected = [("Lost", "EvictionByEvictionAPI"), ("Succeeded", "Succeeded")];
        assert_eq!(view.outcomes("s")?, expected, "{:#}", view.status());
        ensure!(
            records.iter().any(|kind| kind == Transition::STAGE_RETRIED),
            "{records:?}"
        );
        ns.verified("evicted").await
    })
    .await
}

#[tokio::test]
async fn a_run_over_its_quota_waits_with_the_quota_named_and_goes_on_when_it_is_raised() -> Result<()> {
    scenario("quota", |ns| async move {
        let quotas: Api<ResourceQuota> = ns.api();
        let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "no-pods"}, "spec": {"hard": {"pods": "0"}}});
        ns.apply(&quota.to_string()).await?;
        let known = |quota: Option<&ResourceQuota>| quota.and_then(|quota| quota.status.as_ref()?.hard.as_ref()).is_some();
        tokio::time::timeout(LIMIT, await_condition(quotas.clone(), "no-pods", known)).await??;
        ns.apply(&run("waits", &json!([stage("s", "true")]))).await?;
        let view = ns
            .run_until("waits", LIMIT, |view| view.status()["stages"][0]["attempts"][0]["reason"] == "QuotaExceeded")
            .await?;
        assert_eq!(view.state("Succeeded").0, "Unknown");
        let said = view.condition("Succeeded").map(|condition| condition["message"].to_string());
        ensure!(said.is_some_and(|said| said.contains("stage s waits: QuotaExceeded")), "{:#}", view.status());
        ensure!(message(view.attempt("s")?).contains("no-pods"), "{:#}", view.status());
        let shown = dcanary(&["-n", &ns.name, "get", "run", "waits"]).await?;
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        ensure!(shown.contains("QuotaExceeded") && shown.contains("no-pods"), "{shown}");
        let more = json!({"spec": {"hard": {"pods": "5"}}});
        quotas.patch("no-pods", &PatchParams::default(), &Patch::Merge(&more)).await?;
        let view = ns.finished("waits", SOON).await?;
        assert_eq!(view.outcomes("s")?, [("Succeeded", "Succeeded")], "{:#}", view.status());
        ns.verified("waits").await
    })
    .await
}

#[tokio::test]
async fn a_pod_that_a_limit_range_forbids_is_refused_with_the_api_servers_words() -> Result<()> {
    scenario("limit-range", |ns| async move {
        let range = json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "small"},
            "spec": {"limits": [{"type": "Container", "max": {"memory": "64Mi"}}]},
        });
        ns.apply(&range.to_string()).await?;
        let mut greedy = stage("greedy", "true");
        greedy["resources"] = json!({"limits": {"memory": "128Mi"}});
        greedy["retries"] = json!({"count": 3, "backoff": "1s"});
        ns.apply(&run("greedy", &json!([greedy]))).await?;
        let view = ns.finished("greedy", LIMIT).await?;
        assert_eq!(
            view.outcomes("greedy")?,
            [("Refused", "PodForbidden")],
            "{:#}",
            view.status()
        );
        let said = message(view.attempt("greedy")?).to_owned();
        ensure!(
            said.contains("maximum memory usage per Container is 64Mi, but limit is 128Mi"),
            "{said}"
        );
        ns.verified("greedy").await
    })
    .await
}

#[tokio::test]
async fn a_pod_that_somebody_keeps_from_going_is_replaced_and_no_two_are_ever_live() -> Result<()> {
    scenario("stuck-pod", |ns| async move {
        let ((view, pod), live) = ns
            .live_pods(async {
                ns.apply(&run("stuck", &json!([stage("s", FIRST_HANGS)]))).await?;
                let pod = ns.running_pod("stuck").await?;
                let add =
                    json!([{"op": "add", "path": "/metadata/finalizers/-", "value": "example.com/keep"}]);
                let add: Patch<Value> = Patch::Json(serde_json::from_value(add)?);
                ns.api::<Pod>().patch(&pod, &PatchParams::default(), &add).await?;
                ns.api::<Pod>().delete(&pod, &DeleteParams::default()).await?;
                Ok((ns.finished("stuck", LIMIT).await?, pod))
            })
            .await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        assert_eq!(
            view.outcomes("s")?,
            [("Lost", "PodDeleted"), ("Succeeded", "Succeeded")],
            "{:#}",
            view.status()
        );
        ensure!(live.iter().all(|pods| pods.len() <= 1), "{live:?}");
        let left = ns.api::<Pod>().get(&pod).await?;
        assert_eq!(left.finalizers(), ["example.com/keep"], "ours must be gone");
        let none = json!({"metadata": {"finalizers": null}});
        ns.api::<Pod>()
            .patch(&pod, &PatchParams::default(), &Patch::Merge(&none))
            .await?;
        ns.verified("stuck").await
    })
    .await
}

#[tokio::test]
async fn a_namespace_that_is_deleted_while_a_run_goes_on_is_gone_within_a_minute() -> Result<()> {
    scenario("namespace", |ns| async move {
        let spec = json!({"pipelineSpec": {"stages": [stage("s", "sleep 300"), stage("t", "sleep 300")], "finally": [stage("clean", "sleep 300")]}});
        ns.apply(&run_with("doomed", &spec)).await?;
        ns.running_pod("doomed").await?;
        let all: Api<CoreNamespace> = Api::all(ns.cluster.client.clone());
        let uid = all.get(&ns.name).await?.uid().context("uid")?;
        all.delete(&ns.name, &DeleteParams::default()).await?;
        tokio::time::timeout(Duration::from_secs(60), await_condition(all, &ns.name, conditions::is_deleted(&uid)))
            .await
            .context("the namespace is still there")??;
        Ok(())
    })
    .await
}

/// Creates an object as a client does that asks for no validation.
async fn create(api: &Api<DynamicObject>, text: &str) -> Result<RunView, kube::Error> {
    let object: DynamicObject = serde_json::from_str(text).expect("an object");
    let made = api.create(&PostParams::default(), &object).await?;
    Ok(RunView(serde_json::to_value(made).expect("JSON")))
}

#[tokio::test]
async fn an_unknown_field_is_refused_by_strict_kubectl_and_pruned_for_a_lenient_client() -> Result<()> {
    scenario("unknown-field", |ns| async move {
        let mut wrong = stage("s", "true");
        wrong["dependOn"] = json!(["t"]);
        let text = object(
            "Pipeline",
            "typo",
            &json!({"stages": [wrong, stage("t", "true")]}),
        );
        let strict = kubectl(&["-n", &ns.name, "apply", "--validate=strict", "-f", "-"], &text).await?;
        let said = String::from_utf8_lossy(&strict.stderr).into_owned();
        ensure!(!strict.status.success(), "it was taken");
        ensure!(
            said.contains("unknown field \"spec.stages[0].dependOn\""),
            "{said}"
        );
        let made = create(&ns.pipelines(), &text).await?;
        assert_eq!(made.0["spec"]["stages"][0]["dependOn"], Value::Null);
        let view = ns
            .pipeline_until("typo", LIMIT, |view| view.state("Ready").0 == "True")
            .await?;
        assert_eq!(view.condition("Stalled"), None);
        Ok(())
    })
    .await
}

async fn stalled(ns: &Namespace, name: &str, stages: &Value) -> Result<String> {
    ns.apply(&object("Pipeline", name, &json!({"stages": stages})))
        .await?;
    let view = ns
        .pipeline_until(name, LIMIT, |view| view.state("Stalled").0 == "True")
        .await?;
    assert_eq!(view.state("Ready"), ("False", "InvalidDefinition"));
    Ok(message(view.condition("Stalled").context("Stalled")?).to_owned())
}

#[tokio::test]
async fn a_wrong_expression_stalls_the_pipeline_with_field_line_and_column() -> Result<()> {
    scenario("wrong-cel", |ns| async move {
        let mut unreadable = stage("b", "true");
        unreadable["when"] = json!("run.name ==");
        let said = stalled(&ns, "unreadable", &json!([stage("a", "true"), unreadable])).await?;
        ensure!(said.contains("spec.stages[1].when: line 1, column 12"), "{said}");
        let mut unknown = stage("a", "true");
        unknown["when"] = json!("param.x == \"1\"");
        let said = stalled(&ns, "unknown", &json!([unknown])).await?;
        ensure!(
            said.contains("spec.stages[0].when") && said.contains("did you mean `params`?"),
            "{said}"
        );
        let mut step = stage("a", "true");
        step["steps"][0]["if"] = json!("always(");
        let said = stalled(&ns, "step", &json!([step])).await?;
        ensure!(
            said.contains("spec.stages[0].steps[0].if: line 1, column"),
            "{said}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_need_that_does_not_exist_stalls_the_pipeline_with_its_place_and_a_suggestion_and_fails_its_runs()
-> Result<()> {
    scenario("missing-need", |ns| async move {
        let mut test = stage("test", "true");
        test["dependsOn"] = json!(["biuld"]);
        let place = "spec.stages[1].dependsOn[0]: there is no stage `biuld`, did you mean `build`?";
        let said = stalled(&ns, "web", &json!([stage("build", "true"), test])).await?;
        ensure!(said.contains(place), "{said}");
        ns.apply(&run_with("web-1", &json!({"pipelineRef": {"name": "web"}})))
            .await?;
        let view = ns.finished("web-1", LIMIT).await?;
        assert_eq!(view.state("Succeeded"), ("False", "InvalidPipeline"));
        ensure!(
            message(view.condition("Succeeded").context("Succeeded")?).contains(place),
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_run_whose_executor_does_not_exist_says_so_and_goes_on_when_it_comes() -> Result<()> {
    scenario("no-executor", |ns| async move {
        ns.apply(&run(
            "waits",
            &json!([{"name": "build", "executor": "nodejs-22", "steps": [{"run": "true"}]}]),
        ))
        .await?;
        let view = ns
            .run_until("waits", LIMIT, |view| {
                view.state("Succeeded").1 == "ExecutorNotFound"
            })
            .await?;
        assert_eq!(view.state("Succeeded").0, "Unknown");
        assert_eq!(view.state("Reconciling").0, "True");
        let said = message(view.condition("Succeeded").context("Succeeded")?).to_owned();
        ensure!(
            said.contains("stage `build`") && said.contains("executor `nodejs-22`"),
            "{said}"
        );
        ns.apply(&object("Executor", "nodejs-22", &json!({"image": BUSYBOX})))
            .await?;
        assert_eq!(ns.finished("waits", SOON).await?.state("Succeeded").0, "True");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_run_whose_pipeline_does_not_exist_says_so_and_goes_on_when_it_comes() -> Result<()> {
    scenario("no-pipeline", |ns| async move {
        ns.apply(&run_with("waits", &json!({"pipelineRef": {"name": "later"}})))
            .await?;
        let view = ns
            .run_until("waits", LIMIT, |view| {
                view.state("Succeeded").1 == "PipelineNotFound"
            })
            .await?;
        assert_eq!(view.state("Succeeded").0, "Unknown");
        ensure!(
            message(view.condition("Succeeded").context("Succeeded")?).contains("`later`"),
            "{:#}",
            view.status()
        );
        ns.apply(&object(
            "Pipeline",
            "later",
            &json!({"stages": [stage("s", "true")]}),
        ))
        .await?;
        assert_eq!(ns.finished("waits", SOON).await?.state("Succeeded").0, "True");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_spec_of_a_run_never_changes_but_for_cancel_which_is_final() -> Result<()> {
    scenario("immutable", |ns| async move {
        let spec = json!({
            "pipelineRef": {"name": "never"}, "params": [{"name": "a", "value": "1"}], "source": {"ref": "main"},
            "trigger": {"event": "manual"}, "timeouts": {"run": "1h"},
        });
        ns.apply(&run_with("fixed", &spec)).await?;
        let patch = async |spec: Value| {
            let patch = json!({"spec": spec});
            ns.runs().patch("fixed", &PatchParams::default(), &Patch::Merge(&patch)).await
        };
        for (field, change) in [
            ("pipelineRef", json!({"pipelineRef": {"name": "other"}})),
            ("pipelineRef", json!({"pipelineRef": null, "pipelineSpec": {"stages": [stage("s", "true")]}})),
            ("params", json!({"params": [{"name": "a", "value": "2"}]})),
            ("params", json!({"params": null})),
            ("source", json!({"source": {"ref": "other"}})),
            ("source", json!({"source": null})),
            ("trigger", json!({"trigger": {"event": "push"}})),
            ("timeouts", json!({"timeouts": {"run": "2h"}})),
            ("timeouts", json!({"timeouts": {"pending": "2h"}})),
        ] {
            let said = patch(change).await.err().with_context(|| format!("{field} was changed"))?.to_string();
            ensure!(said.contains(&format!("{field} cannot change after creation")), "{said}");
        }
        ns.apply(&run("inline", &json!([stage("s", "true")]))).await?;
        let other = json!({"spec": {"pipelineSpec": {"stages": [stage("s", "false")]}}});
        let said = ns.runs().patch("inline", &PatchParams::default(), &Patch::Merge(&other)).await.err().context("pipelineSpec was changed")?;
        ensure!(said.to_string().contains("pipelineSpec cannot change after creation"), "{said}");
        patch(json!({"cancel": true})).await?;
        let view = ns.finished("fixed", LIMIT).await?;
        assert_eq!(view.state("Succeeded"), ("False", "Cancelled"), "{:#}", view.status());
        let said = patch(json!({"cancel": false})).await.err().context("the cancellation was taken back")?.to_string();
        ensure!(said.contains("a cancelled run cannot be resumed"), "{said}");
        Ok(())
    })
    .await
}
