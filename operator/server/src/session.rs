//! Trading a Pod-bound token for a session, once; showing the session; closing it.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use dcanary_protocol::report::ReportEntry;
use subtle::ConstantTimeEq;

use crate::attempts::record::{Pointer, Record, RunPlace, now_millis, pointer_path};
use crate::attempts::registry::Found;
use crate::attempts::{Attempt, State};
use crate::auth::{ClusterError, PodFacts, PodIdentity};
use crate::core::Core;
use crate::digest::Digest;
use crate::names::{AttemptId, Namespace};
use crate::store::fault::StoreFault;
use crate::store::op::Op;

/// Locks for first trades.
pub const TRADE_LOCKS: usize = 64;

/// Why there is no session.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The token belongs to no Pod.
    #[error("the token is not bound to a Pod")]
    NotAPod,
    /// The Pod is not the one of the token.
    #[error("the Pod of the token is gone")]
    PodGone,
    /// The key is no SHA-256.
    #[error("key must be 64 lower-case hex digits")]
    BadKey,
    /// Another key was traded before.
    #[error("the token of this Pod was traded before with another key; this is recorded")]
    SecondTrade,
    /// It has no run, or one that is not there or is over.
    #[error("the Pod belongs to no PipelineRun, or to one that is not there or is over")]
    NoRun,
    /// Closed by the operator.
    #[error("the session was closed by the operator")]
    Revoked,
    /// No such session.
    #[error("no session with this attempt and key")]
    Unknown,
    /// Another attempt than the session's.
    #[error("the session belongs to another attempt")]
    Other,
    /// Kubernetes.
    #[error("cannot ask the API server")]
    Cluster(#[source] ClusterError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreFault),
}

impl SessionError {
    /// HTTP status and reason.
    pub fn reason(&self) -> (u16, &'static str) {
        match self {
            Self::NotAPod | Self::PodGone => (403, "not-a-pod"),
            Self::NoRun => (403, "no-run"),
            Self::BadKey => (422, "bad-key"),
            Self::SecondTrade => (409, "second-trade"),
            Self::Revoked => (410, "session-revoked"),
            Self::Unknown => (401, "no-session"),
            Self::Other => (403, "forbidden"),
            Self::Cluster(_) => (503, "api-server"),
            Self::Store(fault) => fault.reason(),
        }
    }
}

fn lock_of(attempt: &AttemptId) -> usize {
    let mut hasher = DefaultHasher::new();
    attempt.hash(&mut hasher);
    usize::try_from(hasher.finish() % TRADE_LOCKS as u64).unwrap_or(0)
}

/// Trades the token of a Pod for a session with `key` (hex SHA-256 of the session key). Returns the attempt and its
/// highest synced frame.
///
/// # Errors
/// A second trade with another key is refused, and recorded before the answer.
pub async fn trade(core: &Core, pod: &PodIdentity, key: &str) -> Result<(AttemptId, u64), SessionError> {
    let key = Digest::from_hex(key).map_err(|_| SessionError::BadKey)?;
    let id: AttemptId = pod.uid.parse().map_err(|_| SessionError::NotAPod)?;
    let namespace: Namespace = pod.namespace.parse().map_err(|_| SessionError::NotAPod)?;
    let _one_at_a_time = core.trades[lock_of(&id)].lock().await;
    match core.attempts.find(&id).await.map_err(StoreFault::from)? {
        Found::Revoked => Err(SessionError::Revoked),
        Found::Attempt(attempt) => {
            let acked = repeat(core, &attempt, &key).await?;
            Ok((id, acked))
        }
        Found::Unknown => {
            let facts = core
                .cluster
                .pod(&pod.namespace, &pod.name)
                .await
                .map_err(SessionError::Cluster)?;
            let facts = facts
                .filter(|facts| facts.uid == pod.uid)
                .ok_or(SessionError::PodGone)?;
            // Nobody would ever revoke or sweep what a Pod of no run stores.
            let run = place(&facts).ok_or(SessionError::NoRun)?;
            goes_on(core, &namespace, &run).await?;
            let pointer = Pointer::At {
                namespace: namespace.clone(),
                run: Some(run.uid.clone()),
            };
            let record = first_record(&id, namespace, pod, run, key);
            let ops = vec![
                replace(pointer_path(&id), &pointer),
                replace(format!("{}/attempt.json", record.dir()), &record),
            ];
            core.store.commits.commit(ops).await.map_err(StoreFault::from)?;
            core.attempts.opened(record).await.map_err(StoreFault::from)?;
            Ok((id, 0))
        }
    }
}

/// Whoever may create Pods can write any label and owner: only a run that is there and not over takes attempts.
async fn goes_on(core: &Core, namespace: &Namespace, run: &RunPlace) -> Result<(), SessionError> {
    let found = core
        .cluster
        .run(namespace.as_str(), &run.name, run.uid.as_str())
        .await
        .map_err(SessionError::Cluster)?;
    match found {
        Some(facts) if !facts.finished => Ok(()),
        _ => Err(SessionError::NoRun),
    }
}

/// Labels count only together with a controller owner reference of the same UID.
fn place(facts: &PodFacts) -> Option<RunPlace> {
    let owner = facts.owner_run.as_ref()?;
    let uid = facts.run_uid.as_ref().filter(|uid| **uid == owner.uid)?;
    Some(RunPlace {
        name: owner.name.clone(),
        uid: uid.parse().ok()?,
        stage: facts.stage.clone()?,
        number: facts.attempt?,
    })
}

fn first_record(
    id: &AttemptId,
    namespace: Namespace,
    pod: &PodIdentity,
    run: RunPlace,
    key: Digest,
) -> Record {
    Record {
        attempt: id.clone(),
        namespace,
        pod: pod.name.clone(),
        run: Some(run),
        opened: now_millis(),
        key,
        revoked: false,
        second_trade: false,
        acked: 0,
        dropped_frames: 0,
        dropped_bytes: 0,
        steps: std::collections::BTreeMap::default(),
        results: std::collections::BTreeMap::default(),
        artifacts: std::collections::BTreeMap::default(),
        end: None,
    }
}

fn replace<T: serde::Serialize>(path: String, value: &T) -> Op {
    Op::Replace {
        path,
        bytes: serde_json::to_vec_pretty(value).unwrap_or_default(),
    }
}

/// The same key again is harmless; another one is an attack that everybody shall see.
async fn repeat(core: &Core, attempt: &Arc<Attempt>, key: &Digest) -> Result<u64, SessionError> {
    let mut state = attempt.state.lock().await;
    if state.record.revoked {
        return Err(SessionError::Revoked);
    }
    if bool::from(state.record.key.bytes().ct_eq(key.bytes())) {
        return Ok(state.acked());
    }
    if !state.record.second_trade {
        let mut next = state.clone();
        next.record.second_trade = true;
        let record = next.record.clone();
        let attempt_op = attempt.store(&record);
        let committed = if record.end.is_some() {
            core.reports
                .append(|cursor| (notice(cursor, &record), vec![attempt_op]))
                .1
        } else {
            core.store.commits.enqueue(vec![attempt_op], None)
        };
        committed.durable().await.map_err(StoreFault::from)?;
        *state = next;
        tracing::warn!(attempt = %attempt.id, namespace = %record.namespace, "second trade refused");
    }
    Err(SessionError::SecondTrade)
}

/// An entry of the operator's list for an attempt.
pub fn entry(cursor: u64, record: &Record) -> ReportEntry {
    let run = record.run.as_ref();
    ReportEntry {
        cursor,
        attempt: record.attempt.to_string(),
        namespace: record.namespace.to_string(),
        pod: record.pod.clone(),
        run: run.map(|run| run.name.clone()).unwrap_or_default(),
        run_uid: run.map(|run| run.uid.to_string()).unwrap_or_default(),
        report: None,
        second_trade: record.second_trade,
    }
}

fn notice(cursor: u64, record: &Record) -> ReportEntry {
    ReportEntry {
        second_trade: true,
        ..entry(cursor, record)
    }
}

/// Finds the attempt of a session, from `<attempt>:<hex key>`.
///
/// # Errors
/// When there is no such session, or it was closed.
pub async fn open(core: &Core, shown: &str, attempt: &AttemptId) -> Result<Arc<Attempt>, SessionError> {
    let (id, key) = shown.split_once(':').ok_or(SessionError::Unknown)?;
    let id: AttemptId = id.parse().map_err(|_| SessionError::Unknown)?;
    let key = hex::decode(key).map_err(|_| SessionError::Unknown)?;
    let found = match core.attempts.find(&id).await.map_err(StoreFault::from)? {
        Found::Attempt(found) => found,
        Found::Revoked => return Err(SessionError::Revoked),
        Found::Unknown => return Err(SessionError::Unknown),
    };
    {
        let state = found.state.lock().await;
        let State { record, .. } = &*state;
        if !bool::from(record.key.bytes().ct_eq(Digest::of(&key).bytes())) {
            return Err(SessionError::Unknown);
        }
        if record.revoked {
            return Err(SessionError::Revoked);
        }
    }
    if id == *attempt {
        Ok(found)
    } else {
        Err(SessionError::Other)
    }
}

/// Drops the uploads of an attempt that is over. What cannot be dropped now goes with a sweep.
pub async fn discard(core: &Core, attempt: &Attempt) {
    if let Err(error) = core.store.blobs.upload_discard(attempt.id.as_str()).await {
        tracing::warn!(error = &error as &dyn std::error::Error, attempt = %attempt.id, "uploads not removed yet");
    }
}

/// Closes a session for ever, also one that was not opened yet.
///
/// # Errors
/// When it could not be made durable.
pub async fn revoke(core: &Core, id: &AttemptId) -> Result<(), SessionError> {
    let _one_at_a_time = core.trades[lock_of(id)].lock().await;
    match core.attempts.find(id).await.map_err(StoreFault::from)? {
        Found::Revoked => Ok(()),
        Found::Unknown => {
            let ops = vec![replace(pointer_path(id), &Pointer::Revoked)];
            Ok(core.store.commits.commit(ops).await.map_err(StoreFault::from)?)
        }
        Found::Attempt(attempt) => {
            let mut state = attempt.state.lock().await;
            if !state.record.revoked {
                let mut next = state.clone();
                next.record.revoked = true;
                let ops = vec![attempt.store(&next.record)];
                core.store.commits.commit(ops).await.map_err(StoreFault::from)?;
                *state = next;
                attempt.show(&state);
                drop(state);
                discard(core, &attempt).await;
            }
            Ok(())
        }
    }
}
