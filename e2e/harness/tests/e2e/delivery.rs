//! Releases on their way through Environments: real Pods of the example application, a real Gateway, a real Prometheus, and requests from
//! this machine meanwhile.

mod after_switch;
mod api;
mod approvals;
mod blue_green;
mod by_hand;
mod canary;
mod commands;
mod configuration;
mod connections;
mod contour;
mod deletion;
mod examples;
mod expiry;
mod failures;
mod freeze;
mod generator;
mod gitops;
mod grpc;
mod history;
mod hooks;
mod images;
mod in_place;
mod journal;
mod measures;
mod midway;
mod partition;
mod pipelines;
mod places;
mod promotion;
mod readiness;
mod refusals;
mod rollback;
mod rolling;
mod routes;
mod scale;
mod schema;
mod shares;
mod steering;
mod syncs;
mod unready;
mod verify;

use std::{pin::pin, time::Duration};

use anyhow::{Context, Result, ensure};
use dcanary_crds::{Decision, Verb};
use dcanary_harness::{
    Namespace, RunView, data_plane,
    example_app::{image, pod_template},
    fixtures::LIMIT,
    load::{Load, Shape, Tally, Target},
    person::Person,
};
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::{
    Api,
    api::{Patch, PatchParams},
    runtime::wait::await_condition,
};
use serde_json::{Value, json};
use tokio::time::interval;

/// Time for something to be done by itself once it can.
const SOON: Duration = Duration::from_secs(45);

/// Everything that a delivery needs besides its own objects. Whoever the kubeconfig is of decides.
async fn prepared(ns: &Namespace) -> Result<Person> {
    ns.deployer().await?;
    data_plane::gateway().await?;
    data_plane::prometheus().await?;
    Person::me(&ns.cluster).await
}

/// A canary of the given steps, whose old release does not stay long.
pub(super) fn canary(steps: &Value) -> Value {
    json!({"canary": {"steps": steps, "scaleDownDelay": "3s"}})
}

/// A route with a rule for `web`, a Deployment, and the Environment that adopts both, as they are in Git.
pub(super) async fn to_adopt(ns: &Namespace) -> Result<[Value; 3]> {
    let route = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "shop"},
        "spec": {
            "parentRefs": [{"name": "dcanary-test", "namespace": "gateway"}],
            "hostnames": [ns.host("web")],
            "rules": [{"name": "app", "backendRefs": [{"name": "web", "port": 80}]}],
        },
    });
    let mut template = pod_template();
    template["metadata"]["labels"] = json!({"app": "legacy"});
    template["spec"]["containers"][0]["image"] = json!(image("1").await?);
    let legacy = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "legacy"},
        "spec": {"selector": {"matchLabels": {"app": "legacy"}}, "template": template},
    });
    let mut environment = ns.environment("web", &canary(&json!([{"weight": 30}, {"pause": {}}])));
    environment["spec"]["traffic"]["route"] = json!({"ref": {"name": "shop", "rule": "app"}});
    environment["spec"]["workload"] = json!({"ref": {"name": "legacy"}});
    Ok([route, legacy, environment])
}

/// An Environment of more than one Pod.
fn on_two_pods(mut environment: Value) -> Value {
    environment["spec"]["replicas"] = json!(2);
    environment
}

/// Requests to an application through the Gateway, until they are stopped.
async fn load(ns: &Namespace, name: &str) -> Result<Load> {
    Load::start(&ns.through_gateway(name).await?, Shape::default()).await
}

/// A plain Service of this namespace.
async fn service(ns: &Namespace, name: &str) -> Result<Target> {
    let service = ns.object("service", name).await?.context("no Service")?;
    let address = service["spec"]["clusterIP"].as_str().context("clusterIP")?;
    Ok(Target::new(format!("{address}:80").parse()?, name))
}

/// From some moment on all requests must be answered by one version: a gateway has a change in force some seconds after it says so, and
/// requests that are on their way end where they began.
async fn all_on(load: &Load, version: &str) -> Result<()> {
    let all = |some: &Tally| some.of(version) == some.requests();
    load.window(100, 40, all).await?;
    load.next(100).await?.splits(version, 100, 0.0)
}

/// No request was lost and none badly answered, also while the Pods of the release before go.
async fn ends_well(ns: &Namespace, before: &RunView, load: Load) -> Result<()> {
    let old = before.status()["stable"]["workload"]
        .as_str()
        .context("workload")?;
    ns.scaled_to_zero(old).await?;
    let tally = load.stop().await;
    tally.none_lost()?;
    ensure!(
        tally.answers.values().all(|version| version.bad == 0),
        "{:?}",
        tally.answers
    );
    Ok(())
}

/// So many requests, once a version's share is about the weight.
async fn share(load: &Load, version: &str, weight: u32, requests: u32) -> Result<Tally> {
    const ABOUT: f64 = 8.0;
    let about = |some: &Tally| some.splits(version, weight, ABOUT).is_ok();
    load.window(100, 40, about).await?;
    load.next(requests).await
}

/// A quota of the namespace for Pods, from the moment in which it is enforced. The answer is where it may be changed, and its name.
async fn pods_at_most(ns: &Namespace, pods: u32) -> Result<(Api<ResourceQuota>, &'static str)> {
    const NAME: &str = "few-pods";
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": NAME}, "spec": {"hard": {"pods": pods.to_string()}}});
    ns.apply(&quota.to_string()).await?;
    let quotas: Api<ResourceQuota> = ns.api();
    let known = |quota: Option<&ResourceQuota>| {
        quota
            .and_then(|quota| quota.status.as_ref()?.used.as_ref())
            .is_some()
    };
    tokio::time::timeout(LIMIT, await_condition(quotas.clone(), NAME, known)).await??;
    Ok((quotas, NAME))
}

/// From now on an Environment waits for Pods no longer than this.
async fn patience(ns: &Namespace, environment: &str, deadline: &str) -> Result<()> {
    let merge = Patch::Merge(json!({"spec": {"progressDeadline": deadline}}));
    ns.environments()
        .patch(environment, &PatchParams::default(), &merge)
        .await?;
    Ok(())
}

/// Waits until an Environment says that its candidate crashes again and again; then it waits no longer.
async fn crashes(ns: &Namespace, environment: &str) -> Result<()> {
    let named = |view: &RunView| {
        let said = view.rollout()["message"].as_str();
        said.is_some_and(|said| said.contains("CrashLoopBackOff"))
    };
    ns.environment_until(environment, LIMIT, named).await?;
    patience(ns, environment, "1s").await
}

/// Has the operator look at an Environment every other second while something is waited for: objects that it names and did not make are
/// read once a minute else.
async fn looked_at<T>(ns: &Namespace, environment: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut beat = interval(Duration::from_secs(2));
    let mut work = pin!(work);
    let mut looks = 0_u32;
    loop {
        tokio::select! {
            biased;
            done = &mut work => return done,
            _ = beat.tick() => {}
        }
        looks += 1;
        let look = json!({"metadata": {"annotations": {"e2e.dcanary.dev/look": looks.to_string()}}});
        ns.environments()
            .patch(environment, &PatchParams::default(), &Patch::Merge(look))
            .await?;
    }
}

/// A decision without a reason about a promotion or an environment.
async fn decide(person: &Person, verb: Verb, about: &RunView) -> Result<Decision> {
    Ok(person.decides(verb, about, None, None).await?)
}
