//! The versioned values in stable memory: deterministic CBOR with a field `v`, so that a later version of the canister
//! reads what an earlier one wrote.

use dcanary_types::{
    Hash, Value, cbor,
    fields::{FieldError, Fields},
    value::map,
};

use crate::store::StoreError;

const VERSION: u64 = 1;
/// Of [`Usage`].
const USAGE_VERSION: u64 = 2;

fn read(what: &'static str, bytes: &[u8]) -> Result<Fields, StoreError> {
    read_up_to(what, bytes, VERSION).map(|(_, fields)| fields)
}

fn read_up_to(what: &'static str, bytes: &[u8], latest: u64) -> Result<(u64, Fields), StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what, why };
    let value = cbor::decode(bytes).map_err(|why| corrupt(why.to_string()))?;
    let mut fields = Fields::of(what, value).map_err(|why| corrupt(why.to_string()))?;
    match fields.nat("v") {
        Ok(version) if (VERSION..=latest).contains(&version) => Ok((version, fields)),
        Ok(version) => Err(StoreError::Version { what, version }),
        Err(why) => Err(corrupt(why.to_string())),
    }
}

fn corrupt(what: &'static str) -> impl Fn(FieldError) -> StoreError {
    move |why| StoreError::Corrupt {
        what,
        why: why.to_string(),
    }
}

/// What the ledger knows about itself as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// How often the ledger was restored.
    pub incarnation: u64,
    /// Version of the policy.
    pub policy: u64,
    /// Hash of the policy document.
    pub policy_hash: Hash,
    /// Number of roles.
    pub roles: u64,
    /// Number of owners among them.
    pub owners: u64,
    /// Hash of the last block.
    pub tip: Hash,
    /// Number of runs that ever were, which is the number of the next one.
    pub runs: u64,
}

impl Header {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode_map(&map([
            ("v", Value::Nat(VERSION)),
            ("incarnation", Value::Nat(self.incarnation)),
            ("policy", Value::Nat(self.policy)),
            ("policy_hash", self.policy_hash.into()),
            ("roles", Value::Nat(self.roles)),
            ("owners", Value::Nat(self.owners)),
            ("tip", self.tip.into()),
            ("runs", Value::Nat(self.runs)),
        ]))
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If it is of another version or no header.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = corrupt("header");
        let mut fields = read("header", bytes)?;
        let header = Self {
            incarnation: fields.nat("incarnation").map_err(&corrupt)?,
            policy: fields.nat("policy").map_err(&corrupt)?,
            policy_hash: fields.hash("policy_hash").map_err(&corrupt)?,
            roles: fields.nat("roles").map_err(&corrupt)?,
            owners: fields.nat("owners").map_err(&corrupt)?,
            tip: fields.hash("tip").map_err(&corrupt)?,
            runs: fields.nat("runs").map_err(&corrupt)?,
        };
        fields.done().map_err(&corrupt)?;
        Ok(header)
    }
}

/// What stays of a run or environment for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEntry {
    /// Number of the run in this ledger; short keys for its receipts.
    pub id: u64,
    /// Number of its next record.
    pub next: u64,
    /// How it ended, if it did.
    pub outcome: Option<String>,
    /// Who opened it: whose open runs it counts among.
    pub opener: Vec<u8>,
}

impl RunEntry {
    /// The stored form.
    pub fn encode(&self) -> Vec<u8> {
        let mut entry = map([
            ("v", Value::Nat(VERSION)),
            ("id", Value::Nat(self.id)),
            ("next", Value::Nat(self.next)),
            ("opener", self.opener.clone().into()),
        ]);
        if let Some(outcome) = &self.outcome {
            entry.insert("outcome".to_owned(), outcome.as_str().into());
        }
        cbor::encode_map(&entry)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If it is of another version or no run.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = corrupt("run");
        let mut fields = read("run", bytes)?;
        let entry = Self {
            id: fields.nat("id").map_err(&corrupt)?,
            next: fields.nat("next").map_err(&corrupt)?,
            outcome: fields.optional_text("outcome").map_err(&corrupt)?,
            opener: fields.blob("opener").map_err(&corrupt)?,
        };
        fields.done().map_err(&corrupt)?;
        Ok(entry)
    }
}

/// What a principal used of its limits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// The hour that is counted, since 1970.
    pub hour: u64,
    /// `append` messages in that hour.
    pub messages: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Open runs, whatever the hour.
    pub open_runs: u64,
    /// Open environments, whatever the hour.
    pub open_environments: u64,
}

impl Usage {
    /// The stored form: of version 2 only where there are environments, which version 1 does not know.
    pub fn encode(&self) -> Vec<u8> {
        let mut usage = map([
            ("v", Value::Nat(VERSION)),
            ("hour", Value::Nat(self.hour)),
            ("messages", Value::Nat(self.messages)),
            ("bytes", Value::Nat(self.bytes)),
            ("open_runs", Value::Nat(self.open_runs)),
        ]);
        if self.open_environments > 0 {
            usage.extend(map([
                ("v", Value::Nat(USAGE_VERSION)),
                ("open_environments", Value::Nat(self.open_environments)),
            ]));
        }
        cbor::encode_map(&usage)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// If it is of another version or no usage.
    pub fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let corrupt = corrupt("usage");
        let (version, mut fields) = read_up_to("usage", bytes, USAGE_VERSION)?;
        let usage = Self {
            hour: fields.nat("hour").map_err(&corrupt)?,
            messages: fields.nat("messages").map_err(&corrupt)?,
            bytes: fields.nat("bytes").map_err(&corrupt)?,
            open_runs: fields.nat("open_runs").map_err(&corrupt)?,
            open_environments: if version == VERSION {
                0
            } else {
                fields.nat("open_environments").map_err(&corrupt)?
            },
        };
        fields.done().map_err(&corrupt)?;
        Ok(usage)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stored_values_read_back() {
        let header = Header {
            incarnation: 1,
            policy: 2,
            policy_hash: [3; 32],
            roles: 4,
            owners: 5,
            tip: [6; 32],
            runs: 7,
        };
        assert_eq!(Header::decode(&header.encode()), Ok(header));
        for outcome in [None, Some("failed".to_owned())] {
            let entry = RunEntry {
                id: 1,
                next: 2,
                outcome,
                opener: vec![3],
            };
            assert_eq!(RunEntry::decode(&entry.encode()), Ok(entry));
        }
        for open_environments in [0, 5] {
            let usage = Usage {
                hour: 1,
                messages: 2,
                bytes: 3,
                open_runs: 4,
                open_environments,
            };
            assert_eq!(Usage::decode(&usage.encode()), Ok(usage));
        }
    }

    #[test]
    fn values_of_a_later_version_are_refused() {
        let later = cbor::encode_map(&map([("v", Value::Nat(2))]));
        let refused = |what| Err(StoreError::Version { what, version: 2 });
        assert_eq!(Header::decode(&later).map(|_| ()), refused("header"));
        assert_eq!(RunEntry::decode(&later).map(|_| ()), refused("run"));
        let later = cbor::encode_map(&map([("v", Value::Nat(3))]));
        let refused = Err(StoreError::Version {
            what: "usage",
            version: 3,
        });
        assert_eq!(Usage::decode(&later).map(|_| ()), refused);
    }
}
