//! The reserve: frames and uploads stop before the volume is full, so that final reports still fit. Says since when the
//! store refuses, for the operator and for the sweep.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use tokio::sync::watch;

use super::disk::Disk;
use crate::metrics::StoreMetrics;

/// How long a measurement counts.
const FRESH: Duration = Duration::from_millis(100);
/// A refused write counts this long: who was refused comes again sooner, and when nobody comes nothing is refused.
const REFUSED: Duration = Duration::from_secs(60);

/// Space kept for final reports and small metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// Five percent of the volume, at most 256 MiB.
    Default,
    /// Bytes.
    Bytes(u64),
}

#[derive(Debug, Default)]
struct Seen {
    /// When the volume was measured, and whether there was room.
    measured: Option<(Instant, bool)>,
    /// When a write last found no space.
    refused: Option<Instant>,
}

impl Seen {
    fn is_full(&self) -> bool {
        let low = self.measured.is_some_and(|(_, room)| !room);
        low || self.refused.is_some_and(|at| at.elapsed() < REFUSED)
    }
}

/// Free space of the volume.
pub struct Space {
    disk: Arc<dyn Disk>,
    reserve: Reserve,
    seen: Mutex<Seen>,
    full_since: watch::Sender<Option<SystemTime>>,
    metrics: StoreMetrics,
}

impl Space {
    /// Watches a volume.
    pub fn new(disk: Arc<dyn Disk>, reserve: Reserve, metrics: StoreMetrics) -> Self {
        Self {
            disk,
            reserve,
            seen: Mutex::default(),
            full_since: watch::Sender::new(None),
            metrics,
        }
    }

    /// Whether there is room for frames and uploads.
    pub async fn has_room(&self) -> bool {
        let last = self.seen.lock().unwrap_or_else(PoisonError::into_inner).measured;
        if let Some((at, room)) = last
            && at.elapsed() < FRESH
        {
            return room;
        }
        let disk = Arc::clone(&self.disk);
        let measured = tokio::task::spawn_blocking(move || disk.room()).await;
        let Ok(Ok(room)) = measured else { return false };
        let reserve = match self.reserve {
            Reserve::Default => (room.total / 20).min(256 << 20),
            Reserve::Bytes(bytes) => bytes,
        };
        self.metrics.room(room);
        let enough = room.available >= reserve;
        self.note(|seen| seen.measured = Some((Instant::now(), enough)));
        enough
    }

    /// A write found no space.
    pub fn refused(&self) {
        self.note(|seen| seen.refused = Some(Instant::now()));
    }

    /// A write found its space.
    pub fn accepted(&self) {
        self.note(|seen| seen.refused = None);
    }

    /// Since when the store refuses what build Pods send; `None` while it takes it.
    pub async fn full_since(&self) -> Option<SystemTime> {
        self.has_room().await;
        // The time of a refusal may be over without anything else happening.
        self.note(|_| {});
        *self.full_since.borrow()
    }

    /// Follows [`Self::full_since`].
    pub fn follow(&self) -> watch::Receiver<Option<SystemTime>> {
        self.full_since.subscribe()
    }

    fn note(&self, change: impl FnOnce(&mut Seen)) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut seen);
        let full = seen.is_full();
        let changed = self.full_since.send_if_modified(|since| {
            let changed = since.is_some() != full;
            if changed {
                *since = full.then(SystemTime::now);
            }
            changed
        });
        if changed {
            self.metrics.full(full);
            if full {
                tracing::warn!("the store is full: frames and uploads are refused");
            } else {
                tracing::info!("the store takes frames and uploads again");
            }
        }
    }
}
