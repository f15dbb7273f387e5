//! Why a node does not start, or cannot go on.

use super::keys::{KEYS, ROOT_KEY};
use crate::cert::keys::KeysError;
use crate::cert::signer::SignError;
use crate::log::replay::ReplayError;
use crate::wasm::engine::EngineError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use thiserror::Error;

/// Why a node does not start.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StartError {
    /// Another process has the data folder.
    #[error("the data folder {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// The data folder cannot be used.
    #[error("cannot use the data folder {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The keys cannot be made.
    #[error("the node's keys cannot be made")]
    Keys(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The key file cannot be read.
    #[error("cannot read the keys in {}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The key file holds no keys.
    #[error("the keys in {} cannot be used", path.display())]
    BadKeys {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The data belongs to another network.
    #[error(
        "the keys in {} are not those of the data folder {}: its state was made under another root key. Name the file with its keys with \
         `--keys FILE`",
        keys.display(), folder.display()
    )]
    OtherKeys {
        /// The folder.
        folder: PathBuf,
        /// The file with the keys.
        keys: PathBuf,
    },
    /// The data is there without its keys, which are made only once.
    #[error(
        "the data folder {} has no keys, and its state is of no use without those that it was made with: name their file with `--keys FILE`. \
         A restored folder that took the place of another one finds them in {}.before-1/{KEYS}, or where the last number is",
        .0.display(), .0.display()
    )]
    NoKeys(PathBuf),
    /// The data is there without what tells whose it is: a part of a folder, or of a backup.
    #[error(
        "the data folder {} is not whole (it has a state without `{ROOT_KEY}`, or the mark `restoring`), as after a copy or restore that \
         was interrupted. Copy or restore all of it into an empty folder",
        .0.display()
    )]
    NotWhole(PathBuf),
    /// The folder is somebody else's.
    #[error(
        "{} is no data folder of a node: it has `{name}` and no `{ROOT_KEY}`. Name an empty folder, or one that a node has made",
        folder.display()
    )]
    Alien {
        /// The folder.
        folder: PathBuf,
        /// What is in it.
        name: String,
    },
    /// The data cannot be restored.
    #[error("the state cannot be restored")]
    Restore(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine cannot be set up.
    #[error("the engine cannot be set up")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The address cannot be bound.
    #[error("cannot listen at {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No threads.
    #[error("cannot start threads")]
    Threads(#[source] io::Error),
}

impl From<KeysError> for StartError {
    fn from(error: KeysError) -> Self {
        Self::Keys(Box::new(error))
    }
}

impl From<SignError> for StartError {
    fn from(error: SignError) -> Self {
        Self::Keys(Box::new(error))
    }
}

impl From<ReplayError> for StartError {
    fn from(error: ReplayError) -> Self {
        Self::Restore(Box::new(error))
    }
}

impl From<EngineError> for StartError {
    fn from(error: EngineError) -> Self {
        Self::Engine(Box::new(error))
    }
}

/// The node stopped because it cannot go on: a sync failed, or a defect.
#[derive(Debug, Error)]
#[error("the node has failed: {0}")]
pub struct NodeFailed(pub(super) String);
