//! Which attempts are a run's own: those whose Pods its status names.
//!
//! A Pod names its run itself, by labels and an owner that anybody who may create Pods can write. The operator ignores the reports of Pods
//! that it did not make; here they are not shown to people.

use std::collections::BTreeSet;

use super::record::Record;
use super::run::RunKey;
use crate::auth::{ClusterError, RunFacts};
use crate::core::Core;

/// Those of the records that the run's status names, and whether these are all. Of a run that is gone nobody knows: then they are.
///
/// # Errors
/// When the API server does not answer.
pub async fn only(
    core: &Core,
    run: &RunKey,
    records: Vec<Record>,
) -> Result<(bool, Vec<Record>), ClusterError> {
    // One, unless somebody has written another into a Pod before the server looked.
    let names: BTreeSet<&str> = records
        .iter()
        .filter_map(|record| record.run.as_ref().map(|run| run.name.as_str()))
        .collect();
    let mut found = None;
    for name in names {
        found = core
            .readers
            .run(
                core.cluster.as_ref(),
                run.namespace.as_str(),
                name,
                run.uid.as_str(),
            )
            .await?;
        if found.is_some() {
            break;
        }
    }
    let Some(facts) = found else {
        return Ok((true, records));
    };
    let before = records.len();
    let shown: Vec<Record> = records
        .into_iter()
        .filter(|record| facts.pods.contains(record.attempt.as_str()) || may_be_named(&facts, record))
        .collect();
    Ok((shown.len() == before, shown))
}

/// Whether it is of an attempt under way whose Pod the status does not name yet.
fn may_be_named(facts: &RunFacts, record: &Record) -> bool {
    let place = record.run.as_ref().map(|run| (run.stage.clone(), run.number));
    place.is_some_and(|place| facts.unnamed.contains(&place))
}
