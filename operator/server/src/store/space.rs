//! The reserve: frames and uploads stop before the volume is full, so that final reports still fit.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::disk::Disk;
use crate::metrics::StoreMetrics;

/// How long a measurement counts.
const FRESH: Duration = Duration::from_millis(100);

/// Space kept for final reports and small metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reserve {
    /// Five percent of the volume, at most 256 MiB.
    Default,
    /// Bytes.
    Bytes(u64),
}

/// Free space of the volume.
pub struct Space {
    disk: Arc<dyn Disk>,
    reserve: Reserve,
    last: Mutex<Option<(Instant, bool)>>,
    metrics: StoreMetrics,
}

impl Space {
    /// Watches a volume.
    pub fn new(disk: Arc<dyn Disk>, reserve: Reserve, metrics: StoreMetrics) -> Self {
        Self {
            disk,
            reserve,
            last: Mutex::new(None),
            metrics,
        }
    }

    /// Whether there is room for frames and uploads.
    pub async fn has_room(&self) -> bool {
        if let Ok(last) = self.last.lock()
            && let Some((at, room)) = *last
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
        if let Ok(mut last) = self.last.lock() {
            *last = Some((Instant::now(), enough));
        }
        enough
    }
}
