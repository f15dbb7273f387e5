//! What became of a request, as clients read it under `/request_status`.

use crate::cert::tree::Tree;
use crate::cert::trie::{Hash, Subtree};
use crate::wire::hash::leb128;
use ic_error_types::{ErrorCode, RejectCode};
use ic_principal::Principal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Longest message of a rejection in bytes, as in the replica.
const MAX_MESSAGE: usize = 8 * 1024;

/// A rejection: the code says which kind, the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{error}: {message}")]
pub struct Reject {
    /// The precise code; the reject code follows from it.
    pub error: ErrorCode,
    /// For people.
    pub message: String,
}

impl Reject {
    /// A rejection. A long message is cut, because it is kept and shown until the request expires.
    pub fn new(error: ErrorCode, message: impl Into<String>) -> Self {
        let mut message = message.into();
        message.truncate(message.floor_char_boundary(MAX_MESSAGE));
        Self { error, message }
    }

    /// The reject code, 1 to 5, and to canisters also 6.
    pub fn code(&self) -> u64 {
        RejectCode::from(self.error) as u64
    }
}

impl From<Result<Vec<u8>, Reject>> for Outcome {
    fn from(result: Result<Vec<u8>, Reject>) -> Self {
        match result {
            Ok(reply) => Self::Replied(reply),
            Err(reject) => Self::Rejected(reject),
        }
    }
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The reply.
    Replied(#[serde(with = "serde_bytes")] Vec<u8>),
    /// The rejection.
    Rejected(Reject),
}

/// An ingress message that was ordered. Kept at least until it expires, so that it is executed once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Who sent it; nobody else may read it.
    pub sender: Principal,
    /// The canister through which it may be read.
    pub effective: Principal,
    /// The canister that was called, for which a key that acts for the sender must be; `None` when that was before this was recorded.
    #[serde(default)]
    pub canister: Option<Principal>,
    /// Until when it is kept: as long as it could be sent again, and a while after it ended.
    pub expiry: u64,
    /// How it ended; `None` while it waits for its turn or is processed.
    pub outcome: Option<Outcome>,
    /// Whether it waits for its turn: nothing of it has been executed yet.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub received: bool,
    /// Whether what it ended with was given up, because too much of that was kept: its status is `done`, and the outcome is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub done: bool,
}

impl Record {
    /// Bytes of what it ended with.
    pub fn bytes(&self) -> u64 {
        match &self.outcome {
            Some(Outcome::Replied(reply)) => reply.len() as u64,
            Some(Outcome::Rejected(reject)) => reject.message.len() as u64,
            None => 0,
        }
    }

    /// It without what it ended with.
    pub fn given_up(&self) -> Self {
        Self {
            outcome: Some(Outcome::Replied(Vec::new())),
            done: true,
            ..self.clone()
        }
    }

    /// The subtree `/request_status/<id>`.
    pub fn tree(&self) -> Tree {
        match &self.outcome {
            _ if self.done => Tree::map([("status", Tree::leaf("done"))]),
            None if self.received => Tree::map([("status", Tree::leaf("received"))]),
            None => Tree::map([("status", Tree::leaf("processing"))]),
            Some(Outcome::Replied(reply)) => {
                Tree::map([("status", Tree::leaf("replied")), ("reply", Tree::leaf(reply))])
            }
            Some(Outcome::Rejected(reject)) => Tree::map([
                ("status", Tree::leaf("rejected")),
                ("reject_code", Tree::leaf(leb128(reject.code()))),
                ("reject_message", Tree::leaf(&reject.message)),
                ("error_code", Tree::leaf(reject.error.to_string())),
            ]),
        }
    }
}

impl Subtree for Arc<Record> {
    fn hash(&self) -> Hash {
        self.tree().hash()
    }
}
