//! Who may decide and who may ask, by the admission policies of the installation: nobody in another's name, nobody without the verb, and what
//! was decided never changes.

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::{Decision, PipelineRun, Promotion};
use dcanary_harness::{Namespace, cluster::repository, fixtures::LIMIT, scenario};
use k8s_openapi::api::{
    admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding},
    authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
};
use kube::{
    Api, Client, Config,
    api::{Patch, PatchParams, PostParams},
    config::KubeConfigOptions,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

/// A client that is somebody else.
async fn client_of(user: &str, groups: &[&str]) -> Result<Client> {
    let mut config = Config::from_kubeconfig(&KubeConfigOptions::default()).await?;
    config.auth_info.impersonate = Some(user.to_owned());
    config.auth_info.impersonate_groups = Some(groups.iter().map(|group| (*group).to_owned()).collect());
    Ok(Client::try_from(config)?)
}

/// Somebody with a role of the chart in the namespace, once the API server knows it.
async fn person(ns: &Namespace, user: &str, groups: &[&str], role: &str, verb: &str) -> Result<Client> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": format!("{user}-{role}")},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    });
    ns.apply(&binding.to_string()).await?;
    let client = client_of(user, groups).await?;
    let review = SelfSubjectAccessReview {
        spec: SelfSubjectAccessReviewSpec {
            resource_attributes: Some(ResourceAttributes {
                group: Some("dcanary.dev".to_owned()),
                resource: Some("promotions".to_owned()),
                namespace: Some(ns.name.clone()),
                verb: Some(verb.to_owned()),
                ..ResourceAttributes::default()
            }),
            non_resource_attributes: None,
        },
        ..SelfSubjectAccessReview::default()
    };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let known = async {
        loop {
            let answer = reviews.create(&PostParams::default(), &review).await?;
            if answer.status.is_some_and(|status| status.allowed) {
                return Ok::<(), anyhow::Error>(());
            }
        }
    };
    tokio::time::timeout(LIMIT, known)
        .await
        .with_context(|| format!("{user} never got the role {role}"))??;
    Ok(client)
}

async fn approver(ns: &Namespace) -> Result<Client> {
    person(ns, "e2e-bo", &["sre"], "dcanary-approver", "approve").await
}

async fn editor(ns: &Namespace) -> Result<Client> {
    person(ns, "e2e-ada", &["dev"], "dcanary-edit", "abort").await
}

fn decision(name: &str, verb: &str, kind: &str, by: &Value) -> Value {
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Decision", "metadata": {"name": name},
        "spec": {
            "for": {"kind": kind, "name": "web", "uid": "uid-1", "digest": format!("sha256:{}", "4".repeat(64))},
            "verb": verb, "by": by, "reason": "a test",
        },
    })
}

fn promotion(name: &str, by: Option<&str>) -> Value {
    let mut spec = json!({"environmentRef": {"name": "nowhere"}, "releaseRef": {"name": "web"}});
    if let Some(by) = by {
        spec["requestedBy"] = json!(by);
    }
    json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "Promotion", "metadata": {"name": name}, "spec": spec})
}

fn pipeline_run(name: &str, trigger: Option<Value>) -> Value {
    let mut spec = json!({"pipelineRef": {"name": "nowhere"}});
    if let Some(trigger) = trigger {
        spec["trigger"] = trigger;
    }
    json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun", "metadata": {"name": name}, "spec": spec})
}

async fn create<K>(client: &Client, ns: &Namespace, object: &Value) -> Result<K, kube::Error>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned,
    K::DynamicType: Default,
{
    let api: Api<K> = Api::namespaced(client.clone(), &ns.name);
    let object = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
    api.create(&PostParams::default(), &object).await
}

/// What the API server said when it refused, as a policy does.
fn refusal<T>(answer: Result<T, kube::Error>) -> Result<String> {
    match answer {
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(status.message.clone()),
        Err(other) => Err(other).context("refused for another reason"),
        Ok(_) => bail!("it was accepted"),
    }
}

#[tokio::test]
async fn a_decision_in_anothers_name_is_refused() -> Result<()> {
    scenario("decide-as-another", |ns| async move {
        let bo = approver(&ns).await?;
        let made = create::<Decision>(
            &bo,
            &ns,
            &decision("own", "approve", "Promotion", &json!({"username": "e2e-bo"})),
        )
        .await?;
        ensure!(made.spec.by.username == "e2e-bo");
        let said = refusal(
            create::<Decision>(
                &bo,
                &ns,
                &decision("forged", "approve", "Promotion", &json!({"username": "e2e-ada"})),
            )
            .await,
        )?;
        ensure!(
            said.contains("spec.by.username is e2e-ada, but you are e2e-bo"),
            "{said}"
        );
        // the owner of the cluster is somebody too
        let said = refusal(
            create::<Decision>(
                &ns.cluster.client,
                &ns,
                &decision("root", "approve", "Promotion", &json!({"username": "e2e-bo"})),
            )
            .await,
        )?;
        ensure!(said.contains("people decide for themselves only"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_group_that_the_caller_is_not_in_is_refused() -> Result<()> {
    scenario("decide-as-a-group", |ns| async move {
        let bo = approver(&ns).await?;
        let by = |groups: &[&str]| json!({"username": "e2e-bo", "groups": groups});
        create::<Decision>(&bo, &ns, &decision("own", "approve", "Promotion", &by(&["sre"]))).await?;
        let said = refusal(
            create::<Decision>(
                &bo,
                &ns,
                &decision("forged", "approve", "Promotion", &by(&["sre", "board"])),
            )
            .await,
        )?;
        ensure!(said.contains("names a group that e2e-bo is not in"), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_decision_takes_the_verb_on_what_it_is_for() -> Result<()> {
    scenario("decide-without-the-verb", |ns| async move {
        let (ada, bo) = (editor(&ns).await?, approver(&ns).await?);
        let by_ada = json!({"username": "e2e-ada"});
        let by_bo = json!({"username": "e2e-bo"});
        create::<Decision>(&ada, &ns, &decision("abort", "abort", "Promotion", &by_ada)).await?;
        create::<Decision>(&ada, &ns, &decision("undo", "undo", "Environment", &by_ada)).await?;
        create::<Decision>(&bo, &ns, &decision("hold", "hold", "Environment", &by_bo)).await?;
        for (client, verb, kind, by) in [
            (&ada, "approve", "Promotion", &by_ada),
            (&ada, "reject", "Promotion", &by_ada),
            (&ada, "skip", "Promotion", &by_ada),
            (&ada, "override", "Promotion", &by_ada),
            (&ada, "unhold", "Environment", &by_ada),
            (&ada, "approve", "PipelineRun", &by_ada),
            // the right to approve promotions is none over environments
            (&bo, "approve", "Environment", &by_bo),
            (&bo, "undo", "Environment", &by_bo),
        ] {
            let name = format!("no-{verb}-{}", kind.to_lowercase());
            let said = refusal(create::<Decision>(client, &ns, &decision(&name, verb, kind, by)).await)
                .with_context(|| format!("{verb} {kind} by {by}"))?;
            ensure!(
                said.contains(&format!(
                    "may not {verb} {}s web in namespace {}",
                    kind.to_lowercase(),
                    ns.name
                )),
                "{said}"
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_decision_never_changes_nor_do_its_labels_whoever_asks() -> Result<()> {
    scenario("change-a-decision", |ns| async move {
        let bo = approver(&ns).await?;
        let by = json!({"username": "e2e-bo"});
        create::<Decision>(&bo, &ns, &decision("mine", "approve", "Promotion", &by)).await?;
        let decisions: Api<Decision> = ns.api();
        let before = decisions.get("mine").await?;
        for change in [
            json!({"metadata": {"labels": {"a": "b"}}}),
            json!({"metadata": {"annotations": {"a": "b"}}}),
            json!({"metadata": {"finalizers": ["example.com/stays"]}}),
        ] {
            let said = refusal(
                decisions
                    .patch("mine", &PatchParams::default(), &Patch::Merge(&change))
                    .await,
            )?;
            ensure!(said.contains("a Decision never changes"), "{change}: {said}");
        }
        // the schema refuses this one before the policy is asked
        let change = json!({"spec": {"verb": "reject"}});
        let answer = decisions
            .patch("mine", &PatchParams::default(), &Patch::Merge(&change))
            .await;
        ensure!(
            matches!(&answer, Err(kube::Error::Api(status)) if status.message.contains("a Decision never changes")),
            "{answer:?}"
        );
        let after = decisions.get("mine").await?;
        ensure!(after.metadata.resource_version == before.metadata.resource_version);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn whoever_asks_for_a_promotion_or_a_run_asks_in_his_own_name() -> Result<()> {
    scenario("ask-as-another", |ns| async move {
        let ada = editor(&ns).await?;
        create::<Promotion>(&ada, &ns, &promotion("own", Some("e2e-ada"))).await?;
        create::<Promotion>(&ada, &ns, &promotion("nobody", None)).await?;
        create::<PipelineRun>(&ada, &ns, &pipeline_run("own", Some(json!({"by": "e2e-ada"})))).await?;
        create::<PipelineRun>(
            &ada,
            &ns,
            &pipeline_run("nobody", Some(json!({"event": "manual"}))),
        )
        .await?;
        create::<PipelineRun>(&ada, &ns, &pipeline_run("plain", None)).await?;
        let said = refusal(create::<Promotion>(&ada, &ns, &promotion("forged", Some("e2e-bo"))).await)?;
        ensure!(
            said.contains("spec.requestedBy is e2e-bo, but you are e2e-ada"),
            "{said}"
        );
        let run = pipeline_run("forged", Some(json!({"by": "e2e-bo"})));
        let said = refusal(create::<PipelineRun>(&ada, &ns, &run).await)?;
        ensure!(
            said.contains("spec.trigger.by is e2e-bo, but you are e2e-ada"),
            "{said}"
        );
        // a person may do everything, and asks for himself all the same
        let root = ns.cluster.client.clone();
        refusal(create::<Promotion>(&root, &ns, &promotion("root", Some("e2e-bo"))).await)?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn only_the_products_own_programs_ask_for_others() -> Result<()> {
    scenario("ask-for-others", |ns| async move {
        let account = |namespace: &str, name: &str| format!("system:serviceaccount:{namespace}:{name}");
        let groups = ["system:serviceaccounts", "system:authenticated"];
        let operator = client_of(
            &account(&ns.cluster.operator_namespace, "dcanary-operator"),
            &groups,
        )
        .await?;
        create::<Promotion>(&operator, &ns, &promotion("passed-on", Some("e2e-ada"))).await?;
        let other = account(&ns.name, "default");
        let other = person(&ns, &other, &groups, "dcanary-edit", "abort").await?;
        let said = refusal(create::<Promotion>(&other, &ns, &promotion("forged", Some("e2e-ada"))).await)?;
        ensure!(said.contains("spec.requestedBy is e2e-ada"), "{said}");
        Ok(())
    })
    .await
}

/// Both documents of a file of the chart.
fn shipped(policy: &str) -> Result<[Value; 2]> {
    let path = repository().join(format!("charts/dcanary/policies/{policy}.yaml"));
    let text = std::fs::read_to_string(&path)?;
    let (first, second) = text.split_once("\n---\n").context("two documents")?;
    Ok([serde_saphyr::from_str(first)?, serde_saphyr::from_str(second)?])
}

#[tokio::test]
async fn what_the_api_server_stores_of_the_policies_is_what_the_chart_says_field_by_field() -> Result<()> {
    scenario("policies", |ns| async move {
        let client = ns.cluster.client.clone();
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(client.clone());
        let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(client);
        for policy in ["decisions", "requests"] {
            let name = format!("dcanary-{policy}");
            let [wanted, bound] = shipped(policy)?;
            let found = serde_json::to_value(policies.get(&name).await?)?;
            ensure!(found["spec"] == wanted["spec"], "{name}: {:#}", found["spec"]);
            let warnings = &found["status"]["typeChecking"]["expressionWarnings"];
            ensure!(warnings.is_null(), "{name}: {warnings:#}");
            let found = serde_json::to_value(bindings.get(&name).await?)?;
            ensure!(found["spec"] == bound["spec"], "{name}: {:#}", found["spec"]);
        }
        Ok(())
    })
    .await
}
