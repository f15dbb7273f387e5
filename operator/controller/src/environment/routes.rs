//! Routes of the Gateway API: watched where the API server knows them, which may change while we run.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use dcanary_crds::Environment;
use dcanary_rollout::Kind;
use kube::Client;
use tokio::{sync::watch, task::JoinHandle};
use tracing::{info, warn};

use super::{kinds, watch::follow_kind};
use crate::{cache, context::Context};

/// How often it is looked, and how often while one of them is missing.
const LOOK: Duration = Duration::from_secs(300);
const LOOK_SOON: Duration = Duration::from_secs(30);

/// A watch that ends with it.
struct Following(JoinHandle<()>);

impl Drop for Following {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Follows them for ever. `ready` turns true once it is known which kinds there are and their first lists are in.
pub async fn follow(ctx: Arc<Context>, ready: watch::Sender<bool>) {
    let mut following: BTreeMap<Kind, Following> = BTreeMap::new();
    loop {
        let known = match known(&ctx.client).await {
            Ok(known) => Some(known),
            Err(error) => {
                warn!(
                    error = &error as &dyn std::error::Error,
                    "it cannot be asked whether there is a Gateway API; will look again"
                );
                None
            }
        };
        if let Some(known) = &known {
            follow_these(&ctx, &mut following, known).await;
            tell(&ctx, !known.is_empty());
        }
        // whatever the answer was: what needs no route goes on
        ready.send_replace(true);
        tokio::time::sleep(pause(known.as_ref())).await;
    }
}

/// When it is looked again. The definitions of a Gateway API come one after the other: who looks in between knows some of the kinds, and the
/// rest comes in a moment.
fn pause(known: Option<&BTreeSet<Kind>>) -> Duration {
    let complete = known.is_some_and(|known| kinds::ROUTES.iter().all(|kind| known.contains(kind)));
    if complete { LOOK } else { LOOK_SOON }
}

/// Kinds of routes that the API server knows.
async fn known(client: &Client) -> Result<BTreeSet<Kind>, kube::Error> {
    let resources = match client
        .list_api_group_resources(kinds::ROUTES[0].api_version())
        .await
    {
        Ok(found) => found.resources,
        Err(kube::Error::Api(status)) if status.code == 404 => Vec::new(),
        Err(error) => return Err(error),
    };
    let known = kinds::ROUTES.into_iter().filter(|kind| {
        resources
            .iter()
            .any(|resource| resource.name == kinds::plural(*kind))
    });
    Ok(known.collect())
}

async fn follow_these(ctx: &Arc<Context>, following: &mut BTreeMap<Kind, Following>, known: &BTreeSet<Kind>) {
    let gone: Vec<Kind> = following
        .keys()
        .copied()
        .filter(|kind| !known.contains(kind))
        .collect();
    for kind in gone {
        info!(kind = kind.name(), "the API server does not know it any more");
        following.remove(&kind);
        let nothing = ctx.environments.objects.begin(kind);
        for (namespace, environment) in ctx.environments.objects.listed(nothing) {
            ctx.environments.wake_labelled(&namespace, &environment);
        }
    }
    let mut coming = Vec::new();
    for kind in known {
        if !following.contains_key(kind) {
            let (listed, filled) = watch::channel(false);
            let task = tokio::spawn(follow_kind(ctx.clone(), *kind, listed));
            following.insert(*kind, Following(task));
            coming.push(cache::filled(filled));
        }
    }
    // a list that does not come in holds up nobody for long
    let all = futures::future::join_all(coming);
    if tokio::time::timeout(LOOK_SOON, all).await.is_err() {
        warn!("routes are not listed yet");
    }
}

fn tell(ctx: &Context, known: bool) {
    let news = ctx.environments.gateway_api.send_if_modified(|before| {
        let news = *before != known;
        *before = known;
        news
    });
    if news {
        info!(known, "kinds of the Gateway API");
        ctx.environments.wake_where(|environment: &Environment| {
            let traffic = environment.spec.traffic.as_ref();
            traffic.is_some_and(|traffic| traffic.route.is_some())
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_long_as_a_kind_of_routes_is_missing_it_is_looked_again_soon() {
        assert_eq!(pause(None), LOOK_SOON);
        for kind in kinds::ROUTES {
            assert_eq!(pause(Some(&BTreeSet::from([kind]))), LOOK_SOON, "{kind:?}");
        }
        assert_eq!(pause(Some(&BTreeSet::from(kinds::ROUTES))), LOOK);
    }
}
