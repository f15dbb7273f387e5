//! "Certification" and "The system state tree".

mod canisters;
mod certificates;
mod official;

use crate::case::Case;

pub fn cases() -> Vec<Case> {
    [certificates::CASES, canisters::CASES, official::CASES].concat()
}
