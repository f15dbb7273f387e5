//! One Environment: what to do next.
//!
//! ```text
//! hold ─▶ rules ─▶ holds, undo ─▶ contest, adopt ─▶ rollout ─▶ take up ─▶ follow configuration ─▶ conditions ─▶ effects
//! ```
//! A pass moves the status as far as what was seen allows, and then asks for everything that the new status wants and that is not there.
//! Effects are computed from the status alone, so that a crash anywhere leads to the same effects again.

mod adopt;
mod after_switch;
mod again;
mod alive;
mod analyses;
mod answers;
mod broken_off;
mod changed;
mod conditions;
mod configuration;
mod delete;
mod earlier;
mod edits;
mod effects;
mod end;
mod first_sample;
mod former;
mod forward;
mod frozen;
mod held_up;
mod holds;
mod hooks;
mod in_the_way;
mod journal;
mod leaving;
mod left;
mod nowhere;
mod older;
mod pass;
mod paused;
mod people;
mod pods;
mod promotions;
mod proof;
mod relief;
mod remarks;
mod replicas;
mod rollback;
mod rollout;
mod routing;
mod scale;
mod served;
mod size;
mod steps;
mod take_up;
mod templates;
mod uncounted;
mod unfollowed;
mod unmeasured;
mod unstored;
mod validate;
mod ways_back;
mod withdrawn;
mod written;

use dcanary_core::Wake;
use dcanary_crds::{Environment, labels};
use jiff::Timestamp;

use crate::{
    plan::{Effect, Plan},
    seen::Seen,
};
use pass::Pass;

pub use nowhere::nowhere;
pub use steps::{Step, steps};
pub use validate::{SpecError, validate};

/// Decides the next step of an Environment. Total and deterministic: same arguments, same plan.
pub fn next(env: &Environment, seen: &Seen, now: Timestamp) -> Plan {
    let spec = &env.spec;
    let kept = edits::kept(env, seen, now);
    let env = kept.as_ref().map_or(env, |(env, _)| env);
    let still = |effects| Plan {
        status: env.status.clone().unwrap_or_default(),
        effects,
        events: Vec::new(),
        wake: Wake::OnChange,
    };
    let Some(mut pass) = Pass::new(env, seen, now) else {
        return still(Vec::new());
    };
    if let Some((_, until)) = &kept {
        pass.kept = true;
        if let Some(until) = until {
            pass.wake_at(*until);
        }
    }
    let held = env
        .metadata
        .finalizers
        .iter()
        .flatten()
        .any(|name| name == labels::ENVIRONMENT_FINALIZER);
    if env.metadata.deletion_timestamp.is_some() {
        return if held { pass.delete() } else { still(Vec::new()) };
    }
    if !held {
        return still(vec![Effect::HoldEnvironment]);
    }
    pass.open_journal();
    pass.spec_error = validate(spec).err();
    pass.forget_decided();
    pass.note_ended();
    if pass.spec_error.is_none() && !pass.kept {
        pass.record_rules();
    }
    pass.carry_out_holds();
    pass.note_route();
    pass.recall_contest();
    pass.adopt();
    pass.forget_relieved();
    pass.note_still_served();
    pass.roll();
    pass.note_aborts_of_stable();
    pass.take_up();
    if pass.spec_error.is_none() {
        pass.follow();
    } else {
        pass.abort_of_stable();
    }
    pass.tell_uncounted();
    pass.forget_frozen();
    pass.forget_ways_back();
    pass.close()
}
