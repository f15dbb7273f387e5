//! Environments and Decisions over the server's API: people are who their own token says, to the admission policies too.

use anyhow::{Result, ensure};
use dcanary_harness::{Namespace, artifacts::Server, fixtures::LIMIT, scenario};
use serde_json::{Value, json};

use super::prepared;

/// A service account of this namespace that may decide, and the server as it reaches it.
async fn account(ns: &Namespace, name: &str, verbs: &[&str]) -> Result<(String, Server)> {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
    ns.apply(&account.to_string()).await?;
    let username = format!("system:serviceaccount:{}:{name}", ns.name);
    ns.decider(&username, verbs).await?;
    let server = Server::reached_by(ns, name).await?;
    Ok((username, server))
}

/// Status, and the answer as JSON.
async fn asked(server: &Server, path: &str) -> Result<(u16, Value)> {
    let (status, body) = server.get(path).await?;
    Ok((status.as_u16(), serde_json::from_slice(&body)?))
}

#[tokio::test]
async fn a_decision_over_the_api_counts_as_its_callers_and_no_other_is_taken() -> Result<()> {
    scenario("people-api", |ns| async move {
        prepared(&ns).await?;
        let (alice, hers) = account(&ns, "alice", &["approve"]).await?;
        let (_, daves) = account(&ns, "dave", &["pause"]).await?;
        let mut environment = ns.plain_environment("web", &json!({"blueGreen": {}}));
        environment["spec"]["approval"] = json!({"users": [alice]});
        ns.apply(&environment.to_string()).await?;
        ns.release("one", "1").await?;
        let promotion = ns.promote("one", "web").await?;
        let waits = ns
            .promotion_until(&promotion, LIMIT, |view| {
                view.state("Succeeded").1 == "WaitingForApproval" && view.identity().is_ok()
            })
            .await?;
        let here = format!("namespace={}", ns.name);

        let (status, page) = asked(&hers, &format!("/v1/environments?{here}")).await?;
        ensure!(
            status == 200 && page["items"][0]["metadata"]["name"] == "web",
            "{status} {page:#}"
        );
        let (status, web) = asked(&hers, &format!("/v1/environments/web?{here}")).await?;
        ensure!(
            status == 200 && web["spec"]["approval"]["users"][0] == alice.as_str(),
            "{status} {web:#}"
        );
        // a namespace that she has no rights in
        let (status, refused) = asked(&hers, "/v1/environments?namespace=kube-system").await?;
        ensure!(
            status == 403 && refused["type"] == "urn:dcanary:forbidden",
            "{status} {refused:#}"
        );

        let decision = json!({"spec": {
            "for": {"kind": "Promotion", "name": promotion.name(), "uid": promotion.uid(), "digest": waits.identity()?},
            "verb": "approve",
        }});
        let path = format!("/v1/decisions?{here}");
        let (status, refused) = daves.post(&path, &decision).await?;
        let said = refused["detail"].as_str().unwrap_or_default();
        ensure!(status == 403 && said.contains("may not approve"), "{status} {refused:#}");
        let mut anothers = decision.clone();
        anothers["spec"]["by"] = json!({"username": alice});
        let (status, refused) = daves.post(&path, &anothers).await?;
        let said = refused["detail"].as_str().unwrap_or_default();
        ensure!(status == 403 && said.contains("spec.by.username"), "{status} {refused:#}");
        let (status, made) = hers.post(&path, &decision).await?;
        ensure!(
            status == 201 && made["spec"]["by"]["username"] == alice.as_str(),
            "{status} {made:#}"
        );
        ns.promotion_succeeds(&promotion).await?;

        let (status, page) = asked(&hers, &format!("{path}&promotion={}", promotion.name())).await?;
        let items = page["items"].as_array().map_or(0, Vec::len);
        ensure!(
            status == 200 && items == 1 && page["items"][0]["metadata"]["uid"] == made["metadata"]["uid"],
            "{status} {page:#}"
        );
        let (_, page) = asked(&hers, &format!("{path}&environment=web")).await?;
        ensure!(page["items"] == json!([]), "{page:#}");
        Ok(())
    })
    .await
}
