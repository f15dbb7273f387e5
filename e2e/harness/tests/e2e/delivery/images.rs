//! Releases of several images: each goes to the container of its name.

use anyhow::{Context, Result, bail, ensure};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace, RunView,
    example_app::image,
    fixtures::LIMIT,
    load::{Load, Outcome, Shape, Target},
    person::Person,
    scenario,
};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::Pod};
use kube::api::ListParams;
use serde_json::{Value, json};

use super::{decide, prepared, service};

/// Where the second container of a Pod answers.
const HELPER: u16 = 8081;

/// An Environment of one Pod whose containers `web` and `helper` have no image of their own, with a Service of the same name.
fn two_containers(ns: &Namespace, name: &str, strategy: &Value) -> Result<Value> {
    let mut environment = ns.plain_environment(name, strategy);
    environment["spec"]["replicas"] = json!(1);
    let containers = environment
        .pointer_mut("/spec/workload/template/spec/template/spec/containers")
        .and_then(Value::as_array_mut)
        .context("containers")?;
    let web = containers.first_mut().context("web")?;
    web.as_object_mut().context("a container")?.remove("image");
    let mut helper = web.clone();
    helper["name"] = json!("helper");
    helper["ports"] = json!([{"name": "help", "containerPort": HELPER}]);
    helper["env"] =
        json!([{"name": "PORT", "value": HELPER.to_string()}, {"name": "DRAIN_SECONDS", "value": "3"}]);
    helper["readinessProbe"]["httpGet"]["port"] = json!("help");
    containers.push(helper);
    Ok(environment)
}

/// A Release of images of the example application, by name and tag.
async fn release(ns: &Namespace, name: &str, images: &[(&str, &str)]) -> Result<()> {
    let mut spec = json!({"images": {}});
    for (container, tag) in images {
        spec["images"][container] = json!(image(tag).await?);
    }
    let release = json!({"apiVersion": "dcanary.dev/v1alpha1", "kind": "Release", "metadata": {"name": name}, "spec": spec});
    ns.apply(&release.to_string()).await?;
    Ok(())
}

/// Both images stand in the Deployment that serves, in the status, and in each Pod that requests go to, whose containers both answer.
async fn serves_both(ns: &Namespace, view: &RunView, web: &str, helper: &str) -> Result<()> {
    let (name, stable) = (view.name(), &view.status()["stable"]);
    let wanted = json!({"web": image(web).await?, "helper": image(helper).await?});
    assert_eq!(stable["images"], wanted, "{stable:#}");
    let workload = stable["workload"].as_str().context("workload")?;
    let deployment = ns
        .object("deployment", workload)
        .await?
        .context("no Deployment")?;
    let by_name = |containers: &Value| -> Value {
        let all = containers.as_array().into_iter().flatten();
        let pairs = all.filter_map(|one| Some((one["name"].as_str()?.to_owned(), one["image"].clone())));
        pairs.collect::<serde_json::Map<_, _>>().into()
    };
    let containers = &deployment["spec"]["template"]["spec"]["containers"];
    assert_eq!(by_name(containers), wanted, "{name}");
    let mine = ListParams::default().labels(&format!("dcanary.dev/environment={name}"));
    let pods = ns.api::<Pod>().list(&mine).await?.items;
    let serving: Vec<Value> = pods
        .iter()
        .map(serde_json::to_value)
        .collect::<Result<Vec<_>, _>>()?
        .into_iter()
        .filter(|pod| {
            pod["metadata"]["deletionTimestamp"].is_null()
                && by_name(&pod["spec"]["containers"])["web"] == wanted["web"]
        })
        .collect();
    ensure!(!serving.is_empty(), "{name} has no Pod of it");
    for pod in serving {
        assert_eq!(by_name(&pod["spec"]["containers"]), wanted, "{name}");
        let address = pod["status"]["podIP"].as_str().context("podIP")?;
        for (port, tag) in [(8080, web), (HELPER, helper)] {
            let target = Target::new(format!("{address}:{port}").parse()?, "web");
            match target.ask().await? {
                Outcome::Answer { version, .. } => assert_eq!(version, tag, "{name} on port {port}"),
                Outcome::Lost(how) => bail!("{name} on port {port}: {how}"),
            }
        }
    }
    Ok(())
}

/// There and back again, under requests.
async fn two_images_come_and_go_together(ns: &Namespace, name: &str, strategy: &Value) -> Result<()> {
    let me = Person::me(&ns.cluster).await?;
    ns.apply(&two_containers(ns, name, strategy)?.to_string()).await?;
    let first = ns.promote("one", name).await?;
    ns.promotion_succeeds(&first).await?;
    serves_both(ns, &ns.serves(name, "one").await?, "1", "3").await?;
    let few = Shape {
        kept: 2,
        fresh: 2,
        per_second: 50,
    };
    let load = Load::start(&service(ns, name).await?, few).await?;
    let second = ns.promote("two", name).await?;
    ns.promotion_succeeds(&second).await?;
    let view = ns.serves(name, "two").await?;
    serves_both(ns, &view, "2", "1").await?;
    let shown = ns.promotion_until(&second, LIMIT, |view| {
        view.status()["changes"]["images"].is_array()
    });
    let changes = shown.await?.status()["changes"]["images"].to_string();
    ensure!(
        changes.contains("web: ") && changes.contains("helper: "),
        "{changes}"
    );
    decide(&me, Verb::Undo, &view).await?;
    serves_both(ns, &ns.serves(name, "one").await?, "1", "3").await?;
    load.stop().await.none_lost()
}

#[tokio::test]
async fn two_images_of_a_release_go_to_their_containers_by_name_and_an_undo_brings_both_back() -> Result<()> {
    scenario("two-images", |ns| async move {
        prepared(&ns).await?;
        release(&ns, "one", &[("web", "1"), ("helper", "3")]).await?;
        release(&ns, "two", &[("web", "2"), ("helper", "1")]).await?;
        let switched = json!({"blueGreen": {"scaleDownDelay": "10m"}});
        let in_place = json!({"rolling": {"maxSurge": "1", "maxUnavailable": "0"}});
        tokio::try_join!(
            two_images_come_and_go_together(&ns, "switched", &switched),
            two_images_come_and_go_together(&ns, "in-place", &in_place),
        )?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn an_image_for_which_there_is_no_container_is_refused_and_so_is_a_container_without_image()
-> Result<()> {
    scenario("image-unplaced", |ns| async move {
        prepared(&ns).await?;
        let environment = two_containers(&ns, "web", &json!({"blueGreen": {}}))?;
        ns.apply(&environment.to_string()).await?;
        release(&ns, "one", &[("web", "1"), ("helper", "3")]).await?;
        let first = ns.promote("one", "web").await?;
        ns.promotion_succeeds(&first).await?;
        let before = ns.serves("web", "one").await?;
        for (name, images, reason, parts) in [
            (
                "more",
                vec![("web", "2"), ("helper", "1"), ("metrics", "2")],
                "ImageUnplaced",
                ["image `metrics`", "name a container `metrics`", "`web`, `helper`"],
            ),
            (
                "fewer",
                vec![("web", "2")],
                "ContainerWithoutImage",
                ["containers[1]", "no image", "it has `web`"],
            ),
        ] {
            release(&ns, name, &images).await?;
            let promotion = ns.promote(name, "web").await?;
            let refused = ns.promotion_fails(&promotion, reason).await?;
            let said = refused.says("Succeeded");
            for part in parts {
                ensure!(said.contains(part), "{said}");
            }
        }
        let view = ns.serves("web", "one").await?;
        assert_eq!(view.status()["stable"], before.status()["stable"]);
        ensure!(view.held().is_empty(), "{:#}", view.status());
        let deployments = ns.api::<Deployment>().list(&ListParams::default()).await?;
        assert_eq!(deployments.items.len(), 1, "something was deployed");
        serves_both(&ns, &view, "1", "3").await
    })
    .await
}
