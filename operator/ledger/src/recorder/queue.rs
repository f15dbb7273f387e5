//! What is still to be recorded, run by run: pure, so that its laws can be tested without a chain.
//!
//! ```text
//! submit ─▶ Unread ──position──▶ Ready(next) ──batch──▶ in flight ──settle──▶ Ready(next + k)
//!             │                      ▲ │                    │ refused, conflict
//!             │                      │ └─ a number is missing: set aside, asked for
//!             └─ set aside by the caller until it wakes it ◀┘ or Halted(n) until other content comes
//! ```
//! Each run stands in the index of what can be done with it next, so that a step costs what it moves, not what waits.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::Bound,
};

use super::{
    Outbox, Outcome,
    run::{Aside, Run, Stand, overhead, recorded},
};
use crate::{
    ledger::Position,
    record::{Answer, RunKey, Segment},
};

/// Ceilings of one batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

/// All runs with something to record.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    runs: BTreeMap<RunKey, Run>,
    /// Runs whose position has to be read first.
    unread: BTreeSet<RunKey>,
    /// Runs with a record that can be sent.
    ready: BTreeSet<RunKey>,
    /// Runs that wait for the chain, those that are set aside among them.
    waiting: BTreeSet<RunKey>,
    /// Records that wait, over all runs.
    depth: usize,
    /// The run after which the next batch starts, so that one busy run starves no other.
    last: Option<RunKey>,
}

impl Queue {
    /// Takes over the outbox of a run; what is known already is answered again, what is new is queued.
    pub(crate) fn submit(&mut self, outbox: Outbox) -> Vec<Outcome> {
        let Outbox { key, records, graph } = outbox;
        let known = self.change(&key, true, |run| run.submit(records, graph));
        let mut told = recorded(&key, known.unwrap_or_default());
        told.extend(self.look_for_holes(&key));
        told
    }

    /// Forgets a run.
    pub(crate) fn forget(&mut self, key: &RunKey) {
        if let Some(run) = self.runs.remove(key) {
            self.depth -= run.records.len();
        }
        self.index(key);
    }

    /// Forgets runs that are gone, unless something of them can still be recorded. Answers which.
    pub(crate) fn retain(&mut self, live: &HashSet<String>) -> Vec<RunKey> {
        let over: Vec<RunKey> = self
            .runs
            .iter()
            .filter(|(key, run)| !live.contains(&key.run) && run.is_stuck())
            .map(|(key, _)| key.clone())
            .collect();
        for key in &over {
            self.forget(key);
        }
        over
    }

    /// Every position has to be read again, and receipts are forgotten: the chain may be another one.
    pub(crate) fn distrust(&mut self) {
        let keys: Vec<RunKey> = self.runs.keys().cloned().collect();
        for key in keys {
            self.change(&key, false, Run::distrust);
        }
    }

    /// Some runs whose position on the chain has to be read first.
    pub(crate) fn unread(&self, limit: usize) -> Vec<RunKey> {
        self.unread.iter().take(limit).cloned().collect()
    }

    /// Whether something can be done now.
    pub(crate) fn is_idle(&self) -> bool {
        self.unread.is_empty() && self.ready.is_empty()
    }

    /// Runs that wait for the chain.
    pub(crate) fn waiting(&self) -> &BTreeSet<RunKey> {
        &self.waiting
    }

    /// Records that wait, over all runs.
    pub(crate) fn depth(&self) -> usize {
        self.depth
    }

    /// Leaves a run alone until it is woken.
    pub(crate) fn set_aside(&mut self, key: &RunKey) {
        self.change(key, false, |run| {
            run.aside.get_or_insert(Aside::Later);
        });
    }

    /// Tries a run that was set aside again: it is sent again, or what it lacks is asked for again.
    pub(crate) fn wake(&mut self, key: &RunKey) -> Vec<Outcome> {
        let aside = self.change(key, false, |run| run.aside.take()).flatten();
        if aside == Some(Aside::Graph) {
            self.change(key, false, |run| run.aside = aside);
            return vec![Outcome::GraphMissing { key: key.clone() }];
        }
        self.look_for_holes(key).into_iter().collect()
    }

    /// Takes over where the chain stands. Records that the chain has already are offered again: same content gives the
    /// first receipt, other content the conflict.
    pub(crate) fn place(&mut self, key: &RunKey, position: &Position) -> Vec<Outcome> {
        let ahead = self
            .change(key, false, |run| run.place(position))
            .unwrap_or(false);
        let mut told = Vec::new();
        if ahead {
            told.push(Outcome::Ahead {
                key: key.clone(),
                next: position.next,
            });
        }
        told.extend(self.look_for_holes(key));
        told
    }

    /// The next batch: for each run in turn its consecutive records from `next` on, within the limits. The first run that finds no
    /// room ends it and begins the next one.
    pub(crate) fn batch(&mut self, limits: Limits) -> Vec<Segment> {
        let (mut records, mut bytes) = (limits.records, limits.bytes);
        let after = match &self.last {
            Some(last) => self
                .ready
                .range::<RunKey, _>((Bound::Excluded(last), Bound::Unbounded)),
            None => self.ready.range::<RunKey, _>(..),
        };
        let before = self
            .last
            .as_ref()
            .map(|last| self.ready.range::<RunKey, _>(..=last));
        let order = after.chain(before.into_iter().flatten());
        let mut batch: Vec<Segment> = Vec::new();
        for key in order {
            let segment = self
                .runs
                .get(key)
                .and_then(|run| run.segment(key, records, bytes));
            match segment {
                Some(segment) => {
                    records -= segment.records.len();
                    bytes = bytes.saturating_sub(weight(&segment));
                    batch.push(segment);
                }
                None if !batch.is_empty() => break,
                None => {}
            }
        }
        if let Some(segment) = batch.last() {
            self.last = Some(segment.key.clone());
        }
        batch
    }

    /// Takes over what the journal said to a batch.
    pub(crate) fn settle(&mut self, batch: &[Segment], answers: Vec<Answer>) -> Vec<Outcome> {
        let mut told = Vec::new();
        for (segment, answer) in batch.iter().zip(answers) {
            let key = &segment.key;
            let said = self.change(key, false, |run| run.settle(segment, answer));
            told.extend(said.into_iter().flatten());
            told.extend(self.look_for_holes(key));
            if self.runs.get(key).is_some_and(Run::is_over) {
                self.forget(key);
            }
        }
        told
    }

    /// A number between the chain and the outbox is missing: the run is set aside until it comes, or is asked for again.
    fn look_for_holes(&mut self, key: &RunKey) -> Option<Outcome> {
        let run = self.runs.get_mut(key)?;
        let hole = run.hole();
        let had = run.aside == Some(Aside::Hole);
        match hole {
            None if had => run.aside = None,
            Some(_) if run.aside.is_none() => run.aside = Some(Aside::Hole),
            _ => return None,
        }
        self.index(key);
        hole.map(|(from, to)| Outcome::Missing {
            key: key.clone(),
            from,
            to,
        })
    }

    /// Changes a run and puts it where it belongs.
    fn change<T>(&mut self, key: &RunKey, make: bool, change: impl FnOnce(&mut Run) -> T) -> Option<T> {
        if make && !self.runs.contains_key(key) {
            self.runs.insert(key.clone(), Run::default());
        }
        let run = self.runs.get_mut(key)?;
        self.depth -= run.records.len();
        let result = change(run);
        self.depth += run.records.len();
        self.index(key);
        Some(result)
    }

    fn index(&mut self, key: &RunKey) {
        let stand = self.runs.get(key).map_or(Stand::Nothing, Run::stand);
        let mut put = |set: fn(&mut Self) -> &mut BTreeSet<RunKey>, belongs: bool| {
            let set = set(self);
            match (belongs, set.contains(key)) {
                (true, false) => {
                    set.insert(key.clone());
                }
                (false, true) => {
                    set.remove(key);
                }
                _ => {}
            }
        };
        put(|queue| &mut queue.unread, stand == Stand::Unread);
        put(|queue| &mut queue.ready, stand == Stand::Ready);
        put(
            |queue| &mut queue.waiting,
            matches!(stand, Stand::Unread | Stand::Ready | Stand::Aside),
        );
    }
}

fn weight(segment: &Segment) -> usize {
    overhead(&segment.key)
        + segment.graph.as_ref().map_or(0, Vec::len)
        + segment.records.iter().map(crate::Record::weight).sum::<usize>()
}
