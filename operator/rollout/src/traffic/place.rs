//! The Environment whose traffic it is, and the names of its Services.

use dcanary_crds::{Environment, Traffic as TrafficSpec};
use serde_json::Value;

use super::{InForce, obstacle::Obstacle, selector::of_service};
use crate::{
    plan::{Actor, Effect, Write},
    render,
    seen::{Key, Kind, Seen},
};

/// Longest name of a Service.
const NAME: usize = 63;
const SUFFIX: &str = "-candidate";

/// Name of the Service that leads to the candidate.
pub fn candidate_service(environment: &str) -> String {
    let end = environment.floor_char_boundary(NAME - SUFFIX.len());
    format!("{}{SUFFIX}", environment[..end].trim_end_matches('-'))
}

/// An Environment and what was seen of it.
#[derive(Clone)]
pub(super) struct Place<'a> {
    pub(super) env: &'a Environment,
    pub(super) seen: &'a Seen,
    pub(super) spec: &'a TrafficSpec,
    pub(super) uid: &'a str,
    pub(super) namespace: &'a str,
    /// The Service of the stable release; the Environment's name.
    pub(super) stable: &'a str,
    /// The Service of the candidate.
    pub(super) candidate: String,
}

impl<'a> Place<'a> {
    /// `None`: there is no `traffic`, or the object is not one of the API server.
    pub(super) fn new(env: &'a Environment, seen: &'a Seen) -> Option<Self> {
        Self::with(env, seen, env.spec.traffic.as_ref()?)
    }

    /// With this in place of `traffic`.
    pub(super) fn with(env: &'a Environment, seen: &'a Seen, spec: &'a TrafficSpec) -> Option<Self> {
        let name = env.metadata.name.as_deref()?;
        Some(Self {
            env,
            seen,
            spec,
            uid: env.metadata.uid.as_deref().filter(|uid| !uid.is_empty())?,
            namespace: env.metadata.namespace.as_deref()?,
            stable: name,
            candidate: candidate_service(name),
        })
    }

    /// There are a candidate and its Service: not in place.
    pub(super) fn splits(&self) -> bool {
        let strategy = &self.env.spec.strategy;
        strategy.canary.is_some() || strategy.blue_green.is_some()
    }

    /// Weights other than 0 and 100 occur.
    pub(super) fn canary(&self) -> bool {
        self.env.spec.strategy.canary.is_some()
    }

    /// An object. `Err`: it could not be read, so that nothing is known.
    pub(super) fn object(&self, key: &Key) -> Result<Option<&'a Value>, Obstacle> {
        match self.seen.unreadable.get(key) {
            Some(answer) => Err(Obstacle::Unreadable {
                kind: key.kind.name(),
                name: key.name.clone(),
                answer: answer.clone(),
            }),
            None => Ok(self.seen.objects.get(key)),
        }
    }

    /// Whether a Service selects the Pods of a workload.
    pub(super) fn leads_to(&self, service: &str, workload: &str) -> bool {
        let service = self.seen.objects.get(&Key::new(Kind::Service, service));
        let wanted = render::selector(self.env, workload, self.seen);
        service.is_some_and(|service| !wanted.is_empty() && of_service(service) == wanted)
    }

    /// What the API server answered to one of these effects before, if it refused it.
    pub(super) fn refused(&self, effects: &[Effect]) -> Option<InForce> {
        effects.iter().find_map(|effect| {
            let Effect::Write(write) = effect else { return None };
            let refusal = self.seen.refusals.get(&write.key)?;
            Some(InForce::Refused {
                reason: refusal.reason.clone(),
                message: format!(
                    "{} {}: {}",
                    write.key.kind.name(),
                    write.key.name,
                    refusal.message
                ),
            })
        })
    }
}

/// Writes an object as the Environment's service account.
pub(super) fn write(key: Key, object: Value) -> Effect {
    Effect::Write(Box::new(Write {
        key,
        object,
        actor: Actor::Environment,
    }))
}

/// Deletes an object that was seen.
pub(super) fn delete(key: Key, object: &Value) -> Effect {
    let uid = super::path::text(object, &["metadata", "uid"]).unwrap_or_default();
    Effect::Delete {
        key,
        uid: uid.to_owned(),
        version: None,
        actor: Actor::Environment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_candidates_service_has_a_name_that_a_service_may_have() {
        assert_eq!(candidate_service("web"), "web-candidate");
        assert_eq!(candidate_service(&"w".repeat(63)).len(), NAME);
        assert!(!candidate_service(&format!("{}-{}", "w".repeat(52), "x".repeat(10))).contains("--"));
    }
}
