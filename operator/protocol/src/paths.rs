//! Paths that steps name. The operator refuses what the runner would.

use std::path::{Component, Path, PathBuf};

use glob::{Pattern, PatternError};

/// Folder of the workspace that the runner keeps its own files in.
pub const OWN: &str = ".dcanary";

/// A relative path without `..`, or an absolute one below `/workspace` taken relative to it. None when it leads elsewhere.
pub fn inside(path: &str) -> Option<PathBuf> {
    let relative = Path::new(path)
        .strip_prefix("/workspace")
        .unwrap_or(Path::new(path));
    let mut clean = PathBuf::new();
    for component in relative.components() {
        match component {
            Component::Normal(part) => clean.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(clean)
}

/// The pattern that a path is, if it is one.
///
/// # Errors
/// When it begins a pattern and is none.
pub fn pattern(path: &Path) -> Result<Option<Pattern>, PatternError> {
    let text = path.to_string_lossy();
    if text.contains(['*', '?', '[']) {
        Pattern::new(&text).map(Some)
    } else {
        Ok(None)
    }
}

/// An absolute path in an image, relative to its root. None when it is no such path.
pub fn in_image(path: &str) -> Option<PathBuf> {
    let relative = Path::new(path).strip_prefix("/").ok()?;
    let is_plain = relative
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (is_plain && !path.contains('\0')).then(|| relative.components().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_out_of_the_workspace_are_refused() {
        for path in ["..", "a/../..", "/etc", "/workspace/../etc", "/workspaces"] {
            assert_eq!(inside(path), None, "{path}");
        }
        assert_eq!(inside("./a//b/.").unwrap(), PathBuf::from("a/b"));
        assert_eq!(inside("/workspace/a").unwrap(), PathBuf::from("a"));
    }

    #[test]
    fn a_path_is_a_pattern_no_pattern_or_a_broken_one() {
        assert!(pattern(Path::new("a/*.xml")).unwrap().is_some());
        assert!(pattern(Path::new("a/b.xml")).unwrap().is_none());
        for broken in ["a[b", "a***", "a**"] {
            assert!(pattern(Path::new(broken)).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_path_in_an_image_begins_at_its_root_and_stays_there() {
        assert_eq!(in_image("/usr/bin/web").unwrap(), PathBuf::from("usr/bin/web"));
        assert_eq!(in_image("/").unwrap(), PathBuf::new());
        for path in ["usr", "../x", "/../etc", "/a/../b", "/a\0"] {
            assert_eq!(in_image(path), None, "{path:?}");
        }
    }
}
