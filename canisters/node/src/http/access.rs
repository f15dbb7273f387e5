//! Who may read which paths of the state tree.
//!
//! Source: IC interface specification, "Request: Read state", of which each arm of [`Selection::path`] is a line.

use super::HttpError;
use crate::cert::topology::in_range;
use crate::cert::tree::Wanted;
use crate::faults::{Fault, broken};
use crate::state::State;
use crate::wire::envelope::Envelope;
use ic_principal::Principal;

/// Through which endpoint the request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// `/canister/<id>/…`.
    Canister(Principal),
    /// `/subnet/<id>/…`, of this node's subnet.
    Subnet,
}

impl Scope {
    /// The effective id of what comes through it, on a node with this subnet.
    pub fn effective(self, subnet: Principal) -> Principal {
        match self {
            Self::Canister(id) => id,
            Self::Subnet => subnet,
        }
    }
}

/// Where the request arrived.
#[derive(Debug, Clone, Copy)]
pub struct Endpoint<'a> {
    /// The kind.
    pub scope: Scope,
    /// Whether it is v2, which still has the canister ranges below `/subnet`.
    pub v2: bool,
    /// The node's subnet.
    pub subnet: &'a Principal,
    /// The root subnet, which is not that of the node.
    pub root_subnet: &'a Principal,
}

/// What of `/subnet/<id>` everybody sees in every certificate.
const OF_SUBNET: [&[u8]; 3] = [b"public_key", b"type", b"node"];
const RANGES: &[u8] = b"canister_ranges";

/// Checks every path and returns what to reveal.
pub fn select(
    state: &State,
    endpoint: &Endpoint<'_>,
    envelope: &Envelope<'_>,
    paths: &[Vec<&[u8]>],
) -> Result<Wanted, HttpError> {
    if let Scope::Canister(effective) = endpoint.scope
        && !in_range(&effective)
        // What creates a canister may come through it, and whoever sent it asks there what became of it.
        && (effective != Principal::management_canister() || !paths.iter().all(|path| is_of_a_request(path)))
    {
        return Err(HttpError::Bad(format!(
            "{effective} is not in the canister range"
        )));
    }
    let mut selection = Selection {
        state,
        endpoint,
        envelope,
        wanted: Wanted::default(),
        request: None,
        ranges: None,
    };
    for path in paths {
        selection.path(path)?;
    }
    Ok(selection.wanted)
}

/// What is asked for about a request of one's own.
fn is_of_a_request(path: &[&[u8]]) -> bool {
    matches!(path, [b"time"] | [b"request_status", ..])
}

struct Selection<'a> {
    state: &'a State,
    endpoint: &'a Endpoint<'a>,
    envelope: &'a Envelope<'a>,
    wanted: Wanted,
    /// The request that paths were about so far.
    request: Option<&'a [u8]>,
    /// The subnet whose ranges paths were about so far.
    ranges: Option<&'a [u8]>,
}

impl<'a> Selection<'a> {
    // One line for each line of the table.
    #[allow(clippy::unnested_or_patterns)]
    fn path(&mut self, path: &'a [&'a [u8]]) -> Result<(), HttpError> {
        match (path, self.endpoint.scope) {
            (
                [b"time"]
                | [b"api_boundary_nodes"]
                | [b"api_boundary_nodes", _]
                | [
                    b"api_boundary_nodes",
                    _,
                    b"domain" | b"ipv4_address" | b"ipv6_address",
                ]
                | [b"subnet", _, b"public_key" | b"type" | b"node"]
                | [b"subnet", _, b"node", _]
                | [b"subnet", _, b"node", _, b"public_key"],
                _,
            ) => self.wanted.add(path),
            ([b"subnet"], _) => self.subnet(self.endpoint.subnet.as_slice()),
            ([b"subnet", id], _) => self.subnet(id),
            ([b"subnet", id, b"canister_ranges"], _)
                if self.endpoint.v2 || *id == self.endpoint.root_subnet.as_slice() =>
            {
                self.wanted.add(path);
            }
            ([b"subnet", id, b"metrics"], Scope::Subnet) if *id == self.endpoint.subnet.as_slice() => {
                self.wanted.add(path);
            }
            ([b"canister_ranges", id], Scope::Subnet) => {
                one(&mut self.ranges, id, "subnets")?;
                self.wanted.add(path);
            }
            (
                [b"request_status", id]
                | [
                    b"request_status",
                    id,
                    b"status" | b"reply" | b"reject_code" | b"reject_message" | b"error_code",
                ],
                _,
            ) => self.status(id)?,
            ([b"canister", id, rest @ ..], Scope::Canister(effective))
                if *id == effective.as_slice() || broken(Fault::RevealOtherCanisters) =>
            {
                self.canister(&effective, rest)?;
                self.wanted.add(path);
            }
            _ => return Err(forbidden(path)),
        }
        Ok(())
    }

    /// `/subnet/<id>` without what this endpoint does not show of it.
    fn subnet(&mut self, id: &[u8]) {
        if id != self.endpoint.subnet.as_slice() {
            // The proof that it is not there.
            return self.wanted.add(&[b"subnet", id]);
        }
        for label in OF_SUBNET {
            self.wanted.add(&[b"subnet", id, label]);
        }
        if self.endpoint.v2 {
            self.wanted.add(&[b"subnet", id, RANGES]);
        }
    }

    /// A request's status is for its sender, through the canister or subnet it was sent to. One that is not known may be asked for.
    fn status(&mut self, id: &'a [u8]) -> Result<(), HttpError> {
        if id.len() != 32 {
            return Err(HttpError::Bad("a request id has 32 bytes".to_owned()));
        }
        one(&mut self.request, id, "requests")?;
        if let Some(record) = self.state.requests.get(id) {
            if record.sender != self.envelope.sender && !broken(Fault::RevealRequests) {
                return Err(HttpError::Forbidden(
                    "the request was sent by somebody else".to_owned(),
                ));
            }
            if self.endpoint.scope.effective(*self.endpoint.subnet) != record.effective
                && !broken(Fault::RevealRequests)
            {
                return Err(HttpError::Forbidden(
                    "the request was sent to another canister, or to the subnet".to_owned(),
                ));
            }
            // Who may sign for some canisters only may not read what the sender has from others. As for the call itself the called
            // canister counts, also when it is the management canister: who may make a call may poll for what became of it.
            let called = record.canister.unwrap_or(record.effective);
            if !self.envelope.delegations.iter().all(|link| link.is_for(&called)) {
                return Err(HttpError::Forbidden(format!(
                    "the delegation is not for canister {called}, which the request calls"
                )));
            }
        }
        // All of it, because a client takes a pruned error code for a fault.
        self.wanted.add(&[b"request_status", id]);
        Ok(())
    }

    fn canister(&self, id: &Principal, rest: &[&[u8]]) -> Result<(), HttpError> {
        match rest {
            [
                b"controllers" | b"module_hash" | b"canister_creation_timestamp" | b"last_install_timestamp",
            ] => Ok(()),
            [b"certified_data"] | [] if broken(Fault::RevealCertifiedData) => Ok(()),
            [b"metadata", name] => {
                let name = std::str::from_utf8(name)
                    .map_err(|_| HttpError::Bad("a name of metadata is not UTF-8".to_owned()))?;
                let found = self.state.canister(id);
                let private = found
                    .and_then(|canister| canister.code.as_ref())
                    .and_then(|code| code.compiled.info.metadata.get(name))
                    .is_some_and(|section| {
                        (!section.public || broken(Fault::HideMetadata))
                            && !broken(Fault::RevealPrivateMetadata)
                    });
                if private && !found.is_some_and(|canister| canister.is_controlled_by(&self.envelope.sender))
                {
                    return Err(HttpError::Forbidden(
                        "only controllers may read this metadata".to_owned(),
                    ));
                }
                Ok(())
            }
            // Certified data in particular: only the canister itself gives it out.
            _ => Err(forbidden(
                &[&[b"canister".as_slice(), id.as_slice()], rest].concat(),
            )),
        }
    }
}

/// All paths of a kind must be about the same thing.
fn one<'a>(known: &mut Option<&'a [u8]>, id: &'a [u8], what: &str) -> Result<(), HttpError> {
    if known.is_some_and(|other| other != id) && !broken(Fault::UnlimitedPaths) {
        return Err(HttpError::Bad(format!("the paths name different {what}")));
    }
    *known = Some(id);
    Ok(())
}

fn forbidden(path: &[&[u8]]) -> HttpError {
    let labels: Vec<_> = path
        .iter()
        .take(4)
        .map(|label| match std::str::from_utf8(label) {
            Ok(text) if text.len() <= 64 && text.chars().all(|character| character.is_ascii_graphic()) => {
                text.to_owned()
            }
            _ => hex::encode(label.get(..64).unwrap_or(label)),
        })
        .collect();
    HttpError::Forbidden(format!("the path /{} may not be read here", labels.join("/")))
}

#[cfg(test)]
mod tests;
