//! Gateways are asked beside the decisions whether they have a split: one that is slow holds up nobody.

use std::{sync::Arc, time::Duration};

use dcanary_crds::Environment;
use dcanary_rollout::{Verify, seen::Checked};
use jiff::Timestamp;
use kube::ResourceExt;
use tokio::time::timeout;

use crate::{context::Context, measure};

/// Time for all of it, from when it is asked for: it has three answers to give, and may have to wait for a place.
const LIMIT: Duration = Duration::from_secs(20);

/// Asks a gateway, unless it is being asked. The answer wakes the Environment.
pub fn verify(ctx: &Arc<Context>, environment: &Environment, verify: &Verify) {
    verify_within(ctx, environment, verify, LIMIT);
}

fn verify_within(ctx: &Arc<Context>, environment: &Environment, verify: &Verify, limit: Duration) {
    let uid = environment.uid().unwrap_or_default();
    let memory = &ctx.environments.memory;
    if !memory.with(&uid, |memory| memory.ask_gateway(&verify.token)) {
        return;
    }
    let under_way = UnderWay {
        ctx: ctx.clone(),
        uid,
        token: verify.token.clone(),
    };
    let (verify, namespace) = (verify.clone(), environment.namespace().unwrap_or_default());
    tokio::spawn(async move {
        let environments = &under_way.ctx.environments;
        let asked = async {
            let _place = environments.gateways.place(&namespace).await;
            measure::verify(environments.sources.guard, &verify).await
        };
        let shown = timeout(limit, asked).await;
        let late = |_| {
            Err(format!(
                "cannot be asked: that took more than {}s, with those that others ask",
                limit.as_secs()
            ))
        };
        under_way.answered(shown.unwrap_or_else(late));
    });
}

/// A gateway that is being asked; whatever becomes of it, it can be asked again.
struct UnderWay {
    ctx: Arc<Context>,
    uid: String,
    token: String,
}

impl UnderWay {
    fn answered(&self, shown: Result<(), String>) {
        let check = Checked {
            token: self.token.clone(),
            at: Timestamp::now(),
            shown,
        };
        self.ctx
            .environments
            .memory
            .if_known(&self.uid, |memory| memory.gateway_answered(check));
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.ctx
            .environments
            .memory
            .if_known(&self.uid, |memory| memory.gateway_given_up(&self.token));
        self.ctx.environments.wake_uid(&self.uid);
    }
}

#[cfg(test)]
#[path = "routes_tests.rs"]
mod tests;
