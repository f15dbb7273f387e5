//! Paths below the workspace.

use std::path::{Path, PathBuf};

use dcanary_protocol::paths;
use thiserror::Error;

/// Folders of the runner in `.dcanary`.
pub(crate) const OWN: [&str; 5] = ["home", "spool", "steps", "inputs", "tmp"];

/// The workspace and the runner's own folder in it.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
}

/// Why a path is refused.
#[derive(Debug, Error)]
pub(crate) enum PathError {
    #[error("`{0}` leads out of the workspace")]
    Outside(String),
    #[error("`{path}` cannot be used: {source}")]
    Unusable { path: String, source: std::io::Error },
}

impl Workspace {
    /// Opens the workspace and creates the runner's folders.
    pub(crate) fn open(root: &Path) -> std::io::Result<Self> {
        std::fs::create_dir_all(root)?;
        let workspace = Self {
            root: root.canonicalize()?,
        };
        workspace.make_own()?;
        Ok(workspace)
    }

    /// Creates the runner's folders, which steps may have removed.
    pub(crate) fn make_own(&self) -> std::io::Result<()> {
        OWN.into_iter()
            .try_for_each(|name| std::fs::create_dir_all(self.own(name)))
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A folder of the runner: `.dcanary/<name>`.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.root.join(paths::OWN).join(name)
    }

    /// Whether a path is a folder of the runner or lies in one.
    pub(crate) fn is_own(&self, path: &Path) -> bool {
        OWN.iter().any(|name| path.starts_with(self.own(name)))
    }

    /// An existing directory, given relative to the workspace; symlinks may not lead out of it.
    pub(crate) fn directory(&self, relative: Option<&str>) -> Result<PathBuf, PathError> {
        let Some(relative) = relative else {
            return Ok(self.root.clone());
        };
        let path = self.root.join(inside(relative)?);
        let unusable = |source| PathError::Unusable {
            path: relative.to_owned(),
            source,
        };
        let real = path.canonicalize().map_err(unusable)?;
        if !real.starts_with(&self.root) {
            return Err(PathError::Outside(relative.to_owned()));
        }
        if !real.is_dir() {
            return Err(unusable(std::io::Error::from(std::io::ErrorKind::NotADirectory)));
        }
        Ok(real)
    }

    /// A directory to be created, given relative to `base`, which lies inside the workspace.
    pub(crate) fn create_directory(&self, base: &Path, relative: &str) -> Result<PathBuf, PathError> {
        let mut path = base.to_path_buf();
        let unusable = |source| PathError::Unusable {
            path: relative.to_owned(),
            source,
        };
        for part in inside(relative)?.components() {
            path.push(part);
            match std::fs::create_dir(&path) {
                Err(source) if source.kind() != std::io::ErrorKind::AlreadyExists => {
                    return Err(unusable(source));
                }
                _ => {}
            }
            let real = path.canonicalize().map_err(unusable)?;
            if !real.starts_with(&self.root) {
                return Err(PathError::Outside(relative.to_owned()));
            }
            path = real;
        }
        if path.is_dir() {
            Ok(path)
        } else {
            Err(unusable(std::io::Error::from(std::io::ErrorKind::NotADirectory)))
        }
    }
}

/// The part of a path below the workspace.
pub(crate) fn inside(path: &str) -> Result<PathBuf, PathError> {
    paths::inside(path).ok_or_else(|| PathError::Outside(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_symlink_out_of_the_workspace_is_no_working_directory() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace::open(folder.path()).unwrap();
        std::os::unix::fs::symlink("/etc", folder.path().join("out")).unwrap();
        assert!(matches!(
            workspace.directory(Some("out")),
            Err(PathError::Outside(_))
        ));
        assert!(matches!(
            workspace.create_directory(workspace.root(), "out/made"),
            Err(PathError::Outside(_))
        ));
        assert!(matches!(
            workspace.directory(Some("absent")),
            Err(PathError::Unusable { .. })
        ));
    }
}
