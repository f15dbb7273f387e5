//! How an attempt of a stage with an `environment` ended: as its Promotion did.

use dcanary_crds::{
    AttemptOutcome, AttemptPromotion, AttemptStatus, Condition, ConditionStatus, ConditionType, Promotion,
};
use jiff::Timestamp;

use super::{UNSEEN, Verdict, decided, wait};
use crate::{conditions::find, observed::CreateAnswer, seen_pod::PodWaiting, text, time::later};

/// How long an Environment that is not there is waited for, in seconds: the stage before may have made it a moment ago.
const ENVIRONMENT_GRACE: u64 = 120;
/// Reason of an attempt whose Release or Promotion the API server does not take now.
pub(super) const NOT_CREATED: &str = "PromotionNotCreated";
/// Pause before something is looked at again that nobody tells, in seconds.
const PAUSE: u64 = 10;

/// What is known about an attempt without outcome.
#[derive(Debug, Clone, Copy)]
pub struct Situation<'a> {
    /// The attempt.
    pub attempt: &'a AttemptStatus,
    /// What it asked for.
    pub asked: &'a AttemptPromotion,
    /// The Promotion, when the cache has it.
    pub promotion: Option<&'a Promotion>,
    /// The answer to its creation.
    pub creation: Option<&'a CreateAnswer>,
    /// The Environment is there.
    pub environment: bool,
    /// Why the stage is being stopped.
    pub stopping: Option<&'static str>,
    /// Time for the attempt in seconds, if the stage has its own.
    pub timeout: Option<u64>,
    /// Now.
    pub now: Timestamp,
}

/// Decides.
pub fn decide(it: Situation<'_>) -> Verdict {
    if let Some(verdict) = it.promotion.and_then(ended) {
        return verdict;
    }
    if let Some(reason) = it.stopping {
        return decided(AttemptOutcome::Cancelled, reason, it.goes_on());
    }
    let begun = it.attempt.created_at.unwrap_or(it.now);
    let end = it.timeout.map(|timeout| later(begun, timeout));
    if end.is_some_and(|end| it.now >= end) {
        let why = match (it.attempt.reason.as_str(), it.attempt.message.as_str()) {
            ("", _) => String::new(),
            (reason, "") => format!(": {reason}"),
            (reason, message) => format!(": {reason}: {message}"),
        };
        return decided(
            AttemptOutcome::TimedOut,
            "StageTimedOut",
            format!("the stage ran out of time{why}; {}", it.goes_on()),
        );
    }
    match it.promotion {
        Some(promotion) => wait(shown(promotion), end),
        None => not_there(it, begun).by(end),
    }
}

impl Situation<'_> {
    /// Only people end a Promotion, so what becomes of it has to be said.
    fn goes_on(&self) -> String {
        let name = &self.asked.name;
        let made = matches!(self.creation, Some(CreateAnswer::Created { .. }));
        if made || self.promotion.is_some() || self.asked.uid.is_some() {
            format!("promotion {name} goes on, `dcanary abort {name}` ends it")
        } else {
            "nothing was promoted".to_owned()
        }
    }
}

fn ended(promotion: &Promotion) -> Option<Verdict> {
    let conditions = &promotion.status.as_ref()?.conditions;
    let is = |condition: &&Condition| condition.status == ConditionStatus::True;
    let finished = find(conditions, ConditionType::Finished).filter(is)?;
    let told = find(conditions, ConditionType::Succeeded).unwrap_or(finished);
    let succeeded = told.kind == ConditionType::Succeeded && told.status == ConditionStatus::True;
    Some(if succeeded {
        decided(AttemptOutcome::Succeeded, "Succeeded", told.message.as_str())
    } else {
        let reason = text::reason(&told.reason, "PromotionFailed");
        decided(AttemptOutcome::Failed, &reason, told.message.as_str())
    })
}

/// What it waits for: approvals, a window, the next step.
fn shown(promotion: &Promotion) -> Option<PodWaiting> {
    let told = find(&promotion.status.as_ref()?.conditions, ConditionType::Succeeded)?;
    Some(PodWaiting {
        reason: text::reason(&told.reason, "Waiting"),
        message: text::cut(&told.message, 512),
    })
}

/// Whether people are waited for.
pub fn is_paused(promotion: &Promotion) -> bool {
    let status = promotion.status.as_ref();
    let paused = status.and_then(|status| find(&status.conditions, ConditionType::Paused));
    paused.is_some_and(|condition| condition.status == ConditionStatus::True)
}

fn not_there(it: Situation<'_>, begun: Timestamp) -> Verdict {
    let gone = || {
        decided(
            AttemptOutcome::Failed,
            "PromotionGone",
            format!("promotion {} was deleted before it ended", it.asked.name),
        )
    };
    let again = later(it.now, PAUSE);
    match it.creation {
        Some(CreateAnswer::Created { gone: true, .. }) => gone(),
        // the cache will catch up
        Some(CreateAnswer::Created { gone: false, .. }) => wait(None, Some(again)),
        Some(CreateAnswer::Foreign) => decided(
            AttemptOutcome::Refused,
            "NameTaken",
            format!(
                "there is a Release {} or a Promotion {} that asks for something else: delete it and run again",
                it.asked.release, it.asked.name
            ),
        ),
        Some(CreateAnswer::Refused { reason, message }) => decided(
            AttemptOutcome::Refused,
            &text::reason(reason, "PromotionRefused"),
            message.clone(),
        ),
        Some(CreateAnswer::Quota { message }) => {
            let waiting = PodWaiting {
                reason: "QuotaExceeded".to_owned(),
                message: text::cut(message, 512),
            };
            wait(Some(waiting), Some(again))
        }
        Some(CreateAnswer::NamespaceTerminating) => wait(None, Some(again)),
        Some(CreateAnswer::Failed {
            message, retry_at, ..
        }) => {
            let waiting = PodWaiting {
                reason: NOT_CREATED.to_owned(),
                message: text::cut(
                    &format!("the API server does not create the Release or the Promotion: {message}"),
                    512,
                ),
            };
            wait(Some(waiting), Some(*retry_at))
        }
        None if it.asked.uid.is_some() => {
            let unseen = later(begun, UNSEEN);
            if it.now >= unseen {
                gone()
            } else {
                wait(None, Some(unseen))
            }
        }
        None if !it.environment => {
            let message = format!(
                "there is no Environment {} in the run's namespace",
                it.asked.environment
            );
            let end = later(begun, ENVIRONMENT_GRACE);
            if it.now >= end {
                return decided(AttemptOutcome::Refused, "EnvironmentNotFound", message);
            }
            let waiting = PodWaiting {
                reason: "EnvironmentNotFound".to_owned(),
                message,
            };
            // a cache may be a moment behind
            let show = it.now >= later(begun, PAUSE);
            wait(show.then_some(waiting), Some(again.min(end)))
        }
        None => wait(None, Some(again)),
    }
}

impl Verdict {
    /// The same, looked at again by then.
    fn by(self, end: Option<Timestamp>) -> Self {
        match self {
            Self::Undecided { waiting, wake } => Self::Undecided {
                waiting,
                wake: [wake, end].into_iter().flatten().min(),
            },
            decided @ Self::Decided(_) => decided,
        }
    }
}
