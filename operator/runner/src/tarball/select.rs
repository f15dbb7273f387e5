//! Finds what paths and globs name, without leaving the workspace.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use dcanary_protocol::paths;
use glob::{MatchOptions, Pattern};
use thiserror::Error;

use super::archive::{Body, Entry};
use super::header::{Kind, Meta};
use crate::interrupt::{Interrupt, Interrupted};
use crate::workspace::{OWN, PathError, Workspace, inside};

/// Entries of one archive.
const ENTRIES: usize = 1_000_000;
/// Mode of a folder in which everybody may make files and change only their own, such as `/tmp`.
const SHARED: u32 = 0o1777;
const OPTIONS: MatchOptions = MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: false,
};

/// Why files cannot be collected.
#[derive(Debug, Error)]
pub(crate) enum SelectError {
    #[error(transparent)]
    Path(#[from] PathError),
    #[error("`{pattern}` is no glob: {source}")]
    Glob {
        pattern: String,
        source: glob::PatternError,
    },
    #[error("`{0}` matches nothing")]
    Nothing(String),
    #[error("`{path}` cannot be read: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("`{0}` is neither a file, a directory nor a symlink")]
    Special(PathBuf),
    #[error("more than {ENTRIES} files")]
    TooMany,
    #[error(transparent)]
    Interrupted(#[from] Interrupted),
}

/// What was found.
#[derive(Debug)]
pub(crate) enum Selected {
    /// One plain file and its name.
    File { name: String, body: Body },
    /// Entries in the order of the archive.
    Entries(Vec<Entry>),
}

/// How metadata goes into the archive.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Times {
    /// Everything has this time; owners and modes are normalized, entries sorted.
    Fixed(u64),
    /// As found.
    Raw,
}

/// An entry below one that is no directory, each with the number of the source that brought it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Impossible {
    pub(crate) path: String,
    pub(crate) source: usize,
    pub(crate) above: String,
    pub(crate) above_source: usize,
    /// Whether it is below a symlink, and not below a file.
    pub(crate) is_link: bool,
}

/// Collects entries below one directory.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    workspace: &'a Workspace,
    times: Times,
    interrupt: &'a Interrupt,
    entries: Vec<Entry>,
    /// Paths that are in, to keep each only once: place in `entries`, and which of the sources brought it.
    known: BTreeMap<Vec<u8>, (usize, usize)>,
    source: usize,
}

/// Collects what `patterns`, relative to `base`, name.
pub(crate) fn select(
    workspace: &Workspace,
    base: &Path,
    patterns: &[String],
    times: Times,
    interrupt: &Interrupt,
) -> Result<Selected, SelectError> {
    let mut selection = Selection::new(workspace, times, interrupt);
    let mut plain = Vec::new();
    for pattern in patterns {
        let relative = inside(pattern)?;
        let base = if pattern.starts_with('/') {
            workspace.root()
        } else {
            base
        };
        let compiled = paths::pattern(&relative).map_err(|source| SelectError::Glob {
            pattern: pattern.clone(),
            source,
        })?;
        let found = match compiled {
            Some(compiled) => globbed(&selection, base, pattern, &compiled, &relative)?,
            None => vec![relative],
        };
        for relative in found {
            let (real, metadata) = resolve(workspace, base, &relative, pattern)?;
            let before = selection.entries.len();
            selection.add(&real, relative.as_os_str().as_bytes(), &metadata)?;
            plain.push(metadata.is_file() && selection.entries.len() == before + 1);
        }
    }
    let mut entries = selection.finish();
    if plain == [true]
        && let Some(entry) = entries.pop_if(|entry| entry.meta.kind == Kind::File)
    {
        let name = Path::new(OsStr::from_bytes(&entry.meta.path))
            .file_name()
            .unwrap_or_default();
        return Ok(Selected::File {
            name: name.to_string_lossy().into_owned(),
            body: entry.body,
        });
    }
    Ok(Selected::Entries(entries))
}

/// The place and metadata of a named path. A symlink that is named itself is followed, inside the workspace.
pub(crate) fn resolve(
    workspace: &Workspace,
    base: &Path,
    relative: &Path,
    named: &str,
) -> Result<(PathBuf, Metadata), SelectError> {
    let path = base.join(relative);
    let real = path.canonicalize().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => SelectError::Nothing(named.to_owned()),
        _ => SelectError::Read {
            path: path.clone(),
            source,
        },
    })?;
    if !real.starts_with(workspace.root()) {
        return Err(PathError::Outside(named.to_owned()).into());
    }
    let metadata = real.symlink_metadata().map_err(|source| SelectError::Read {
        path: real.clone(),
        source,
    })?;
    Ok((real, metadata))
}

fn globbed(
    selection: &Selection<'_>,
    base: &Path,
    pattern: &str,
    compiled: &Pattern,
    relative: &Path,
) -> Result<Vec<PathBuf>, SelectError> {
    let fixed: PathBuf = relative
        .iter()
        .take_while(|part| !part.to_string_lossy().contains(['*', '?', '[']))
        .collect();
    let mut found = Vec::new();
    let (real, metadata) = resolve(selection.workspace, base, &fixed, pattern)?;
    if metadata.is_dir() {
        walk(selection, compiled, &real, &fixed, &mut found)?;
    }
    if found.is_empty() {
        return Err(SelectError::Nothing(pattern.to_owned()));
    }
    found.sort();
    Ok(found)
}

fn walk(
    selection: &Selection<'_>,
    pattern: &Pattern,
    directory: &Path,
    relative: &Path,
    found: &mut Vec<PathBuf>,
) -> Result<(), SelectError> {
    for (path, metadata) in selection.children(directory)? {
        let Some(name) = path.file_name() else { continue };
        let relative = relative.join(name);
        if pattern.matches_path_with(&relative, OPTIONS) {
            // A link that leads nowhere or out of the workspace is named by nobody but the glob.
            if !metadata.is_symlink()
                || path
                    .canonicalize()
                    .is_ok_and(|real| real.starts_with(selection.workspace.root()))
            {
                found.push(relative);
            }
        } else if metadata.is_dir() {
            walk(selection, pattern, &path, &relative, found)?;
        }
        if found.len() > ENTRIES {
            return Err(SelectError::TooMany);
        }
    }
    Ok(())
}

/// Whether this is a folder of the runner, or the folder around them with nothing else in it.
fn is_own(workspace: &Workspace, path: &Path) -> bool {
    if OWN.iter().any(|name| path == workspace.own(name)) {
        return true;
    }
    path == workspace.own("")
        && std::fs::read_dir(path)
            .is_ok_and(|entries| entries.flatten().all(|entry| is_own(workspace, &entry.path())))
}

impl<'a> Selection<'a> {
    pub(crate) fn new(workspace: &'a Workspace, times: Times, interrupt: &'a Interrupt) -> Self {
        Self {
            workspace,
            times,
            interrupt,
            entries: Vec::new(),
            known: BTreeMap::new(),
            source: 0,
        }
    }

    /// What lies in a directory, without the runner's own folders.
    fn children(&self, directory: &Path) -> Result<Vec<(PathBuf, Metadata)>, SelectError> {
        let read = |source| SelectError::Read {
            path: directory.to_owned(),
            source,
        };
        let mut found = Vec::new();
        for entry in std::fs::read_dir(directory).map_err(read)? {
            self.interrupt.check()?;
            let path = entry.map_err(read)?.path();
            if is_own(self.workspace, &path) {
                continue;
            }
            let metadata = path.symlink_metadata().map_err(read)?;
            found.push((path, metadata));
        }
        Ok(found)
    }

    /// Adds a file, a symlink, or a directory with everything below it, under the given path.
    pub(crate) fn add(&mut self, real: &Path, path: &[u8], metadata: &Metadata) -> Result<(), SelectError> {
        if metadata.is_dir() {
            if !path.is_empty() {
                self.push(Entry::empty(self.meta(path, Kind::Directory, metadata)))?;
            }
            for (child, metadata) in self.children(real)? {
                let name = child.file_name().unwrap_or_default().as_bytes();
                let mut below = path.to_vec();
                if !below.is_empty() {
                    below.push(b'/');
                }
                below.extend_from_slice(name);
                self.add(&child, &below, &metadata)?;
            }
            Ok(())
        } else if metadata.is_symlink() {
            let target = std::fs::read_link(real).map_err(|source| SelectError::Read {
                path: real.to_owned(),
                source,
            })?;
            let kind = Kind::Link(target.as_os_str().as_bytes().to_vec());
            self.push(Entry::empty(self.meta(path, kind, metadata)))
        } else if metadata.is_file() {
            let body = Body::File {
                path: real.to_owned(),
                length: metadata.len(),
            };
            self.push(Entry {
                meta: self.meta(path, Kind::File, metadata),
                body,
            })
        } else {
            Err(SelectError::Special(real.to_owned()))
        }
    }

    fn meta(&self, path: &[u8], kind: Kind, metadata: &Metadata) -> Meta {
        match self.times {
            Times::Fixed(modified) => {
                let mut meta = Meta::normalized(path.to_vec(), kind, metadata.mode() & 0o111 != 0, modified);
                // Nobody's umask makes this mode, so it is as reproducible as the executable bit; a `/tmp` is of no use without it.
                if meta.kind == Kind::Directory && metadata.mode() & SHARED == SHARED {
                    meta.mode = SHARED;
                }
                meta
            }
            Times::Raw => Meta {
                path: path.to_vec(),
                kind,
                mode: metadata.mode() & 0o7777,
                owner: metadata.uid().into(),
                group: metadata.gid().into(),
                modified: u64::try_from(metadata.mtime()).unwrap_or_default(),
            },
        }
    }

    /// The last entry of a path counts.
    fn push(&mut self, entry: Entry) -> Result<(), SelectError> {
        if let Some((at, source)) = self.known.get_mut(&entry.meta.path) {
            self.entries[*at] = entry;
            *source = self.source;
            return Ok(());
        }
        if self.entries.len() >= ENTRIES {
            return Err(SelectError::TooMany);
        }
        let known = (self.entries.len(), self.source);
        self.known.insert(entry.meta.path.clone(), known);
        self.entries.push(entry);
        Ok(())
    }

    /// What is added from here on comes from the source of this number.
    pub(crate) fn set_source(&mut self, source: usize) {
        self.source = source;
    }

    /// An entry that is no directory and has another one below it, which no file system can hold. One tree never has such, several put together may.
    pub(crate) fn impossible(&self) -> Option<Impossible> {
        self.known.iter().find_map(|(path, &(_, source))| {
            let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
            slashes
                .filter_map(|(end, _)| self.known.get_key_value(&path[..end]))
                .find(|(_, (at, _))| self.entries[*at].meta.kind != Kind::Directory)
                .map(|(above, &(at, above_source))| Impossible {
                    path: String::from_utf8_lossy(path).into_owned(),
                    source,
                    above: String::from_utf8_lossy(above).into_owned(),
                    above_source,
                    is_link: self.entries[at].meta.kind != Kind::File,
                })
        })
    }

    pub(crate) fn finish(mut self) -> Vec<Entry> {
        if let Times::Fixed(_) = self.times {
            self.entries
                .sort_by(|one, other| one.meta.path.cmp(&other.meta.path));
        }
        self.entries
    }
}
