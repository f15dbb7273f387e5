//! The history of a canister: who created, changed and emptied it.
//!
//! Source: IC interface specification, "IC method `canister_info`".

use ic_management_canister_types::Change;
use std::sync::Arc;

/// How many changes are remembered.
pub const REMEMBERED: usize = 20;

/// The last changes of a canister, and how many there were. Cloning shares them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// How many changes there were ever.
    pub total: u64,
    /// The last ones, the oldest first.
    pub recent: Arc<[Change]>,
}

impl History {
    /// Adds a change, and forgets the oldest when there are too many.
    pub fn add(&mut self, change: Change) {
        let kept = self.recent.len().min(REMEMBERED - 1);
        let oldest = self.recent.len() - kept;
        self.recent = self.recent.iter().skip(oldest).cloned().chain([change]).collect();
        self.total += 1;
    }

    /// The last `wanted` changes, the oldest first, or all when there are fewer.
    pub fn last(&self, wanted: u64) -> Vec<Change> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        let skipped = self.recent.len().saturating_sub(wanted);
        self.recent.iter().skip(skipped).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ic_management_canister_types::{ChangeDetails, ChangeOrigin, FromUserRecord};
    use ic_principal::Principal;

    fn change(version: u64) -> Change {
        Change {
            timestamp_nanos: version,
            canister_version: version,
            origin: ChangeOrigin::FromUser(FromUserRecord {
                user_id: Principal::anonymous(),
            }),
            details: Some(ChangeDetails::CodeUninstall),
        }
    }

    #[test]
    fn the_last_twenty_changes_are_remembered_and_all_are_counted() {
        let mut history = History::default();
        for version in 0..25 {
            history.add(change(version));
        }
        assert_eq!((history.total, history.recent.len()), (25, REMEMBERED));
        let versions = |changes: Vec<Change>| -> Vec<u64> {
            changes.iter().map(|change| change.canister_version).collect()
        };
        assert_eq!(versions(history.last(2)), [23, 24]);
        assert_eq!(versions(history.last(u64::MAX)), (5..25).collect::<Vec<_>>());
        assert_eq!(versions(history.last(0)), Vec::<u64>::new());
    }
}
