//! Blocks: the frame around every record (section 2).

use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    fields::{FieldError, Fields},
    limits::{MAX_BODY_BYTES, MAX_PRINCIPAL_BYTES, PROTO},
    names,
    value::{self, Hash, Map, Value},
};

/// The first letters of every block type of DCanary (section 2).
pub const BTYPE_PREFIX: &str = "dcanary_";

/// One block of the journal (section 2). `proto` is always [`PROTO`] and therefore not a field.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    /// Block type, section 3.
    pub btype: String,
    /// Hash of the block before; absent in block 0 and only there.
    pub phash: Option<Hash>,
    /// The canister's time in nanoseconds since 1970.
    pub ts: u64,
    /// The caller's time in nanoseconds since 1970.
    pub claimed_ts: u64,
    /// Principal whose message made the block.
    pub caller: Vec<u8>,
    /// Project, or empty for blocks of the whole ledger.
    pub project: String,
    /// Domain under which the caller holds its role, or empty.
    pub domain: String,
    /// Version of the policy under which the block was accepted.
    pub policy: u64,
    /// Fields of the block type.
    pub body: Map,
}

/// Why bytes are not a block (section 2).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BlockError {
    /// Not the deterministic encoding of a value.
    #[error("not deterministic CBOR")]
    Cbor(#[from] CborError),
    /// A field is missing, unknown or breaks its rule.
    #[error("not a block")]
    Field(#[from] FieldError),
}

impl Block {
    /// The block as a value (section 2).
    pub fn to_value(&self) -> Value {
        let mut block = value::map([
            ("btype", self.btype.as_str().into()),
            ("ts", self.ts.into()),
            ("claimed_ts", self.claimed_ts.into()),
            ("caller", self.caller.clone().into()),
            ("project", self.project.as_str().into()),
            ("domain", self.domain.as_str().into()),
            ("policy", self.policy.into()),
            ("proto", PROTO.into()),
            ("body", self.body.clone().into()),
        ]);
        if let Some(phash) = self.phash {
            block.insert("phash".to_owned(), phash.into());
        }
        Value::Map(block)
    }

    /// The encoding that the journal keeps (sections 1 and 2).
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&self.to_value())
    }

    /// The block hash: what the next block links to and what the tree's leaf is made of (section 2).
    pub fn hash(&self) -> Hash {
        self.to_value().hash()
    }

    /// The content hash of the record inside (section 3).
    pub fn content_hash(&self) -> Hash {
        content_hash(&self.btype, self.claimed_ts, &self.body)
    }

    /// Reads a block and checks its frame. The body's fields are checked by [`crate::record::Body::of`].
    ///
    /// # Errors
    /// If the bytes are not the deterministic encoding of a map with exactly the fields of section 2.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        Self::from_value(cbor::decode(bytes)?).map_err(BlockError::Field)
    }

    /// As [`Block::decode`], for a value that was read already.
    ///
    /// # Errors
    /// If it is not a map with exactly the fields of section 2.
    pub fn from_value(value: Value) -> Result<Self, FieldError> {
        let mut fields = Fields::of("block", value)?;
        let block = Self {
            btype: fields.text("btype")?,
            phash: fields
                .optional("phash")
                .map(|phash| hash_field("phash", &phash))
                .transpose()?,
            ts: fields.nat("ts")?,
            claimed_ts: fields.nat("claimed_ts")?,
            caller: fields.blob("caller")?,
            project: fields.text("project")?,
            domain: fields.text("domain")?,
            policy: fields.nat("policy")?,
            body: fields.map("body")?,
        };
        let proto = fields.nat("proto")?;
        fields.done()?;
        block.check(proto)?;
        Ok(block)
    }

    fn check(&self, proto: u64) -> Result<(), FieldError> {
        if proto != PROTO {
            return Err(FieldError::rule("proto", "1"));
        }
        if !self.btype.starts_with(BTYPE_PREFIX) {
            return Err(FieldError::rule("btype", "a type that begins with `dcanary_`"));
        }
        if self.caller.len() > MAX_PRINCIPAL_BYTES {
            return Err(FieldError::rule("caller", "at most 29 bytes"));
        }
        for (field, name) in [("project", &self.project), ("domain", &self.domain)] {
            if !name.is_empty() && !names::is_name(name) {
                return Err(FieldError::rule(field, "empty or a lower-case DNS label"));
            }
        }
        if cbor::encode_map(&self.body).len() > MAX_BODY_BYTES {
            return Err(FieldError::rule("body", "at most 2,048 bytes encoded"));
        }
        Ok(())
    }
}

/// The content hash of a record: what makes two offers of one number "the same" (section 3).
pub fn content_hash(btype: &str, claimed_ts: u64, body: &Map) -> Hash {
    value::hash_map(&value::map([
        ("btype", btype.into()),
        ("claimed_ts", claimed_ts.into()),
        ("body", body.clone().into()),
    ]))
}

fn hash_field(field: &str, value: &Value) -> Result<Hash, FieldError> {
    let blob = value.as_blob().ok_or(FieldError::Kind {
        field: field.to_owned(),
        expected: "Blob",
        found: value.kind(),
    })?;
    Hash::try_from(blob).map_err(|_| FieldError::rule(field, "32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Block {
        Block {
            btype: "dcanary_stage_started".to_owned(),
            phash: Some([7; 32]),
            ts: 1_700_000_000_000_000_001,
            claimed_ts: 1_700_000_000_000_000_000,
            caller: vec![4; 29],
            project: "shop".to_owned(),
            domain: "east".to_owned(),
            policy: 3,
            body: value::map([("run", "r1".into()), ("n", Value::Nat(1))]),
        }
    }

    #[test]
    fn a_block_reads_back_and_keeps_its_hash() {
        for block in [
            sample(),
            Block {
                phash: None,
                project: String::new(),
                domain: String::new(),
                ..sample()
            },
        ] {
            let read = Block::decode(&block.encode()).unwrap();
            assert_eq!(read, block);
            assert_eq!(read.hash(), block.hash());
        }
    }

    #[test]
    fn each_field_changes_the_hash() {
        let base = sample();
        let others = [
            Block {
                btype: "dcanary_stage_failed".to_owned(),
                ..base.clone()
            },
            Block {
                phash: None,
                ..base.clone()
            },
            Block {
                phash: Some([8; 32]),
                ..base.clone()
            },
            Block {
                ts: 1,
                ..base.clone()
            },
            Block {
                claimed_ts: 1,
                ..base.clone()
            },
            Block {
                caller: vec![4],
                ..base.clone()
            },
            Block {
                project: "shoq".to_owned(),
                ..base.clone()
            },
            Block {
                domain: "west".to_owned(),
                ..base.clone()
            },
            Block {
                policy: 4,
                ..base.clone()
            },
            Block {
                body: Map::new(),
                ..base.clone()
            },
        ];
        for other in others {
            assert_ne!(other.hash(), base.hash(), "{other:?}");
        }
    }

    #[test]
    fn a_frame_with_missing_extra_or_mistyped_fields_is_refused() {
        let Value::Map(good) = sample().to_value() else {
            panic!("a block is a map")
        };
        for field in good.keys().filter(|field| *field != "phash") {
            let mut bad = good.clone();
            bad.remove(field);
            assert_eq!(
                Block::from_value(bad.into()),
                Err(FieldError::Missing(field.clone()))
            );
        }
        for field in good.keys() {
            let mut bad = good.clone();
            bad.insert(field.clone(), Value::Array(vec![]));
            assert!(
                matches!(Block::from_value(bad.into()), Err(FieldError::Kind { .. })),
                "{field}"
            );
        }
        let mut bad = good.clone();
        bad.insert("extra".to_owned(), Value::Nat(0));
        assert_eq!(
            Block::from_value(bad.into()),
            Err(FieldError::Unknown("extra".to_owned()))
        );
    }

    #[test]
    fn a_frame_that_breaks_a_rule_is_refused() {
        let base = sample();
        let mut with_proto = base.to_value();
        if let Value::Map(map) = &mut with_proto {
            map.insert("proto".to_owned(), Value::Nat(2));
        }
        assert_eq!(Block::from_value(with_proto), Err(FieldError::rule("proto", "1")));
        let bad = [
            Block {
                btype: "1mint".to_owned(),
                ..base.clone()
            },
            Block {
                caller: vec![0; 30],
                ..base.clone()
            },
            Block {
                project: "Shop".to_owned(),
                ..base.clone()
            },
            Block {
                domain: "-".to_owned(),
                ..base.clone()
            },
            Block {
                body: value::map([("x", Value::Blob(vec![0; 2_048]))]),
                ..base.clone()
            },
        ];
        for block in bad {
            assert!(
                matches!(Block::decode(&block.encode()), Err(BlockError::Field(_))),
                "{block:?}"
            );
        }
    }
}
