//! Samples are taken beside the decisions: a source that is slow holds up nobody.

use std::sync::Arc;

use dcanary_crds::{Environment, SecretKey};
use dcanary_rollout::{
    Measure,
    seen::{Answer, MeasureKey, Measurement},
};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::{
    context::Context,
    environment::{observe::account, secrets},
    measure::measure,
};

/// Asks for a sample, unless it is asked for already. The answer wakes the Environment.
pub fn take(ctx: &Arc<Context>, environment: &Environment, measure: &Measure) {
    let uid = environment.uid().unwrap_or_default();
    let asked = ctx
        .environments
        .memory
        .with(&uid, |memory| memory.ask(&measure.key));
    if !asked {
        return;
    }
    let under_way = UnderWay {
        ctx: ctx.clone(),
        uid,
        key: measure.key.clone(),
    };
    let (measure, namespace) = (measure.clone(), environment.namespace().unwrap_or_default());
    let account = account(environment).to_owned();
    tokio::spawn(async move {
        let Ok(_permit) = under_way.ctx.environments.samples.clone().acquire_owned().await else {
            return;
        };
        let answer = answer(&under_way.ctx, &namespace, &account, &measure).await;
        under_way.answered(answer);
    });
}

async fn answer(ctx: &Context, namespace: &str, account: &str, wanted: &Measure) -> Answer {
    let token = match &wanted.token {
        None => None,
        Some(key) => match token(ctx, namespace, account, key).await {
            Ok(token) => token,
            Err(problem) => return Answer::Error(problem),
        },
    };
    measure(&ctx.environments.sources, wanted, token.as_deref()).await
}

/// The token as it is now; it is kept nowhere.
async fn token(
    ctx: &Context,
    namespace: &str,
    account: &str,
    key: &SecretKey,
) -> Result<Option<String>, String> {
    let client = ctx
        .environments
        .accounts
        .client(namespace, account)
        .map_err(|error| error.to_string())?;
    let value = secrets::value(&client, namespace, &key.name, &key.key)
        .await
        .map_err(|error| {
            format!(
                "service account {account} cannot read Secret {}: {error}",
                key.name
            )
        })?;
    let value = value
        .map(|value| value.trim().to_owned())
        .filter(|value| !value.is_empty());
    if value.is_none() && !key.optional {
        return Err(format!("Secret {} has no usable key {}", key.name, key.key));
    }
    Ok(value)
}

/// A sample that is being taken; whatever becomes of it, it can be asked for again.
struct UnderWay {
    ctx: Arc<Context>,
    uid: String,
    key: MeasureKey,
}

impl UnderWay {
    fn answered(&self, answer: Answer) {
        let measurement = Measurement {
            at: Timestamp::now(),
            answer,
        };
        self.ctx
            .environments
            .memory
            .if_known(&self.uid, |memory| memory.answered(&self.key, measurement));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.ctx
            .environments
            .memory
            .if_known(&self.uid, |memory| memory.given_up(&self.key));
        self.ctx.environments.wake_uid(&self.uid);
    }
}
