//! What a person answers with `resume`: the one question that the condition shows at that time, and none that is asked later.

use dcanary_crds::{Doing, Rollout, Verdict};

use super::{
    pass::Pass,
    steps::{self, POST_PROMOTION, Step},
};
use crate::analysis::BACKGROUND;

impl Pass<'_> {
    /// Nobody paused it and nobody contests its route: what it asks itself is answered. Whether anything was asked.
    pub(super) fn answer(&mut self) -> bool {
        let Some(rollout) = self.active().cloned() else {
            return false;
        };
        let asks = rollout.reason == "AnalysisInconclusive";
        match (rollout.doing, self.who_asks(&rollout).filter(|_| asks)) {
            // behind the steps there is nothing to measure on for: it was asked whether to promote
            (Doing::Stepping, Some(name)) if name == BACKGROUND && self.is_through(&rollout) => {
                self.accept(&name);
            }
            // a person looked; it goes on measuring, and may ask again
            (Doing::Stepping, Some(name)) if name == BACKGROUND => self.restart(BACKGROUND),
            (Doing::Promoting, Some(name)) => {
                if rollout.weight < 100 {
                    self.restart(&name);
                }
                self.accept(&name);
            }
            (Doing::Verifying, Some(name)) => self.accept(&name),
            (Doing::Stepping, None) if self.measures(&rollout) => return false,
            _ => {
                if let Some(rollout) = &mut self.status.rollout {
                    rollout.resumed = true;
                }
            }
        }
        true
    }

    /// The analysis that could not tell and asks first.
    fn who_asks(&self, rollout: &Rollout) -> Option<String> {
        let open = |name: &str| {
            let verdict = self.verdict(name).map(|(verdict, _)| verdict);
            verdict == Some(Verdict::Inconclusive) && !self.is_accepted(name)
        };
        let names = match rollout.doing {
            Doing::Stepping | Doing::Promoting => vec![BACKGROUND.to_owned()],
            Doing::Verifying => vec![POST_PROMOTION.to_owned(), BACKGROUND.to_owned()],
            _ => Vec::new(),
        };
        names
            .into_iter()
            .chain(self.step_analysis(rollout))
            .find(|name| open(name))
    }

    /// Whether all steps are behind it.
    fn is_through(&self, rollout: &Rollout) -> bool {
        let at = usize::try_from(rollout.step).unwrap_or_default();
        at >= steps::steps(&self.env.spec).len()
    }

    /// The analysis of the present step.
    fn step_analysis(&self, rollout: &Rollout) -> Option<String> {
        let at = usize::try_from(rollout.step).unwrap_or_default();
        let steps = steps::steps(&self.env.spec);
        match steps.get(at).filter(|_| rollout.doing == Doing::Stepping) {
            Some(Step::Analysis { name, .. }) => Some(name.clone()),
            _ => None,
        }
    }

    /// Whether the present step measures and has asked nothing yet.
    fn measures(&self, rollout: &Rollout) -> bool {
        let name = self.step_analysis(rollout);
        name.is_some_and(|name| self.verdict(&name).is_none())
    }

    /// Whether a person let the rollout go on although an analysis could not tell.
    pub(super) fn is_accepted(&self, name: &str) -> bool {
        let rollout = self.status.rollout.as_ref();
        rollout.is_some_and(|rollout| {
            let mut all = rollout.analyses.iter();
            all.any(|status| status.name == name && status.accepted)
        })
    }

    fn accept(&mut self, name: &str) {
        let rollout = self.status.rollout.iter_mut();
        for status in rollout.flat_map(|rollout| &mut rollout.analyses) {
            if status.name == name {
                status.accepted = true;
            }
        }
    }
}
