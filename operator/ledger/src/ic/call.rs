//! Calls and queries, and what their failures mean.

use candid::{
    CandidType, Decode, Encode, Principal,
    utils::{ArgumentEncoder, encode_args},
};
use dcanary_types::{api, environment::EnvTransition};
use ic_agent::AgentError;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;

use super::IcLedger;
use crate::{
    error::LedgerError,
    record::{Answer, Segment},
    transport::Wire,
};

impl IcLedger {
    /// Asks one replica. Its signature is verified; the answer is certified only if it carries a certificate.
    pub(super) async fn query<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        arguments: impl ArgumentEncoder,
    ) -> Result<T, LedgerError> {
        let argument = encode_args(arguments)
            .map_err(|source| LedgerError::decode(format!("the argument of `{method}`"), source))?;
        let answer = self
            .agent
            .query(&self.ledger, method)
            .with_arg(argument)
            .call()
            .await
            .map_err(|source| explain(source, method, self.ledger, &self.wire))?;
        Decode!(&answer, T).map_err(|source| LedgerError::decode(format!("the answer of `{method}`"), source))
    }

    /// Calls an update method.
    pub(super) async fn update<T: CandidType + DeserializeOwned>(
        &self,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<T, LedgerError> {
        let answer = self.certified_answer(method, argument).await?;
        Decode!(&answer, T).map_err(|source| LedgerError::decode(format!("the answer of `{method}`"), source))
    }

    pub(super) async fn append_batch(&self, batch: &[Segment]) -> Result<Vec<Answer>, LedgerError> {
        let segments = batch.iter().map(candid_segment).collect();
        let argument = Encode!(&api::Batch { segments })
            .map_err(|source| LedgerError::decode("the batch to append", source))?;
        let result: Result<api::BatchResult, _> = self.update("append", argument).await;
        let result = result.map_err(|failure| match failure {
            // `inspect_message` refuses strangers before the method can say why.
            LedgerError::Rejected {
                method,
                code,
                message,
            } => LedgerError::Rejected {
                message: format!("{message} (does {} hold a role on {}?)", self.caller, self.ledger),
                method,
                code,
            },
            other => other,
        })?;
        let later = |reason, message: String| {
            Ok(batch
                .iter()
                .map(|_| Answer::Later {
                    reason,
                    message: message.clone(),
                })
                .collect())
        };
        match result {
            Ok(results) if results.len() == batch.len() => batch
                .iter()
                .zip(results)
                .map(|(segment, result)| self.answer(segment, result))
                .collect(),
            Ok(results) => Err(LedgerError::decode(
                "the answer of `append`",
                format!("{} results for {} segments", results.len(), batch.len()),
            )),
            Err(api::BatchError::NotAuthorised) => later(
                "NotAuthorised",
                format!("{} holds no role on ledger {}", self.caller, self.ledger),
            ),
            Err(api::BatchError::RateLimited { retry_after_s }) => later("RateLimited", rate(retry_after_s)),
            Err(api::BatchError::Malformed { reason }) => Err(rejected("append", reason)),
            Err(api::BatchError::TooManyRecords { limit }) => {
                Err(rejected("append", format!("a batch takes {limit} records")))
            }
            Err(api::BatchError::TooManyBytes { limit }) => {
                Err(rejected("append", format!("a batch takes {limit} bytes")))
            }
        }
    }

    fn answer(&self, segment: &Segment, result: api::SegmentResult) -> Result<Answer, LedgerError> {
        use api::AppendError as E;
        let first = segment.records.first().map_or(0, |record| record.n);
        Ok(match result {
            Ok(receipt) if receipt.blocks.len() == segment.records.len() => Answer::Recorded(receipt.blocks),
            Ok(receipt) => {
                return Err(LedgerError::decode(
                    "a receipt",
                    format!(
                        "{} blocks for {} records",
                        receipt.blocks.len(),
                        segment.records.len()
                    ),
                ));
            }
            Err(E::Conflict { n, have }) => Answer::Conflict { n, have },
            Err(E::Gap { expected }) => Answer::Gap { expected },
            Err(E::Illegal { n, reason } | E::Malformed { n, reason }) => Answer::Refused { n, reason },
            Err(E::GraphMissing) => Answer::GraphMissing,
            Err(E::GraphMismatch) => Answer::Refused {
                n: first,
                reason: "the graph document is not the one that the record names".to_owned(),
            },
            Err(E::NotAuthorised) => Answer::Later {
                reason: "NotAuthorised",
                message: format!(
                    "{} may not write runs of project {}",
                    self.caller, segment.key.project
                ),
            },
            Err(E::JournalFull) => Answer::Later {
                reason: "JournalFull",
                message: format!("the journal {} takes no more records", self.ledger),
            },
            Err(E::RunLimit { limit }) => {
                let opens = segment.records.first().map(|record| record.btype.as_str());
                let what = if opens == Some(EnvTransition::OPENED) {
                    "environments"
                } else {
                    "runs"
                };
                Answer::Later {
                    reason: "RunLimit",
                    message: format!("{limit} {what} of {} are open already", self.caller),
                }
            }
            Err(E::RateLimited { retry_after_s }) => Answer::Later {
                reason: "RateLimited",
                message: rate(retry_after_s),
            },
        })
    }
}

fn rate(seconds: u64) -> String {
    format!("this principal has sent too much this hour; the ledger takes more in {seconds} s")
}

fn candid_segment(segment: &Segment) -> api::Segment {
    api::Segment {
        project: segment.key.project.clone(),
        run: segment.key.run.clone(),
        graph: segment.graph.clone().map(ByteBuf::from),
        records: segment
            .records
            .iter()
            .map(|record| api::Record {
                n: record.n,
                btype: record.btype.clone(),
                claimed_ts: record.claimed_ts,
                body: ByteBuf::from(record.body.clone()),
            })
            .collect(),
    }
}

fn rejected(method: &str, message: impl Into<String>) -> LedgerError {
    LedgerError::Rejected {
        method: method.to_owned(),
        code: None,
        message: message.into(),
    }
}

/// What a failure of the agent means. Whatever looks forged is named as such, never as "unreachable".
pub(super) fn explain(source: AgentError, method: &str, ledger: Principal, wire: &Wire) -> LedgerError {
    use dcanary_verifier::certificate::CertificateError as C;
    let forged = |what| LedgerError::Certificate { source: what };
    match source {
        AgentError::CertifiedReject { reject, .. } | AgentError::UncertifiedReject { reject, .. } => {
            LedgerError::of_rejection(method, reject)
        }
        AgentError::CertificateNotAuthorized() => LedgerError::Range { ledger },
        AgentError::CertificateOutdated(_) => LedgerError::Stale { seconds: 180 },
        AgentError::CertificateVerificationFailed() => forged(C::Signature("root")),
        AgentError::CertificateHasTooManyDelegations => forged(C::DelegationTooDeep),
        AgentError::QuerySignatureVerificationFailed
        | AgentError::MissingSignature
        | AgentError::TooManySignatures { .. }
        | AgentError::MalformedSignature
        | AgentError::MalformedPublicKey
        | AgentError::DerKeyLengthMismatch { .. }
        | AgentError::DerPrefixMismatch { .. } => LedgerError::unproven(
            format!("the answer of `{method}`"),
            "no node of the subnet signed it",
        ),
        AgentError::LookupPathAbsent(_)
        | AgentError::LookupPathUnknown(_)
        | AgentError::LookupPathError(_)
        | AgentError::InvalidRequestStatus(..)
        | AgentError::RequestStatusDoneNoReply(_) => LedgerError::unproven(
            format!("the answer of `{method}`"),
            "the certificate does not reveal it",
        ),
        AgentError::InvalidCborData(source) => {
            LedgerError::decode(format!("the answer of `{method}`"), source)
        }
        other => LedgerError::Unreachable {
            reason: wire.unanswered(&other).to_string(),
        },
    }
}
