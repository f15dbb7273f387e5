//! What the API server answers to the creation of a Pod.

use dcanary_core::{observed::CreateAnswer, pod::PodKey, seen_pod::SeenPod};

use crate::{
    scenario::Behaviour,
    world::{Phase, Pod, UID, World},
};

impl World {
    pub fn create_pod(&mut self, name: &str, stage: &str, attempt: i32) -> CreateAnswer {
        if let Some(there) = self.pods.get(name) {
            return CreateAnswer::Created {
                uid: there.seen.uid.clone(),
                gone: false,
            };
        }
        if self.namespace_since.is_some() {
            return CreateAnswer::NamespaceTerminating;
        }
        if self.scenario.behaviour(stage, attempt) == Behaviour::Refused {
            return CreateAnswer::Refused {
                reason: "PodForbidden".into(),
                message: "denied by policy".into(),
            };
        }
        if self.refusals_of_creation > 0 {
            self.refusals_of_creation -= 1;
            return CreateAnswer::Quota {
                message: "exceeded quota".into(),
            };
        }
        let stray = self.is_over(name);
        self.pod_count += 1;
        let uid = format!("pod-{}", self.pod_count);
        let seen = SeenPod {
            namespace: "team-a".to_owned(),
            name: name.to_owned(),
            uid: uid.clone(),
            controller: Some(UID.to_owned()),
            proof: Some(PodKey::default().proof("team-a", UID, name)),
            held: true,
            ..SeenPod::default()
        };
        self.pods.insert(
            name.to_owned(),
            Pod {
                stage: stage.to_owned(),
                attempt,
                seen,
                phase: Phase::Pending,
                stray,
            },
        );
        CreateAnswer::Created { uid, gone: false }
    }

    /// Whether the attempt of a Pod needs it no more.
    fn is_over(&self, name: &str) -> bool {
        let status = self.status();
        let mut attempts = status.stages.iter().flat_map(|stage| &stage.attempts);
        attempts
            .any(|attempt| attempt.pod == name && (attempt.outcome.is_some() || attempt.pod_uid.is_some()))
    }
}
