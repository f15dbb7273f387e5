//! What a promotion waits for before anything of it is deployed.

use dcanary_core::time::later;
use dcanary_crds::{
    ApprovalStatus, Doing, Environment, EnvironmentStatus, Promotion, Release, ReleaseSource, Rollout,
    RolloutOutcome, Verb, release::DecidedKind,
};
use jiff::Timestamp;

use super::{
    Arrived, Counted, approvals, arrived, asked_before, counted, digest_of, frozen, is_decided_way_back,
    is_led_back, is_recorded, unenforced,
};
use crate::{
    render::Candidate,
    seen::{Seen, Settings},
};

/// Whether a promotion may begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Ready {
        /// Approvals that count.
        approvals: Vec<ApprovalStatus>,
        /// The Decision that let it through a freeze window.
        overridden_by: Option<String>,
    },
    /// It waits.
    Waiting {
        /// One CamelCase word.
        reason: &'static str,
        /// One sentence, with what to do.
        message: String,
        /// Approvals so far.
        approvals: Vec<ApprovalStatus>,
        /// When that changes by itself.
        at: Option<Timestamp>,
    },
    /// It ends without having begun.
    Over {
        /// How.
        outcome: RolloutOutcome,
        /// One CamelCase word.
        reason: &'static str,
        /// One sentence, with what to do.
        message: String,
        /// Identity that may not come again until it is let.
        hold: Option<String>,
    },
}

impl Gate {
    /// It is refused.
    pub fn refused(reason: &'static str, message: String) -> Self {
        Self::Over {
            outcome: RolloutOutcome::Refused,
            reason,
            message,
            hold: None,
        }
    }
}

/// Whether a promotion of this candidate may begin. A promotion back to a release that was stable here (`returning`) needs no source environment.
#[allow(clippy::too_many_arguments)] // they are what a decision depends on
pub fn gate(
    env: &Environment,
    status: &EnvironmentStatus,
    promotion: &Promotion,
    release: &Release,
    candidate: &Candidate,
    returning: bool,
    seen: &Seen,
    now: Timestamp,
) -> Gate {
    if let Some(refused) = forbidden(env, &seen.settings, promotion, release) {
        return refused;
    }
    let decisions = decisions(promotion, seen, now);
    if let Some(over) = ended_by_people(&decisions, Some(&candidate.identity)) {
        return over;
    }
    if let Some(held) = status
        .held
        .iter()
        .find(|held| held.identity == candidate.identity)
    {
        return Gate::refused(
            "Held",
            format!(
                "release {} is held here ({}: {}); let it come again with `dcanary unhold {} {}`",
                candidate.release,
                held.reason,
                held.message,
                env.metadata.name.as_deref().unwrap_or_default(),
                candidate.release
            ),
        );
    }
    if let Some(older) = older(status, promotion, release) {
        return older;
    }
    let waiting = |reason, message, approvals, at| Gate::Waiting {
        reason,
        message,
        approvals,
        at,
    };
    if let Some(rule) = &env.spec.promotes_from
        && !returning
        && let Arrived::NotYet { message, at } = arrived(rule, seen, release, is_recorded(env, seen), now)
    {
        return waiting("WaitingForSource", message, Vec::new(), at);
    }
    let mut counted = Vec::new();
    if let Some(rule) = &env.spec.approval
        && !(returning && is_decided_way_back(status, promotion, candidate, seen, now))
    {
        let by = promotion.spec.requested_by.as_deref();
        let asked = asked_before(env, by, &release.spec.images, Some(&digest_of(release)), seen);
        let found = approvals(rule, promotion, asked, &candidate.identity, &decisions);
        if !found.enough() {
            let ends = decisions
                .iter()
                .filter_map(|decision| decision.decision.spec.expires_at)
                .min();
            return unapproved(promotion, rule.timeout, &found, ends, seen, now);
        }
        counted = found.counted;
    }
    let override_by = override_of(&decisions, &candidate.identity);
    // a rollback never waits: who may decide `undo` may do so at any time. Whoever may only promote may not
    let goes_back = returning && is_led_back(status, promotion, candidate);
    if override_by.is_err()
        && !goes_back
        && let Ok(Some(window)) = frozen(&env.spec.freeze, now)
    {
        return waiting(
            "Frozen",
            format!(
                "freeze window `{}` lasts until {}; an emergency goes through with `dcanary override {} --reason …`{}",
                window.name,
                window.until,
                promotion.metadata.name.as_deref().unwrap_or_default(),
                override_by.err().unwrap_or_default()
            ),
            counted,
            Some(window.until),
        );
    }
    Gate::Ready {
        approvals: counted,
        overridden_by: override_by.ok().map(|decision| decision.uid.to_owned()),
    }
}

/// The Decision that lets this identity through a freeze window.
///
/// # Errors
/// What is to be said of those that are about another identity; nothing where there are none.
pub fn override_of<'a, 'b>(decisions: &'b [Counted<'a>], identity: &str) -> Result<&'b Counted<'a>, String> {
    let mut remark = String::new();
    let given = decisions
        .iter()
        .filter(|decision| decision.verb() == Verb::Override);
    for decision in given {
        if decision.is_for(identity) {
            return Ok(decision);
        }
        remark = format!(
            "; {} let another release through: for.digest must be {identity}",
            decision.by()
        );
    }
    Err(remark)
}

/// Decisions about a promotion.
pub(super) fn decisions<'a>(promotion: &Promotion, seen: &'a Seen, now: Timestamp) -> Vec<Counted<'a>> {
    of_promotion(promotion, |kind, namespace, name, uid| {
        counted(seen, kind, namespace, name, uid, now)
    })
}

/// Asks something about the Decisions of a promotion.
fn of_promotion<T>(promotion: &Promotion, ask: impl FnOnce(DecidedKind, &str, &str, &str) -> T) -> T {
    let metadata = &promotion.metadata;
    ask(
        DecidedKind::Promotion,
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default(),
        metadata.uid.as_deref().unwrap_or_default(),
    )
}

/// Why a promotion of its namespace is refused.
fn foreign(env: &Environment, promotion: &Promotion) -> Option<Gate> {
    let own = env.metadata.namespace.as_deref().unwrap_or_default();
    let from = promotion.metadata.namespace.as_deref().unwrap_or_default();
    let allowed = env
        .spec
        .allowed_from
        .as_ref()
        .is_some_and(|allowed| allowed.namespaces.iter().any(|namespace| namespace == from));
    (from != own && !allowed).then(|| {
        Gate::refused(
            "NamespaceNotAllowed",
            format!(
                "namespace {from} may not promote into {own}: add it to spec.allowedFrom.namespaces of the Environment"
            ),
        )
    })
}

fn forbidden(
    env: &Environment,
    settings: &Settings,
    promotion: &Promotion,
    release: &Release,
) -> Option<Gate> {
    if let Some(refused) = foreign(env, promotion) {
        return Some(refused);
    }
    let project = |own: Option<&String>| own.cloned().unwrap_or_else(|| settings.project.clone());
    let (here, there) = (
        project(env.spec.project.as_ref()),
        project(release.spec.project.as_ref()),
    );
    (here != there).then(|| {
        Gate::refused(
            "ProjectDiffers",
            format!("the Release is of project {there}, the Environment of project {here}"),
        )
    })
}

/// How people ended a promotion of which it is not known what it would deploy.
pub fn ended(env: &Environment, promotion: &Promotion, seen: &Seen, now: Timestamp) -> Option<Gate> {
    let allowed = foreign(env, promotion).is_none();
    allowed
        .then(|| ended_by_people(&decisions(promotion, seen, now), None))
        .flatten()
}

/// A rejection holds what was looked at; where it does not say what that was, the present identity, if there is one.
fn ended_by_people(decisions: &[Counted<'_>], identity: Option<&str>) -> Option<Gate> {
    let ending = |verb| decisions.iter().find(move |decision| decision.verb() == verb);
    if let Some(reject) = ending(Verb::Reject) {
        return Some(Gate::Over {
            outcome: RolloutOutcome::Aborted,
            reason: "Rejected",
            message: format!("{} rejected it: {}", reject.by(), reject.reason()),
            hold: reject.identity().or(identity).map(str::to_owned),
        });
    }
    ending(Verb::Abort).map(|abort| Gate::Over {
        outcome: RolloutOutcome::Aborted,
        reason: "Aborted",
        message: format!("{} aborted it: {}", abort.by(), abort.reason()),
        hold: None,
    })
}

fn older(status: &EnvironmentStatus, promotion: &Promotion, release: &Release) -> Option<Gate> {
    if promotion.spec.undo {
        return None;
    }
    let new = release.spec.source.as_ref()?;
    let after = new.position?;
    // only positions of one repository can be compared
    let later = |source: Option<&ReleaseSource>| {
        source
            .filter(|source| source.repo == new.repo)
            .and_then(|source| source.position)
            .filter(|before| after < *before)
    };
    let stable = status.stable.as_ref();
    if let Some(before) = stable.and_then(|stable| later(stable.source.as_ref())) {
        return Some(Gate::refused(
            "OlderThanStable",
            format!(
                "it is built from position {after} of {}, the stable release from {before}: go back with `dcanary undo`, or promote with undo: true",
                new.repo
            ),
        ));
    }
    // the stable release itself comes with other configuration only, whatever is under way
    let name = release.metadata.name.as_ref();
    let is_stable = stable.is_some_and(|stable| name == Some(&stable.release));
    let forward = |rollout: &&Rollout| {
        rollout.finished_at.is_none() && !matches!(rollout.doing, Doing::RollingBack | Doing::AfterRollback)
    };
    let rollout = status.rollout.as_ref().filter(forward).filter(|_| !is_stable)?;
    let before = later(rollout.source.as_ref())?;
    Some(Gate::refused(
        "OlderThanRollout",
        format!(
            "it is built from position {after} of {}, release {} that is under way from {before}: end that with `dcanary abort {}`, or promote with undo: true",
            new.repo, rollout.release, rollout.promotion
        ),
    ))
}

/// `ends`: when the first of the Decisions counts no more.
fn unapproved(
    promotion: &Promotion,
    timeout: Option<dcanary_crds::Duration>,
    found: &super::Approvals,
    ends: Option<Timestamp>,
    seen: &Seen,
    now: Timestamp,
) -> Gate {
    let name = promotion.metadata.name.as_deref().unwrap_or_default();
    let since = promotion
        .status
        .as_ref()
        .and_then(|status| status.approvable_since);
    // while no Decision counts nobody can approve; time that has begun goes on
    let since = since.or_else(|| seen.policies.is_ok().then_some(now));
    let deadline = timeout.and_then(|timeout| Some(later(since?, timeout.as_secs())));
    if deadline.is_some_and(|deadline| now >= deadline) {
        return Gate::Over {
            outcome: RolloutOutcome::Aborted,
            reason: "ApprovalTimedOut",
            message: "it was not approved in time".to_owned(),
            hold: None,
        };
    }
    let mut message = format!(
        "{} of {} approvals; approve with `dcanary approve {name}`",
        found.counted.len(),
        found.required
    );
    if let Err(problem) = &seen.policies {
        message = format!("no approval counts: {problem}");
    } else if let Some(remark) = found.remarks.last() {
        message = format!("{message}; {remark}");
    } else if let before @ 1.. = of_promotion(promotion, |kind, namespace, name, uid| {
        unenforced(seen, kind, namespace, name, uid)
    }) {
        message = format!(
            "{message}; {before} Decisions are from before the admission policies were in place as they are now and do not count: whoever made them has to decide again"
        );
    }
    Gate::Waiting {
        reason: "WaitingForApproval",
        message,
        approvals: found.counted.clone(),
        at: deadline.into_iter().chain(ends).min(),
    }
}
