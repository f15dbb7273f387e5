//! Stages around a rollout.

use dcanary_crds::{Environment, Hooks, Rollout, Stage};

use super::{
    claim::claimed,
    metadata, names,
    runs::{self, RunState},
};
use crate::{
    plan::Write,
    seen::{Key, Kind, Seen},
};

/// Characters of the Promotion's UID in a name.
const UID_DIGITS: usize = 5;

/// When stages run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hook {
    /// Before anything of the release is deployed.
    PreDeploy,
    /// After all traffic is on the release.
    PostDeploy,
    /// After a rollback.
    OnRollback,
}

impl Hook {
    const fn short(self) -> &'static str {
        match self {
            Self::PreDeploy => "pre",
            Self::PostDeploy => "post",
            Self::OnRollback => "back",
        }
    }

    fn stages(self, hooks: &Hooks) -> &[Stage] {
        match self {
            Self::PreDeploy => &hooks.pre_deploy,
            Self::PostDeploy => &hooks.post_deploy,
            Self::OnRollback => &hooks.on_rollback,
        }
    }
}

/// How far the stages are.
#[derive(Debug, Clone, PartialEq)]
pub enum HookState {
    /// Their run is not there: this makes it.
    Missing(Box<Write>),
    /// They run: name of their run.
    Running(String),
    /// They ended well.
    Succeeded,
    /// They did not, or can never be started: why.
    Failed(String),
}

/// The run of the stages of a rollout. It has the name of exactly these, so that it is made once.
pub fn hook_key(env: &Environment, rollout: &Rollout, hook: Hook) -> Key {
    let uid: String = rollout.promotion_uid.chars().take(UID_DIGITS).collect();
    let name = format!(
        "{}-{}-{}-{uid}",
        names::short(env),
        names::digits(&rollout.identity),
        hook.short()
    );
    Key::new(Kind::PipelineRun, name)
}

/// The stages of a rollout that run at this time; `None` when there are none.
pub fn hook(env: &Environment, rollout: &Rollout, hook: Hook, seen: &Seen) -> Option<HookState> {
    let stages = hook.stages(env.spec.hooks.as_ref()?);
    if stages.is_empty() {
        return None;
    }
    let key = hook_key(env, rollout, hook);
    // a run of somebody else must not pass for ours
    if let Some(Err(whose)) = seen.objects.get(&key).map(|run| claimed(env, run)) {
        return Some(HookState::Failed(whose));
    }
    Some(match runs::state(&key, seen) {
        RunState::Running(name) => HookState::Running(name),
        RunState::Succeeded => HookState::Succeeded,
        RunState::Failed(why) => HookState::Failed(why),
        RunState::Missing => match runs::params(env, &rollout.release, &rollout.images) {
            Ok(params) => HookState::Missing(Box::new(runs::write(
                env,
                key,
                &metadata::of_workload(env, &rollout.workload),
                stages.to_vec(),
                params,
            ))),
            Err(why) => HookState::Failed(why),
        },
    })
}
