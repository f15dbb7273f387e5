//! Which Environment a change wakes.
#![allow(clippy::unwrap_used)]
use kube::runtime::reflector::{self, store::Writer};
use serde_json::json;

use super::*;
use crate::testing::{self, Answer, ApiServer};

struct Desk {
    ctx: Arc<Context>,
    woken: mpsc::UnboundedReceiver<ObjectRef<Environment>>,
    promotions: Writer<Promotion>,
    environments: Writer<Environment>,
}

impl Desk {
    fn new() -> Self {
        let api = ApiServer::start(|_| Answer::error(500, "InternalError", "not asked"));
        let ((promotions, promotions_writer), (environments, environments_writer)) =
            (reflector::store(), reflector::store());
        let stores = Stores {
            environments,
            promotions,
            ..Stores::empty()
        };
        let ctx = testing::context_of(api.client(), stores);
        Self {
            woken: ctx.environments.woken().unwrap(),
            ctx,
            promotions: promotions_writer,
            environments: environments_writer,
        }
    }

    fn promoted(&mut self, object: Promotion) {
        self.promotions.apply_watcher_event(&Event::Apply(object.clone()));
        promotion(&self.ctx, &object);
    }

    fn placed(&mut self, object: Environment) {
        self.environments
            .apply_watcher_event(&Event::Apply(object.clone()));
        environment(&self.ctx, &object);
    }

    fn woken(&mut self) -> Vec<String> {
        let mut woken = Vec::new();
        while let Ok(object) = self.woken.try_recv() {
            woken.push(format!(
                "{}/{}",
                object.namespace.unwrap_or_default(),
                object.name
            ));
        }
        woken.sort();
        woken
    }
}

fn about(kind: &str, name: &str) -> Decision {
    serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Decision", "metadata": {"name": "d", "namespace": "team", "uid": "d"},
        "spec": {"for": {"kind": kind, "name": name, "uid": "u"}, "verb": "approve", "by": {"username": "ann"}},
    }))
    .unwrap()
}

#[tokio::test]
async fn a_promotion_from_another_namespace_its_release_and_decisions_about_it_wake_its_environment() {
    let mut desk = Desk::new();
    let mut from_elsewhere = testing::promotion("p");
    from_elsewhere.spec.environment_ref.namespace = Some("live".to_owned());
    desk.promoted(from_elsewhere);
    assert_eq!(desk.woken(), ["live/prod"]);
    let r: Release = serde_json::from_value(json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "Release", "metadata": {"name": "r-1", "namespace": "team"},
        "spec": {"images": {}},
    }))
    .unwrap();
    release(&desk.ctx, &r);
    assert_eq!(desk.woken(), ["live/prod"]);
    decision(&desk.ctx, &about("Promotion", "p-1"));
    assert_eq!(desk.woken(), ["live/prod"]);
    decision(&desk.ctx, &about("Environment", "stage"));
    assert_eq!(desk.woken(), ["team/stage"]);
    decision(&desk.ctx, &about("Promotion", "unknown"));
    decision(&desk.ctx, &about("PipelineRun", "p-1"));
    assert!(desk.woken().is_empty());
}

#[tokio::test]
async fn an_environment_wakes_those_that_take_releases_from_it_as_long_as_they_do() {
    let mut desk = Desk::new();
    let mut stage = testing::environment("env-0");
    stage.metadata.name = Some("stage".to_owned());
    let mut prod = testing::environment("env-1");
    prod.spec.promotes_from = serde_json::from_value(json!({"name": "stage"})).unwrap();
    desk.placed(prod.clone());
    assert!(desk.woken().is_empty());
    desk.placed(stage.clone());
    assert_eq!(desk.woken(), ["team/prod"]);
    prod.spec.promotes_from = None;
    desk.placed(prod);
    desk.placed(stage);
    assert!(desk.woken().is_empty());
}

#[tokio::test]
async fn a_template_wakes_the_environments_of_its_namespace() {
    let mut desk = Desk::new();
    desk.placed(testing::environment("env-1"));
    let of = |namespace: &str| -> Template {
        serde_json::from_value(json!({
            "apiVersion": "dcanary.dev/v1alpha1", "kind": "Template", "metadata": {"name": "t", "namespace": namespace}, "spec": {},
        }))
        .unwrap()
    };
    template(&desk.ctx, &of("other"));
    assert!(desk.woken().is_empty());
    template(&desk.ctx, &of("team"));
    assert_eq!(desk.woken(), ["team/prod"]);
}
