//! The stages around a rollout, as far as it waits for them.

use dcanary_core::time::later;
use dcanary_crds::{Doing, Rollout};
use jiff::Timestamp;

use super::{earlier::name_of, pass::Pass};
use crate::{
    plan::{Effect, Write},
    render::{self, Hook, HookState},
};

/// What became of a hook.
pub(super) enum HookOutcome {
    /// It succeeded, or there is none.
    Over,
    /// It runs.
    Running(String),
    /// It failed.
    Failed(String),
}

impl Pass<'_> {
    /// The state of a hook; its run is asked for when there never was one.
    pub(super) fn hook(&mut self, hook: Hook) -> HookOutcome {
        let Some(mut rollout) = self.status.rollout.clone() else {
            return HookOutcome::Over;
        };
        // an earlier release has had its stages: a migration of then is none for what is there now
        if rollout.back && matches!(hook, Hook::PreDeploy | Hook::PostDeploy) {
            return HookOutcome::Over;
        }
        if rollout.back && rollout.doing == Doing::Verifying {
            self.is_about_what_is_left(&mut rollout);
        }
        let key = render::hook_key(self.env, &rollout, hook);
        let state = render::hook(self.env, &rollout, hook, self.seen);
        if state.is_some() && self.seen.objects.contains_key(&key) {
            // it was there: from now on it is never made again
            self.note_hook(&key.name);
        }
        match state {
            None | Some(HookState::Succeeded) => HookOutcome::Over,
            Some(HookState::Missing(write)) => self.without_run(&rollout, write),
            Some(HookState::Failed(message)) => HookOutcome::Failed(message),
            Some(HookState::Running(name)) => HookOutcome::Running(format!("PipelineRun {name} runs")),
        }
    }

    /// The stages after a rollback are about what went back: after the way back that somebody decided, that is the release before it.
    fn is_about_what_is_left(&self, rollout: &mut Rollout) {
        if let Some(stable) = &self.status.stable {
            name_of(stable).clone_into(&mut rollout.release);
            rollout.images.clone_from(&stable.images);
        }
    }

    /// The stages after an earlier release has come again, which do not keep it from being the stable one.
    pub(super) fn end_way_back(&mut self) {
        match self.hook(Hook::OnRollback) {
            HookOutcome::Over => self.promote(None),
            HookOutcome::Running(message) => self.say("OnRollback", message),
            HookOutcome::Failed(message) => {
                self.tell(true, "OnRollbackFailed", &message);
                self.promote(Some(format!("an onRollback stage failed: {message}")));
            }
        }
    }

    /// Its run is not there. One that was seen before is not made again, because its stages may have done their work already; one that is
    /// refused is tried until the deadline.
    fn without_run(&mut self, rollout: &Rollout, write: Box<Write>) -> HookOutcome {
        let name = write.key.name.clone();
        if rollout.hooks.contains(&name) {
            return HookOutcome::Failed(format!(
                "PipelineRun {name} was deleted before its outcome was known"
            ));
        }
        let refusal = self.seen.refusals.get(&write.key).cloned();
        let Some(refusal) = refusal else {
            self.effects.push(Effect::Write(write));
            return HookOutcome::Running(format!("PipelineRun {name} is being created"));
        };
        let why = format!("{}: {}", refusal.reason, refusal.message);
        let deadline = self.deadline();
        if self.reached(later(self.hook_since(rollout), deadline)) {
            return HookOutcome::Failed(format!(
                "PipelineRun {name} could not be created within {deadline} s: {why}"
            ));
        }
        self.effects.push(Effect::Write(write));
        HookOutcome::Running(format!("PipelineRun {name} cannot be created: {why}"))
    }

    /// When the hook was due: when its part of the rollout began, and what was measured before it had ended.
    fn hook_since(&self, rollout: &Rollout) -> Timestamp {
        let measured = rollout
            .analyses
            .iter()
            .filter_map(|analysis| analysis.finished_at);
        let since = rollout.since.or(rollout.started_at);
        measured.chain(since).max().unwrap_or(self.now)
    }

    fn note_hook(&mut self, name: &str) {
        if let Some(rollout) = &mut self.status.rollout
            && !rollout.hooks.iter().any(|other| other == name)
        {
            rollout.hooks.push(name.to_owned());
        }
    }
}
