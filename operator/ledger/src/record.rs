//! What is handed to the journal, and what it answers, in the words of this crate.

use dcanary_types::{Hash, block, cbor, record::RecordKind};
use serde::{Deserialize, Serialize};

/// A run or an environment on the chain. Project, domain and UID make the idempotency key together with a record's number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey {
    /// Project in which the caller holds its role.
    pub project: String,
    /// Executor domain of the caller in that project.
    pub domain: String,
    /// UID of the run or the environment.
    pub run: String,
}

impl RunKey {
    /// A run of `project`, written by `domain`.
    pub fn new(project: impl Into<String>, domain: impl Into<String>, run: impl Into<String>) -> Self {
        Self {
            project: project.into(),
            domain: domain.into(),
            run: run.into(),
        }
    }
}

impl std::fmt::Display for RunKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{} of domain {}", self.project, self.run, self.domain)
    }
}

/// One numbered record of a run or an environment, as it is kept in an outbox.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its number within the run: 0, 1, 2, …
    pub n: u64,
    /// Block type, `dcanary_…`.
    pub btype: String,
    /// When it happened, nanoseconds since 1970, by the caller's clock.
    pub claimed_ts: u64,
    /// The encoded body (a map with at least `run` and `n`).
    #[serde(with = "hex::serde")]
    pub body: Vec<u8>,
}

impl Record {
    /// The content hash: two offers of one number are the same exactly when it is equal. `None` when the body is no map.
    pub fn content_hash(&self) -> Option<Hash> {
        match cbor::decode(&self.body) {
            Ok(dcanary_types::Value::Map(body)) => {
                Some(block::content_hash(&self.btype, self.claimed_ts, &body))
            }
            _ => None,
        }
    }

    /// A hash over everything in it, also when the body is no map.
    pub(crate) fn fingerprint(&self) -> Hash {
        let numbers = [self.n, self.claimed_ts, self.btype.len() as u64].map(u64::to_be_bytes);
        dcanary_types::value::sha256(&[&numbers.concat(), self.btype.as_bytes(), &self.body].concat())
    }

    /// Bytes that it takes in a batch, rounded up.
    pub(crate) fn weight(&self) -> usize {
        self.body.len() + self.btype.len() + 40
    }
}

impl<T: RecordKind> From<&dcanary_types::record::Record<T>> for Record {
    fn from(record: &dcanary_types::record::Record<T>) -> Self {
        Self {
            n: record.n,
            btype: record.btype().to_owned(),
            claimed_ts: record.claimed_ts,
            body: record.encode_body(),
        }
    }
}

/// SHA-256 of the content hashes of sealed records in order: a swapped or shortened seal is found. `None` when a body is no map.
pub fn seal(records: &[Record]) -> Option<Hash> {
    let hashes: Option<Vec<Hash>> = records.iter().map(Record::content_hash).collect();
    Some(dcanary_types::value::sha256(&hashes?.concat()))
}

/// Consecutive records of one run; applied whole or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The run.
    pub key: RunKey,
    /// The encoded graph document; goes with record 0 of a run. An environment has none.
    pub graph: Option<Vec<u8>>,
    /// The records, by ascending number without gaps.
    pub records: Vec<Record>,
}

/// What the journal said to one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Recorded: the block index of each record, now or already before.
    Recorded(Vec<u64>),
    /// Another content is recorded at `n`, in block `have`.
    Conflict {
        /// Number.
        n: u64,
        /// Block that holds it.
        have: u64,
    },
    /// The journal expected another number.
    Gap {
        /// Number that it expected.
        expected: u64,
    },
    /// The record at `n` is illegal or malformed; it will never be taken.
    Refused {
        /// Number.
        n: u64,
        /// Why.
        reason: String,
    },
    /// The graph document is missing.
    GraphMissing,
    /// Nothing is wrong with the records; the journal does not take them now (role, rate, full).
    Later {
        /// Short name, for instance `NotAuthorised`.
        reason: &'static str,
        /// One sentence.
        message: String,
    },
}
