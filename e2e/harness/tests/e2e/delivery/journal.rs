//! What the chain holds of an Environment, and what follows from the evidence alone.

use anyhow::{Context, Result, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView, artifacts,
    cli::{dcanary, said},
    example_app::error_share,
    fixtures::LIMIT,
    journal, scenario,
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{canary, load, prepared};

/// Asks for an image of the example application and waits for the end, whatever it is.
async fn brought(ns: &Namespace, release: &str, tag: &str) -> Result<RunView> {
    ns.release(release, tag).await?;
    let promotion = ns.promote(release, "web").await?;
    ns.promotion_ended(&promotion).await
}

/// Digest of the evidence of the only analysis of a promotion.
fn evidence(promotion: &RunView) -> Result<String> {
    let digest = promotion.status()["analyses"][0]["evidence"].as_str();
    Ok(digest
        .with_context(|| format!("{:#}", promotion.status()))?
        .to_owned())
}

/// The document that the server has must have the digest, and the verdict must follow from it alone.
pub(super) async fn replays(ns: &Namespace, digest: &str, verdict: &str) -> Result<()> {
    let document = artifacts::evidence(ns, digest).await?;
    assert_eq!(
        digest,
        format!("sha256:{}", hex::encode(Sha256::digest(&document)))
    );
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("evidence.json");
    tokio::fs::write(&file, &document).await?;
    let file = file.to_str().context("path")?;
    let replayed = dcanary(&["analysis", "replay", file, "-o", "json"]).await?;
    assert_eq!(replayed.status.code(), Some(0), "{}", said(&replayed));
    let told: Value = serde_json::from_slice(&replayed.stdout)?;
    for (field, wanted) in [
        ("digest", json!(digest)),
        ("claimed", json!(verdict)),
        ("verdict", json!(verdict)),
        ("differences", json!([])),
    ] {
        ensure!(told[field] == wanted, "{field}: {told:#}");
    }
    Ok(())
}

#[tokio::test]
async fn the_whole_history_of_an_environment_is_on_chain_and_its_verdicts_follow_from_the_evidence_alone()
-> Result<()> {
    scenario("history", |ns| async move {
        let me = prepared(&ns).await?;
        let mut analysis = error_share();
        analysis["metrics"][0]["failureLimit"] = json!(0);
        let steps = json!([{"weight": 50}, {"analysis": analysis}]);
        ns.apply(&ns.environment("web", &canary(&steps)).to_string())
            .await?;
        let one = brought(&ns, "one", "1").await?;
        let load = load(&ns, "web").await?;
        let two = brought(&ns, "two", "2").await?;
        let bad = brought(&ns, "bad", "2-errors").await?;
        load.stop().await.none_lost()?;
        for (promotion, state) in [
            (&one, ("True", "Promoted")),
            (&two, ("True", "Promoted")),
            (&bad, ("False", "AnalysisFailed")),
        ] {
            assert_eq!(promotion.state("Succeeded"), state, "{:#}", promotion.status());
        }
        let view = ns
            .environment_until("web", LIMIT, |view| view.held() == ["bad"])
            .await?;
        me.decides(Verb::Unhold, &view, Some(bad.identity()?), None)
            .await?;
        ns.environment_until("web", LIMIT, |view| view.held().is_empty())
            .await?;
        ns.environment_recorded("web").await?;

        let (good, wrong) = (evidence(&two)?, evidence(&bad)?);
        let by = &me.username;
        let mut found = Vec::new();
        for transition in journal::transitions(view.uid()).await? {
            let mut told = journal::told(&transition);
            for (name, promotion) in [("one", &one), ("two", &two), ("bad", &bad)] {
                told = told
                    .replace(promotion.uid(), name)
                    .replace(promotion.identity()?, &format!("as {name}"));
            }
            found.push(told);
        }
        assert_eq!(
            found,
            [
                format!("env_opened {}/web", ns.name),
                format!("deploy_requested one as one by {by}"),
                "deploy_started one".to_owned(),
                // nothing was there before: no steps
                "promoted one as one".to_owned(),
                format!("deploy_requested two as two by {by}"),
                "deploy_started two".to_owned(),
                "step_reached two 50 %".to_owned(),
                format!("analysis_verdict two passed on {good}"),
                "step_reached two 100 %".to_owned(),
                format!("promoted two as two on {good}"),
                format!("deploy_requested bad as bad by {by}"),
                "deploy_started bad".to_owned(),
                "step_reached bad 50 %".to_owned(),
                format!("analysis_verdict bad failed on {wrong}"),
                format!("rolled_back bad as bad to as two: AnalysisFailed on {wrong}"),
                "held as bad: AnalysisFailed".to_owned(),
                "released as bad".to_owned(),
            ]
        );
        ns.verifies("environment", "web").await?;
        replays(&ns, &good, "Passed").await?;
        replays(&ns, &wrong, "Failed").await
    })
    .await
}
