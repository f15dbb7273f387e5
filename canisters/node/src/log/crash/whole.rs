//! Files that are written as a whole, whatever a loss of power keeps of the names.

use super::disk::FaultyDisk;
use crate::log::disk::{Disk, TEMPORARY, read_all, write_atomically};

const BEFORE: &[u8] = b"what was there before";
const AFTER: &[u8] = b"what is there afterwards";

fn disk() -> FaultyDisk {
    let disk = FaultyDisk::new(1);
    write_atomically(&disk, "file", BEFORE).unwrap();
    disk
}

/// Writes the file until its name is given and not yet durable, and looks at everything that may be left of that.
fn is_before_or_after(disk: &FaultyDisk) {
    // created, written, synced, and in the middle of the renaming
    disk.crash_after(3);
    write_atomically(disk, "file", AFTER).unwrap_err();
    let losses = disk.losses();
    assert!(losses.len() >= 1 << 4, "{} are no different ones", losses.len());
    let found: Vec<Vec<u8>> = losses
        .iter()
        .map(|left| read_all(left, "file").unwrap().unwrap())
        .collect();
    assert!(found.iter().any(|content| content == AFTER));
    for content in found {
        assert!(
            content == BEFORE || content == AFTER,
            "{:?}",
            String::from_utf8_lossy(&content)
        );
    }
}

#[test]
fn a_file_that_an_interrupted_write_left_never_takes_the_place_of_a_whole_one() {
    let disk = disk();
    disk.crash_after(1);
    write_atomically(&disk, "file", b"torn").unwrap_err();
    // Nothing was synced of it but that it is there.
    let left = disk.losses().pop().unwrap();
    for name in left.list().unwrap() {
        if name.starts_with(TEMPORARY) {
            left.remove(&name).unwrap();
        }
    }
    // so that there is more than one change before the next file
    let _ = left.create("another").unwrap();
    is_before_or_after(&left);
}

#[test]
fn a_file_that_found_no_room_never_takes_the_place_of_a_whole_one() {
    let disk = disk();
    disk.fill(1);
    let full = write_atomically(&disk, "file", b"no room for it").unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    is_before_or_after(&disk);
}
