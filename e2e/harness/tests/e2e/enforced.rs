//! NetworkPolicies in force, as most clusters have them (`e2e/cluster/netpol.sh`, `make soak`): who is kept out, and that nobody else is.

use anyhow::{Result, ensure};
use dcanary_harness::{
    fixtures::{BUILDER, LIMIT, run},
    scenario,
};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::{
    Api,
    api::{DeleteParams, PostParams},
};
use serde_json::{Value, json};

/// A stage that asks the ledger node for its status, as anybody can who reaches it.
fn asks() -> Value {
    let script = "curl -sS -m 5 --retry 2 --retry-all-errors -o /dev/null http://dcanary-ledger.dcanary-system:8080/api/v2/status";
    json!([{"name": "ask", "image": BUILDER, "steps": [{"run": script}]}])
}

#[tokio::test]
async fn a_build_pod_does_not_reach_the_ledger_node_and_its_run_is_recorded_all_the_same() -> Result<()> {
    scenario("kept-out", |ns| async move {
        ns.apply(&run("kept-out", &asks())).await?;
        let view = ns.finished("kept-out", LIMIT).await?;
        ensure!(
            view.state("Succeeded").0 == "False",
            "it reaches the node; are NetworkPolicies enforced here? {:#}",
            view.status()
        );
        let attempts = &view.stage("ask")?["attempts"];
        // curl's word for: nobody answered in time
        ensure!(attempts[0]["steps"][0]["exitCode"] == 28, "{attempts:#}");
        // by the operator, which the policy lets in
        ns.run_until("kept-out", LIMIT, |view| view.state("Recorded").0 == "True").await?;

        // and it is the policy that keeps it out: with another one that lets this namespace in, the same stage succeeds
        let policies: Api<NetworkPolicy> = Api::namespaced(ns.cluster.client.clone(), &ns.cluster.operator_namespace);
        let name = format!("lets-in-{}", ns.name);
        let lets_in = serde_json::from_value(json!({
            "metadata": {"name": name},
            "spec": {
                "podSelector": {"matchLabels": {"app.kubernetes.io/component": "ledger"}}, "policyTypes": ["Ingress"],
                "ingress": [{"from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name}}}]}],
            },
        }))?;
        policies.create(&PostParams::default(), &lets_in).await?;
        ns.apply(&run("let-in", &asks())).await?;
        let view = ns.finished("let-in", LIMIT).await;
        policies.delete(&name, &DeleteParams::default()).await?;
        let view = view?;
        ensure!(view.state("Succeeded").0 == "True", "{:#}", view.status());
        Ok(())
    })
    .await
}
