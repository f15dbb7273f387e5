//! The filesystem as the store sees it: every effect is one method, so that tests can stop before or after each of them.
//!
//! Paths are relative to the volume, with `/`, and built only from validated names ([`crate::names`]).

use std::io;
use std::time::SystemTime;

/// What is known about a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    /// Length in bytes.
    pub len: u64,
    /// Last change of the content.
    pub modified: SystemTime,
}

/// Space on the volume, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// Free for us.
    pub available: u64,
    /// Size of the volume.
    pub total: u64,
}

/// Blocking filesystem effects. Call them off the async threads.
///
/// # Errors
/// Every method answers with the error of the operating system.
#[allow(clippy::missing_errors_doc)]
pub trait Disk: Send + Sync + 'static {
    /// A whole file.
    fn read(&self, path: &str) -> io::Result<Vec<u8>>;
    /// At most `len` bytes from `offset`; fewer at the end of the file.
    fn read_at(&self, path: &str, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Length and time, `None` when there is no such file.
    fn stat(&self, path: &str) -> io::Result<Option<Stat>>;
    /// Names in a directory, sorted; none when there is no such directory.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Writes bytes at an offset; creates the file and its directories.
    fn write_at(&self, path: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file.
    fn set_len(&self, path: &str, len: u64) -> io::Result<()>;
    /// Sets the time of the last change to now.
    fn touch(&self, path: &str) -> io::Result<()>;
    /// Makes the content of a file durable.
    fn sync_file(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Renames over what is there; creates the directories of the target.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file; nothing when there is none.
    fn remove_file(&self, path: &str) -> io::Result<()>;
    /// Removes a directory and everything in it; nothing when there is none.
    fn remove_tree(&self, dir: &str) -> io::Result<()>;
    /// Space on the volume.
    fn room(&self) -> io::Result<Room>;
}

/// No space, or no more of it for us.
pub fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// The directories above a path, deepest first, ending with the volume itself (`""`).
pub fn ancestors(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(path);
    std::iter::from_fn(move || {
        let current = rest?;
        if current.is_empty() {
            rest = None;
            return None;
        }
        let parent = current.rsplit_once('/').map_or("", |(parent, _)| parent);
        rest = Some(parent);
        Some(parent)
    })
}

/// Makes the names of a path durable, from its directory up to the volume.
///
/// # Errors
/// The first directory that could not be synced.
pub fn sync_names(disk: &dyn Disk, path: &str) -> io::Result<()> {
    ancestors(path).try_for_each(|dir| disk.sync_dir(dir))
}

#[cfg(test)]
mod tests {
    use super::ancestors;

    #[test]
    fn ancestors_end_with_the_volume() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a/b", "a", ""]);
        assert_eq!(ancestors("a").collect::<Vec<_>>(), [""]);
    }
}
