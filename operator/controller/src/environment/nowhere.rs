//! Promotions into Environments that do not exist. No reconcile looks at these, so they are told here.

use std::{sync::Arc, time::Duration};

use dcanary_crds::Promotion;
use dcanary_rollout::decide::nowhere;
use jiff::Timestamp;
use kube::{Api, ResourceExt, runtime::reflector::ObjectRef};
use tokio::sync::watch;
use tracing::warn;

use super::promotions::target;
use crate::{cache::filled, context::Context, swap};

/// They come in crowds, and their Environment may be on its way with them: one look for all of them.
const CROWD: Duration = Duration::from_secs(1);
/// Pause after a failure.
const AGAIN: Duration = Duration::from_secs(10);

/// Tells them, for ever. `listed`: whether the Environments are in their cache.
pub async fn follow(ctx: Arc<Context>, listed: watch::Receiver<bool>) {
    if !filled(listed).await {
        return;
    }
    loop {
        ctx.environments.nowhere.notified().await;
        tokio::time::sleep(CROWD).await;
        if !tell(&ctx).await {
            tokio::time::sleep(AGAIN).await;
            ctx.environments.nowhere.notify_one();
        }
    }
}

/// Whether the Environment of a Promotion is not there. One that cannot be read is.
pub fn is_nowhere(ctx: &Context, promotion: &Promotion) -> bool {
    let (namespace, name) = target(promotion);
    let object = ObjectRef::new(&name).within(&namespace);
    let shared = &ctx.environments;
    shared.stores.environments.get(&object).is_none() && !shared.unreadable.has(&namespace, &name)
}

/// One look at all of them. `false`: not all could be told.
async fn tell(ctx: &Context) -> bool {
    let lost = |promotion: &Promotion| is_nowhere(ctx, promotion);
    let mut all = true;
    for promotion in ctx.environments.stores.promotions.state_filter(lost) {
        let Some(status) = nowhere(&promotion, Timestamp::now()) else {
            continue;
        };
        let mut promotion = (*promotion).clone();
        promotion.status = Some(status);
        let namespace = promotion.namespace().unwrap_or_default();
        let api: Api<Promotion> = Api::namespaced(ctx.client.clone(), &namespace);
        // one that is newer or gone is told of by the watch
        if let Err(error) = swap::status(&api, promotion).await {
            warn!(
                error = &error as &dyn std::error::Error,
                "a Promotion cannot be told that there is no such Environment"
            );
            all = false;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use kube::runtime::{reflector, watcher::Event};

    use super::*;
    use crate::{
        environment::Stores,
        testing::{ApiServer, context_of, environment, holding, promotion},
    };

    #[tokio::test]
    async fn a_promotion_is_told_that_its_environment_does_not_exist_and_one_whose_environment_does_is_not() {
        let lost = promotion("p");
        let api = ApiServer::start(holding(&lost));
        let (promotions, mut promotions_writer) = reflector::store();
        let (environments, mut environments_writer) = reflector::store();
        promotions_writer.apply_watcher_event(&Event::Apply(lost));
        let stores = Stores {
            environments,
            promotions,
            ..Stores::empty()
        };
        let ctx = context_of(api.client(), stores);
        assert!(tell(&ctx).await);
        let put = &api.all("PUT")[0];
        assert!(put.path.ends_with("/promotions/p-1/status"), "{}", put.path);
        let told: Promotion = serde_json::from_value(put.json()).unwrap();
        let conditions = &told.status.as_ref().unwrap().conditions;
        assert!(
            conditions
                .iter()
                .all(|condition| condition.reason == "EnvironmentNotFound"),
            "{conditions:?}"
        );
        promotions_writer.apply_watcher_event(&Event::Apply(told));
        assert!(tell(&ctx).await);
        assert_eq!(api.all("PUT").len(), 1, "once");
        promotions_writer.apply_watcher_event(&Event::Apply(promotion("q")));
        environments_writer.apply_watcher_event(&Event::Apply(environment("env-1")));
        assert!(tell(&ctx).await);
        assert_eq!(api.all("PUT").len(), 1, "its Environment tells it more");
    }
}
