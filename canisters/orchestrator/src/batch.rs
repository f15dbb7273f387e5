//! A batch: the limits around it, then one segment after the other.

use dcanary_types::{
    api::{AppendError, Batch, BatchError, BatchResult, Segment},
    limits::{MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_BATCH_SEGMENTS},
};
use ic_stable_structures::Memory;

use crate::{Message, entry::Usage, journal::Ledger, store::StoreError};

const HOUR_NS: u64 = 3_600_000_000_000;
const SECOND_NS: u64 = 1_000_000_000;

impl<M: Memory + Clone> Ledger<M> {
    /// Takes a batch: each segment whole or not at all, whatever becomes of the others.
    ///
    /// # Errors
    /// Only [`StoreError`], which no argument can cause; the message must then be rolled back.
    pub fn append(&mut self, message: &Message, batch: Batch) -> Result<BatchResult, StoreError> {
        if !self.store.has_role(&message.caller) {
            return Ok(Err(BatchError::NotAuthorised));
        }
        if let Err(refused) = within_limits(&batch) {
            return Ok(Err(refused));
        }
        let mut usage = self.usage_now(message)?;
        if usage.messages >= self.ceilings.messages_an_hour {
            return Ok(Err(BatchError::RateLimited {
                retry_after_s: next_hour_s(message.now),
            }));
        }
        usage.messages += 1;
        let has_memory = self.store.reserve();
        let mut results = Vec::with_capacity(batch.segments.len());
        for segment in batch.segments {
            let bytes = usage.bytes.saturating_add(size(&segment));
            let result = if !has_memory {
                Err(AppendError::JournalFull)
            } else if bytes > self.ceilings.bytes_an_hour {
                Err(AppendError::RateLimited {
                    retry_after_s: next_hour_s(message.now),
                })
            } else {
                usage.bytes = bytes;
                self.apply(message, segment)?
            };
            results.push(result);
        }
        // Segments have opened and closed runs meanwhile, which the stored usage knows and this copy does not.
        let Usage {
            open_runs,
            open_environments,
            ..
        } = self.store.usage(&message.caller)?;
        let usage = Usage {
            open_runs,
            open_environments,
            ..usage
        };
        self.store.set_usage(&message.caller, &usage);
        self.save();
        Ok(Ok(results))
    }

    /// What the caller used in the present hour.
    fn usage_now(&self, message: &Message) -> Result<Usage, StoreError> {
        let usage = self.store.usage(&message.caller)?;
        let hour = message.now / HOUR_NS;
        Ok(if usage.hour == hour {
            usage
        } else {
            Usage {
                hour,
                messages: 0,
                bytes: 0,
                ..usage
            }
        })
    }
}

fn within_limits(batch: &Batch) -> Result<(), BatchError> {
    let records: usize = batch.segments.iter().map(|segment| segment.records.len()).sum();
    if records > MAX_BATCH_RECORDS || batch.segments.len() > MAX_BATCH_SEGMENTS {
        return Err(BatchError::TooManyRecords {
            limit: MAX_BATCH_RECORDS as u64,
        });
    }
    let bytes: u64 = batch.segments.iter().map(size).sum();
    if bytes > MAX_BATCH_BYTES as u64 {
        return Err(BatchError::TooManyBytes {
            limit: MAX_BATCH_BYTES as u64,
        });
    }
    Ok(())
}

/// The bytes of a segment that its sender chose; names and numbers included.
fn size(segment: &Segment) -> u64 {
    let records: usize = segment
        .records
        .iter()
        .map(|record| record.body.len() + record.btype.len() + 16)
        .sum();
    let graph = segment.graph.as_ref().map_or(0, |graph| graph.len());
    (records + graph + segment.project.len() + segment.run.len()) as u64
}

fn next_hour_s(now: u64) -> u64 {
    (HOUR_NS - now % HOUR_NS).div_ceil(SECOND_NS)
}
