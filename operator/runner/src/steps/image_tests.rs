use std::fs;
use std::os::unix::fs::symlink;

use super::*;

/// The outcome of an image of these `from` and `to`, out of a workspace with a file `dist/x`, a folder `dist/sub` and a symlink `links/l`.
fn built(files: &[(&str, &str)]) -> Result<Body, ImageError> {
    let folder = tempfile::tempdir().unwrap();
    let workspace = Workspace::open(folder.path()).unwrap();
    for name in ["dist/sub", "links"] {
        fs::create_dir_all(folder.path().join(name)).unwrap();
    }
    for name in ["dist/x", "dist/sub/y"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    symlink("elsewhere", folder.path().join("links/l")).unwrap();
    let files: Vec<ImageFile> = files
        .iter()
        .map(|&(from, to)| ImageFile {
            from: from.to_owned(),
            to: to.to_owned(),
        })
        .collect();
    let root = workspace.root().to_owned();
    layout(
        &workspace,
        &root,
        &files,
        &Description::default(),
        &Interrupt::default(),
    )
}

#[test]
fn nothing_lies_below_a_file_or_a_symlink_of_an_image() {
    let cases: &[(&[(&str, &str)], &str)] = &[
        (
            &[("dist/x", "/app"), ("dist", "/app/static")],
            "files[1] puts `/app/static` below `/app`, which files[0] makes a file:",
        ),
        (
            &[("dist", "/app/static"), ("dist/x", "/app")],
            "files[0] puts `/app/static` below `/app`, which files[1] makes a file:",
        ),
        // The last entry of a path counts: here a file takes the place of a folder.
        (
            &[("dist", "/app"), ("dist/x", "/app")],
            "files[0] puts `/app/sub` below `/app`, which files[1] makes a file:",
        ),
        (
            &[("dist", "/app"), ("dist/x", "/app/sub/y/z")],
            "files[1] puts `/app/sub/y/z` below `/app/sub/y`, which files[0] makes a file:",
        ),
        (
            &[("links", "/app"), ("dist/x", "/app/l/x")],
            "files[1] puts `/app/l/x` below `/app/l`, which files[0] makes a symlink:",
        ),
    ];
    for (files, said) in cases {
        let error = built(files).unwrap_err().to_string();
        assert!(error.starts_with(said), "{error}");
    }
}

#[test]
fn files_below_folders_and_beside_files_of_like_names_are_an_image() {
    let cases: &[&[(&str, &str)]] = &[
        &[("dist/x", "/app/"), ("dist", "/app/static")],
        &[("dist/x", "/app"), ("dist", "/app.d")],
        &[("dist", "/app"), ("dist/x", "/app/sub/z")],
        &[("dist/x", "/app"), ("dist", "/app")],
        &[("dist", "/"), ("links", "/")],
    ];
    for files in cases {
        assert!(built(files).is_ok(), "{files:?}");
    }
}
