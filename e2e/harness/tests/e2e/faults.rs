//! What goes wrong in real clusters, and what the run says about it.

use anyhow::{Context, Result, ensure};
use dcanary_harness::{
    cli::{dcanary, said},
    fixtures::{BUSYBOX, LIMIT, run, run_with},
    git_server, scenario,
};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    api::{DeleteParams, ListParams},
    runtime::{conditions, wait::await_condition},
};
use serde_json::json;

#[tokio::test]
async fn a_cycle_stalls_the_pipeline_with_its_stages_named_and_others_go_on() -> Result<()> {
    scenario("cycle", |ns| async move {
        let stage = |name: &str, need: &str| {
            json!({"name": name, "dependsOn": [need], "image": BUSYBOX, "steps": [{"run": "true"}]})
        };
        let pipeline = json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Pipeline", "metadata": {"name": "round"},
            "spec": {"stages": [stage("a", "c"), stage("b", "a"), stage("c", "b")]},
        });
        ns.apply(&pipeline.to_string()).await?;
        let view = ns.pipeline_until("round", LIMIT, |view| view.state("Stalled").0 == "True").await?;
        let message = view.condition("Stalled").context("Stalled")?["message"].as_str().unwrap_or("").to_owned();
        ensure!(message.contains("a → c → b → a"), "{message}");
        ns.apply(&run("fine", &json!([{"name": "s", "image": BUSYBOX, "steps": [{"run": "true"}]}]))).await?;
        assert_eq!(ns.finished("fine", LIMIT).await?.state("Succeeded").0, "True");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_failed_step_fails_the_run_with_its_exit_code_and_skips_what_needs_it() -> Result<()> {
    scenario("failed", |ns| async move {
        let stages = json!([
            {"name": "bad", "image": BUSYBOX, "steps": [{"name": "boom", "run": "exit 7"}, {"name": "never", "run": "true"}]},
            {"name": "after", "dependsOn": ["bad"], "image": BUSYBOX, "steps": [{"run": "true"}]},
        ]);
        ns.apply(&run("failed", &stages)).await?;
        let view = ns.finished("failed", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "False");
        assert_eq!(view.state("Stalled").0, "True");
        let steps = view.attempt("bad")?["steps"].clone();
        assert_eq!(steps[0]["exitCode"], 7, "{steps:#}");
        assert_eq!(steps[1]["outcome"], "skipped", "{steps:#}");
        assert_eq!(view.stage("after")?["state"], "Skipped");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_image_that_does_not_exist_is_refused_with_the_image_named_long_before_its_pending_time()
-> Result<()> {
    scenario("no-image", |ns| async move {
        let stages = json!([{
            "name": "s", "image": "registry.local:5000/nothing-here:1", "pendingTimeout": "1h", "steps": [{"run": "true"}],
        }]);
        ns.apply(&run("no-image", &stages)).await?;
        let view = ns.finished("no-image", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "False");
        assert_eq!(
            view.outcomes("s")?,
            [("Refused", "ImagePullFailed")],
            "{:#}",
            view.status()
        );
        let message = view.attempt("s")?["message"].to_string();
        ensure!(message.contains("registry.local:5000/nothing-here:1"), "{message}");
        ns.verified("no-image").await
    })
    .await
}

#[tokio::test]
async fn a_step_killed_for_memory_says_so_with_the_limit() -> Result<()> {
    scenario("memory", |ns| async move {
        let stages = json!([{
            "name": "greedy", "image": BUSYBOX, "resources": {"limits": {"memory": "48Mi"}},
            "steps": [{"run": "tail /dev/zero"}],
        }]);
        ns.apply(&run("memory", &stages)).await?;
        let view = ns.finished("memory", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "False", "{:#}", view.status());
        assert_eq!(
            view.outcomes("greedy")?,
            [("Failed", "OutOfMemory")],
            "{:#}",
            view.status()
        );
        let message = view.attempt("greedy")?["message"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        ensure!(message.contains("48Mi"), "{message}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_step_that_ignores_sigterm_is_killed_when_its_stage_times_out() -> Result<()> {
    scenario("stubborn", |ns| async move {
        let stages = json!([{
            "name": "s", "image": BUSYBOX, "timeout": "3s",
            "steps": [{"run": "trap '' TERM; while true; do sleep 1; done"}],
        }]);
        ns.apply(&run("stubborn", &stages)).await?;
        let view = ns.finished("stubborn", LIMIT).await?;
        assert_eq!(view.attempt("s")?["outcome"], "TimedOut", "{:#}", view.status());
        // its runner says so: what became of a step is in its report only, and not the operator lost patience
        let step = &view.attempt("s")?["steps"][0];
        ensure!(step["outcome"].is_string(), "{:#}", view.status());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_pod_deleted_by_hand_is_lost_and_its_stage_is_tried_again() -> Result<()> {
    scenario("deleted-pod", |ns| async move {
        let script = "test \"$DCANARY_ATTEMPT\" -ge 2 || sleep 300";
        let stages = json!([{"name": "s", "image": BUSYBOX, "steps": [{"run": script}]}]);
        ns.apply(&run("lost", &stages)).await?;
        let pod = ns.running_pod("lost").await?;
        ns.api::<Pod>()
            .delete(&pod, &DeleteParams::default().grace_period(0))
            .await?;
        let view = ns.finished("lost", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        assert_eq!(
            view.stage("s")?["attempts"][0]["outcome"],
            "Lost",
            "{:#}",
            view.status()
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn cancel_stops_what_runs_and_finally_still_runs() -> Result<()> {
    scenario("cancel", |ns| async move {
        let object = json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "long"},
            "spec": {"pipelineSpec": {
                "stages": [{"name": "s", "image": BUSYBOX, "steps": [{"run": "sleep 300"}]}],
                "finally": [{"name": "clean", "image": BUSYBOX, "steps": [{"run": "true"}]}],
            }},
        });
        ns.apply(&object.to_string()).await?;
        ns.running_pod("long").await?;
        let cancelled = dcanary(&["-n", &ns.name, "cancel", "long"]).await?;
        ensure!(cancelled.status.success(), "{}", said(&cancelled));
        let view = ns.finished("long", LIMIT).await?;
        assert_eq!(view.state("Succeeded").1, "Cancelled", "{:#}", view.status());
        assert_eq!(view.stage("s")?["state"], "Cancelled");
        assert_eq!(view.stage("clean")?["state"], "Succeeded");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn values_with_quotes_semicolons_and_newlines_execute_nothing() -> Result<()> {
    scenario("injection", |ns| async move {
        let evil = "\"; touch /workspace/pwned; $(touch /workspace/pwned)\n`touch /workspace/pwned`'";
        let object = json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": "evil"},
            "spec": {
                "params": [{"name": "title", "value": evil}],
                "source": {"ref": evil},
                "pipelineSpec": {"params": [{"name": "title"}], "stages": [
                    {"name": "a", "image": BUSYBOX, "env": [{"name": "COPY", "value": "$(params.title)"}], "steps": [
                        {"run": "printf 'out<<END_OF_VALUE\\n%s\\nEND_OF_VALUE\\n' \"$PARAM_title\" >> \"$DCANARY_RESULTS\""},
                        {"run": "test \"$COPY\" = \"$PARAM_title\"; test \"$DCANARY_REF\" = \"$PARAM_title\"; test ! -e /workspace/pwned"},
                    ]},
                    {"name": "b", "dependsOn": ["a"], "image": BUSYBOX, "steps": [
                        {"run": "test \"$RESULT_a_out\" = \"$PARAM_title\"; test ! -e /workspace/pwned"},
                    ]},
                ]},
            },
        });
        ns.apply(&object.to_string()).await?;
        let view = ns.finished("evil", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        assert_eq!(view.stage("a")?["results"][0]["value"], evil);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_branch_whose_name_is_a_script_is_checked_out_and_executes_nothing() -> Result<()> {
    scenario("evil-branch", |ns| async move {
        // all that Git allows in a name
        let evil = "a\";touch${IFS}/workspace/pwned;$(touch${IFS}/workspace/pwned);`touch${IFS}/workspace/pwned`|'&&id>pwned";
        let repository = git_server::bare("evil.git", evil, &[("branch", evil)]).await?;
        git_server::serve(&ns, &repository).await?;
        let script = "printf %s \"$DCANARY_REF\" > got; cmp got branch; test ! -e /workspace/pwned; test ! -e pwned; echo kept";
        let spec = json!({
            "source": {"repo": "git://git-server/evil.git", "ref": evil},
            "pipelineSpec": {"stages": [{"name": "s", "image": BUSYBOX, "steps": [{"checkout": {}}, {"run": script}]}]},
        });
        ns.apply(&run_with("evil", &spec)).await?;
        let view = ns.finished("evil", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        ensure!(ns.logs("evil").await?.contains("kept"));
        ns.verified("evil").await
    })
    .await
}

#[tokio::test]
async fn a_deleted_run_that_is_not_recorded_leaves_no_pod_behind() -> Result<()> {
    scenario("unrecorded", |ns| async move {
        let spec = json!({"pipelineSpec": {
            "ledger": {"mode": "off"}, "stages": [{"name": "s", "image": BUSYBOX, "steps": [{"run": "sleep 300"}]}],
        }});
        ns.apply(&run_with("off", &spec)).await?;
        let pod = ns.running_pod("off").await?;
        let uid = ns.runs().get("off").await?.metadata.uid.context("uid")?;
        ns.runs().delete("off", &DeleteParams::default()).await?;
        ns.pod_gone(&pod, LIMIT).await?;
        let left = ns.api::<Pod>().list(&ListParams::default()).await?;
        ensure!(left.items.is_empty(), "{} Pods are left", left.items.len());
        // the operator lets go of it when it has seen that
        let gone = await_condition(ns.runs(), "off", conditions::is_deleted(&uid));
        tokio::time::timeout(LIMIT, gone)
            .await
            .context("the run is still there")??;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_deleted_run_takes_its_pods_along() -> Result<()> {
    scenario("delete-run", |ns| async move {
        ns.apply(&run(
            "gone",
            &json!([{"name": "s", "image": BUSYBOX, "steps": [{"run": "sleep 300"}]}]),
        ))
        .await?;
        let pod = ns.running_pod("gone").await?;
        ns.runs().delete("gone", &DeleteParams::default()).await?;
        ns.pod_gone(&pod, LIMIT).await?;
        let left = ns.api::<Pod>().list(&ListParams::default()).await?;
        ensure!(left.items.is_empty(), "{} Pods are left", left.items.len());
        Ok(())
    })
    .await
}
