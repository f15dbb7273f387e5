//! Update calls. The agent signs them; what comes back is checked by `dcanary-verifier` alone.
//!
//! The agent checks the same certificate with pairings in portable Rust, which was a seventh of all that the operator computes
//! during rollouts (docs/performance.md). Nothing that it checks is left out here: signature, delegation and range of the ledger,
//! age, and that the answer is the one to this request.

use ic_agent::RequestId;
use ic_transport_types::TransportCallResponse;

use super::{IcLedger, call::explain};
use crate::error::LedgerError;

/// CBOR's tag for "this is CBOR" (RFC 8949, 3.4.6), with which answers begin.
const SELF_DESCRIBED: &[u8] = &[0xd9, 0xd9, 0xf7];

impl IcLedger {
    /// The certified reply of an update method.
    pub(super) async fn certified_answer(
        &self,
        method: &str,
        argument: Vec<u8>,
    ) -> Result<Vec<u8>, LedgerError> {
        let refused = |source| explain(source, method, self.ledger, &self.wire);
        let call = self.agent.update(&self.ledger, method).with_arg(argument);
        let signed = call.sign().map_err(refused)?;
        let answer = match self.send(signed.signed_update).await? {
            TransportCallResponse::Replied { certificate } => {
                self.reply(&certificate, signed.request_id, method)?
            }
            TransportCallResponse::Accepted => None,
            TransportCallResponse::NonReplicatedRejection(reject) => {
                return Err(LedgerError::of_rejection(method, reject));
            }
        };
        if let Some(answer) = answer {
            return Ok(answer);
        }
        // it takes longer than one answer waits: asked for until it is there
        let waited = self.agent.wait(&signed.request_id, self.ledger).await;
        let (answer, certificate) = waited.map_err(refused)?;
        let mut bytes = Vec::new();
        ciborium::into_writer(&certificate, &mut bytes)
            .map_err(|source| LedgerError::decode("the certificate of an answer", source))?;
        self.decode(&bytes)?;
        Ok(answer)
    }

    async fn send(&self, envelope: Vec<u8>) -> Result<TransportCallResponse, LedgerError> {
        let path = format!("api/v4/canister/{}/call", self.ledger);
        let sent = self.wire.post(&path, envelope).await;
        let Some(body) = sent.map_err(|source| LedgerError::Unreachable {
            reason: self.wire.lost(&source).to_string(),
        })?
        else {
            return Ok(TransportCallResponse::Accepted);
        };
        let body = body.strip_prefix(SELF_DESCRIBED).unwrap_or(&body);
        ciborium::from_reader(body).map_err(|source| LedgerError::decode("the answer of a call", source))
    }

    /// What a certificate says of this request; nothing while it is not decided.
    fn reply(
        &self,
        certificate: &[u8],
        request: RequestId,
        method: &str,
    ) -> Result<Option<Vec<u8>>, LedgerError> {
        let verified = self.decode(certificate)?;
        let unrevealed =
            |what: &str| LedgerError::unproven(format!("the answer of `{method}`"), what.to_owned());
        let of = |field: &[u8]| {
            let found = verified.lookup(&[b"request_status", request.as_slice(), field]);
            found.found().map(<[u8]>::to_vec)
        };
        match of(b"status").as_deref() {
            Some(b"replied") => match of(b"reply") {
                Some(reply) => Ok(Some(reply)),
                None => Err(unrevealed("the certificate does not reveal it")),
            },
            Some(b"rejected") => {
                let said =
                    of(b"reject_message").ok_or_else(|| unrevealed("the certificate does not say why"))?;
                Err(LedgerError::Rejected {
                    method: method.to_owned(),
                    code: of(b"error_code")
                        .map(|code| String::from_utf8_lossy(&code).into_owned())
                        .filter(|code| !code.is_empty()),
                    message: String::from_utf8_lossy(&said).into_owned(),
                })
            }
            Some(b"done") => Err(unrevealed("the network has forgotten it")),
            _ => Ok(None),
        }
    }
}
