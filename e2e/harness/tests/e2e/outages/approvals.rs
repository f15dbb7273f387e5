//! Without the admission policies nothing counts that people decide, and what they decided meanwhile never does.

use anyhow::{Context, Result, ensure};
use dcanary_crds::{DecidedBy, DecisionSpec, DecisionTarget, Verb, release::DecidedKind};
use dcanary_harness::{Cluster, Namespace, RunView, person::Person, scenario};
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding as Binding;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::json;
use tokio::time::{interval, sleep, timeout};

use super::LIMIT;

const BINDING: &str = "dcanary-decisions";
/// From then on the operator believes a Decision again.
const ENFORCED_AFTER: SignedDuration = SignedDuration::from_secs(6);

fn bindings(cluster: &Cluster) -> Api<Binding> {
    Api::all(cluster.client.clone())
}

/// Creates it again, as it was.
async fn put_back(cluster: &Cluster, binding: &Binding) -> Result<()> {
    if bindings(cluster).get_opt(BINDING).await?.is_some() {
        return Ok(());
    }
    let mut binding = binding.clone();
    binding.metadata.resource_version = None;
    binding.metadata.uid = None;
    binding.metadata.creation_timestamp = None;
    binding.metadata.managed_fields = None;
    bindings(cluster).create(&PostParams::default(), &binding).await?;
    Ok(())
}

/// An approval of somebody else, as soon as the API server takes it.
async fn forged(ns: &Namespace, mallory: &Person, promotion: &RunView, identity: &str) -> Result<()> {
    let spec = DecisionSpec {
        target: DecisionTarget {
            kind: DecidedKind::Promotion,
            name: promotion.name().to_owned(),
            uid: promotion.uid().to_owned(),
            digest: Some(identity.to_owned()),
        },
        verb: Verb::Approve,
        by: DecidedBy {
            username: "alice".to_owned(),
            groups: vec!["sre".to_owned()],
        },
        reason: None,
        expires_at: None,
    };
    let mut beat = interval(std::time::Duration::from_millis(200));
    let taken = async {
        while mallory.creates(&ns.name, spec.clone()).await.is_err() {
            beat.tick().await;
        }
    };
    timeout(LIMIT, taken)
        .await
        .context("the API server still refuses it")
}

async fn story(ns: &Namespace, binding: &Binding) -> Result<()> {
    ns.deployer().await?;
    let mut environment = ns.plain_environment("web", &json!({"blueGreen": {}}));
    environment["spec"]["approval"] = json!({"groups": ["sre"]});
    environment["spec"]["replicas"] = json!(1);
    ns.apply(&environment.to_string()).await?;
    ns.release("one", "1").await?;
    let mallory = ns.person("mallory", &["developers"]).await?;
    let alice = ns.person("alice", &["sre"]).await?;
    let promotion = ns.promote("one", "web").await?;
    let waiting = |view: &RunView| {
        view.state("Succeeded") == ("Unknown", "WaitingForApproval") && view.identity().is_ok()
    };
    let view = ns.promotion_until(&promotion, LIMIT, waiting).await?;
    let identity = view.identity()?.to_owned();

    bindings(&ns.cluster)
        .delete(BINDING, &DeleteParams::default())
        .await?;
    let view = ns
        .environment_until("web", LIMIT, |view| {
            view.state("ApprovalsEnforced") == ("False", "PoliciesMissing")
        })
        .await?;
    let said = view.says("ApprovalsEnforced");
    ensure!(
        said.contains("ValidatingAdmissionPolicyBinding dcanary-decisions is missing"),
        "{said}"
    );
    forged(ns, &mallory, &promotion, &identity).await?;
    let none_counts = |view: &RunView| waiting(view) && view.says("Succeeded").contains("no approval counts");
    ns.promotion_until(&promotion, LIMIT, none_counts).await?;

    put_back(&ns.cluster, binding).await?;
    let again = Timestamp::now();
    ns.environment_until("web", LIMIT, |view| view.state("ApprovalsEnforced").0 == "True")
        .await?;
    let asks_again = |view: &RunView| waiting(view) && view.says("Succeeded").contains("decide again");
    let view = ns.promotion_until(&promotion, LIMIT, asks_again).await?;
    ensure!(
        view.status()["approvals"].as_array().is_none_or(Vec::is_empty),
        "{:#}",
        view.status()
    );
    // this moment has no event
    let rest = (again + ENFORCED_AFTER).duration_since(Timestamp::now());
    sleep(rest.try_into().unwrap_or_default()).await;
    alice
        .decides(Verb::Approve, &promotion, Some(&identity), None)
        .await?;
    let ended = ns.promotion_succeeds(&promotion).await?;
    assert_eq!(
        ended.status()["approvals"].as_array().map(Vec::len),
        Some(1),
        "{:#}",
        ended.status()
    );
    Ok(())
}

#[tokio::test]
async fn without_the_binding_nothing_counts_and_what_was_forged_meanwhile_never_does() -> Result<()> {
    let cluster = Cluster::connect().await?;
    let binding = bindings(&cluster).get(BINDING).await?;
    let outcome = scenario("no-policies", |ns| {
        let binding = binding.clone();
        async move { story(&ns, &binding).await }
    })
    .await;
    put_back(&cluster, &binding).await?;
    outcome
}
