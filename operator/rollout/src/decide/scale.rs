//! The selector of `/scale`, by which an autoscaler finds the Pods that serve.

use std::collections::BTreeMap;

use dcanary_core::pod::label;
use dcanary_crds::labels;

use super::pass::Pass;
use crate::render;

impl Pass<'_> {
    /// What selects the Pods of the stable release, and of the candidate where these have something in common. Pods that were there before the
    /// Environment lack its UID: an adopted Deployment's have its own labels, and what was left behind has the UID of the one before.
    pub(super) fn scale_selector(&self) -> String {
        let of = |name: &str, value: String| BTreeMap::from([(name.to_owned(), value)]);
        let ours = || of(labels::ENVIRONMENT_UID, self.uid.to_owned());
        let stable = self.status.stable.as_ref();
        let selector = stable.map(|stable| render::selector(self.env, &stable.workload, self.seen));
        let selector = selector.map_or_else(ours, |selector| match selector.get(labels::ENVIRONMENT_UID) {
            Some(uid) if uid == self.uid => ours(),
            Some(_) => of(labels::ENVIRONMENT, label(self.name)),
            None => selector,
        });
        let pairs: Vec<String> = selector
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        pairs.join(",")
    }
}
