//! Stages with an `environment`: a Release, then a Promotion of it.

use std::{fmt::Debug, time::Instant};

use dcanary_core::{
    Deploy,
    observed::{CreateAnswer, Creation},
};
use dcanary_crds::{PipelineRun, Promotion, Release};
use kube::{
    Api, Resource, ResourceExt,
    api::{ListParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};

use super::pods::{later, refused};
use crate::context::Context;

/// Creates both and notes the answer for the next decision. Without the Release there is no Promotion.
pub async fn deploy(ctx: &Context, run: &PipelineRun, deploy: &Deploy) {
    let namespace = run.namespace().unwrap_or_default();
    let (release, promotion) = (&deploy.deployment.release, &deploy.deployment.promotion);
    let releases: Api<Release> = Api::namespaced(ctx.client.clone(), &namespace);
    let answer = create(&releases, release, |there| there.spec == release.spec).await;
    let answer = if matches!(answer, CreateAnswer::Created { .. }) {
        let promotions: Api<Promotion> = Api::namespaced(ctx.client.clone(), &namespace);
        create(&promotions, promotion, |there| there.spec == promotion.spec).await
    } else {
        answer
    };
    let name = promotion.name_any();
    tracing::debug!(
        release = release.name_any(),
        promotion = name,
        ?answer,
        "create Release and Promotion"
    );
    ctx.memory.with(&run.uid().unwrap_or_default(), |memory| {
        memory.answered(Creation { pod: name, answer }, Instant::now());
    });
}

/// One of that name that is there counts as created when it asks for the same: nobody else can ask in that name (policies/requests.yaml).
async fn create<K>(api: &Api<K>, wanted: &K, same: impl Fn(&K) -> bool) -> CreateAnswer
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Serialize,
{
    let created = |object: &K| CreateAnswer::Created {
        uid: object.uid().unwrap_or_default(),
        gone: false,
    };
    match api.create(&PostParams::default(), wanted).await {
        Ok(made) => created(&made),
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            // a list, which the operator may do anyway
            let named = ListParams::default().fields(&format!("metadata.name={}", wanted.name_any()));
            match api.list(&named).await.map(|found| found.items.into_iter().next()) {
                Ok(Some(there)) if same(&there) => created(&there),
                Ok(Some(_)) => CreateAnswer::Foreign,
                Ok(None) => later(format!("{} was there and is gone again", wanted.name_any())),
                Err(error) => later(error.to_string()),
            }
        }
        Err(kube::Error::Api(status)) => refused(&status, &K::kind(&())),
        Err(error) => later(error.to_string()),
    }
}
