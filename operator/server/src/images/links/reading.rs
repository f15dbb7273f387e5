//! Reads layers on a thread that may wait, for as long as somebody waits for it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::Semaphore;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tokio_util::sync::CancellationToken;

use super::fold::{Entry, Hidden, Kind, Links};
use super::headers::Headers;
use super::place::Place;
use super::unpack::{Stored, Unpacked};
use super::{Bad, Limits};
use crate::digest::Digest;
use crate::images::documents::Held;
use crate::images::registry::Problem;
use crate::images::{ImageError, READERS, on_thread};

/// What reading takes beside symlinks and the window of zstd: buffers and the longest records.
const FIXED_BYTES: usize = 4 << 20;
/// Layers of bases that are read at once: each may keep a processor busy.
static BASES: Semaphore = Semaphore::const_new(8);
/// In such steps.
const STEP: usize = 256 << 10;

/// Why a layer was not read.
pub(super) enum Fault {
    /// Its bytes are no good.
    Bad(Bad),
    /// They did not come.
    Lost(Problem),
    /// There is no memory for it now.
    Image(ImageError),
}

impl From<Bad> for Fault {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

/// The memory of a look.
pub(super) struct Room {
    held: Held,
    taken: usize,
    kept: usize,
}

impl Room {
    pub(super) fn new(held: Held) -> Self {
        let (taken, kept) = (0, 0);
        Self { held, taken, kept }
    }

    /// Has none until it reads again.
    pub(super) fn give_back(&mut self) {
        self.held.give_back();
        self.taken = 0;
    }

    /// Has so many bytes more for good.
    pub(super) fn keep(&mut self, bytes: usize) {
        self.kept += bytes;
    }

    /// Has at least so many beside them.
    fn cover(&mut self, bytes: usize) -> Result<(), Fault> {
        let wanted = (self.kept + bytes).saturating_sub(self.taken);
        if wanted > 0 {
            let more = wanted.max(STEP);
            self.held.take(more as u64).map_err(Fault::Image)?;
            self.taken += more;
        }
        Ok(())
    }
}

/// What is looked for.
pub(super) enum Search {
    /// Nothing: symlinks are noted.
    Nothing,
    /// Whether there is any directory.
    Directory(bool),
    /// A directory in the place of a symlink of one of so many layers, or what lies below a symlink of a later one: where that is
    /// the programs that unpack it do not agree, and some put a directory in the place of what it leads to.
    Hidden { base: usize, found: Option<Found> },
}

/// A symlink that an entry hides or goes below.
pub(super) struct Found {
    pub(super) hidden: Hidden,
    /// The entry: a file if there is one, since it says more than its directory.
    pub(super) by: Place,
    is_file: bool,
}

impl Search {
    /// Whether reading on says no more.
    pub(super) fn over(&self) -> bool {
        match self {
            Self::Nothing => false,
            Self::Directory(seen) => *seen,
            Self::Hidden { found, .. } => found.as_ref().is_some_and(|found| found.is_file),
        }
    }

    fn see(&mut self, entry: Entry, hides: Option<Hidden>) {
        let is_file = entry.kind != Kind::Directory;
        match self {
            Self::Nothing => {}
            Self::Directory(seen) => {
                let parent = entry.place.split().map(|(parent, _)| parent);
                *seen |= parent.is_some_and(|parent| !parent.is_root() || !is_file);
            }
            Self::Hidden { base, found } => match found {
                None => {
                    // An own symlink may be replaced by what says that it is a directory.
                    let hidden =
                        hides.filter(|hidden| hidden.link.layer < *base || hidden.place != entry.place);
                    *found = hidden.map(|hidden| Found {
                        hidden,
                        by: entry.place,
                        is_file,
                    });
                }
                Some(found) => {
                    if is_file && entry.place.is_below(&found.hidden.place) {
                        found.by = entry.place;
                        found.is_file = true;
                    }
                }
            },
        }
    }
}

/// The look at some layers.
pub(super) struct Reading {
    pub(super) links: Links,
    pub(super) search: Search,
    pub(super) room: Room,
    entries: u64,
    bytes: u64,
    link_bytes: usize,
}

impl Reading {
    pub(super) fn new(limits: Limits, room: Room, links: Links, search: Search) -> Self {
        Self {
            links,
            search,
            room,
            entries: limits.entries,
            bytes: limits.bytes,
            link_bytes: limits.link_bytes,
        }
    }

    /// Reads the next layer, up to its end and its digest if one is named.
    pub(super) async fn layer(
        mut self,
        pieces: BoxStream<'static, Result<Bytes, Problem>>,
        named: Option<Digest>,
    ) -> Result<Self, Fault> {
        let stop = CancellationToken::new();
        // When nobody waits any more.
        let _stops = stop.clone().drop_guard();
        let lost = Arc::new(OnceLock::new());
        let noted = Arc::clone(&lost);
        let pieces = pieces.map(move |piece| {
            piece.map_err(|problem| {
                let error = std::io::Error::other(problem.to_string());
                noted.get_or_init(|| problem);
                error
            })
        });
        let pieces = pieces.take_until(stop.clone().cancelled_owned()).boxed();
        let bridge = SyncIoBridge::new(StreamReader::new(pieces));
        // What comes from a registry waits for no thread of this pool, and takes a place from nobody who reads what is stored.
        let places = if named.is_some() { &BASES } else { &READERS };
        let read = on_thread(places, move || {
            let read = self.read(Stored::new(bridge, stop), named);
            read.map(|()| self)
        });
        let read = read.await.map_err(|fault| Fault::Image(fault.into()))?;
        match Arc::into_inner(lost).and_then(OnceLock::into_inner) {
            Some(problem) if read.is_err() => Err(Fault::Lost(problem)),
            _ => read,
        }
    }

    /// The same, from a reader.
    pub(super) fn read<R: std::io::Read>(
        &mut self,
        mut stored: Stored<R>,
        named: Option<Digest>,
    ) -> Result<(), Fault> {
        let unpacked = Unpacked::new(&mut stored, &mut self.bytes).map_err(Bad::from)?;
        let fixed = FIXED_BYTES + unpacked.window();
        self.room.cover(fixed + self.links.bytes())?;
        let mut headers = Headers::new(unpacked);
        while let Some(entry) = headers.entry()? {
            let left = self.entries.checked_sub(1);
            self.entries =
                left.ok_or_else(|| Bad("there are more entries than this server looks at".into()))?;
            let hides = match self.search {
                Search::Directory(_) => None,
                _ => self.links.apply(&entry)?,
            };
            if self.links.bytes() > self.link_bytes {
                return Err(Bad("there are more symlinks than this server looks at".into()).into());
            }
            self.room.cover(fixed + self.links.bytes())?;
            self.search.see(entry, hides);
            if self.search.over() {
                return Ok(());
            }
        }
        drop(headers);
        self.links.end_layer();
        if let Some(named) = named {
            stored.finish(&named)?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "reading_tests.rs"]
mod tests;
