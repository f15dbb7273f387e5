//! Counted API calls, as the table tells them.

use crate::{
    audit::{Caller, Calls, Group},
    stats::real,
};

/// Calls of one caller by verb and resource.
pub struct Tally {
    /// How many.
    pub all: f64,
    late: f64,
    parts: Vec<(String, f64)>,
}

impl Tally {
    /// The calls of a caller, of one group or of all.
    pub fn of(calls: &Calls, caller: Caller, group: Option<Group>) -> Self {
        let mut tally = Self {
            all: 0.0,
            late: 0.0,
            parts: Vec::new(),
        };
        for ((who, what, verb, resource), count) in calls {
            if *who == caller && group.is_none_or(|group| group == *what) {
                tally.all += real(count.all);
                tally.late += real(count.late);
                tally.parts.push((format!("{verb} {resource}"), real(count.all)));
            }
        }
        tally
    }

    /// How many there are for each of so many runs, by verb and resource.
    pub fn text(&self, runs: u32) -> String {
        let runs = f64::from(runs);
        let mut text: Vec<String> = self
            .parts
            .iter()
            .map(|(name, count)| format!("{name} {:.2}", count / runs))
            .collect();
        if self.late > 0.0 {
            text.push(format!(
                "of all {:.2} after the deletion was asked for",
                self.late / runs
            ));
        }
        if text.is_empty() {
            "none".to_owned()
        } else {
            text.join(", ")
        }
    }
}
