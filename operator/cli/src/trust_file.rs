//! Where the trust file is, and reading it.

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
};

use dcanary_verifier::TrustFile;

use crate::exit::{Exit, Failure};

/// What the environment says about folders; a value, so that tests need not change the process.
#[derive(Clone, Debug, Default)]
pub struct Folders {
    /// `$DCANARY_TRUST`
    pub trust: Option<OsString>,
    /// `$XDG_CONFIG_HOME`
    pub config: Option<OsString>,
    /// `$XDG_STATE_HOME`
    pub state: Option<OsString>,
    /// `$HOME`
    pub home: Option<OsString>,
}

impl Folders {
    /// Those of this process.
    pub fn of_process() -> Self {
        let read = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            trust: read("DCANARY_TRUST"),
            config: read("XDG_CONFIG_HOME"),
            state: read("XDG_STATE_HOME"),
            home: read("HOME"),
        }
    }

    fn under(&self, named: Option<&OsString>, otherwise: &str) -> Option<PathBuf> {
        let folder = named
            .map(PathBuf::from)
            .or_else(|| self.home.as_ref().map(|home| Path::new(home).join(otherwise)))?;
        Some(folder.join("dcanary"))
    }

    /// The trust file that a command means: the flag, the variable, the configuration folder.
    ///
    /// # Errors
    /// When none of them is known.
    pub fn trust_file(&self, flag: Option<&Path>) -> Result<PathBuf, Failure> {
        if let Some(path) = flag {
            return Ok(path.to_owned());
        }
        if let Some(path) = &self.trust {
            return Ok(path.into());
        }
        self.under(self.config.as_ref(), ".config")
            .map(|folder| folder.join("trust.json"))
            .ok_or_else(|| {
                Failure::usage(
                    "there is no home folder for the trust file; name it with --trust FILE or $DCANARY_TRUST",
                )
            })
    }

    /// Where checkpoints are kept: beside nothing that people edit.
    pub fn checkpoints(&self) -> Option<PathBuf> {
        self.under(self.state.as_ref(), ".local/state")
            .map(|folder| folder.join("checkpoints"))
    }

    /// Where evidence of a fork is kept: beside the trust file.
    pub fn evidence(&self, trust_file: Option<&Path>) -> Option<PathBuf> {
        let path = self.trust_file(trust_file).ok()?;
        let folder = path.parent()?;
        Some(if folder.as_os_str().is_empty() {
            PathBuf::from(".")
        } else {
            folder.to_owned()
        })
    }
}

/// Reads the trust file. `None` when there is none and none was named.
///
/// # Errors
/// When a file was named and is not there, or it is malformed.
pub fn load(flag: Option<&Path>, folders: &Folders) -> Result<Option<(PathBuf, TrustFile)>, Failure> {
    let path = folders.trust_file(flag)?;
    let named = flag.is_some() || folders.trust.is_some();
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(source) if source.kind() == io::ErrorKind::NotFound && !named => return Ok(None),
        Err(source) => {
            return Err(Failure::usage(format!(
                "cannot read the trust file {path}: {source}; `dcanary trust pin --trust {path}` writes one",
                path = path.display()
            ))
            .with(Exit::Unchecked));
        }
    };
    match TrustFile::parse(&text) {
        Ok(trust) => Ok(Some((path, trust))),
        Err(source) => Err(Failure::usage(format!("{}: {source}", path.display())).with(Exit::Unchecked)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folders(home: &Path) -> Folders {
        Folders {
            home: Some(home.into()),
            ..Folders::default()
        }
    }

    #[test]
    fn the_flag_wins_over_the_variable_and_that_over_the_folder() {
        let mut folders = folders(Path::new("/home/ada"));
        assert_eq!(
            folders.trust_file(None).unwrap(),
            Path::new("/home/ada/.config/dcanary/trust.json")
        );
        folders.config = Some("/cfg".into());
        assert_eq!(
            folders.trust_file(None).unwrap(),
            Path::new("/cfg/dcanary/trust.json")
        );
        folders.trust = Some("/t.json".into());
        assert_eq!(folders.trust_file(None).unwrap(), Path::new("/t.json"));
        assert_eq!(folders.trust_file(Some(Path::new("x"))).unwrap(), Path::new("x"));
        assert!(Folders::default().trust_file(None).is_err());
    }

    #[test]
    fn evidence_is_kept_beside_the_trust_file() {
        let folders = folders(Path::new("/home/ada"));
        assert_eq!(
            folders.evidence(None).unwrap(),
            Path::new("/home/ada/.config/dcanary")
        );
        assert_eq!(
            folders.evidence(Some(Path::new("/x/t.json"))).unwrap(),
            Path::new("/x")
        );
        assert_eq!(
            folders.evidence(Some(Path::new("t.json"))).unwrap(),
            Path::new(".")
        );
        assert_eq!(Folders::default().evidence(None), None);
    }

    #[test]
    fn no_trust_file_is_no_error_unless_one_was_named() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(load(None, &folders(home.path())).unwrap(), None);
        let missing = home.path().join("t.json");
        assert!(
            load(Some(&missing), &folders(home.path()))
                .unwrap_err()
                .message
                .contains("cannot read")
        );
    }

    #[test]
    fn a_malformed_trust_file_is_named_with_the_field() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("t.json");
        fs::write(&path, "{\"format\": \"dcanary-trust/1\"}").unwrap();
        let failure = load(Some(&path), &folders(home.path())).unwrap_err();
        assert!(
            failure.message.contains("t.json") && failure.message.contains("root_key"),
            "{failure}"
        );
        assert_eq!(failure.exit, Exit::Unchecked);
    }
}
