//! Symlinks of a base that an image would hide. Debian, Fedora and others have `/bin` and `/lib` as symlinks; a layer that
//! has something below `bin` makes a real directory of it, and the base's shell and loader are gone. Such an image is refused,
//! with the path to write instead.
//!
//! `headers` and `unpack` read a layer, `fold` knows which symlinks are left, `known` keeps that for each base. What a base
//! or a layout makes the server do is bounded.

pub mod fold;
pub mod headers;
pub mod known;
pub mod place;
mod reading;
pub mod unpack;

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use oci_spec::distribution::Reference;
use serde_json::Value;

use super::ImageError;
use super::documents::Held;
use super::layout::{Layout, digest_of};
use super::merge::Base;
use super::push::failed;
use super::registry::{Problem, Repository};
use super::text::short;
use crate::digest::Digest;
use crate::store::blobs::Blobs;
use crate::store::fault::StoreFault;
use fold::Links;
use known::{Found, Known};
use reading::{Fault, Reading, Room, Search};

/// What cannot be read, and why.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Bad(pub String);

impl From<std::io::Error> for Bad {
    fn from(error: std::io::Error) -> Self {
        Self(short(&error.to_string()))
    }
}

/// What all layers of a base, or all of an image's own, may have.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries.
    pub entries: u64,
    /// Unpacked bytes.
    pub bytes: u64,
    /// Bytes of symlinks: of some 250,000 common ones.
    pub link_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: 4_000_000,
            bytes: 64 << 30,
            link_bytes: 48 << 20,
        }
    }
}

/// Looks for what an image hides of its base.
#[derive(Debug, Clone)]
pub struct Looks {
    /// Bounds of one look.
    pub limits: Limits,
    /// Bases whose layers are larger together, as they are stored, are not looked into: for them a registry that keeps both images would have
    /// to move nothing otherwise, and one that breaks off would have to begin anew each time.
    pub stored: u64,
    /// Nor is what has not been read by then: the runner asks again after two minutes.
    pub time: Duration,
    /// Bases that have been looked at.
    pub known: Known,
}

impl Default for Looks {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            stored: 1 << 30,
            time: Duration::from_secs(90),
            known: Known::default(),
        }
    }
}

/// What the layers of a manifest take as they are stored.
fn stored(manifest: &Value) -> u64 {
    let sizes = layers(manifest).map(|layer| layer["size"].as_u64().unwrap_or(0));
    sizes.fold(0, u64::saturating_add)
}

/// The image.
pub struct Own<'a> {
    /// Where it is stored.
    pub blobs: &'a Arc<dyn Blobs>,
    /// Its tar.
    pub tar: &'a Digest,
    /// What is in it.
    pub layout: &'a Layout,
}

/// A layer in a manifest.
fn layers(manifest: &Value) -> impl Iterator<Item = &Value> {
    manifest["layers"].as_array().into_iter().flatten()
}

/// Whether a layer is a tar, as far as its media type says. What it is compressed with its bytes say.
fn is_tar(layer: &Value) -> bool {
    let known = [".tar", ".tar.gzip", ".tar+gzip", ".tar.zstd", ".tar+zstd"];
    let kind = layer["mediaType"].as_str();
    kind.is_none_or(|kind| known.iter().any(|known| kind.ends_with(known)))
}

fn unknown(layer: &Value) -> Bad {
    let kind = short(layer["mediaType"].as_str().unwrap_or_default());
    Bad(format!("the media type `{kind}` is not that of a layer"))
}

impl Looks {
    /// Refuses an image that puts a directory in the place of a symlink of its base.
    ///
    /// # Errors
    /// When it does, when a layer cannot be read, or a registry or the store fails.
    pub async fn check(
        &self,
        source: &Repository,
        from: &Reference,
        base: &Base,
        own: &Own<'_>,
        held: Held,
    ) -> Result<(), ImageError> {
        let begin = |room, links, search| Reading::new(self.limits, room, links, search);
        let mut room = Room::new(held);
        let links = match self.known.get(&base.digest) {
            Some(known) => known,
            None => {
                let reading = begin(room, Links::default(), Search::Directory(false));
                let reading = read_own(own, reading).await?;
                if !matches!(reading.search, Search::Directory(true)) {
                    return Ok(());
                }
                if stored(&base.manifest) > self.stored {
                    return Ok(());
                }
                room = reading.room;
                // Whoever waits for another's turn keeps no memory from it.
                room.give_back();
                let Some((rest, links)) = self.read(source, from, base, room).await? else {
                    return Ok(());
                };
                room = rest;
                links
            }
        };
        let search = Search::Hidden {
            base: links.layers(),
            found: None,
        };
        let reading = read_own(own, begin(room, Links::clone(&links), search)).await?;
        match reading.search {
            Search::Hidden {
                found: Some(found), ..
            } => Err(ImageError::Hides {
                base: from.to_string(),
                why: found.hidden.told(&found.by, &links),
            }),
            _ => Ok(()),
        }
    }

    /// What a base has; nothing if it is not read in time. Of those who ask at once one reads it, and when that is given up or fails the next
    /// one, who has as much time; the others wait.
    async fn read(
        &self,
        source: &Repository,
        from: &Reference,
        base: &Base,
        mut room: Room,
    ) -> Result<Option<(Room, Arc<Links>)>, ImageError> {
        let repository = format!("{}/{}", from.registry(), from.repository());
        let turn = self.known.turn(repository, &base.digest);
        let mut found = turn.lock().await;
        if let Some(known) = self.known.get(&base.digest) {
            return Ok(Some((room, known)));
        }
        let there = match &*found {
            Found::TooSlow => return Ok(None),
            Found::Links(links) => links.upgrade(),
            Found::Nothing => None,
        };
        let links = match there {
            Some(links) => links,
            None => {
                let reading = Reading::new(self.limits, room, Links::default(), Search::Nothing);
                let read = read_base(source, from, &base.manifest, reading);
                let Ok(reading) = tokio::time::timeout(self.time, read).await else {
                    tracing::warn!(base = %from, "the base is not looked into: it was not read in time");
                    *found = Found::TooSlow;
                    return Ok(None);
                };
                let reading = reading?;
                room = reading.room;
                let links = Arc::new(reading.links);
                self.known.put(base.digest, &links);
                *found = Found::Links(Arc::downgrade(&links));
                links
            }
        };
        room.keep(links.bytes());
        Ok(Some((room, links)))
    }
}

async fn read_base(
    source: &Repository,
    from: &Reference,
    manifest: &Value,
    mut reading: Reading,
) -> Result<Reading, ImageError> {
    for layer in layers(manifest) {
        let digest = digest_of(layer);
        let digest = digest.map_err(|error| ImageError::Layout(format!("a layer of the base: {error}")))?;
        let bad = |bad: Bad| ImageError::Refused {
            what: "look into base",
            reference: from.to_string(),
            why: format!("layer {digest}: {bad}"),
        };
        if !is_tar(layer) {
            return Err(bad(unknown(layer)));
        }
        let size = layer["size"].as_u64();
        let size = size.ok_or_else(|| bad(Bad("it has no size".to_owned())))?;
        let pieces = source.layer(&digest, size).await;
        let pieces = pieces.map_err(failed("pull a layer of", from))?;
        let read = reading.layer(pieces, Some(digest)).await;
        reading = read.map_err(|fault| match fault {
            Fault::Bad(why) => bad(why),
            Fault::Lost(problem) => failed("pull a layer of", from)(problem),
            Fault::Image(error) => error,
        })?;
    }
    Ok(reading)
}

/// Own layers, of which the digests are checked already.
async fn read_own(own: &Own<'_>, mut reading: Reading) -> Result<Reading, ImageError> {
    for layer in layers(&own.layout.manifest) {
        let digest = digest_of(layer).map_err(|error| ImageError::Layout(format!("a layer: {error}")))?;
        let bad = |bad: Bad| ImageError::Layout(format!("layer {digest}: {bad}"));
        if !is_tar(layer) {
            return Err(bad(unknown(layer)));
        }
        let range = own.layout.blobs.get(&digest);
        let range = range.ok_or_else(|| bad(Bad("it is not there".to_owned())))?;
        let pieces = own.blobs.get(own.tar, range.clone()).await;
        let pieces = pieces.map_err(StoreFault::from)?;
        let pieces = pieces.map_err(|error| Problem::Store(error.into())).boxed();
        reading = reading.layer(pieces, None).await.map_err(|fault| match fault {
            Fault::Bad(why) => bad(why),
            Fault::Lost(Problem::Store(fault)) => fault.into(),
            Fault::Lost(problem) => bad(Bad(problem.to_string())),
            Fault::Image(error) => error,
        })?;
        if reading.search.over() {
            break;
        }
    }
    Ok(reading)
}
