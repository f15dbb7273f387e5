//! Removes what nobody needs any more: content without a reference, uploads that were given up, runs that are gone for
//! longer than the retention.
//!
//! Every step goes as far as it can and leaves the others alone: what cannot be read or written now must not keep the
//! volume full. What needs no space goes first.

mod content;
mod leftovers;
mod runs;
pub mod usage;

use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::auth::ClusterError;
use crate::core::Core;
use crate::store::blobs::BlobError;
use crate::store::commit::CommitError;

/// Uploads without a change for this long are given up.
const UPLOAD_AGE: Duration = Duration::from_secs(24 * 3600);
/// Content younger than this may be waiting for its reference.
const CONTENT_AGE: Duration = Duration::from_secs(3600);
/// Evidence of analyses is kept for as long as people ask about a release, whatever becomes of runs and environments: thirteen months.
const EVIDENCE_AGE: Duration = Duration::from_secs(400 * 24 * 3600);
/// Pause between sweeps while the store is full.
const FULL_PAUSE: Duration = Duration::from_secs(5 * 60);

/// Why a sweep left something. The next one goes on.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// Kubernetes.
    #[error("cannot list runs")]
    Runs(#[source] ClusterError),
    /// The volume.
    #[error("cannot read the volume")]
    Read(#[from] io::Error),
    /// Removing runs.
    #[error("cannot remove a run")]
    Remove(#[source] CommitError),
    /// Removing content.
    #[error("cannot remove content")]
    Content(#[source] BlobError),
}

/// What a sweep removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Runs.
    pub runs: u64,
    /// Grants of namespaces, those for evidence among them.
    pub grants: u64,
    /// Content.
    pub blobs: u64,
    /// Attempts that cannot be read. What their namespaces were granted is kept until they are removed.
    pub unreadable: u64,
}

/// Ages that a sweep goes by; fixed outside tests.
#[derive(Debug, Clone, Copy)]
pub struct Ages {
    /// Of content without a reference.
    pub content: Duration,
    /// Of uploads.
    pub uploads: Duration,
    /// Of evidence, since it was last stored.
    pub evidence: Duration,
}

impl Default for Ages {
    fn default() -> Self {
        Self {
            content: CONTENT_AGE,
            uploads: UPLOAD_AGE,
            evidence: EVIDENCE_AGE,
        }
    }
}

/// When sweeps are made.
#[derive(Debug, Clone, Copy)]
pub struct Rhythm {
    /// Pause between sweeps.
    pub every: Duration,
    /// Pause while the store is full.
    pub full: Duration,
    /// What they go by.
    pub ages: Ages,
}

impl Rhythm {
    /// A sweep every so often, and more often while the store is full.
    pub fn every(every: Duration) -> Self {
        Self {
            every,
            full: every.min(FULL_PAUSE),
            ages: Ages::default(),
        }
    }
}

/// The first error of a step that goes on behind errors.
#[derive(Debug, Default)]
struct Trouble(Option<SweepError>);

impl Trouble {
    fn note<T>(&mut self, result: Result<T, SweepError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "a sweep leaves something for the next one"
                );
                self.0.get_or_insert(error);
                None
            }
        }
    }

    fn ended(self) -> Result<(), SweepError> {
        self.0.map_or(Ok(()), Err)
    }
}

/// How old something is; nothing when it is younger than the sweep.
fn age(modified: SystemTime, now: SystemTime) -> Duration {
    now.duration_since(modified).unwrap_or_default()
}

/// Sweeps once. Everything is as old as it is when the sweep begins, which is `now`: what comes while it goes on is young.
///
/// # Errors
/// The first thing that could not be done; everything else was, and nothing that is needed was removed.
pub async fn sweep(core: &Core, ages: Ages, now: SystemTime) -> Result<Swept, SweepError> {
    let mut swept = Swept::default();
    let mut trouble = Trouble::default();
    trouble.note(content::sweep(core, ages, now, &mut swept).await);
    trouble.note(leftovers::give_up_uploads(core, ages.uploads, now).await);
    let removed = runs::remove(core, now, &mut swept, &mut trouble).await;
    let notes = trouble.note(removed);
    if swept.runs > 0 {
        trouble.note(content::sweep(core, ages, now, &mut swept).await);
    }
    runs::write(core, notes.unwrap_or_default(), &mut trouble).await;
    trouble.note(leftovers::forget_closed(core, now).await);
    trouble.note(usage::recount(core).await);
    trouble.ended()?;
    Ok(swept)
}

/// Sweeps until the server stops.
pub async fn watch(core: Arc<Core>, rhythm: Rhythm) {
    let mut full = core.store.space.follow();
    loop {
        match sweep(&core, rhythm.ages, SystemTime::now()).await {
            Ok(swept) => {
                tracing::info!(swept.runs, swept.grants, swept.blobs, swept.unreadable, "swept");
            }
            Err(error) => tracing::warn!(error = &error as &dyn std::error::Error, "sweep not complete"),
        }
        let full = async {
            tokio::time::sleep(rhythm.full).await;
            // The sender lives as long as the store.
            drop(full.wait_for(Option::is_some).await);
        };
        tokio::select! {
            () = tokio::time::sleep(rhythm.every) => {}
            () = full => {}
            () = core.stopping.cancelled() => return,
        }
    }
}
