//! A ledger in memory, for the tests of those who use the trait: idempotent, numbered, without certificates.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use dcanary_types::{Hash, environment::EnvTransition, value};

use crate::{
    error::LedgerError,
    ledger::{Appended, Head, Ledger, Position},
    record::{Answer, Record, RunKey, Segment},
};

/// What the ledger does with the next calls.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Weather {
    /// Everything works.
    #[default]
    Fair,
    /// Nothing is reached.
    Away,
    /// An append is recorded, but its answer gets lost.
    AnswerLost,
    /// No record is taken: reason and sentence of the answer.
    Later(&'static str, String),
}

/// What the ledger does with one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Its records are not taken now: reason and sentence of the answer.
    Later(&'static str, String),
    /// Its position is answered without proof.
    PositionUnproven,
    /// The question for its position gets no answer.
    PositionLost,
}

#[derive(Debug, Default)]
struct Inner {
    blocks: Vec<(RunKey, Record)>,
    runs: BTreeMap<RunKey, Vec<u64>>,
    graphs: BTreeMap<RunKey, Vec<u8>>,
    refused: BTreeMap<(RunKey, u64), String>,
    weather: Weather,
    faults: BTreeMap<RunKey, Fault>,
    appends: Vec<usize>,
    offers: BTreeMap<RunKey, usize>,
    reads: BTreeMap<RunKey, usize>,
    keeps: usize,
    hangs: bool,
}

/// The ledger in memory. Records are any bytes: only numbers and equality count, and what a test told it to refuse.
#[derive(Debug, Default)]
pub struct MemoryLedger(Mutex<Inner>);

impl MemoryLedger {
    /// An empty ledger in fair weather.
    pub fn new() -> Self {
        Self::default()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what happens to the next calls.
    pub fn set_weather(&self, weather: Weather) {
        self.inner().weather = weather;
    }

    /// Refuses the record at `n` of a run until other content than the present one is offered.
    pub fn refuse(&self, key: &RunKey, n: u64, reason: &str) {
        self.inner().refused.insert((key.clone(), n), reason.to_owned());
    }

    /// The records of a run, in order of their numbers.
    pub fn records(&self, key: &RunKey) -> Vec<Record> {
        let inner = self.inner();
        let indexes = inner.runs.get(key).cloned().unwrap_or_default();
        indexes
            .iter()
            .filter_map(|i| block(&inner, *i).map(|(_, record)| record.clone()))
            .collect()
    }

    /// Records in each append that arrived.
    pub fn appends(&self) -> Vec<usize> {
        self.inner().appends.clone()
    }

    /// Changes what happens to one run.
    pub fn set_fault(&self, key: &RunKey, fault: Option<Fault>) {
        let mut inner = self.inner();
        match fault {
            Some(fault) => inner.faults.insert(key.clone(), fault),
            None => inner.faults.remove(key),
        };
    }

    /// How often records of a run were offered.
    pub fn offers(&self, key: &RunKey) -> usize {
        self.inner().offers.get(key).copied().unwrap_or(0)
    }

    /// How often it was told to write down what a restart has to remember.
    pub fn keeps(&self) -> usize {
        self.inner().keeps
    }

    /// Never ends to write down what a restart has to remember.
    pub fn hang_at_the_end(&self) {
        self.inner().hangs = true;
    }

    /// How often the position of a run was asked for.
    pub fn reads(&self, key: &RunKey) -> usize {
        self.inner().reads.get(key).copied().unwrap_or(0)
    }

    /// Drops all but the first `size` blocks: an older data folder was restored.
    pub fn restore(&self, size: usize) {
        let mut inner = self.inner();
        inner.blocks.truncate(size);
        for indexes in inner.runs.values_mut() {
            indexes.retain(|index| usize::try_from(*index).is_ok_and(|index| index < size));
        }
    }
}

fn block(inner: &Inner, index: u64) -> Option<&(RunKey, Record)> {
    inner.blocks.get(usize::try_from(index).ok()?)
}

impl Inner {
    fn reach(&self) -> Result<(), LedgerError> {
        match self.weather {
            Weather::Away => Err(LedgerError::Unreachable {
                reason: "the test said so".to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn head(&self) -> Head {
        let size = self.blocks.len() as u64;
        let root = value::sha256(&size.to_be_bytes());
        Head {
            size,
            root,
            last_hash: root,
            policy_hash: [0; 32],
            time: 0,
            certificate: Vec::new(),
            hash_tree: Vec::new(),
        }
    }

    fn append(&mut self, segment: &Segment) -> Answer {
        *self.offers.entry(segment.key.clone()).or_default() += 1;
        if let Some(Fault::Later(reason, message)) = self.faults.get(&segment.key) {
            return Answer::Later {
                reason,
                message: message.clone(),
            };
        }
        if let Weather::Later(reason, message) = &self.weather {
            return Answer::Later {
                reason,
                message: message.clone(),
            };
        }
        let have = self.runs.get(&segment.key).cloned().unwrap_or_default();
        let next = have.len() as u64;
        let Some(first) = segment.records.first() else {
            return Answer::Recorded(Vec::new());
        };
        if first.n > next {
            return Answer::Gap { expected: next };
        }
        let mut blocks = Vec::new();
        let mut fresh = Vec::new();
        for record in &segment.records {
            match usize::try_from(record.n).ok().and_then(|n| have.get(n)) {
                Some(index) if block(self, *index).is_some_and(|(_, old)| old == record) => {
                    blocks.push(*index);
                }
                Some(index) => {
                    return Answer::Conflict {
                        n: record.n,
                        have: *index,
                    };
                }
                None => {
                    if let Some(reason) = self.refused.remove(&(segment.key.clone(), record.n)) {
                        // The same content would be refused again.
                        if !record.btype.ends_with("record_refused") {
                            self.refused
                                .insert((segment.key.clone(), record.n), reason.clone());
                            return Answer::Refused { n: record.n, reason };
                        }
                    }
                    blocks.push((self.blocks.len() + fresh.len()) as u64);
                    fresh.push(record.clone());
                }
            }
        }
        let needs_graph = first.n == 0 && first.btype != EnvTransition::OPENED;
        if needs_graph && segment.graph.is_none() && !self.graphs.contains_key(&segment.key) {
            return Answer::GraphMissing;
        }
        if let Some(graph) = &segment.graph {
            self.graphs.insert(segment.key.clone(), graph.clone());
        }
        for record in fresh {
            self.runs
                .entry(segment.key.clone())
                .or_default()
                .push(self.blocks.len() as u64);
            self.blocks.push((segment.key.clone(), record));
        }
        Answer::Recorded(blocks)
    }
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn ready(&self) -> Result<(), LedgerError> {
        self.inner().reach()
    }

    async fn append(&self, batch: &[Segment]) -> Result<Appended, LedgerError> {
        let mut inner = self.inner();
        inner.reach()?;
        inner
            .appends
            .push(batch.iter().map(|segment| segment.records.len()).sum());
        let answers = batch.iter().map(|segment| inner.append(segment)).collect();
        if inner.weather == Weather::AnswerLost {
            return Err(LedgerError::Unreachable {
                reason: "the answer was lost".to_owned(),
            });
        }
        Ok(Appended {
            answers,
            head: inner.head(),
        })
    }

    async fn position(&self, key: &RunKey) -> Result<Position, LedgerError> {
        let mut inner = self.inner();
        inner.reach()?;
        *inner.reads.entry(key.clone()).or_default() += 1;
        match inner.faults.get(key) {
            Some(Fault::PositionUnproven) => {
                return Err(LedgerError::unproven("the position", "the test said so"));
            }
            Some(Fault::PositionLost) => {
                return Err(LedgerError::Unreachable {
                    reason: "the test said so".to_owned(),
                });
            }
            _ => {}
        }
        let Some(indexes) = inner.runs.get(key).filter(|indexes| !indexes.is_empty()) else {
            return Ok(Position::default());
        };
        let last = indexes.last().and_then(|index| {
            block(&inner, *index).map(|(_, record)| (*index, record.content_hash().unwrap_or_default()))
        });
        Ok(Position {
            next: indexes.len() as u64,
            last,
        })
    }

    async fn head(&self) -> Result<Head, LedgerError> {
        let inner = self.inner();
        inner.reach()?;
        Ok(inner.head())
    }

    async fn blocks(&self, start: u64, length: u64) -> Result<Vec<Vec<u8>>, LedgerError> {
        let inner = self.inner();
        inner.reach()?;
        let end = start.saturating_add(length).min(inner.blocks.len() as u64);
        Ok((start..end)
            .filter_map(|i| block(&inner, i).map(|(_, record)| record.body.clone()))
            .collect())
    }

    async fn inclusion(&self, _index: u64, _size: u64) -> Result<Vec<Hash>, LedgerError> {
        self.inner().reach().map(|()| Vec::new())
    }

    async fn consistency(&self, _from: u64, _to: u64) -> Result<Vec<Hash>, LedgerError> {
        self.inner().reach().map(|()| Vec::new())
    }

    async fn run_blocks(&self, key: &RunKey) -> Result<Vec<u64>, LedgerError> {
        let inner = self.inner();
        inner.reach()?;
        Ok(inner.runs.get(key).cloned().unwrap_or_default())
    }

    async fn run_graph(&self, key: &RunKey) -> Result<Option<Vec<u8>>, LedgerError> {
        let inner = self.inner();
        inner.reach()?;
        Ok(inner.graphs.get(key).cloned())
    }

    async fn policy(&self) -> Result<Vec<u8>, LedgerError> {
        self.inner().reach().map(|()| Vec::new())
    }

    async fn keep(&self) -> Result<(), LedgerError> {
        let hangs = {
            let mut inner = self.inner();
            inner.keeps += 1;
            inner.hangs
        };
        if hangs {
            std::future::pending::<()>().await;
        }
        Ok(())
    }
}
