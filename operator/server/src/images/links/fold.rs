//! Which symlinks there are after all layers, and what puts a directory in the place of one. Pure.
//!
//! Only symlinks are noted. Nothing lies below one: what a layer has below a symlink of a layer under it makes a real
//! directory in its place, and what it has below one of its own goes to where that leads, which may be such a place again.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::Bad;
use super::place::{Place, path, shown};

/// What one symlink takes beside its path and target.
const OVERHEAD: usize = 128;
/// Most symlinks on the way to a place, as for the kernel.
const MOST_FOLLOWED: usize = 40;
/// Symlinks that are removed in one go.
const AT_ONCE: usize = 256;

const WHITEOUT: &[u8] = b".wh.";
/// Names of the programs that make whiteouts: one of them has a meaning.
const META: &[u8] = b".wh..wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// What an entry of a layer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A symlink to this.
    Link(Vec<u8>),
    /// The same as another entry.
    Same(Vec<u8>),
    /// A file or anything else.
    Other,
}

/// An entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub place: Place,
    /// What.
    pub kind: Kind,
}

/// A symlink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Where it leads, as it is written.
    pub target: Vec<u8>,
    /// Number of its layer.
    pub layer: usize,
}

/// A symlink in whose place an entry puts a directory, or of the same layer and above it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hidden {
    /// Where it is or was.
    pub place: Place,
    /// The symlink.
    pub link: Link,
}

/// All symlinks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Links {
    /// Of the layers before this one.
    under: BTreeMap<Place, Link>,
    /// Of this layer. Apart, so that removing what layers before this one have looks at nothing that stays.
    here: BTreeMap<Place, Link>,
    layer: usize,
    bytes: usize,
}

/// What a path is in one layer.
enum Way {
    /// It leads through a symlink of the same layer to somewhere else.
    Elsewhere(Hidden),
    /// A directory, perhaps in the place of a symlink of a layer under it.
    Directory(Option<Hidden>),
}

impl Links {
    /// Bytes they take at most.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Number of the layer that comes next.
    pub fn layers(&self) -> usize {
        self.layer
    }

    /// Ends a layer.
    pub fn end_layer(&mut self) {
        self.under.extend(std::mem::take(&mut self.here));
        self.layer += 1;
    }

    /// Takes the next entry of this layer; says which symlink it does not leave alone.
    ///
    /// # Errors
    /// When a target is no path.
    pub fn apply(&mut self, entry: &Entry) -> Result<Option<Hidden>, Bad> {
        let Some((parent, name)) = entry.place.split() else {
            return Ok(None);
        };
        let hidden = match self.directory(&parent) {
            Way::Directory(hidden) => hidden,
            Way::Elsewhere(through) => return Ok(Some(through)),
        };
        if let Some(of) = name.strip_prefix(WHITEOUT) {
            if name == OPAQUE {
                self.bytes -= remove_below(&mut self.under, &parent);
            } else if !name.starts_with(META) && !of.is_empty() {
                self.bytes -= remove(&mut self.under, &parent.join(of));
            }
            return Ok(hidden);
        }
        let target = match &entry.kind {
            Kind::Directory => {
                self.bytes -= take(&mut self.here, &entry.place);
                let replaced = self.replace(&entry.place);
                return Ok(hidden.or(replaced));
            }
            Kind::Link(target) => Some(path(target)?.to_vec()),
            Kind::Same(other) => {
                let other = self.here.get(&Place::named(other)?);
                other.map(|link| link.target.clone())
            }
            Kind::Other => None,
        };
        for links in [&mut self.under, &mut self.here] {
            self.bytes -= remove(links, &entry.place);
        }
        if let Some(target) = target {
            let layer = self.layer;
            let link = Link { target, layer };
            self.bytes += size(&entry.place, &link);
            self.here.insert(entry.place.clone(), link);
        }
        Ok(hidden)
    }

    fn get(&self, place: &Place) -> Option<&Link> {
        self.here.get(place).or_else(|| self.under.get(place))
    }

    /// Where a path really is. None when that cannot be said: it leads out of the image, or in circles.
    pub fn resolve(&self, place: &Place) -> Option<Place> {
        let mut left: Vec<Vec<u8>> = place.names().rev().map(<[u8]>::to_vec).collect();
        let (mut at, mut followed) = (Place::default(), 0);
        while let Some(name) = left.pop() {
            match name.as_slice() {
                b"" | b"." => continue,
                b".." if at.pop() => continue,
                b".." => return None,
                name => at.push(name),
            }
            let Some(link) = self.get(&at) else {
                continue;
            };
            followed += 1;
            if followed > MOST_FOLLOWED || link.target.is_empty() {
                return None;
            }
            at.pop();
            if link.target.starts_with(b"/") {
                at = Place::default();
            }
            left.extend(link.target.split(|byte| *byte == b'/').rev().map(<[u8]>::to_vec));
        }
        Some(at)
    }

    /// What this layer says by having something in a directory.
    fn directory(&mut self, place: &Place) -> Way {
        if let Some((at, link)) = over(&self.here, place) {
            let (place, link) = (at.clone(), link.clone());
            return Way::Elsewhere(Hidden { place, link });
        }
        let under = over(&self.under, place).map(|(at, _)| at.clone());
        Way::Directory(under.and_then(|at| self.replace(&at)))
    }

    /// A directory in the place of a symlink of a layer before this one.
    fn replace(&mut self, place: &Place) -> Option<Hidden> {
        let link = self.under.get(place)?.clone();
        self.bytes -= take(&mut self.under, place);
        let place = place.clone();
        Some(Hidden { place, link })
    }
}

fn size(place: &Place, link: &Link) -> usize {
    place.bytes() + link.target.len() + OVERHEAD
}

/// The symlink at a place or above it.
fn over<'a>(links: &'a BTreeMap<Place, Link>, place: &Place) -> Option<(&'a Place, &'a Link)> {
    // If there is one, it is the last of all that are not after the place: between them is only what lies below it, which
    // is nothing.
    let (at, link) = links.range(..=place).next_back()?;
    (at == place || place.is_below(at)).then_some((at, link))
}

/// Removes what is at a place; says how many bytes it took.
fn take(links: &mut BTreeMap<Place, Link>, place: &Place) -> usize {
    links.remove(place).map_or(0, |link| size(place, &link))
}

fn remove(links: &mut BTreeMap<Place, Link>, place: &Place) -> usize {
    take(links, place) + remove_below(links, place)
}

fn remove_below(links: &mut BTreeMap<Place, Link>, place: &Place) -> usize {
    let mut bytes = 0;
    loop {
        let follow = links.range((Bound::Excluded(place), Bound::Unbounded));
        let below = follow.take_while(|(at, _)| at.is_below(place)).take(AT_ONCE);
        let gone: Vec<Place> = below.map(|(at, _)| at.clone()).collect();
        if gone.is_empty() {
            return bytes;
        }
        bytes += gone.iter().map(|place| take(links, place)).sum::<usize>();
    }
}

impl Hidden {
    /// What an own entry does, and what to write instead.
    pub fn told(&self, by: &Place, base: &Links) -> String {
        let (at, target) = (shown(self.place.to_string().as_bytes()), shown(&self.link.target));
        let named = shown(by.to_string().as_bytes());
        if self.link.layer >= base.layers() {
            return format!(
                "`{named}` goes below `{at}`, which the image itself has as a symlink to `{target}`; \
                 write it to where that leads, or leave the symlink out"
            );
        }
        let what = if *by == self.place {
            format!("`{at}` is a directory in the image, and in the base a symlink to `{target}`")
        } else {
            format!("`{named}` goes below `{at}`, which the base has as a symlink to `{target}`")
        };
        let place = match by.split() {
            // What is there itself the entry replaces, also a symlink.
            Some((parent, name)) if *by != self.place => {
                base.resolve(&parent).map(|parent| parent.join(name))
            }
            _ => base.resolve(by),
        };
        match place {
            Some(place) => format!("{what}; write `{}`", shown(place.to_string().as_bytes())),
            None => what,
        }
    }
}

#[cfg(test)]
#[path = "fold_tests.rs"]
mod tests;
