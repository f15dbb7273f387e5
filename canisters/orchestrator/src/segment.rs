//! One segment: consecutive records of one run or environment, applied whole or refused with nothing of them written.

use dcanary_types::{
    Hash,
    api::{self, AppendError, Receipt, SegmentResult},
    limits::MAX_GRAPH_BYTES,
    names,
    policy::RoleKind,
    record::{Entry, LedgerEvent, Record},
};
use ic_stable_structures::Memory;

use crate::{
    Message,
    entry::RunEntry,
    journal::{Draft, Ledger},
    store::{RunKey, StoreError},
    subject::Subject,
};

/// What the frame of a block takes besides its body, at most; for asking whether the journal has room.
const FRAME_BYTES: u64 = 512;

/// A segment that is well formed and whose caller may write it.
pub(crate) struct Offer {
    pub(crate) project: String,
    pub(crate) domain: String,
    pub(crate) run: String,
    pub(crate) graph: Option<Vec<u8>>,
    key: RunKey,
    records: Vec<Record<Entry>>,
}

/// Why a segment goes no further: an answer for the caller, or a broken store.
pub(crate) enum Stop {
    Refused(AppendError),
    Broken(StoreError),
}

impl From<AppendError> for Stop {
    fn from(refused: AppendError) -> Self {
        Self::Refused(refused)
    }
}

impl From<StoreError> for Stop {
    fn from(broken: StoreError) -> Self {
        Self::Broken(broken)
    }
}

impl<M: Memory + Clone> Ledger<M> {
    pub(crate) fn apply(
        &mut self,
        message: &Message,
        segment: api::Segment,
    ) -> Result<SegmentResult, StoreError> {
        match self.try_apply(message, segment) {
            Ok(receipt) => Ok(Ok(receipt)),
            Err(Stop::Refused(refused)) => Ok(Err(refused)),
            Err(Stop::Broken(broken)) => Err(broken),
        }
    }

    fn try_apply(&mut self, message: &Message, segment: api::Segment) -> Result<Receipt, Stop> {
        let offer = self.read(message, segment)?;
        let entry = self.store.run(&offer.key)?;
        let next = entry.as_ref().map_or(0, |entry| entry.next);
        let first = offer.records[0].n;
        if first > next {
            return Err(AppendError::Gap { expected: next }.into());
        }
        // The part that is recorded already: `next - first` records, or all of them.
        let known = usize::try_from(next - first)
            .unwrap_or(usize::MAX)
            .min(offer.records.len());
        let mut blocks = Vec::with_capacity(offer.records.len());
        if let Some(entry) = &entry {
            for record in &offer.records[..known] {
                blocks.push(self.repeat(message, &offer, entry, record)?);
            }
        }
        if known < offer.records.len() {
            let subject = self.follow(&offer, entry.as_ref(), known)?;
            self.write(message, &offer, entry, known, &subject, &mut blocks)?;
        }
        Ok(Receipt { blocks })
    }

    /// Checks everything about a segment that does not depend on what is recorded.
    fn read(&self, message: &Message, segment: api::Segment) -> Result<Offer, Stop> {
        let api::Segment {
            project,
            run,
            graph,
            records,
        } = segment;
        let malformed = |n: u64, reason: String| AppendError::Malformed { n, reason };
        let Some(domain) = self.store.role(&message.caller, RoleKind::Operator, &project)? else {
            return Err(AppendError::NotAuthorised.into());
        };
        let first = records.first().map_or(0, |record| record.n);
        if records.is_empty() {
            return Err(malformed(first, "the segment has no records".to_owned()).into());
        }
        if !names::is_run(&run) {
            return Err(malformed(
                first,
                "`run` must be 1 to 64 ASCII letters, digits and `-`".to_owned(),
            )
            .into());
        }
        if graph.as_ref().is_some_and(|graph| graph.len() > MAX_GRAPH_BYTES) {
            return Err(malformed(
                first,
                format!("the graph document is over {MAX_GRAPH_BYTES} bytes"),
            )
            .into());
        }
        let records = records
            .into_iter()
            .zip(first..)
            .map(|(offered, due)| {
                let n = offered.n;
                let record = Record::decode(&offered.btype, offered.claimed_ts, &offered.body)
                    .map_err(|why| malformed(n, why.to_string()))?;
                if n != due {
                    return Err(malformed(
                        n,
                        format!("the segment's records are not consecutive: {due} is due"),
                    ));
                }
                if record.n != n || record.run != run {
                    return Err(malformed(
                        n,
                        "`run` and `n` of the body are not those of the segment".to_owned(),
                    ));
                }
                Ok(record)
            })
            .collect::<Result<Vec<Record<Entry>>, AppendError>>()?;
        let key = RunKey::new(&project, &domain, &run);
        Ok(Offer {
            project,
            domain,
            run,
            key,
            graph: graph.map(serde_bytes::ByteBuf::into_vec),
            records,
        })
    }

    /// The receipt of a record whose number is taken, if it is the same record.
    fn repeat(
        &mut self,
        message: &Message,
        offer: &Offer,
        entry: &RunEntry,
        record: &Record<Entry>,
    ) -> Result<u64, Stop> {
        let have = self
            .store
            .receipt(entry.id, record.n)
            .ok_or(StoreError::Missing("receipt"))?;
        let offered = record.content_hash();
        if self.store.block(have)?.content_hash() == offered {
            return Ok(have);
        }
        self.note_conflict(message, offer, entry.id, record.n, have, offered)?;
        Err(AppendError::Conflict { n: record.n, have }.into())
    }

    /// One block for each different content that is offered for a taken number, however often it is offered.
    fn note_conflict(
        &mut self,
        message: &Message,
        offer: &Offer,
        id: u64,
        n: u64,
        have: u64,
        offered: Hash,
    ) -> Result<(), StoreError> {
        if self.store.conflict(id, n, &offered).is_some() || !self.has_reserve() {
            return Ok(());
        }
        let event = LedgerEvent::Conflict {
            run: offer.run.clone(),
            n,
            have,
            offered,
        };
        let index = self.emit_event(message, &offer.project, &offer.domain, &event)?;
        self.store.set_conflict(id, n, &offered, index);
        Ok(())
    }

    /// The state after all new records, if the state machine allows each of them.
    fn follow(&self, offer: &Offer, entry: Option<&RunEntry>, known: usize) -> Result<Subject, Stop> {
        let mut fresh = offer.records[known..].iter();
        let mut subject = match entry {
            Some(entry) => {
                let n = offer.records[known].n;
                if let Some(outcome) = &entry.outcome {
                    return Err(Subject::ended(n, outcome).into());
                }
                Subject::stored(&self.store, offer, entry.id)?
            }
            None => match fresh.next() {
                Some(first) => Subject::open(offer, first)?,
                None => return Err(StoreError::Missing("first record").into()),
            },
        };
        let others = self.others(offer);
        for record in fresh {
            subject.apply(record, &others)?;
        }
        Ok(subject)
    }

    /// Writes the new records. Everything that can be refused has been checked, or is checked before the first write.
    fn write(
        &mut self,
        message: &Message,
        offer: &Offer,
        entry: Option<RunEntry>,
        known: usize,
        subject: &Subject,
        blocks: &mut Vec<u64>,
    ) -> Result<(), Stop> {
        let fresh = &offer.records[known..];
        let bodies: u64 = fresh
            .iter()
            .map(|record| record.encode_body().len() as u64 + FRAME_BYTES)
            .sum();
        if !self.has_room(fresh.len() as u64, bodies) {
            return Err(AppendError::JournalFull.into());
        }
        let opens = entry.is_none();
        let mut usage = self.store.usage(&message.caller)?;
        let (limit, open) = match subject {
            Subject::Run(_) => (self.ceilings.open_runs, &mut usage.open_runs),
            Subject::Environment(_) => (self.ceilings.open_environments, &mut usage.open_environments),
        };
        if opens && *open >= limit {
            return Err(AppendError::RunLimit { limit }.into());
        }
        if opens {
            *open += 1;
        }
        let mut entry = entry.unwrap_or_else(|| {
            let id = self.header.runs;
            self.header.runs += 1;
            RunEntry {
                id,
                next: 0,
                outcome: None,
                opener: message.caller.clone(),
            }
        });
        for record in fresh {
            let index = self.emit(
                message,
                Draft {
                    btype: record.btype(),
                    claimed_ts: record.claimed_ts,
                    project: &offer.project,
                    domain: &offer.domain,
                    body: record.body(),
                },
            )?;
            self.store.set_receipt(entry.id, record.n, index);
            blocks.push(index);
        }
        entry.next += fresh.len() as u64;
        entry.outcome = subject.outcome().map(str::to_owned);
        if opens {
            self.store.set_usage(&message.caller, &usage);
        }
        if entry.outcome.is_some() {
            self.store.close_run(entry.id);
            let mut usage = self.store.usage(&entry.opener)?;
            let open = match subject {
                Subject::Run(_) => &mut usage.open_runs,
                Subject::Environment(_) => &mut usage.open_environments,
            };
            *open = open.saturating_sub(1);
            self.store.set_usage(&entry.opener, &usage);
        } else {
            if let (true, Subject::Run(_), Some(graph)) = (opens, subject, &offer.graph) {
                self.store.set_graph(entry.id, graph.clone());
            }
            self.store.set_machine(entry.id, &subject.to_value());
        }
        self.store.set_run(&offer.key, &entry);
        Ok(())
    }
}
