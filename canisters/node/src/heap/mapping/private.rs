//! Which pages of a memory are private: those that were written.

use crate::heap::pages::PAGE;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

/// A page that is in memory (pagemap, bit 63).
const PRESENT: u64 = 1 << 63;
/// A page that is in swap (bit 62): private, or it would simply not be there.
const SWAPPED: u64 = 1 << 62;
/// A page of a file (bit 61): the image's own.
const OF_FILE: u64 = 1 << 61;
/// Entries of the pagemap that are read at once: 32 MiB of memory.
const ENTRIES: usize = 8_192;

/// Whether the kernel names ranges of pages, as far as is known.
static SCANS: AtomicBool = AtomicBool::new(true);

/// The pages of a memory that are not the image's any more: every page that was written, and perhaps some that were not.
pub fn private_pages(memory: &[u8]) -> io::Result<Vec<u64>> {
    let file = pagemap().ok_or(io::ErrorKind::Unsupported)?;
    if SCANS.load(Ordering::Relaxed) {
        match scan(file, memory) {
            Ok(found) => return Ok(found),
            Err(error) if cannot(&error) => {
                tracing::info!(%error, "the kernel names no ranges of pages; the page map is read instead");
                SCANS.store(false, Ordering::Relaxed);
            }
            // this time only
            Err(error) => tracing::debug!(%error, "ranges of pages"),
        }
    }
    read(file, memory)
}

/// The same where the kernel names ranges, so that it costs little; nothing elsewhere.
pub(super) fn ranges_of_private_pages(memory: &[u8]) -> Option<Vec<u64>> {
    let file = pagemap().filter(|_| SCANS.load(Ordering::Relaxed))?;
    scan(file, memory).ok()
}

/// Whether it is an older kernel, or one that does not let us.
fn cannot(error: &io::Error) -> bool {
    let answers = [libc::ENOTTY, libc::EINVAL, libc::EPERM, libc::ENOSYS];
    error.raw_os_error().is_some_and(|code| answers.contains(&code))
}

/// What `PAGEMAP_SCAN` is asked (linux/fs.h, `struct pm_scan_arg`).
#[repr(C)]
#[derive(Default)]
struct Scan {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// Pages in a row of the same kind (linux/fs.h, `struct page_region`).
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
struct Region {
    start: u64,
    end: u64,
    categories: u64,
}

/// `_IOWR('f', 16, struct pm_scan_arg)`.
const PAGEMAP_SCAN: libc::Ioctl = 0xC060_6610;
/// Categories of pages: of a file, in memory, in swap.
const IS_FILE: u64 = 1 << 2;
const IS_PRESENT: u64 = 1 << 3;
const IS_SWAPPED: u64 = 1 << 4;

/// The same from a kernel that names ranges (Linux 6.7): what a message has not touched costs nothing, however large the heap is.
fn scan(file: &File, memory: &[u8]) -> io::Result<Vec<u64>> {
    // The kernel is given addresses, so what is behind them must be exposed to it.
    let base = memory.as_ptr().expose_provenance() as u64;
    let end = base + (memory.len() / PAGE * PAGE) as u64;
    let mut found = Vec::new();
    let mut regions = [Region::default(); 256];
    let mut start = base;
    while start < end {
        let mut asked = Scan {
            size: size_of::<Scan>() as u64,
            start,
            end,
            vec: regions.as_mut_ptr().expose_provenance() as u64,
            vec_len: regions.len() as u64,
            category_anyof_mask: IS_PRESENT | IS_SWAPPED,
            return_mask: IS_FILE | IS_PRESENT | IS_SWAPPED,
            ..Scan::default()
        };
        // SAFETY: the kernel writes at most `vec_len` regions to `vec` and the field `walk_end`; both live until it returns.
        let filled = unsafe { libc::ioctl(file.as_raw_fd(), PAGEMAP_SCAN, &raw mut asked) };
        let filled = usize::try_from(filled).map_err(|_| io::Error::last_os_error())?;
        for region in regions.iter().take(filled) {
            if region.categories & IS_SWAPPED != 0 || region.categories & IS_FILE == 0 {
                let page = |address: u64| address.saturating_sub(base) / PAGE as u64;
                found.extend(page(region.start)..page(region.end));
            }
        }
        if asked.walk_end <= start {
            return Err(io::ErrorKind::InvalidData.into());
        }
        start = asked.walk_end;
    }
    Ok(found)
}

/// The same from the page map, in which each page has an entry.
fn read(file: &File, memory: &[u8]) -> io::Result<Vec<u64>> {
    let first = memory.as_ptr().addr() / PAGE;
    let count = memory.len() / PAGE;
    let mut found = Vec::new();
    let mut buffer = vec![0; ENTRIES.min(count) * 8];
    let mut at = 0;
    while at < count {
        let take = ENTRIES.min(count - at);
        let bytes = &mut buffer[..take * 8];
        file.read_exact_at(bytes, ((first + at) * 8) as u64)?;
        for (index, entry) in (at as u64..).zip(bytes.chunks_exact(8)) {
            let entry = <[u8; 8]>::try_from(entry).map_or(0, u64::from_ne_bytes);
            if entry & SWAPPED != 0 || entry & (PRESENT | OF_FILE) == PRESENT {
                found.push(index);
            }
        }
        at += take;
    }
    Ok(found)
}

fn pagemap() -> Option<&'static File> {
    static PAGEMAP: OnceLock<Option<File>> = OnceLock::new();
    PAGEMAP
        .get_or_init(|| File::open("/proc/self/pagemap").ok())
        .as_ref()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::{Image, Mapping};
    use super::*;
    use crate::heap::pages::PageMap;
    use std::sync::Arc;

    #[test]
    fn ranges_and_the_page_map_name_the_same_pages() {
        const PAGES: usize = 3_000;
        let mut pages = PageMap::default();
        for index in (0..PAGES).step_by(2) {
            pages.set(index as u64, Some(Arc::new([1; PAGE])));
        }
        let len = PAGES * PAGE;
        let image = Image::new(&pages, len as u64).unwrap();
        let mapping = Mapping::new(len, len, PAGE, Some(&image)).unwrap();
        // SAFETY: the accessible part of a mapping that nobody else knows.
        let memory = unsafe { std::slice::from_raw_parts_mut(mapping.base.cast::<u8>(), mapping.size) };
        let file = pagemap().unwrap();
        // more ranges than the kernel is asked for at once, some read before, the last page too
        let mut read_only = 0;
        for index in 0..PAGES {
            match index % 5 {
                0 => memory[index * PAGE] = 9,
                1 => read_only += usize::from(memory[index * PAGE]),
                _ => {}
            }
        }
        memory[len - 1] = 9;
        assert_eq!(read_only, PAGES / 10);
        let mapped = read(file, memory).unwrap();
        let scanned = match scan(file, memory) {
            Err(error) if cannot(&error) => mapped.clone(),
            scanned => scanned.unwrap(),
        };
        for index in (0..PAGES as u64).filter(|index| index % 5 == 0 || *index + 1 == PAGES as u64) {
            assert!(scanned.contains(&index) && mapped.contains(&index), "{index}");
        }
        // a page that is being moved may be named too
        assert!(
            scanned.len() < 700 && mapped.len() < 700,
            "{} {}",
            scanned.len(),
            mapped.len()
        );
    }
}
