//! The records of one run, replayed with its graph document where that is at hand.

use dcanary_types::graph::GraphDoc;
use dcanary_types::machine::RunMachine;
use dcanary_types::record::{Record, Transition};
use dcanary_types::value::sha256;
use thiserror::Error;

use crate::loose::LooseRun;

/// Why the records of a run are refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("record {position}: {why}")]
pub struct IllegalRecord {
    /// Position of the record that is refused.
    pub position: usize,
    /// Why.
    pub why: String,
}

/// Replays all records of one run in order: its numbers and the state machine of section 4. Without the graph document
/// what depends on it (needs, highest attempt, the list of stages) is not checked.
///
/// # Errors
/// The first record that may not come where it does.
pub fn check_transitions<'a>(
    records: impl IntoIterator<Item = &'a Record>,
    graph: Option<&[u8]>,
) -> Result<(), IllegalRecord> {
    let mut loose = LooseRun::default();
    let mut machine: Option<RunMachine> = None;
    for (position, record) in records.into_iter().enumerate() {
        let illegal = |why: String| IllegalRecord { position, why };
        // Numbers and beginning are the loose machine's to check, with or without graph.
        loose.apply(record).map_err(|why| illegal(why.to_owned()))?;
        match (&record.transition, graph, &mut machine) {
            (Transition::RunOpened { graph: digest, .. }, Some(graph), _) => {
                if *digest != sha256(graph) {
                    return Err(illegal(
                        "the graph document is not the one the run was opened with".to_owned(),
                    ));
                }
                machine = Some(RunMachine::open(
                    GraphDoc::decode(graph).map_err(|e| illegal(e.to_string()))?,
                ));
            }
            (transition, Some(_), Some(machine)) => {
                machine
                    .apply(transition)
                    .map_err(|why| illegal(why.to_string()))?;
            }
            _ => {}
        }
    }
    Ok(())
}
