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
    /// The keys cannot be read or made.
    #[error("the node's keys cannot be used")]
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
    /// The data belongs to another network.
    #[error("the data folder {} holds the state of another root key: give the keys that it was made with", .0.display())]
    OtherKeys(PathBuf),
    /// The data is there, and neither keys nor what tells whose it is: a part of a folder, or of a backup.
    #[error(
        "the data folder {} holds a state, but neither `{KEYS}` nor `{ROOT_KEY}`: it is not whole. Copy or restore all of it, or give \
         the keys that it was made with (--keys)",
        .0.display()
    )]
    MissingKeys(PathBuf),
    /// The data cannot be restored.
    #[error("the state cannot be restored: {0}")]
    Restore(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The engine cannot be set up.
    #[error("the engine cannot be set up: {0}")]
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
