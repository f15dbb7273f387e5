//! Headers of entries in the GNU format, which every tar reads.

use tar::{EntryType, Header};

/// Unit of tar.
pub(crate) const BLOCK: usize = 512;
/// Longer names and targets get an entry of their own before them.
const NAME_BYTES: usize = 100;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Directory,
    /// A symlink and its target.
    Link(Vec<u8>),
}

/// Metadata of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Meta {
    /// Relative path, parts separated by slashes.
    pub(crate) path: Vec<u8>,
    pub(crate) kind: Kind,
    pub(crate) mode: u32,
    pub(crate) owner: u64,
    pub(crate) group: u64,
    pub(crate) modified: u64,
}

impl Meta {
    /// Metadata that says nothing about where and when the archive was made.
    pub(crate) fn normalized(path: Vec<u8>, kind: Kind, executable: bool, modified: u64) -> Self {
        let mode = match kind {
            Kind::File if !executable => 0o644,
            Kind::File | Kind::Directory => 0o755,
            Kind::Link(_) => 0o777,
        };
        Self {
            path,
            kind,
            mode,
            owner: 0,
            group: 0,
            modified,
        }
    }

    /// Length of what `write` answers.
    pub(crate) fn length(&self) -> u64 {
        let extra = |name: &[u8]| {
            if name.len() > NAME_BYTES {
                BLOCK + (name.len() + 1).next_multiple_of(BLOCK)
            } else {
                0
            }
        };
        let target = match &self.kind {
            Kind::Link(target) => extra(target),
            Kind::File | Kind::Directory => 0,
        };
        (BLOCK + extra(&self.name()) + target) as u64
    }

    fn name(&self) -> Vec<u8> {
        let mut name = self.path.clone();
        if self.kind == Kind::Directory {
            name.push(b'/');
        }
        name
    }

    /// The bytes before the content.
    pub(crate) fn write(&self, size: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(BLOCK);
        let name = self.name();
        let target: &[u8] = match &self.kind {
            Kind::Link(target) => target,
            Kind::File | Kind::Directory => &[],
        };
        if target.len() > NAME_BYTES {
            long(target, EntryType::GNULongLink, &mut bytes);
        }
        if name.len() > NAME_BYTES {
            long(&name, EntryType::GNULongName, &mut bytes);
        }
        let mut header = Header::new_gnu();
        header.set_entry_type(match self.kind {
            Kind::File => EntryType::Regular,
            Kind::Directory => EntryType::Directory,
            Kind::Link(_) => EntryType::Symlink,
        });
        header.set_mode(self.mode);
        header.set_uid(self.owner);
        header.set_gid(self.group);
        header.set_mtime(self.modified);
        header.set_size(size);
        finish(header, &name, target, &mut bytes);
        bytes
    }
}

fn long(text: &[u8], kind: EntryType, bytes: &mut Vec<u8>) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(text.len() as u64 + 1);
    finish(header, b"././@LongLink", &[], bytes);
    bytes.extend_from_slice(text);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
}

/// Sets names as they are, which the library's own setters would refuse or change.
fn finish(mut header: Header, name: &[u8], target: &[u8], bytes: &mut Vec<u8>) {
    if let Some(gnu) = header.as_gnu_mut() {
        let name = &name[..name.len().min(NAME_BYTES)];
        gnu.name[..name.len()].copy_from_slice(name);
        let target = &target[..target.len().min(NAME_BYTES)];
        gnu.linkname[..target.len()].copy_from_slice(target);
    }
    header.set_cksum();
    bytes.extend_from_slice(header.as_bytes());
}
