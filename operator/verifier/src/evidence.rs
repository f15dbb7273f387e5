//! What proves a run or an environment, and which one is asked for: the one from strangers, the other from whoever verifies.

use dcanary_types::Hash;
use dcanary_types::block::Block;
use serde_json::{Value as Json, json};

/// Value of `format` in a file of evidence of a run.
const FORMAT: &str = "dcanary-run/1";
/// Value of `format` in a file of evidence of an environment.
const ENVIRONMENT_FORMAT: &str = "dcanary-environment/1";

/// What is handed in to prove a run or an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvidence {
    /// Canister id that the source of the evidence names; a hint, compared with the trust file.
    pub ledger: Vec<u8>,
    /// Root key in DER that the source of the evidence names, if it names one; a hint too.
    pub root_key: Option<Vec<u8>>,
    /// Certificate of the head.
    pub certificate: Vec<u8>,
    /// Witness of the labels.
    pub hash_tree: Vec<u8>,
    /// All blocks of the run in ascending order: index, encoding, inclusion proof in the tree of the head. Of an environment also
    /// those of the environments that it names in `from`.
    pub blocks: Vec<(u64, Vec<u8>, Vec<Hash>)>,
    /// The run's graph document, where it is at hand.
    pub graph: Option<Vec<u8>>,
    /// The encoded policy document.
    pub policy: Vec<u8>,
    /// `read_state` certificate of module hash and controllers.
    pub code: Option<Vec<u8>>,
}

impl RunEvidence {
    /// The evidence as a file that anybody can check later, without the ledger (section 8 of the ledger format).
    pub fn to_json(&self) -> Json {
        self.file(FORMAT)
    }

    /// The same for an environment, which has no graph document.
    pub fn to_environment_json(&self) -> Json {
        self.file(ENVIRONMENT_FORMAT)
    }

    fn file(&self, format: &str) -> Json {
        let blocks: Vec<Json> = self
            .blocks
            .iter()
            .map(|(index, block, proof)| {
                let proof: Vec<String> = proof.iter().map(hex::encode).collect();
                json!({"index": index, "block": hex::encode(block), "proof": proof})
            })
            .collect();
        let mut file = json!({
            "format": format,
            "ledger": hex::encode(&self.ledger),
            "certificate": hex::encode(&self.certificate),
            "hash_tree": hex::encode(&self.hash_tree),
            "blocks": blocks,
            "policy": hex::encode(&self.policy),
        });
        for (name, bytes) in [
            ("root_key", &self.root_key),
            ("graph", &self.graph),
            ("code", &self.code),
        ] {
            if let Some(bytes) = bytes {
                file[name] = hex::encode(bytes).into();
            }
        }
        file
    }
}

/// The run or environment that is asked for. It comes from whoever asks, never from the evidence: a lying replica can answer with the
/// good evidence of another run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpectedRun {
    /// Its project.
    pub project: String,
    /// The executor domain that writes it, where that is known.
    pub domain: Option<String>,
    /// Its UID.
    pub run: String,
}

impl ExpectedRun {
    /// Whether a record with the UID `run` is one of this; else what it is of instead.
    pub(crate) fn holds(&self, kind: &str, block: &Block, run: &str) -> Result<(), String> {
        named(kind, &self.run, run)?;
        self.holds_place(block)
    }

    /// Whether a block is of the project and domain; else of which instead.
    pub(crate) fn holds_place(&self, block: &Block) -> Result<(), String> {
        named("project", &self.project, &block.project)?;
        let domain = self.domain.as_ref().unwrap_or(&block.domain);
        named("domain", domain, &block.domain)
    }
}

fn named(what: &str, wanted: &str, found: &str) -> Result<(), String> {
    if wanted == found {
        Ok(())
    } else {
        Err(format!("it is of {what} {found}, not of {wanted}"))
    }
}
