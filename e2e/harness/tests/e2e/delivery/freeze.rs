//! Freeze windows, and what goes through them.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{Namespace, fixtures::LIMIT, journal, scenario};
use serde_json::{Value, json};

use super::prepared;

/// A window that never ends: each of its days begins where the last one ended.
fn always() -> Value {
    json!([{"name": "year-end close", "start": "0 0 * * *", "duration": "25h", "timeZone": "Europe/Zurich"}])
}

fn frozen(ns: &Namespace) -> Value {
    let mut environment = ns.plain_environment("web", &json!({"blueGreen": {"scaleDownDelay": "3s"}}));
    environment["spec"]["freeze"] = always();
    environment["spec"]["progressDeadline"] = json!("20s");
    environment
}

#[tokio::test]
async fn a_freeze_window_holds_a_promotion_until_an_override_that_has_a_reason() -> Result<()> {
    scenario("freeze", |ns| async move {
        let me = prepared(&ns).await?;
        ns.apply(&frozen(&ns).to_string()).await?;
        ns.release("one", "1").await?;
        let promotion = ns.promote("one", "web").await?;
        let waits = ns
            .promotion_until(&promotion, LIMIT, |view| {
                view.state("Succeeded") == ("Unknown", "Frozen")
            })
            .await?;
        ensure!(
            waits.says("Succeeded").contains("year-end close"),
            "{:#}",
            waits.status()
        );
        let without = me.decides(Verb::Override, &promotion, None, None).await.err();
        ensure!(
            without
                .context("an override without reason was taken")?
                .to_string()
                .contains("give a reason")
        );
        me.decides(Verb::Override, &promotion, None, Some("the shop is down"))
            .await?;
        ns.promotion_succeeds(&promotion).await?;
        let view = ns.environment_recorded("web").await?;
        let mut found = Vec::new();
        for transition in journal::transitions(view.uid()).await? {
            let told = journal::told(&transition);
            if !told.starts_with("deploy_requested") {
                found.push(told.replace(promotion.uid(), "one"));
            }
        }
        let by = &me.username;
        assert_eq!(
            found[1..4],
            [
                "frozen one year-end close".to_owned(),
                format!("overridden one by {by}"),
                "deploy_started one".to_owned(),
            ],
            "{found:#?}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rollback_does_not_wait_for_the_end_of_a_freeze() -> Result<()> {
    scenario("freeze-rollback", |ns| async move {
        let me = prepared(&ns).await?;
        let mut environment = frozen(&ns);
        let window = environment["spec"]["freeze"].take();
        environment["spec"]["freeze"] = json!([]);
        ns.apply(&environment.to_string()).await?;
        ns.deployed("web", "one", "1").await?;
        environment["spec"]["freeze"] = window;
        environment["spec"]["progressDeadline"] = json!("8s");
        ns.apply(&environment.to_string()).await?;
        ns.release("bad", "2-crash").await?;
        let promotion = ns.promote("bad", "web").await?;
        ns.promotion_until(&promotion, LIMIT, |view| view.state("Succeeded").1 == "Frozen")
            .await?;
        me.decides(Verb::Override, &promotion, None, Some("it cannot get worse"))
            .await?;
        ns.promotion_fails(&promotion, "ProgressDeadlineExceeded").await?;
        ns.serves("web", "one").await?;
        Ok(())
    })
    .await
}
