//! Samples are taken beside the decisions: a source that is slow holds up nobody.

use std::{sync::Arc, time::Duration};

use dcanary_crds::{Environment, SecretKey};
use dcanary_rollout::{
    Measure,
    seen::{Answer, MeasureKey, Measurement},
};
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{
    context::Context,
    environment::{
        observe::account,
        places::{Place, Places},
        secrets,
    },
    measure::measure,
};

/// Asks for a sample, unless it is asked for already. The answer wakes the Environment. The time that it may take begins now: one that
/// finds no place in that time is answered by an error.
pub fn take(ctx: &Arc<Context>, environment: &Environment, measure: &Measure) {
    let uid = environment.uid().unwrap_or_default();
    let own = ctx.environments.memory.with(&uid, |memory| {
        let asked = memory.ask(&measure.key);
        asked.then(|| memory.samples())
    });
    let Some(own) = own else {
        return;
    };
    let end = Instant::now() + Duration::from_secs(measure.timeout);
    let under_way = UnderWay {
        ctx: ctx.clone(),
        uid,
        key: measure.key.clone(),
    };
    let (measure, namespace) = (measure.clone(), environment.namespace().unwrap_or_default());
    let account = account(environment).to_owned();
    tokio::spawn(async move {
        let all = under_way.ctx.environments.samples.clone();
        let _places = match timeout_at(end, places(own, &all, &namespace)).await {
            Ok(Ok(places)) => places,
            Ok(Err(_)) => return,
            Err(_) => {
                let problem = format!(
                    "it could not be asked for in {}s: too many samples are being taken",
                    measure.timeout
                );
                return under_way.answered(Answer::Error(problem));
            }
        };
        let asked = answer(&under_way.ctx, &namespace, &account, &measure);
        let answer = timeout_at(end, asked).await;
        let late = |_| Answer::Error(format!("no answer in {}s", measure.timeout));
        under_way.answered(answer.unwrap_or_else(late));
    });
}

/// A place among those of the Environment, and one among all, of the share of its namespace. Whoever waits for the first holds none that others could have.
async fn places(
    own: Arc<Semaphore>,
    all: &Arc<Places>,
    namespace: &str,
) -> Result<(OwnedSemaphorePermit, Place), AcquireError> {
    Ok((own.acquire_owned().await?, all.place(namespace).await))
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

#[cfg(test)]
#[path = "samples_tests.rs"]
mod tests;
