//! The numbered stream of an attempt: which frames are new, and what they change.
//!
//! [`accept`] decides and is pure; [`take`] makes it durable.

use std::sync::Arc;

use dcanary_protocol::frame::{Frame, FramesRequest};
use dcanary_protocol::limits::{RESULT_INLINE_BYTES, RESULTS_INLINE_BYTES};

use crate::attempts::log::Line;
use crate::attempts::record::{Over, ResultRecord, StepRecord};
use crate::attempts::{Attempt, State};
use crate::core::Core;
use crate::digest::Digest;
use crate::grants::Grant;
use crate::limits::Limits;
use crate::names::ItemName;
use crate::store::fault::StoreFault;
use crate::store::op::Op;

/// Longest name or time of a frame, and kept length of a message, in bytes.
const SHORT: usize = 4 << 10;

/// Why frames were not taken.
#[derive(Debug, thiserror::Error)]
pub enum FramesError {
    /// Frames are missing before the first one.
    #[error("frame {first} does not follow frame {acked}; send from {} on", acked + 1)]
    Gap {
        /// First frame of the request.
        first: u64,
        /// Highest synced frame.
        acked: u64,
    },
    /// Frame numbers begin at 1.
    #[error("frames are numbered from 1")]
    Zero,
    /// A frame that is not allowed.
    #[error("frame {n}: {what}")]
    Bad {
        /// Its number.
        n: u64,
        /// What is wrong.
        what: String,
    },
    /// A limit.
    #[error("frame {n}: {limit} is limited to {most} ({flag})")]
    Limit {
        /// Number of the frame.
        n: u64,
        /// What is limited.
        limit: &'static str,
        /// To how much.
        most: u64,
        /// By which flag.
        flag: &'static str,
    },
    /// The operator has closed the session.
    #[error("the session was closed by the operator")]
    Revoked,
    /// The final report was sent.
    #[error("the attempt has sent its final report")]
    Final,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl FramesError {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::Gap { .. } => (409, "gap"),
            Self::Zero | Self::Bad { .. } => (422, "bad-frame"),
            Self::Limit { .. } => (413, "too-large"),
            Self::Revoked => (410, "session-revoked"),
            Self::Final => (409, "final"),
            Self::Store(fault) => fault.reason(),
        }
    }
}

/// What new frames change.
#[derive(Debug)]
pub struct Accepted {
    /// The state afterwards.
    pub state: State,
    /// Changes of the log's files.
    pub ops: Vec<Op>,
    /// The record changes as well.
    pub record_changed: bool,
    /// Values to store as content.
    pub values: Vec<String>,
    /// Number of new frames.
    pub new: u64,
}

/// Decides what a request changes; `None` when it has nothing new.
///
/// # Errors
/// A gap, or a frame that is not allowed; nothing of the request counts then.
pub fn accept(
    state: &State,
    dir: &str,
    request: FramesRequest,
    limits: &Limits,
) -> Result<Option<Accepted>, FramesError> {
    if state.record.over() == Some(Over::Revoked) {
        return Err(FramesError::Revoked);
    }
    let acked = state.acked();
    if request.first == 0 {
        return Err(FramesError::Zero);
    }
    if request.first > acked + 1 {
        return Err(FramesError::Gap {
            first: request.first,
            acked,
        });
    }
    let known = acked + 1 - request.first;
    let last = request.first.saturating_add(request.frames.len() as u64) - 1;
    if last <= acked {
        return Ok(None);
    }
    if state.record.is_over() {
        return Err(FramesError::Final);
    }
    let mut next = Accepted {
        state: state.clone(),
        ops: Vec::new(),
        record_changed: false,
        values: Vec::new(),
        new: last - acked,
    };
    let mut lines = Vec::new();
    for (n, frame) in (request.first..)
        .zip(request.frames)
        .skip(usize::try_from(known).unwrap_or(usize::MAX))
    {
        check(n, &frame, limits)?;
        match frame {
            Frame::Log {
                step,
                stream,
                time,
                line,
                partial,
            } => {
                lines.push(Line {
                    n,
                    step,
                    stream,
                    time: time.into(),
                    line: line.into(),
                    partial,
                });
            }
            Frame::StepStarted { step, name, time } => {
                let started = StepRecord {
                    name,
                    started_at: Some(time),
                    ..StepRecord::default()
                };
                next.state.record.steps.insert(step, started);
                next.record_changed = true;
            }
            Frame::StepFinished {
                step,
                name,
                time,
                end,
            } => {
                let record = next.state.record.steps.entry(step).or_default();
                record.name = name;
                record.finished_at = Some(time);
                record.outcome = Some(end.outcome);
                record.exit_code = end.exit_code;
                record.message = end.message.map(shortened);
                next.record_changed = true;
            }
            Frame::Result { name, value } => {
                let Ok(name) = name.parse::<ItemName>() else {
                    continue;
                };
                add_result(&mut next, n, name, value, limits)?;
            }
        }
    }
    let (ops, dropped) = next.state.log.append(dir, &lines, limits.log_bytes);
    next.ops = ops;
    let record = &mut next.state.record;
    if dropped.frames > 0 {
        record.dropped_frames += dropped.frames;
        record.dropped_bytes += dropped.bytes;
        next.record_changed = true;
    }
    // A request without lines leaves its end only in the record.
    if next.record_changed || next.state.log.last < last {
        record.acked = last;
        next.record_changed = true;
    }
    Ok(Some(next))
}

/// A message of any length is kept as far as it is useful.
fn shortened(mut message: String) -> String {
    if message.len() > SHORT {
        let cut = (0..=SHORT)
            .rev()
            .find(|at| message.is_char_boundary(*at))
            .unwrap_or(0);
        message.truncate(cut);
    }
    message
}

fn add_result(
    next: &mut Accepted,
    n: u64,
    name: ItemName,
    value: String,
    limits: &Limits,
) -> Result<(), FramesError> {
    let results = &mut next.state.record.results;
    if results.len() >= limits.results && !results.contains_key(&name) {
        let most = limits.results as u64;
        return Err(FramesError::Limit {
            n,
            limit: "the number of results",
            most,
            flag: "--max-results",
        });
    }
    let (digest, size) = (Digest::of(value.as_bytes()), value.len() as u64);
    let others = results.iter().filter(|(other, _)| **other != name);
    let sum: u64 = others
        .filter(|(_, other)| other.value.is_some())
        .map(|(_, other)| other.size)
        .sum();
    let inline = if size <= RESULT_INLINE_BYTES && sum + size <= RESULTS_INLINE_BYTES {
        Some(value)
    } else {
        next.values.push(value);
        None
    };
    results.insert(
        name,
        ResultRecord {
            digest,
            size,
            value: inline,
        },
    );
    next.record_changed = true;
    Ok(())
}

fn check(n: u64, frame: &Frame, limits: &Limits) -> Result<(), FramesError> {
    let bad = |what: String| Err(FramesError::Bad { n, what });
    let short = |what: &str, text: &str| {
        if text.len() > SHORT {
            bad(format!("{what} is longer than {SHORT} bytes"))
        } else {
            Ok(())
        }
    };
    match frame {
        Frame::Log { step, time, .. } => {
            check_step(n, *step, limits)?;
            short("time", time)
        }
        Frame::StepStarted { step, name, time } => {
            check_step(n, *step, limits)?;
            short("name", name)?;
            short("time", time)
        }
        Frame::StepFinished { step, name, time, .. } => {
            check_step(n, *step, limits)?;
            short("name", name)?;
            short("time", time)
        }
        Frame::Result { name, value } => {
            if let Err(error) = name.parse::<ItemName>() {
                return bad(format!("name of a result: {error}"));
            }
            if value.len() as u64 > limits.result_bytes {
                let most = limits.result_bytes;
                return Err(FramesError::Limit {
                    n,
                    limit: "a result",
                    most,
                    flag: "--max-result-bytes",
                });
            }
            Ok(())
        }
    }
}

fn check_step(n: u64, step: u32, limits: &Limits) -> Result<(), FramesError> {
    if usize::try_from(step).is_ok_and(|step| step < limits.steps) {
        return Ok(());
    }
    let most = limits.steps as u64;
    Err(FramesError::Limit {
        n,
        limit: "the number of steps",
        most,
        flag: "--max-steps",
    })
}

/// Takes frames: afterwards everything up to the answered number is durable.
///
/// # Errors
/// Nothing of the request counts then.
pub async fn take(core: &Core, attempt: &Arc<Attempt>, request: FramesRequest) -> Result<u64, FramesError> {
    let mut state = attempt.state.lock().await;
    let Some(accepted) = accept(&state, &attempt.dir, request, &core.limits)? else {
        return Ok(state.acked());
    };
    if !core.store.space.has_room().await {
        return Err(StoreFault::Full.into());
    }
    let record = &accepted.state.record;
    if let (Some(run), Some(place)) = (&attempt.run, &record.run) {
        let bytes = record.result_bytes();
        let most = core.limits.run_result_bytes;
        if bytes > state.record.result_bytes()
            && run.result_bytes_with(&attempt.id, &place.stage, bytes) > most
        {
            let n = state.acked() + 1;
            let limit = "the sum of the results of a run";
            return Err(FramesError::Limit {
                n,
                limit,
                most,
                flag: "--max-run-result-bytes",
            });
        }
    }
    let mut pins = Vec::new();
    for value in accepted.values {
        pins.push(
            core.store
                .blobs
                .put(value.into())
                .await
                .map_err(StoreFault::from)?,
        );
    }
    let mut ops = accepted.ops;
    if accepted.record_changed {
        ops.push(attempt.store(record));
    }
    let wanted = pins.iter().map(|(digest, _)| {
        let grant = Grant {
            content: *digest,
            file_name: None,
            media_type: "text/plain; charset=utf-8".to_owned(),
        };
        (*digest, grant)
    });
    core.commit_granting(ops, &record.namespace, wanted.collect())
        .await?;
    if let (Some(run), Some(place)) = (&attempt.run, &record.run) {
        run.note_results(&attempt.id, &place.stage, record.result_bytes());
    }
    *state = accepted.state;
    attempt.show(&state);
    core.metrics.frames.inc_by(accepted.new);
    Ok(state.acked())
}
