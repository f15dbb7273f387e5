//! One run of the queue.

use std::collections::BTreeMap;

use dcanary_types::{Hash, environment::EnvTransition, record::Transition};

use super::Outcome;
use crate::{
    ledger::Position,
    record::{Answer, Record, RunKey, Segment},
};

/// Receipts kept for each run, so that a repeated submission is answered without asking the chain again.
const KEPT_RECEIPTS: usize = 160;

/// How far a run is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// The chain's position is not known.
    #[default]
    Unread,
    /// `next` is the number that goes next.
    Ready { next: u64 },
    /// The record at `n` cannot be recorded as it is. Content with another fingerprint at `n`, or a graph, goes on.
    Halted { n: u64, offered: Option<Hash> },
}

/// Why a run is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aside {
    /// The journal does not take it now.
    Later,
    /// Numbers are missing that were asked for.
    Hole,
    /// The graph is missing and was asked for.
    Graph,
}

/// What can be done with a run next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Nothing: no records, or none that the chain would take.
    Nothing,
    /// It is left alone for a while.
    Aside,
    /// Read its position.
    Unread,
    /// Send.
    Ready,
}

/// Block of a recorded number, and the fingerprint of what was recorded.
type Receipt = (u64, Hash);

#[derive(Debug, Default)]
pub(super) struct Run {
    pub(super) state: State,
    pub(super) records: BTreeMap<u64, Record>,
    pub(super) aside: Option<Aside>,
    receipts: BTreeMap<u64, Receipt>,
    graph: Option<Vec<u8>>,
    /// The journal asked for the graph with a record other than 0.
    send_graph: bool,
    /// The journal's word on a record that is not at the front yet: those before it go first.
    bad: Option<(u64, Answer)>,
    /// Number of the record that ended the run, once it is recorded.
    end: Option<u64>,
}

impl Run {
    /// Takes over records; answers the receipts of those that are known to be recorded.
    pub(super) fn submit(&mut self, records: Vec<Record>, graph: Option<Vec<u8>>) -> Vec<(u64, u64)> {
        if graph.is_some() {
            if self.graph.is_none() && matches!(self.state, State::Halted { offered: None, .. }) {
                self.state = State::Unread;
                self.aside = None;
            }
            self.graph = graph;
        }
        let mut known = Vec::new();
        for record in records {
            let n = record.n;
            match self.receipts.get(&n) {
                Some((block, same)) if *same == record.fingerprint() => {
                    known.push((n, *block));
                    continue;
                }
                Some(_) => {
                    // Other content for a recorded number: the journal shall say so itself.
                    self.state = State::Unread;
                    self.receipts.remove(&n);
                }
                None => {}
            }
            if matches!(self.state, State::Ready { next } if n < next) {
                self.state = State::Unread;
            }
            if let State::Halted {
                n: at,
                offered: Some(old),
            } = &self.state
                && *at == n
                && *old != record.fingerprint()
            {
                self.state = State::Ready { next: n };
            }
            if let Some((at, _)) = &self.bad
                && *at == n
                && self.records.get(&n) != Some(&record)
            {
                self.bad = None;
            }
            self.records.insert(n, record);
        }
        known
    }

    pub(super) fn distrust(&mut self) {
        self.receipts.clear();
        self.end = None;
        if matches!(self.state, State::Ready { .. }) {
            self.state = State::Unread;
        }
    }

    /// Takes over where the chain stands; whether it holds more than the outbox.
    pub(super) fn place(&mut self, position: &Position) -> bool {
        let (Some(first), Some(last)) = (self.records.first_key_value(), self.records.last_key_value())
        else {
            return false;
        };
        self.state = State::Ready {
            next: position.next.min(*first.0),
        };
        position.next > last.0 + 1
    }

    pub(super) fn stand(&self) -> Stand {
        if self.records.is_empty() {
            return Stand::Nothing;
        }
        match (&self.state, self.aside) {
            (State::Halted { offered: Some(_), .. }, _) => Stand::Nothing,
            (_, Some(_)) | (State::Halted { .. }, None) => Stand::Aside,
            (State::Unread, None) => Stand::Unread,
            (State::Ready { .. }, None) => Stand::Ready,
        }
    }

    /// Numbers that have to go first and are not here.
    pub(super) fn hole(&self) -> Option<(u64, u64)> {
        let State::Ready { next } = self.state else {
            return None;
        };
        let first = *self.records.range(next..).next()?.0;
        (first > next).then(|| (next, first - 1))
    }

    /// Whether nothing more can be recorded of it unless something is submitted.
    pub(super) fn is_stuck(&self) -> bool {
        self.stand() == Stand::Nothing || matches!(self.aside, Some(Aside::Hole | Aside::Graph))
    }

    pub(super) fn segment(&self, key: &RunKey, records: usize, bytes: usize) -> Option<Segment> {
        let State::Ready { next } = self.state else {
            return None;
        };
        let end = self.bad.as_ref().map_or(u64::MAX, |(n, _)| *n);
        // one that came to the front by itself is offered alone, and then halts the run
        let end = if end == next { next + 1 } else { end };
        let graph = self.graph.as_ref().filter(|_| next == 0 || self.send_graph);
        let mut room = bytes.checked_sub(overhead(key) + graph.map_or(0, Vec::len))?;
        let mut taken = Vec::new();
        for ((_, record), n) in self.records.range(next..).zip(next..end) {
            if record.n != n || taken.len() == records || record.weight() > room {
                break;
            }
            room -= record.weight();
            taken.push(record.clone());
        }
        (!taken.is_empty()).then(|| Segment {
            key: key.clone(),
            graph: graph.cloned(),
            records: taken,
        })
    }

    pub(super) fn settle(&mut self, segment: &Segment, answer: Answer) -> Vec<Outcome> {
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
                self.aside = Some(Aside::Graph);
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
            self.receipts.insert(record.n, (*block, record.fingerprint()));
            if [Transition::RUN_FINISHED, EnvTransition::CLOSED].contains(&record.btype.as_str()) {
                self.end = Some(record.n);
            }
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
        let offered = self.records.get(&n);
        let hash = offered.and_then(Record::content_hash);
        self.state = State::Halted {
            n,
            offered: Some(offered.map(Record::fingerprint).unwrap_or_default()),
        };
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
    pub(super) fn is_over(&self) -> bool {
        let last = self.receipts.last_key_value().map(|(n, _)| *n);
        self.records.is_empty() && last.is_some() && last == self.end
    }
}

pub(super) fn overhead(key: &RunKey) -> usize {
    key.project.len() + key.domain.len() + key.run.len() + 64
}

/// One outcome for each unbroken stretch of numbers.
pub(super) fn recorded(key: &RunKey, done: Vec<(u64, u64)>) -> Vec<Outcome> {
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
