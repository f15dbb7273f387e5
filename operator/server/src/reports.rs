//! The operator's list of final reports: cursors grow and are never used again, entries go when they are acknowledged.
//!
//! ```text
//! reports/<cursor>.json   one entry
//! reports/state           highest acknowledged cursor
//! ```

use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dcanary_protocol::report::{ReportEntry, Reports as Page};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::attempts::record::now_millis;
use crate::metrics::Metrics;
use crate::store::Store;
use crate::store::commit::Pending;
use crate::store::disk::Disk;
use crate::store::fault::StoreFault;
use crate::store::op::Op;

/// Entries of one answer.
const PAGE: usize = 100;
/// Bytes of one answer, roughly.
const PAGE_BYTES: usize = 8 << 20;
const STATE: &str = "reports/state";

#[derive(Debug, Default, Serialize, Deserialize)]
struct Acknowledged {
    acked: u64,
}

#[derive(Debug, Default)]
struct List {
    next: u64,
    acked: u64,
    visible: BTreeSet<u64>,
}

/// The list.
pub struct Reports {
    store: Arc<Store>,
    list: Arc<Mutex<List>>,
    newest: watch::Sender<u64>,
    metrics: Metrics,
}

fn path(cursor: u64) -> String {
    format!("reports/{cursor:020}.json")
}

/// As many entries as one answer has, and the cursor of the last that was looked at.
///
/// One that cannot be decoded would be as bad the next time, so it is left out. One that cannot be read perhaps can be later: none behind it comes
/// before it, since the operator would acknowledge it with them.
fn entries(disk: &dyn Disk, cursors: &[u64], metrics: &Metrics) -> io::Result<(Vec<ReportEntry>, u64)> {
    let mut reports = Vec::new();
    let (mut bytes, mut next) = (0, 0);
    for cursor in cursors {
        let path = path(*cursor);
        match disk.read(&path) {
            Ok(entry) => {
                bytes += entry.len();
                match decode(*cursor, &entry) {
                    Ok(entry) => reports.push(entry),
                    Err(error) => {
                        metrics.reports_unreadable.inc();
                        tracing::error!(
                            error = &error as &dyn std::error::Error,
                            path = path.as_str(),
                            "a report cannot be decoded and is left out"
                        );
                    }
                }
            }
            // Acknowledged meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if reports.is_empty() => return Err(error),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    path = path.as_str(),
                    "a report cannot be read now"
                );
                break;
            }
        }
        next = *cursor;
        if bytes > PAGE_BYTES {
            break;
        }
    }
    Ok((reports, next))
}

fn decode(cursor: u64, bytes: &[u8]) -> serde_json::Result<ReportEntry> {
    let entry: ReportEntry = serde_json::from_slice(bytes)?;
    if entry.cursor == cursor {
        Ok(entry)
    } else {
        Err(serde::de::Error::custom("it has the cursor of another one"))
    }
}

/// An answer without entries.
fn nothing(after: u64) -> Page {
    Page {
        reports: Vec::new(),
        next: after,
        store_full_since: None,
    }
}

/// Cursors of a new start are above all of earlier ones, also when an older copy of the volume was restored. There is
/// room for a million reports a second, and the number stays exact as a JSON number.
fn floor() -> u64 {
    (now_millis() / 1_000) << 20
}

impl Reports {
    /// Reads the list of a store. Blocking.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn open(store: Arc<Store>, metrics: Metrics) -> io::Result<Self> {
        let disk: &dyn Disk = store.disk.as_ref();
        let state = if disk.stat(STATE)?.is_some() {
            serde_json::from_slice(&disk.read(STATE)?)?
        } else {
            Acknowledged::default()
        };
        let visible: BTreeSet<u64> = disk
            .list("reports")?
            .iter()
            .filter_map(|name| name.strip_suffix(".json")?.parse().ok())
            .filter(|cursor| *cursor > state.acked)
            .collect();
        let newest = visible.last().copied().unwrap_or(state.acked);
        metrics
            .reports_waiting
            .set(i64::try_from(visible.len()).unwrap_or(i64::MAX));
        let list = List {
            next: floor().max(newest + 1),
            acked: state.acked,
            visible,
        };
        Ok(Self {
            store,
            list: Arc::new(Mutex::new(list)),
            newest: watch::Sender::new(newest),
            metrics,
        })
    }

    /// Adds an entry, together with other changes. It is visible once it is durable, in the order of the calls.
    pub fn append(&self, entry: impl FnOnce(u64) -> (ReportEntry, Vec<Op>)) -> (u64, Pending) {
        let mut list = self
            .list
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let cursor = list.next;
        list.next += 1;
        let (entry, mut ops) = entry(cursor);
        ops.push(Op::Replace {
            path: path(cursor),
            bytes: serde_json::to_vec(&entry).unwrap_or_default(),
        });
        let (shown, newest, metrics) = (Arc::clone(&self.list), self.newest.clone(), self.metrics.clone());
        let publish = move || {
            let mut list = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            list.visible.insert(cursor);
            metrics
                .reports_waiting
                .set(i64::try_from(list.visible.len()).unwrap_or(i64::MAX));
            newest.send_replace(cursor);
        };
        // Under the lock, so that the order of cursors is the order of commits.
        (cursor, self.store.commits.enqueue(ops, Some(Box::new(publish))))
    }

    /// Entries after a cursor that are not acknowledged; waits when there is none.
    ///
    /// # Errors
    /// When the volume fails.
    pub async fn page(&self, mut after: u64, wait: Duration) -> Result<Page, StoreFault> {
        let mut newest = self.newest.subscribe();
        let deadline = tokio::time::Instant::now() + wait;
        loop {
            newest.mark_unchanged();
            let page = self.read(after).await?;
            if !page.reports.is_empty() {
                return Ok(page);
            }
            after = page.next;
            match tokio::time::timeout_at(deadline, newest.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Ok(page),
            }
        }
    }

    /// A page without entries says that there is none behind its cursor.
    async fn read(&self, mut after: u64) -> Result<Page, StoreFault> {
        loop {
            let cursors: Vec<u64> = {
                let list = self
                    .list
                    .lock()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                list.visible
                    .range(after.saturating_add(1)..)
                    .take(PAGE)
                    .copied()
                    .collect()
            };
            if cursors.is_empty() {
                return Ok(nothing(after));
            }
            let metrics = self.metrics.clone();
            let read = move |disk: &dyn Disk| entries(disk, &cursors, &metrics);
            let (reports, next) = self.store.blocking(read).await?;
            if !reports.is_empty() {
                return Ok(Page {
                    reports,
                    next,
                    store_full_since: None,
                });
            }
            after = next;
        }
    }

    /// Forgets entries up to a cursor. Acknowledging again, or something newer than the list, changes nothing more.
    ///
    /// # Errors
    /// When it could not be made durable; the entries are repeated then.
    pub async fn acknowledge(&self, cursor: u64) -> Result<(), StoreFault> {
        let committed = {
            let mut list = self
                .list
                .lock()
                .unwrap_or_else(std::sync::PoisonError::into_inner);
            let Some(cursor) = list.visible.range(..=cursor).next_back().copied() else {
                return Ok(());
            };
            // An earlier acknowledgement may still be under way: the state on the volume never goes back.
            list.acked = list.acked.max(cursor);
            let state = serde_json::to_vec(&Acknowledged { acked: list.acked }).unwrap_or_default();
            let mut ops = vec![Op::Replace {
                path: STATE.to_owned(),
                bytes: state,
            }];
            let gone = list.visible.range(..=cursor);
            ops.extend(gone.map(|cursor| Op::Remove { path: path(*cursor) }));
            let (shown, metrics) = (Arc::clone(&self.list), self.metrics.clone());
            // Not before it is durable: of one that found no space the entries stay, and its repetition writes.
            let forget = move || {
                let mut list = shown.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                list.visible = list.visible.split_off(&(cursor + 1));
                metrics
                    .reports_waiting
                    .set(i64::try_from(list.visible.len()).unwrap_or(i64::MAX));
            };
            self.store.commits.enqueue(ops, Some(Box::new(forget)))
        };
        Ok(committed.durable().await?)
    }
}
