//! The deciding crates have no client, no runtime, no source of randomness among their dependencies, and never ask for the time.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::{path::Path, process::Command};

const FORBIDDEN: [&str; 14] = [
    "kube-client",
    "kube-runtime",
    "tokio",
    "ic-agent",
    "rand",
    "rand_core",
    "getrandom",
    "fastrand",
    "reqwest",
    "hyper",
    "rustls",
    "mio",
    "async-std",
    "tower",
];

/// The crates that decide. What they call, also the crates after them, is among their dependencies.
const DECIDING: [&str; 2] = ["dcanary-core", "dcanary-rollout"];

/// Folders of these, and of ours that they are made of, from this one.
const FOLDERS: [&str; 6] = [
    ".",
    "../rollout",
    "../expr",
    "../protocol",
    "../../canisters/types",
    "../../crds",
];

#[test]
fn no_client_no_runtime_no_randomness_among_the_dependencies() {
    for name in DECIDING {
        depends_on_nothing_forbidden(name);
    }
}

fn depends_on_nothing_forbidden(name: &str) {
    let output = Command::new(env!("CARGO"))
        .args([
            "tree",
            "-p",
            name,
            "-e",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
            "--offline",
            "--locked",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo tree runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("dcanary-types"), "the tree is empty: {tree}");
    let found: Vec<&str> = tree
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| FORBIDDEN.contains(name))
        .collect();
    assert!(found.is_empty(), "{name}: {found:?}");
}

#[test]
fn nothing_asks_for_the_time_or_the_surroundings() {
    fn look(folder: &Path) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            // tests may ask, and the program that writes the definitions
            if name.contains("tests") || ["bin", "generate.rs"].contains(&name) {
                continue;
            }
            if path.is_dir() {
                look(&path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for word in [
                "Timestamp::now",
                "Zoned::now",
                "SystemTime",
                "Instant::now",
                "std::env",
                "std::fs",
                "std::net",
                "std::thread",
            ] {
                assert!(!text.contains(word), "{} has {word}", path.display());
            }
        }
    }
    for folder in FOLDERS {
        look(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join("src"));
    }
}
