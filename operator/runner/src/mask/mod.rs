//! Keeps secret values out of everything that leaves the Pod.
//!
//! ```text
//! secret ─▶ forms (raw, lines, base64, URL, JSON, …) ─▶ automaton ─▶ stream: bytes in, masked lines out
//! ```

mod automaton;
mod forms;
mod stream;
#[cfg(test)]
mod tests;

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use dcanary_protocol::plan::Mask;
use thiserror::Error;

pub(crate) use stream::{Line, Stream};

use automaton::{Automaton, Builder};

/// Secrets of Kubernetes hold at most 1 MiB.
const SECRET_BYTES: u64 = 1 << 20;

/// What is written instead of a secret.
pub(crate) const MASKED: &str = "***";

/// Why masking cannot be relied on; no step is started then.
#[derive(Debug, Error)]
pub(crate) enum MaskError {
    #[error("the secret files `{path}` cannot be read: {source}")]
    Read { path: String, source: std::io::Error },
    #[error("the secret file `{0}` is larger than {SECRET_BYTES} bytes")]
    TooLarge(String),
}

/// All secrets of the attempt. Cheap to clone; clones share what is read later.
#[derive(Debug, Clone)]
pub(crate) struct Masks {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug)]
struct Known {
    secrets: Vec<Secret>,
    automaton: Arc<Automaton>,
}

#[derive(Debug, Clone)]
struct Secret {
    value: Vec<u8>,
    /// The variable or file that held it, for people; none of what the runner has for itself.
    origin: Option<String>,
}

impl Masks {
    /// Reads the values that the plan names, besides `others`.
    pub(crate) fn read(masks: &[Mask], others: &[Vec<u8>]) -> Result<Self, MaskError> {
        let mut all = own(others);
        all.extend(secrets(masks)?);
        Ok(Self::with(all))
    }

    /// Reads them again: the kubelet swaps the files of a Secret that was changed. What was secret before stays so.
    pub(crate) fn read_again(&self, masks: &[Mask]) -> Result<(), MaskError> {
        let read = secrets(masks)?;
        let mut known = self.known();
        let mut news = false;
        for secret in read {
            if known.secrets.iter().all(|other| other.value != secret.value) {
                known.secrets.push(secret);
                news = true;
            }
        }
        if news {
            known.automaton = Arc::new(automaton(&known.secrets));
        }
        Ok(())
    }

    /// Masks the given values.
    #[cfg(test)]
    pub(crate) fn of(values: &[Vec<u8>]) -> Self {
        Self::with(own(values))
    }

    fn with(secrets: Vec<Secret>) -> Self {
        let known = Known {
            automaton: Arc::new(automaton(&secrets)),
            secrets,
        };
        Self {
            known: Arc::new(Mutex::new(known)),
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A masker for one stream of output.
    pub(crate) fn stream(&self) -> Stream {
        Stream::new(Arc::clone(&self.known().automaton))
    }

    /// A text for people with all secrets replaced.
    pub(crate) fn text(&self, text: &str) -> String {
        masked(self.stream(), text)
    }

    /// A value with all secrets replaced and every other byte as it is.
    pub(crate) fn value(&self, value: &str) -> String {
        masked(self.stream().exact(), value)
    }

    /// The variable or file whose value a text holds. For the rare case only: it searches for each secret by itself.
    pub(crate) fn origin(&self, text: &str) -> Option<String> {
        let secrets = self.known().secrets.clone();
        let held = |secret: &&Secret| {
            let alone = Arc::new(automaton(std::slice::from_ref(*secret)));
            masked(Stream::new(alone).exact(), text) != text
        };
        secrets.iter().find(held)?.origin.clone()
    }
}

fn own(values: &[Vec<u8>]) -> Vec<Secret> {
    let secret = |value: &Vec<u8>| Secret {
        value: value.clone(),
        origin: None,
    };
    values.iter().map(secret).collect()
}

fn masked(mut stream: Stream, text: &str) -> String {
    let mut lines = Vec::new();
    stream.feed(text.as_bytes(), &mut lines);
    stream.finish(&mut lines);
    let mut masked = String::with_capacity(text.len());
    for (number, line) in lines.iter().enumerate() {
        masked.push_str(&line.text);
        if !line.partial && (number + 1 < lines.len() || text.ends_with('\n')) {
            masked.push('\n');
        }
    }
    masked
}

fn automaton(secrets: &[Secret]) -> Automaton {
    let mut builder = Builder::default();
    let values = secrets.iter().map(|secret| secret.value.as_slice());
    forms::add_all(values.collect(), &mut builder);
    builder.build()
}

/// The values that the plan names, as they are now.
fn secrets(masks: &[Mask]) -> Result<Vec<Secret>, MaskError> {
    let mut secrets: Vec<Secret> = Vec::new();
    for mask in masks {
        match mask {
            Mask::Env { name } => {
                use std::os::unix::ffi::OsStringExt;
                secrets.extend(std::env::var_os(name).map(|value| Secret {
                    value: value.into_vec(),
                    origin: Some(format!("variable `{name}`")),
                }));
            }
            Mask::Dir { path } => {
                let failed = |source| MaskError::Read {
                    path: path.clone(),
                    source,
                };
                read_secret(Path::new(path), &mut secrets).map_err(failed)?;
            }
        }
    }
    if secrets
        .iter()
        .any(|secret| secret.value.len() as u64 > SECRET_BYTES)
    {
        return Err(MaskError::TooLarge("of the plan".to_owned()));
    }
    Ok(secrets)
}

/// Reads a file, or a directory of files. A key that the Secret does not have is a name that is missing in its directory.
fn read_secret(path: &Path, secrets: &mut Vec<Secret>) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => read_directory(path, secrets),
        Ok(metadata) if metadata.is_file() => read_file(path, secrets),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if parent.is_dir() => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Secret volumes hold files behind symlinks (`..data`), which the kubelet swaps at an update.
fn read_directory(path: &Path, secrets: &mut Vec<Secret>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(path)? {
        let entry = entry?.path();
        let metadata = match std::fs::metadata(&entry) {
            // an update took it away meanwhile
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            found => found?,
        };
        if metadata.is_dir() {
            if !entry
                .file_name()
                .is_some_and(|name| name.as_encoded_bytes().starts_with(b".."))
            {
                read_directory(&entry, secrets)?;
            }
        } else if metadata.is_file() {
            read_file(&entry, secrets)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, secrets: &mut Vec<Secret>) -> std::io::Result<()> {
    use std::io::Read;
    // Not blocking: never waits on a FIFO that took the place of the file.
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let mut value = Vec::new();
    file.take(SECRET_BYTES + 1).read_to_end(&mut value)?;
    secrets.push(Secret {
        value,
        origin: Some(format!("file `{}`", path.display())),
    });
    Ok(())
}
