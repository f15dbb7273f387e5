//! What expressions of a stage see. Only what can no longer change, so that the answer does not depend on when it is asked.

use std::collections::{BTreeMap, BTreeSet};

use dcanary_crds::{PipelineRun, PipelineRunStatus, StageState};
use dcanary_expr::{Values, reference::StageValues};

use crate::{definition::Definition, resolve};

/// Repository, ref and commit of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceValues {
    /// Repository.
    pub repo: Option<String>,
    /// Branch or tag.
    pub reference: Option<String>,
    /// Commit.
    pub commit: Option<String>,
}

/// The run's source, with the pipeline's for what it leaves out. A ref of the pipeline does not go with a repository of the run.
pub fn source(run: &PipelineRun, definition: &Definition) -> SourceValues {
    let given = run.spec.source.clone().unwrap_or_default();
    let default = definition
        .source
        .as_ref()
        .filter(|source| given.repo.as_ref().is_none_or(|repo| *repo == source.repo));
    SourceValues {
        repo: given.repo.or_else(|| default.map(|source| source.repo.clone())),
        reference: given
            .reference
            .or_else(|| default.and_then(|source| source.reference.clone())),
        commit: given.commit,
    }
}

/// Indexes of the stages that a stage sees: those upstream; for a `finally` stage all that are none.
pub fn upstream(definition: &Definition, index: usize) -> BTreeSet<usize> {
    let Some(stage) = definition.stages.get(index) else {
        return BTreeSet::new();
    };
    if stage.finally {
        return (0..definition.stages.len())
            .filter(|i| !definition.stages[*i].finally)
            .collect();
    }
    let mut seen = BTreeSet::new();
    let mut open: Vec<usize> = stage.needs.clone();
    while let Some(next) = open.pop() {
        if seen.insert(next)
            && let Some(further) = definition.stages.get(next)
        {
            open.extend(&further.needs);
        }
    }
    seen
}

/// Values for the stage at `index`.
pub fn values(
    run: &PipelineRun,
    definition: &Definition,
    status: &PipelineRunStatus,
    index: usize,
) -> Values {
    let source = source(run, definition);
    let text = |value: Option<String>| value.unwrap_or_default();
    let meta = &run.metadata;
    Values {
        params: resolve::params(definition, &run.spec),
        stages: upstream(definition, index)
            .into_iter()
            .filter_map(|i| status.stages.get(i))
            .map(|stage| {
                let results = stage
                    .results
                    .iter()
                    .filter_map(|result| Some((result.name.clone(), result.value.clone()?)))
                    .collect();
                let outcome = outcome(stage.state).to_owned();
                (stage.name.clone(), StageValues { outcome, results })
            })
            .collect(),
        source: BTreeMap::from([
            ("repo".to_owned(), text(source.repo)),
            ("ref".to_owned(), text(source.reference)),
            ("commit".to_owned(), text(source.commit)),
        ]),
        run: BTreeMap::from([
            ("name".to_owned(), text(meta.name.clone())),
            ("namespace".to_owned(), text(meta.namespace.clone())),
            ("uid".to_owned(), text(meta.uid.clone())),
        ]),
    }
}

fn outcome(state: StageState) -> &'static str {
    match state {
        StageState::Succeeded => "succeeded",
        StageState::Failed => "failed",
        StageState::Skipped => "skipped",
        StageState::Cancelled => "cancelled",
        StageState::Pending | StageState::Running | StageState::Retrying => "",
    }
}

#[cfg(test)]
mod tests {
    use dcanary_crds::StageState;
    use dcanary_expr::typed::STAGE_OUTCOMES;

    use super::outcome;

    #[test]
    fn every_outcome_of_a_stage_is_a_word_that_conditions_know() {
        use StageState::{Cancelled, Failed, Pending, Retrying, Running, Skipped, Succeeded};
        for state in [Succeeded, Failed, Skipped, Cancelled, Pending, Running, Retrying] {
            match state {
                // a state that is new has to be in the list above, too
                Succeeded | Failed | Skipped | Cancelled | Pending | Running | Retrying => {}
            }
            assert!(STAGE_OUTCOMES.contains(&outcome(state)), "{state:?}");
        }
    }
}
