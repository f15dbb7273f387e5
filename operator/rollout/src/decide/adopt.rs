//! A workload that was there before the Environment is its first stable release: the Deployment that it names, or what an Environment of its
//! name left behind.

use super::pass::Pass;
use crate::render;

impl Pass<'_> {
    /// Takes an existing workload over, once.
    pub(super) fn adopt(&mut self) {
        if self.status.stable.is_some() || self.status.rollout.is_some() {
            return;
        }
        // what serves comes before what was there before that
        let adopted = match render::serving(self.env, self.seen) {
            Some(left) => Some(Ok(left)),
            None => render::adopted(self.env, self.seen),
        };
        match adopted {
            None => {}
            Some(Ok(mut stable)) => {
                stable.since = Some(self.now);
                self.tell(
                    false,
                    "Adopted",
                    &format!("{} {} is the stable release", self.kind().name(), stable.workload),
                );
                if let Some(configuration) = self.configuration() {
                    self.status.configuration = Some(configuration);
                }
                // nobody has said how many there should be: as many as there are
                self.status.adopted_replicas = self.state(&stable.workload).map(|state| state.replicas);
                self.status.stable = Some(stable);
            }
            Some(Err(error)) => {
                self.contested = Some((error.reason().to_owned(), error.to_string()));
            }
        }
    }
}
