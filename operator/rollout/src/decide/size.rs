//! The size of a status. etcd refuses large objects, and an Environment whose status cannot be written stands still, its rollbacks too.

use dcanary_crds::{EnvironmentStatus, MetricStatus, Sample};

use super::pass::Pass;
use crate::analysis;

/// Largest status as JSON.
const STATUS_BYTES: usize = 512 * 1024;
/// Room for what is added later: conditions, records, a few samples.
const ROOM_BYTES: usize = 32 * 1024;
/// How much more is given up than must be, so that not every pass has to.
const SPARE_BYTES: usize = 32 * 1024;
/// Most promotions that end in one pass.
pub(super) const ENDED: usize = 50;

impl Pass<'_> {
    /// Gives up samples: first those that a document holds, then the oldest where they are most. They stay counted.
    pub(super) fn hold_size(&mut self) {
        let kept: Vec<String> = self
            .status
            .unstored
            .iter()
            .map(|kept| kept.digest.clone())
            .collect();
        if let Some(rollout) = &mut self.status.rollout {
            let stored = |digest: &String| self.seen.evidence.contains(digest) || kept.contains(digest);
            for of in &mut rollout.analyses {
                if of.evidence.as_ref().is_some_and(stored) {
                    analysis::shorten(of);
                }
            }
        }
        let size = size(&self.status);
        if size <= STATUS_BYTES - ROOM_BYTES {
            return;
        }
        let mut over = size.saturating_sub(STATUS_BYTES - ROOM_BYTES - SPARE_BYTES);
        while over > 0 {
            let freed = self.largest().map_or(0, halve);
            if freed == 0 {
                return;
            }
            over = over.saturating_sub(freed);
        }
    }

    /// The metric with most bytes of samples. One whose samples a document still has to be made of comes last.
    fn largest(&mut self) -> Option<&mut MetricStatus> {
        let rollout = self.status.rollout.as_mut()?;
        let all = rollout.analyses.iter_mut().flat_map(|of| {
            let awaited = of.evidence.is_some();
            of.metrics.iter_mut().map(move |metric| (awaited, metric))
        });
        all.filter(|(_, metric)| metric.samples.len() > 1)
            .max_by_key(|(awaited, metric)| (!awaited, bytes(&metric.samples)))
            .map(|(_, metric)| metric)
    }
}

/// Drops the older half of the samples; their bytes.
fn halve(metric: &mut MetricStatus) -> usize {
    let surplus: Vec<Sample> = metric.samples.drain(..metric.samples.len() / 2).collect();
    bytes(&surplus)
}

fn bytes(samples: &[Sample]) -> usize {
    samples
        .iter()
        .map(|sample| serde_json::to_vec(sample).map_or(0, |json| json.len() + 1))
        .sum()
}

fn size(status: &EnvironmentStatus) -> usize {
    serde_json::to_vec(status).map_or(0, |json| json.len())
}
