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
    values: Vec<Vec<u8>>,
    automaton: Arc<Automaton>,
}

impl Masks {
    /// Reads the values that the plan names, besides `others`.
    pub(crate) fn read(masks: &[Mask], others: &[Vec<u8>]) -> Result<Self, MaskError> {
        let mut all = others.to_vec();
        all.extend(values(masks)?);
        Ok(Self::of(&all))
    }

    /// Reads them again: the kubelet swaps the files of a Secret that was changed. What was secret before stays so.
    pub(crate) fn read_again(&self, masks: &[Mask]) -> Result<(), MaskError> {
        let read = values(masks)?;
        let mut known = self.known();
        let mut news = false;
        for value in read {
            if !known.values.contains(&value) {
                known.values.push(value);
                news = true;
            }
        }
        if news {
            known.automaton = Arc::new(automaton(&known.values));
        }
        Ok(())
    }

    /// Masks the given values.
    pub(crate) fn of(values: &[Vec<u8>]) -> Self {
        let known = Known {
            automaton: Arc::new(automaton(values)),
            values: values.to_vec(),
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

fn automaton(values: &[Vec<u8>]) -> Automaton {
    let mut builder = Builder::default();
    for value in values {
        forms::add(value, &mut builder);
    }
    builder.build()
}

/// The values that the plan names, as they are now.
fn values(masks: &[Mask]) -> Result<Vec<Vec<u8>>, MaskError> {
    let mut values: Vec<Vec<u8>> = Vec::new();
    for mask in masks {
        match mask {
            Mask::Env { name } => {
                use std::os::unix::ffi::OsStringExt;
                values.extend(std::env::var_os(name).map(OsStringExt::into_vec));
            }
            Mask::Dir { path } => {
                let failed = |source| MaskError::Read {
                    path: path.clone(),
                    source,
                };
                read_secret(Path::new(path), &mut values).map_err(failed)?;
            }
        }
    }
    if values.iter().any(|value| value.len() as u64 > SECRET_BYTES) {
        return Err(MaskError::TooLarge("of the plan".to_owned()));
    }
    Ok(values)
}

/// Reads a file, or a directory of files. A key that the Secret does not have is a name that is missing in its directory.
fn read_secret(path: &Path, values: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => read_directory(path, values),
        Ok(metadata) if metadata.is_file() => read_file(path, values),
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match path.parent() {
            Some(parent) if parent.is_dir() => Ok(()),
            _ => Err(error),
        },
        Err(error) => Err(error),
    }
}

/// Secret volumes hold files behind symlinks (`..data`), which the kubelet swaps at an update.
fn read_directory(path: &Path, values: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
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
                read_directory(&entry, values)?;
            }
        } else if metadata.is_file() {
            read_file(&entry, values)?;
        }
    }
    Ok(())
}

fn read_file(path: &Path, values: &mut Vec<Vec<u8>>) -> std::io::Result<()> {
    use std::io::Read;
    // Not blocking: never waits on a FIFO that took the place of the file.
    let mut options = std::fs::OpenOptions::new();
    let file = options
        .read(true)
        .custom_flags(nix::fcntl::OFlag::O_NONBLOCK.bits())
        .open(path)?;
    let mut value = Vec::new();
    file.take(SECRET_BYTES + 1).read_to_end(&mut value)?;
    values.push(value);
    Ok(())
}
