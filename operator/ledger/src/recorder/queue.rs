//! What is still to be recorded, run by run: pure, so that its laws can be tested without a chain.
//!
//! ```text
//! submit ─▶ Unread ──position──▶ Ready(next) ──batch──▶ in flight ──settle──▶ Ready(next + k)
//!                                    ▲                      │ refused, conflict
//!                                    └──other content at n──┴─▶ Halted(n)
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{Outbox, Outcome};
use crate::{
    ledger::Position,
    record::{Answer, Record, RunKey, Segment},
};

/// Receipts kept for each run, so that a repeated submission is answered without asking the chain again.
const KEPT_RECEIPTS: usize = 160;

/// Ceilings of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// The chain's position is not known.
    Unread,
    /// `next` is the number that goes next.
    Ready { next: u64 },
    /// The record at `n` cannot be recorded as it is. Other content at `n`, or a graph, goes on.
    Halted { n: u64, offered: Option<Record> },
}

#[derive(Debug)]
struct Run {
    state: State,
    records: BTreeMap<u64, Record>,
    receipts: BTreeMap<u64, (u64, Record)>,
    graph: Option<Arc<[u8]>>,
    /// The journal asked for the graph with a record other than 0.
    send_graph: bool,
    /// The journal's word on a record that is not at the front yet: those before it go first.
    bad: Option<(u64, Answer)>,
    missing_told: Option<u64>,
}

/// All runs with something to record.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    runs: BTreeMap<RunKey, Run>,
    /// The run after which the next batch starts, so that one busy run starves no other.
    last: Option<RunKey>,
}

impl Queue {
    /// Takes over the outbox of a run; what is known already is answered again, what is new is queued.
    pub(crate) fn submit(&mut self, outbox: Outbox) -> Vec<Outcome> {
        let Outbox { key, records, graph } = outbox;
        let run = self.runs.entry(key.clone()).or_insert_with(|| Run {
            state: State::Unread,
            records: BTreeMap::new(),
            receipts: BTreeMap::new(),
            graph: None,
            send_graph: false,
            bad: None,
            missing_told: None,
        });
        if let Some(graph) = graph {
            if run.graph.is_none() && matches!(run.state, State::Halted { offered: None, .. }) {
                run.state = State::Unread;
            }
            run.graph = Some(graph.into());
        }
        let mut known = Vec::new();
        for record in records {
            let n = record.n;
            match run.receipts.get(&n) {
                Some((block, same)) if *same == record => {
                    known.push((n, *block));
                    continue;
                }
                Some(_) => {
                    // Other content for a recorded number: the journal shall say so itself.
                    run.state = State::Unread;
                    run.receipts.remove(&n);
                }
                None => {}
            }
            if matches!(&run.state, State::Ready { next } if n < *next) {
                run.state = State::Unread;
            }
            if matches!(&run.state, State::Halted { n: at, offered: Some(old) } if *at == n && *old != record)
            {
                run.state = State::Ready { next: n };
            }
            if run
                .bad
                .as_ref()
                .is_some_and(|(at, _)| *at == n && run.records.get(&n) != Some(&record))
            {
                run.bad = None;
            }
            run.records.insert(n, record);
        }
        recorded(&key, known)
    }

    /// Forgets a run that is gone.
    pub(crate) fn forget(&mut self, key: &RunKey) {
        self.runs.remove(key);
    }

    /// Every position has to be read again, and receipts are forgotten: the chain may be another one.
    pub(crate) fn distrust(&mut self) {
        for run in self.runs.values_mut() {
            run.receipts.clear();
            if matches!(run.state, State::Ready { .. }) {
                run.state = State::Unread;
            }
        }
    }

    /// Runs whose position on the chain has to be read first.
    pub(crate) fn unread(&self) -> Vec<RunKey> {
        let waiting = |run: &Run| run.state == State::Unread && !run.records.is_empty();
        self.runs
            .iter()
            .filter(|(_, run)| waiting(run))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Runs that wait for the chain.
    pub(crate) fn waiting(&self) -> BTreeSet<RunKey> {
        let waiting = |run: &Run| !run.records.is_empty() && !matches!(run.state, State::Halted { .. });
        self.runs
            .iter()
            .filter(|(_, run)| waiting(run))
            .map(|(key, _)| key.clone())
            .collect()
    }

    /// Records that wait, over all runs.
    pub(crate) fn depth(&self) -> usize {
        self.runs.values().map(|run| run.records.len()).sum()
    }

    /// Takes over where the chain stands. Records that the chain has already are offered again: same content gives the
    /// first receipt, other content the conflict.
    pub(crate) fn place(&mut self, key: &RunKey, position: &Position) -> Vec<Outcome> {
        let Some(run) = self.runs.get_mut(key) else {
            return Vec::new();
        };
        let (Some(&first), Some(&last)) = (run.records.keys().next(), run.records.keys().next_back()) else {
            return Vec::new();
        };
        run.state = State::Ready {
            next: first.min(position.next),
        };
        let mut told = Vec::new();
        if position.next > last + 1 {
            told.push(Outcome::Ahead {
                key: key.clone(),
                next: position.next,
            });
        }
        if first > position.next && run.missing_told != Some(position.next) {
            run.missing_told = Some(position.next);
            told.push(Outcome::Missing {
                key: key.clone(),
                from: position.next,
                to: first - 1,
            });
        }
        told
    }

    /// The next batch: for each run in turn its consecutive records from `next` on, within the limits.
    pub(crate) fn batch(&mut self, limits: Limits) -> Vec<Segment> {
        let (mut records, mut bytes) = (limits.records, limits.bytes);
        let start = self.last.clone();
        let after = self
            .runs
            .keys()
            .filter(|key| start.as_ref().is_some_and(|last| *key > last));
        let before = self
            .runs
            .keys()
            .filter(|key| start.as_ref().is_none_or(|last| *key <= last));
        let order: Vec<RunKey> = after.chain(before).cloned().collect();
        let mut batch = Vec::new();
        for key in order {
            if records == 0 {
                break;
            }
            let Some(segment) = self
                .runs
                .get(&key)
                .and_then(|run| run.segment(&key, records, bytes))
            else {
                continue;
            };
            records -= segment.records.len();
            bytes = bytes.saturating_sub(weight(&segment));
            self.last = Some(key);
            batch.push(segment);
        }
        batch
    }

    /// Takes over what the journal said to a batch.
    pub(crate) fn settle(&mut self, batch: &[Segment], answers: Vec<Answer>) -> Vec<Outcome> {
        let mut told = Vec::new();
        for (segment, answer) in batch.iter().zip(answers) {
            if let Some(run) = self.runs.get_mut(&segment.key) {
                told.extend(run.settle(segment, answer));
            }
        }
        self.runs.retain(|_, run| !run.is_over());
        told
    }
}

impl Run {
    fn segment(&self, key: &RunKey, records: usize, bytes: usize) -> Option<Segment> {
        let State::Ready { next } = self.state else {
            return None;
        };
        let end = self.bad.as_ref().map_or(u64::MAX, |(n, _)| *n);
        let graph = self
            .graph
            .as_ref()
            .filter(|_| next == 0 || self.send_graph)
            .map(|graph| graph.to_vec());
        let mut room = bytes.checked_sub(overhead(key) + graph.as_ref().map_or(0, Vec::len))?;
        let mut taken = Vec::new();
        for (record, n) in self
            .records
            .range(next..)
            .map(|(_, record)| record)
            .zip(next..end)
        {
            if record.n != n || taken.len() == records || record.weight() > room {
                break;
            }
            room -= record.weight();
            taken.push(record.clone());
        }
        (!taken.is_empty()).then(|| Segment {
            key: key.clone(),
            graph,
            records: taken,
        })
    }

    fn settle(&mut self, segment: &Segment, answer: Answer) -> Vec<Outcome> {
        let key = &segment.key;
        let Some(first) = segment.records.first().map(|record| record.n) else {
            return Vec::new();
        };
        match answer {
            Answer::Recorded(blocks) => self.keep(segment, first, &blocks),
            Answer::Refused { n, .. } | Answer::Conflict { n, .. } if n > first => {
                // The whole segment was refused for a later record: those before it go alone.
                self.bad = Some((n, answer));
                Vec::new()
            }
            Answer::Refused { .. } | Answer::Conflict { .. } => self.halt(key, first, answer),
            Answer::GraphMissing if self.graph.is_some() && segment.graph.is_none() => {
                self.send_graph = true;
                Vec::new()
            }
            Answer::GraphMissing => {
                self.state = State::Halted {
                    n: first,
                    offered: None,
                };
                self.graph = None;
                vec![Outcome::GraphMissing { key: key.clone() }]
            }
            Answer::Gap { .. } => {
                self.state = State::Unread;
                Vec::new()
            }
            Answer::Later { .. } => Vec::new(),
        }
    }

    fn keep(&mut self, segment: &Segment, first: u64, blocks: &[u64]) -> Vec<Outcome> {
        let mut done = Vec::new();
        for (record, block) in segment.records.iter().zip(blocks) {
            // A record that was replaced while it was under way is recorded as it was sent.
            self.records.remove(&record.n);
            self.receipts.insert(record.n, (*block, record.clone()));
            done.push((record.n, *block));
        }
        while self.receipts.len() > KEPT_RECEIPTS {
            self.receipts.pop_first();
        }
        let mut next = first + done.len() as u64;
        // What was recorded before is not offered again.
        while self.receipts.contains_key(&next) && !self.records.contains_key(&next) {
            next += 1;
        }
        // A submission during the flight may have asked to read the position again.
        if matches!(self.state, State::Ready { .. }) {
            self.state = State::Ready { next };
        }
        let mut told = recorded(&segment.key, done);
        if self.bad.as_ref().is_some_and(|(n, _)| *n == next)
            && let Some((n, answer)) = self.bad.take()
        {
            told.extend(self.halt(&segment.key, n, answer));
        }
        told
    }

    fn halt(&mut self, key: &RunKey, n: u64, answer: Answer) -> Vec<Outcome> {
        let offered = self.records.get(&n).cloned();
        let hash = offered.as_ref().and_then(Record::content_hash);
        self.state = State::Halted { n, offered };
        match answer {
            Answer::Conflict { have, .. } => vec![Outcome::Conflict {
                key: key.clone(),
                n,
                have,
            }],
            Answer::Refused { reason, .. } => vec![Outcome::Refused {
                key: key.clone(),
                n,
                hash,
                reason,
            }],
            _ => Vec::new(),
        }
    }

    /// Nothing follows the end of a run; a repeated submission starts from the chain's position again.
    fn is_over(&self) -> bool {
        self.records.is_empty()
            && self
                .receipts
                .values()
                .next_back()
                .is_some_and(|(_, last)| last.btype == "dcanary_run_finished")
    }
}

fn overhead(key: &RunKey) -> usize {
    key.project.len() + key.domain.len() + key.run.len() + 64
}

fn weight(segment: &Segment) -> usize {
    overhead(&segment.key)
        + segment.graph.as_ref().map_or(0, Vec::len)
        + segment.records.iter().map(Record::weight).sum::<usize>()
}

/// One outcome for each unbroken stretch of numbers.
fn recorded(key: &RunKey, done: Vec<(u64, u64)>) -> Vec<Outcome> {
    let mut told: Vec<Outcome> = Vec::new();
    for (n, block) in done {
        match told.last_mut() {
            Some(Outcome::Recorded { first, blocks, .. }) if *first + blocks.len() as u64 == n => {
                blocks.push(block);
            }
            _ => told.push(Outcome::Recorded {
                key: key.clone(),
                first: n,
                blocks: vec![block],
            }),
        }
    }
    told
}
