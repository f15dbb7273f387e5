//! Analyses that cannot be carried out: nothing goes on unmeasured.

use dcanary_crds::{Doing, Rollout};

use super::{
    pass::Pass,
    steps::{self, POST_PROMOTION, Step},
};
use crate::analysis::{self, BACKGROUND};

impl Pass<'_> {
    /// Looks whether each analysis of the rollout can be carried out, also one that is not due yet: a Template may be missing, or go away.
    pub(super) fn look_through_analyses(&mut self, rollout: &Rollout) {
        let over = matches!(
            rollout.doing,
            Doing::RollingBack | Doing::AfterRollback | Doing::Ended
        );
        if over || self.is_straight(rollout) {
            return;
        }
        let spec = &self.env.spec;
        let mut names: Vec<String> = steps::steps(spec)
            .into_iter()
            .filter_map(|step| match step {
                Step::Analysis { name, .. } => Some(name),
                _ => None,
            })
            .collect();
        names.extend([BACKGROUND, POST_PROMOTION].map(str::to_owned));
        for name in names {
            let Some(found) = self.analysis(&name) else {
                continue;
            };
            if let Err(error) = analysis::metrics(&found, self.seen) {
                let message =
                    format!("analysis {name} cannot be carried out, and nothing goes on without it: {error}");
                self.unmeasured.insert(name, (error.reason().to_owned(), message));
            }
        }
    }

    /// Whether an analysis cannot be carried out; then it says why.
    pub(super) fn is_unmeasured(&mut self, name: &str) -> bool {
        let Some((reason, message)) = self.unmeasured.get(name).cloned() else {
            return false;
        };
        self.say(&reason, message);
        true
    }

    /// Whether one of the analyses to come cannot be carried out; then it says why. Asked before anything is deployed.
    pub(super) fn lacks_an_analysis(&mut self) -> bool {
        let Some(name) = self.unmeasured.keys().next().cloned() else {
            return false;
        };
        self.is_unmeasured(&name)
    }
}
