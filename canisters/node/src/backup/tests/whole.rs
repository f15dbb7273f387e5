//! A backup that is not whole, or none, and a restore that is interrupted.

use super::*;

#[tokio::test]
async fn a_backup_that_ends_early_is_refused_and_leaves_nothing() {
    let (bytes, _original) = backup(true).await;
    for len in (0..bytes.len()).step_by(211) {
        let there = tempfile::tempdir().unwrap();
        if let Ok(restored) = restore(there.path(), 0, &bytes[..len]) {
            // only the padding behind the last file is missing
            assert!(
                names(there.path()).len() == restored.files + 3,
                "{len} of {}",
                bytes.len()
            );
            continue;
        }
        assert!(names(there.path()).is_empty(), "{:?}", names(there.path()));
    }
}

/// The last record of a log above all: cut off, it would look like the trace of a crash.
#[tokio::test]
async fn a_backup_with_a_byte_that_is_not_its_own_is_refused_and_leaves_nothing() {
    let (bytes, _original) = backup(true).await;
    let there = tempfile::tempdir().unwrap();
    restore(there.path(), 0, bytes.as_slice()).unwrap();
    let whole = contents(there.path());
    let mut damaged = 0;
    for place in (0..bytes.len()).step_by(101) {
        let mut bytes = bytes.clone();
        bytes[place] ^= 1;
        let there = tempfile::tempdir().unwrap();
        match restore(there.path(), 0, bytes.as_slice()) {
            // what fills the blocks of the tar file belongs to nothing
            Ok(_) => assert_eq!(contents(there.path()), whole, "{place}"),
            Err(error) => {
                damaged += usize::from(matches!(error, RestoreError::Damaged(_)));
                assert!(names(there.path()).is_empty(), "{place}");
            }
        }
    }
    assert!(damaged > 10, "{damaged}");
}

#[test]
fn what_is_no_backup_is_named_so() {
    let there = tempfile::tempdir().unwrap();
    for nonsense in [&b""[..], b"hello", &[7; 4_096]] {
        let refused = restore(there.path(), 0, nonsense).unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("this is no backup of a node: it "),
            "{refused}"
        );
    }
}

/// What a restore leaves that is killed is no data folder: whose it is comes last.
#[tokio::test]
async fn until_all_of_a_backup_is_restored_its_folder_tells_nobody_whose_it_is() {
    struct Watched<'a>(&'a [u8], &'a Path);
    impl io::Read for Watched<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            assert!(!self.1.join("root_key.der").exists());
            self.0.read(buffer)
        }
    }
    let (bytes, _original) = backup(true).await;
    let there = tempfile::tempdir().unwrap();
    restore(there.path(), 0, Watched(&bytes, there.path())).unwrap();
    assert!(there.path().join("root_key.der").exists());
}

#[tokio::test]
async fn no_node_begins_in_what_an_interrupted_restore_left_and_the_next_restore_takes_its_place() {
    /// Keeps what a process that is killed while it reads would leave.
    struct Killed<'a>(&'a [u8], &'a Path, &'a mut Vec<tempfile::TempDir>);
    impl io::Read for Killed<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let left = tempfile::tempdir()?;
            for entry in std::fs::read_dir(self.1)? {
                let entry = entry?;
                std::fs::copy(entry.path(), left.path().join(entry.file_name()))?;
            }
            self.2.push(left);
            let some = buffer.len().min(8_192);
            self.0.read(&mut buffer[..some])
        }
    }
    let (bytes, _original) = backup(false).await;
    let (there, mut kills) = (tempfile::tempdir().unwrap(), Vec::new());
    restore(there.path(), 0, Killed(&bytes, there.path(), &mut kills)).unwrap();
    assert!(!there.path().join("restoring").exists());
    assert!(kills.len() > 3, "{}", kills.len());
    for left in kills {
        let refused = Node::start(Config::durable(left.path())).await.unwrap_err();
        assert!(matches!(refused, StartError::NotWhole(_)), "{refused}");
        restore(left.path(), 0, bytes.as_slice()).unwrap();
        assert_eq!(contents(left.path()), contents(there.path()));
    }
}

#[tokio::test]
async fn no_node_begins_in_a_folder_with_the_mark_of_a_restore_even_when_nothing_is_missing() {
    for with_keys in [true, false] {
        let (bytes, original) = backup(with_keys).await;
        let there = tempfile::tempdir().unwrap();
        restore(there.path(), 0, bytes.as_slice()).unwrap();
        let whole = contents(there.path());
        let config = Config::durable(there.path()).keys(original.path().join("keys.json"));
        std::fs::write(there.path().join("restoring"), "").unwrap();
        let refused = Node::start(config.clone()).await.unwrap_err();
        assert!(matches!(refused, StartError::NotWhole(_)), "{refused}");
        let again = restore(there.path(), 0, bytes.as_slice());
        if with_keys {
            // they might be somebody's only ones
            let refused = again.unwrap_err();
            assert!(matches!(&refused, RestoreError::NotEmpty { name, .. } if name == "keys.json"));
            std::fs::remove_file(there.path().join("restoring")).unwrap();
        } else {
            again.unwrap();
        }
        assert_eq!(contents(there.path()), whole);
        Node::start(config).await.unwrap().shutdown().await.unwrap();
    }
}

#[tokio::test]
async fn what_an_interrupted_restore_left_keeps_its_mark_until_all_of_it_is_gone() {
    let (bytes, _original) = backup(false).await;
    let there = tempfile::tempdir().unwrap();
    restore(there.path(), 0, bytes.as_slice()).unwrap();
    std::fs::write(there.path().join("restoring"), "").unwrap();
    // a name behind that of the mark, which is not removed
    std::fs::remove_file(there.path().join("version")).unwrap();
    std::fs::create_dir(there.path().join("version")).unwrap();
    restore(there.path(), 0, bytes.as_slice()).unwrap_err();
    let refused = Node::start(Config::durable(there.path())).await.unwrap_err();
    assert!(matches!(refused, StartError::NotWhole(_)), "{refused}");
}

#[tokio::test]
async fn a_restore_that_was_interrupted_at_its_first_write_is_begun_again() {
    let (bytes, _original) = backup(false).await;
    let there = tempfile::tempdir().unwrap();
    std::fs::write(there.path().join("tmp-0123456789abcdef-restoring"), "").unwrap();
    restore(there.path(), 0, bytes.as_slice()).unwrap();
    assert!(!names(there.path()).iter().any(|name| name.starts_with("tmp-")));
    let there = tempfile::tempdir().unwrap();
    std::fs::write(there.path().join("tmp-notes-restoring"), "somebody's").unwrap();
    let refused = restore(there.path(), 0, bytes.as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::NotEmpty { name, .. } if name == "tmp-notes-restoring"));
    assert_eq!(names(there.path()), ["tmp-notes-restoring"]);
}

#[tokio::test]
async fn a_backup_with_sums_is_held_to_them_whatever_format_it_claims() {
    let (mut bytes, _original) = backup(true).await;
    let claim = b"\"format\":2";
    let place = bytes
        .windows(claim.len())
        .position(|found| found == claim)
        .unwrap();
    bytes[place + claim.len() - 1] = b'1';
    let there = tempfile::tempdir().unwrap();
    let refused = restore(there.path(), 0, bytes.as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::Damaged(name) if name == DESCRIPTION));
}

#[tokio::test]
async fn a_folder_that_cannot_tell_how_often_it_was_restored_is_not_backed_up() {
    let (_, original) = backup(true).await;
    std::fs::write(original.path().join(INCARNATION), "many times").unwrap();
    let refused = take(original.path(), false, Vec::new()).unwrap_err();
    assert!(matches!(refused, BackupError::Read { path, .. } if path.ends_with(INCARNATION)));
}

/// A tar file with a description and one further entry.
fn tar_with(description: &Description, name: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let described = serde_json::to_vec(description).unwrap();
    for (name, bytes) in [(DESCRIPTION, described.as_slice()), (name, b"evil")] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        // set by hand, because the library refuses what a stranger would write
        header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        tar.append(&header, bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn nothing_is_written_but_files_of_a_node_that_the_description_names() {
    let description = |files: &[&str]| Description {
        format: WITHOUT_SUMS,
        node: String::new(),
        root_key: String::new(),
        written_by: None,
        incarnation: 0,
        files: files.iter().map(|name| (*name).to_owned()).collect(),
    };
    let segment = "log-0000000000000001";
    let outside = tempfile::tempdir().unwrap();
    let there = outside.path().join("data");
    for (files, name) in [
        (vec!["../evil"], "../evil"),
        (vec!["/tmp/evil"], "/tmp/evil"),
        (vec!["log-01/../../evil"], "log-01/../../evil"),
        (vec!["root_key.der"], "root_key.der"),
        (vec![], segment),
    ] {
        let refused = restore(&there, 0, tar_with(&description(&files), name).as_slice()).unwrap_err();
        assert!(matches!(refused, RestoreError::Malformed(_)), "{name}: {refused}");
        assert!(names(&there).is_empty() && names(outside.path()) == ["data"]);
    }
    let other = Description {
        format: FORMAT + 1,
        ..description(&[segment])
    };
    let refused = restore(&there, 0, tar_with(&other, segment).as_slice()).unwrap_err();
    assert!(refused.to_string().contains("format 3"), "{refused}");
    let without_sums = Description {
        format: FORMAT,
        ..description(&[segment])
    };
    let refused = restore(&there, 0, tar_with(&without_sums, segment).as_slice()).unwrap_err();
    assert!(matches!(refused, RestoreError::Missing(name) if name == SUMS));
    // as it was before there were sums
    restore(&there, 0, tar_with(&description(&[segment]), segment).as_slice()).unwrap();
}
