use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::sync::Arc;

use proptest::prelude::*;

use super::archive::{Archive, Body, Entry, Reader};
use super::header::{Kind, Meta};
use super::select::{SelectError, Selected, Times, select};
use super::unpack::unpack;
use crate::interrupt::Interrupt;
use crate::workspace::{PathError, Workspace};

fn bytes(body: &Body) -> Vec<u8> {
    let mut all = vec![0; usize::try_from(body.length()).unwrap()];
    let read = Reader::new(body.clone()).read_at(0, &mut all).unwrap();
    assert_eq!(read, all.len());
    all
}

fn tar_of(workspace: &Workspace, patterns: &[&str], times: Times) -> Vec<u8> {
    let patterns: Vec<String> = patterns.iter().map(|&pattern| pattern.to_owned()).collect();
    match select(
        workspace,
        workspace.root(),
        &patterns,
        times,
        &Interrupt::default(),
    )
    .unwrap()
    {
        Selected::Entries(entries) => bytes(&Body::Archive(Arc::new(Archive::new(entries)))),
        Selected::File { body, .. } => bytes(&body),
    }
}

fn fill(folder: &Path, names: &[&str], mode: u32) -> Workspace {
    let workspace = Workspace::open(folder).unwrap();
    for name in names {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, format!("content of {name}")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    workspace
}

fn names(tar: &[u8]) -> Vec<String> {
    let mut archive = tar::Archive::new(tar);
    archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}

#[test]
fn equal_files_give_equal_archives_in_any_folder_order_mode_and_time() {
    let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let long = format!("dist/{}/{}.txt", "d".repeat(120), "n".repeat(120));
    let first = fill(one.path(), &["dist/b", "dist/a", "dist/sub/c", &long], 0o600);
    let second = fill(other.path(), &[&long, "dist/sub/c", "dist/a", "dist/b"], 0o664);
    for folder in [&one, &other] {
        symlink("../elsewhere", folder.path().join("dist/link")).unwrap();
        symlink("t".repeat(150), folder.path().join("dist/long-link")).unwrap();
    }
    let file = std::fs::File::options()
        .write(true)
        .open(other.path().join("dist/a"))
        .unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(9))
        .unwrap();
    let tar = tar_of(&first, &["dist"], Times::Fixed(0));
    assert_eq!(tar, tar_of(&second, &["dist"], Times::Fixed(0)));
    assert_ne!(tar, tar_of(&second, &["dist"], Times::Fixed(7)));
    assert_ne!(
        tar_of(&first, &["dist"], Times::Raw),
        tar_of(&second, &["dist"], Times::Raw)
    );
    let mut sorted = names(&tar);
    sorted.sort();
    assert_eq!(sorted.len(), 9, "{sorted:?}");
    assert!(sorted.contains(&long));
}

#[test]
fn an_archive_comes_out_as_it_went_in_and_other_programs_read_it() {
    let folder = tempfile::tempdir().unwrap();
    let long = format!("dist/{}/{}", "d".repeat(120), "n".repeat(99));
    let workspace = fill(folder.path(), &["dist/run", &long], 0o755);
    fill(folder.path(), &["dist/plain"], 0o640);
    symlink("plain", folder.path().join("dist/link")).unwrap();
    let tar = tar_of(&workspace, &["dist"], Times::Fixed(1));
    let out = tempfile::tempdir().unwrap();
    unpack(
        tar.as_slice(),
        out.path(),
        1 << 20,
        |_| false,
        &Interrupt::default(),
    )
    .unwrap();
    let by_tar = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x.tar"), &tar).unwrap();
    let status = std::process::Command::new("tar")
        .arg("-xf")
        .arg(folder.path().join("x.tar"))
        .current_dir(by_tar.path())
        .status();
    assert!(status.unwrap().success());
    for place in [out.path(), by_tar.path()] {
        assert_eq!(
            std::fs::read_to_string(place.join(&long)).unwrap(),
            format!("content of {long}")
        );
        assert_eq!(
            std::fs::read_link(place.join("dist/link")).unwrap(),
            Path::new("plain")
        );
        let mode = |name: &str| place.join(name).metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("dist/run"), mode("dist/plain")), (0o755, 0o644));
    }
}

#[test]
fn a_folder_for_everybody_stays_one_and_other_modes_are_normal() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = fill(folder.path(), &["dist/secret"], 0o600);
    for (name, mode) in [("tmp", 0o1777), ("open", 0o777), ("sticky", 0o1770)] {
        let path = folder.path().join("dist").join(name);
        std::fs::create_dir(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let tar = tar_of(&workspace, &["dist"], Times::Fixed(0));
    let mut archive = tar::Archive::new(tar.as_slice());
    let modes: Vec<(String, u32)> = archive
        .entries()
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().display().to_string();
            (path, entry.header().mode().unwrap())
        })
        .collect();
    let normal = [
        ("dist", 0o755),
        ("dist/open", 0o755),
        ("dist/secret", 0o644),
        ("dist/sticky", 0o755),
        ("dist/tmp", 0o1777),
    ];
    let trimmed: Vec<(&str, u32)> = modes
        .iter()
        .map(|(path, mode)| (path.trim_end_matches('/'), *mode))
        .collect();
    assert_eq!(trimmed, normal);
    // and comes out as it was put in
    let out = tempfile::tempdir().unwrap();
    unpack(
        tar.as_slice(),
        out.path(),
        1 << 20,
        |_| false,
        &Interrupt::default(),
    )
    .unwrap();
    for (name, mode) in normal {
        let found = out.path().join(name).metadata().unwrap().permissions().mode() & 0o7777;
        assert_eq!(found, mode, "{name}");
    }
}

proptest! {
    #[test]
    fn any_part_of_an_archive_reads_as_in_the_whole(
        sizes in proptest::collection::vec(0_usize..2000, 0..6), at in 0_u64..9000, length in 0_usize..3000,
    ) {
        let entries = sizes.iter().enumerate().map(|(number, &size)| Entry {
            meta: Meta::normalized(format!("{}{number}", "p".repeat(number * 40)).into_bytes(), Kind::File, false, 0),
            body: Body::Bytes((0..size).map(|byte| u8::try_from(byte % 251).unwrap()).collect()),
        });
        let inner = Body::Archive(Arc::new(Archive::new(entries.collect())));
        let outer = Entry { meta: Meta::normalized(b"inner".to_vec(), Kind::File, false, 0), body: inner };
        let body = Body::Archive(Arc::new(Archive::new(vec![outer])));
        let whole = bytes(&body);
        let mut part = vec![0; length];
        let read = Reader::new(body).read_at(at, &mut part).unwrap();
        let at = usize::try_from(at).unwrap().min(whole.len());
        prop_assert_eq!(&part[..read], &whole[at..(at + length).min(whole.len())]);
        prop_assert_eq!(tar::Archive::new(whole.as_slice()).entries().unwrap().count(), 1);
    }
}

#[test]
fn globs_and_paths_select_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = fill(
        folder.path(),
        &["a/one.txt", "a/b/two.txt", "a/b/three.md", "top.txt"],
        0o644,
    );
    let all = |patterns: &[&str]| names(&tar_of(&workspace, patterns, Times::Fixed(0)));
    assert_eq!(all(&["**/*.txt"]), ["a/b/two.txt", "a/one.txt", "top.txt"]);
    assert_eq!(
        all(&["a/*", "top.txt"]),
        ["a/b/", "a/b/three.md", "a/b/two.txt", "a/one.txt", "top.txt"]
    );
    assert!(
        !all(&["."]).iter().any(|name| name.contains(".dcanary/")),
        "the runner's own folders stay out"
    );
    let one = select(
        &workspace,
        workspace.root(),
        &["a/b/*.md".into()],
        Times::Raw,
        &Interrupt::default(),
    )
    .unwrap();
    assert!(matches!(one, Selected::File { name, .. } if name == "three.md"));
    let folder = select(
        &workspace,
        workspace.root(),
        &["a/b".into()],
        Times::Raw,
        &Interrupt::default(),
    )
    .unwrap();
    assert!(matches!(folder, Selected::Entries(entries) if entries.len() == 3));
}

#[test]
fn nothing_outside_of_the_workspace_is_selected() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = fill(folder.path(), &["dist/a"], 0o644);
    symlink("/etc", folder.path().join("dist/etc")).unwrap();
    symlink("/etc/passwd", folder.path().join("secret")).unwrap();
    let fail = |pattern: &str| {
        select(
            &workspace,
            workspace.root(),
            &[pattern.into()],
            Times::Raw,
            &Interrupt::default(),
        )
        .unwrap_err()
    };
    for outside in [
        "../x",
        "/etc/passwd",
        "secret",
        "dist/etc/passwd",
        "dist/etc/*",
        "dist/../../x",
    ] {
        assert!(
            matches!(fail(outside), SelectError::Path(PathError::Outside(_))),
            "{outside}"
        );
    }
    assert!(matches!(fail("absent"), SelectError::Nothing(_)));
    assert!(matches!(fail("*.absent"), SelectError::Nothing(_)));
    assert!(matches!(fail("[z-"), SelectError::Glob { .. }));
    let tar = tar_of(&workspace, &["dist"], Times::Fixed(0));
    assert_eq!(
        names(&tar),
        ["dist/", "dist/a", "dist/etc"],
        "a link inside is kept as a link"
    );
    nix::unistd::mkfifo(&folder.path().join("dist/fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(fail("dist"), SelectError::Special(_)));
}

#[test]
fn what_is_stored_can_be_fetched_whatever_its_links_lead_to() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = fill(folder.path(), &["dist/bin/tool", "other"], 0o755);
    let links = [
        ("dist/bin/python", "/bin/sh"),
        ("dist/bin/other", "../../other"),
        ("dist/out", "../../.."),
        ("dist/nowhere", "absent"),
    ];
    for (path, target) in links {
        symlink(target, folder.path().join(path)).unwrap();
    }
    for times in [Times::Fixed(0), Times::Raw] {
        let tar = tar_of(&workspace, &["dist"], times);
        let out = tempfile::tempdir().unwrap();
        unpack(
            tar.as_slice(),
            out.path(),
            1 << 20,
            |_| false,
            &Interrupt::default(),
        )
        .unwrap();
        for (path, target) in links {
            assert_eq!(
                std::fs::read_link(out.path().join(path)).unwrap(),
                Path::new(target)
            );
        }
    }
}

#[test]
fn a_file_that_changes_while_it_is_stored_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = fill(folder.path(), &["dist/a"], 0o644);
    let Selected::Entries(entries) = select(
        &workspace,
        workspace.root(),
        &["dist".into()],
        Times::Raw,
        &Interrupt::default(),
    )
    .unwrap() else {
        panic!("a folder")
    };
    std::fs::write(folder.path().join("dist/a"), "longer than it was before").unwrap();
    let body = Body::Archive(Arc::new(Archive::new(entries)));
    let error = Reader::new(body).read_at(0, &mut [0; 8192]).unwrap_err();
    assert!(error.to_string().contains("dist/a` changed"), "{error}");
}

#[test]
fn a_selection_that_is_given_up_ends_at_the_next_file() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = fill(folder.path(), &["dist/a", "dist/b"], 0o644);
    let interrupt = Interrupt::default();
    interrupt.set();
    for pattern in ["dist", "dist/*"] {
        let result = select(
            &workspace,
            workspace.root(),
            &[pattern.into()],
            Times::Raw,
            &interrupt,
        );
        assert!(matches!(result, Err(SelectError::Interrupted(_))), "{pattern}");
    }
    assert!(Body::Bytes(Arc::from([1])).digest(&interrupt).is_err());
}
