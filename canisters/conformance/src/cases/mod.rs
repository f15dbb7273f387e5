//! The laws, one folder for each group of clauses.

mod calls;
mod certification;
mod door;
mod execution;
mod http;
mod management;
mod prelude;

use crate::case::Case;

/// All cases.
pub fn all() -> Vec<Case> {
    [
        http::cases(),
        certification::cases(),
        execution::cases(),
        calls::cases(),
        management::cases(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    #[test]
    fn every_case_has_a_name_of_its_own() {
        let cases = super::all();
        let names: BTreeSet<_> = cases.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), cases.len());
        assert!(cases.len() >= 150, "there are {} cases", cases.len());
    }

    #[test]
    fn every_case_that_leaves_the_other_side_to_another_names_one_that_there_is() {
        let cases = super::all();
        for case in &cases {
            let Some(twin) = case.twin else { continue };
            assert_ne!(twin, case.name);
            assert!(
                cases.iter().any(|other| other.name == twin),
                "{}: {twin}",
                case.name
            );
        }
    }
}
