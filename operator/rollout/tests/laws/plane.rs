//! A data plane that follows a route some time after the status says so.

use std::collections::BTreeMap;

use dcanary_crds::{Doing, EnvironmentStatus, Rollout};
use dcanary_rollout::{Key, Kind, Verify, seen::Checked};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{cluster::weights, world::World};

#[derive(Debug, Clone, Default)]
pub struct Plane {
    /// Seconds that it is behind; `None`: there is none to look at.
    pub lag: Option<i64>,
    /// What it answers whatever it follows.
    pub answers: Option<&'static str>,
    /// Requests that asked it.
    pub asked: usize,
    /// Routes that the status has said it follows, and since when.
    said: Vec<(Timestamp, Value)>,
}

impl World {
    /// The route that requests meet.
    fn met(&self) -> Option<&Value> {
        let lag = SignedDuration::from_secs(self.plane.lag?);
        let said = self.plane.said.iter().rev();
        let mut old = said.skip_while(|(at, _)| self.now.duration_since(*at) < lag);
        old.next().map(|(_, route)| route)
    }

    /// Notes what the status says of the route.
    pub fn follow(&mut self) {
        if self.plane.lag.is_none() {
            return;
        }
        let Some(route) = self.cluster.objects.get(&Key::new(Kind::HttpRoute, "web")) else {
            return;
        };
        let observed = route.pointer("/status/parents/0/conditions/0/observedGeneration");
        let spec = json!({"spec": route["spec"]});
        let new = self.plane.said.last().is_none_or(|(_, last)| *last != spec);
        if observed == Some(&route["metadata"]["generation"]) && new {
            self.plane.said.push((self.now, spec));
        }
    }

    /// Percent of requests by workload, as the data plane sends them.
    pub fn followed(&self) -> BTreeMap<String, i64> {
        let mut shares = BTreeMap::new();
        for (service, weight) in self.met().map(weights).unwrap_or_default() {
            if let Some(workload) = self.cluster.leads_to(&service) {
                *shares.entry(workload).or_default() += weight;
            }
        }
        shares
    }

    /// The gateway is asked.
    pub fn verify(&mut self, verify: &Verify) -> bool {
        self.plane.asked += 1;
        let follows = self.met().is_some_and(|route| {
            let rules = route["spec"]["rules"].as_array().into_iter().flatten();
            let mut ours = rules.filter(|rule| rule["matches"][0]["path"]["value"] == verify.path.as_str());
            ours.any(|rule| rule["filters"][0]["requestRedirect"]["hostname"] == verify.leads_to.as_str())
        });
        let shown = match self.plane.answers {
            Some(problem) => Err(problem.to_owned()),
            None if follows => Ok(()),
            None => Err("answers 404 to the check of the new weights".to_owned()),
        };
        self.check = Some(Checked {
            token: verify.token.clone(),
            at: self.now,
            shown,
        });
        true
    }

    fn is_watched(&self) -> bool {
        let traffic = self.env.spec.traffic.as_ref();
        let route = traffic.and_then(|traffic| traffic.route.as_ref());
        self.plane.lag.is_some() && route.is_some_and(|route| route.verify.is_some())
    }

    /// A weight counts only when the data plane has it.
    pub fn proven(&self, next: &EnvironmentStatus) {
        let before = self.status().rollout.map_or(0, |rollout| rollout.weight);
        let proves = self.is_watched() && self.plane.answers.is_none();
        let Some(rollout) = next.rollout.as_ref().filter(|_| proves) else {
            return;
        };
        if rollout.finished_at.is_none() && rollout.weight > before {
            let has = self.followed().get(&rollout.workload).copied();
            assert_eq!(
                has,
                Some(i64::from(rollout.weight)),
                "{} % counts before the data plane has it",
                rollout.weight
            );
        }
    }

    /// The candidate has no more requests than it is to have.
    pub fn not_before_its_time(&self, rollout: &Rollout) {
        let forward = matches!(rollout.doing, Doing::Starting | Doing::Stepping);
        if self.is_watched() && forward && rollout.finished_at.is_none() {
            let has = self.followed().get(&rollout.workload).copied().unwrap_or(0);
            assert!(
                has <= i64::from(rollout.wanted_weight),
                "{has} % are on a candidate that is to have {} %",
                rollout.wanted_weight
            );
        }
    }
}
