//! Gateways are asked beside the decisions whether they have a split: one that is slow holds up nobody.

use std::sync::Arc;

use dcanary_crds::Environment;
use dcanary_rollout::{Verify, seen::Checked};
use jiff::Timestamp;
use kube::ResourceExt;

use crate::{context::Context, measure};

/// Asks a gateway, unless it is being asked. The answer wakes the Environment.
pub fn verify(ctx: &Arc<Context>, environment: &Environment, verify: &Verify) {
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
    let verify = verify.clone();
    tokio::spawn(async move {
        let environments = &under_way.ctx.environments;
        let Ok(_permit) = environments.samples.clone().acquire_owned().await else {
            return;
        };
        let shown = measure::verify(environments.sources.guard, &verify).await;
        under_way.answered(shown);
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
