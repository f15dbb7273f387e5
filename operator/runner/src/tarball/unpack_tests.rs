use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::unpack::{UnpackError, unpack};
use crate::interrupt::Interrupt;

/// An archive with entries as somebody evil writes them.
fn evil(entries: &[(&str, tar::EntryType, &str)]) -> Vec<u8> {
    let mut all = Vec::new();
    for (path, kind, content) in entries {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o4777);
        let gnu = header.as_gnu_mut().unwrap();
        gnu.name[..path.len()].copy_from_slice(path.as_bytes());
        let is_link = matches!(kind, tar::EntryType::Symlink | tar::EntryType::Link);
        if is_link {
            gnu.linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(if is_link { 0 } else { content.len() as u64 });
        header.set_cksum();
        all.extend_from_slice(header.as_bytes());
        if !is_link {
            all.extend_from_slice(content.as_bytes());
            all.resize(all.len().next_multiple_of(512), 0);
        }
    }
    all.resize(all.len() + 1024, 0);
    all
}

#[test]
fn archives_that_lead_out_of_their_directory_are_refused() {
    use tar::EntryType::{Block, Directory, Link, Regular, Symlink};
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("victim"), "untouched").unwrap();
    let into = folder.path().join("into");
    let cases: &[&[(&str, tar::EntryType, &str)]] = &[
        &[("../victim", Regular, "x")],
        &[("a/../../victim", Regular, "x")],
        &[("/victim", Regular, "x")],
        &[("link", Symlink, ".."), ("link/victim", Regular, "x")],
        &[("link", Symlink, "../victim"), ("hard", Link, "link")],
        &[("link", Symlink, ".."), ("hard", Link, "link/victim")],
        &[("link", Symlink, ".."), ("link/made", Directory, "")],
        &[("link", Symlink, ".."), ("link/victim", Symlink, "x")],
        &[("a", Symlink, "."), ("a/x", Regular, "x")],
        // Each target stays inside in its text; only together they lead out.
        &[
            ("d/e/l", Symlink, "../.."),
            ("z", Symlink, "d/e/l/../victim"),
            ("z", Regular, "x"),
            ("d/e/l/x", Regular, ""),
        ],
        &[("hard", Link, "../victim")],
        &[("hard", Link, "/etc/passwd")],
        &[("s", Symlink, "x"), ("hard", Link, "s")],
        &[("old/victim", Regular, "x")],
        &[("device", Block, "")],
        &[("", Regular, "x")],
        &[("sub", Directory, ""), ("sub", Regular, "x")],
    ];
    for case in cases {
        let _ = std::fs::remove_dir_all(&into);
        std::fs::create_dir(&into).unwrap();
        symlink(folder.path(), into.join("old")).unwrap();
        let result = unpack(
            evil(case).as_slice(),
            &into,
            1 << 20,
            |_| false,
            &Interrupt::default(),
        );
        assert!(result.is_err(), "{case:?}");
        assert_eq!(
            std::fs::read_to_string(folder.path().join("victim")).unwrap(),
            "untouched",
            "{case:?}"
        );
    }
}

#[test]
fn sizes_are_bounded_and_special_modes_dropped() {
    use tar::EntryType::{Link, Regular};
    let folder = tempfile::tempdir().unwrap();
    let tar = evil(&[("a", Regular, "12345"), ("b", Link, "a"), ("c", Link, "a")]);
    assert!(matches!(
        unpack(
            tar.as_slice(),
            folder.path(),
            14,
            |_| false,
            &Interrupt::default()
        ),
        Err(UnpackError::TooLarge(14))
    ));
    unpack(
        tar.as_slice(),
        folder.path(),
        15,
        |_| false,
        &Interrupt::default(),
    )
    .unwrap();
    let mode = folder.path().join("a").metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o777, "no set-user-id");
    assert!(
        unpack(
            &b"garbage".repeat(200)[..],
            folder.path(),
            1 << 20,
            |_| false,
            &Interrupt::default()
        )
        .is_err()
    );
}

#[test]
fn an_archive_that_is_given_up_writes_nothing_more_neither_files_nor_the_rest_of_one() {
    use tar::EntryType::Regular;
    /// Gives it up once so many bytes were read.
    struct GivesUp<'a> {
        tar: &'a [u8],
        left: usize,
        interrupt: Interrupt,
    }
    impl std::io::Read for GivesUp<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            if self.left == 0 {
                self.interrupt.set();
            }
            let wanted = buffer.len().min(512).min(self.tar.len());
            buffer[..wanted].copy_from_slice(&self.tar[..wanted]);
            self.tar = &self.tar[wanted..];
            self.left = self.left.saturating_sub(wanted);
            Ok(wanted)
        }
    }
    let large = "x".repeat(10_000);
    let tar = evil(&[("a", Regular, "a"), ("b", Regular, &large), ("c", Regular, "c")]);
    let folder = tempfile::tempdir().unwrap();
    let interrupt = Interrupt::default();
    let archive = GivesUp {
        tar: &tar,
        left: 4096,
        interrupt: interrupt.clone(),
    };
    let result = unpack(archive, folder.path(), 1 << 20, |_| false, &interrupt);
    assert!(result.is_err());
    let written = |name: &str| {
        folder
            .path()
            .join(name)
            .metadata()
            .map_or(0, |metadata| metadata.len())
    };
    assert_eq!(written("a"), 1);
    assert!(written("b") > 0 && written("b") < 10_000, "{}", written("b"));
    assert!(!folder.path().join("c").exists());
}

#[test]
fn links_are_unpacked_as_they_are_and_nothing_is_written_through_them() {
    use tar::EntryType::{Directory, Regular, Symlink};
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("victim"), "untouched").unwrap();
    let into = folder.path().join("into");
    std::fs::create_dir(&into).unwrap();
    let links = [
        ("d/bin/python", "/bin/sh"),
        ("d/up", "../../outside/victim"),
        ("d/e/f/l", "../../.."),
        ("d/esc", "e/f/l/../outside"),
        ("d/nowhere", "absent"),
    ];
    let entries: Vec<_> = links
        .iter()
        .map(|&(path, target)| (path, Symlink, target))
        .collect();
    unpack(
        evil(&entries).as_slice(),
        &into,
        1 << 20,
        |_| false,
        &Interrupt::default(),
    )
    .unwrap();
    for (path, target) in links {
        assert_eq!(std::fs::read_link(into.join(path)).unwrap(), Path::new(target));
    }
    // What comes over a link takes its place, from another archive too.
    let over = evil(&[
        ("d/up", Regular, "mine"),
        ("d/esc", Directory, ""),
        ("d/esc/victim", Regular, "mine"),
    ]);
    unpack(over.as_slice(), &into, 1 << 20, |_| false, &Interrupt::default()).unwrap();
    assert_eq!(
        std::fs::read_to_string(into.join("d/esc/victim")).unwrap(),
        "mine"
    );
    assert_eq!(std::fs::read_to_string(into.join("d/up")).unwrap(), "mine");
    assert_eq!(
        std::fs::read_to_string(outside.join("victim")).unwrap(),
        "untouched"
    );
}
