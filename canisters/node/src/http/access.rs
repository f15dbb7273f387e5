//! Who may read which paths of the state tree.
//!
//! Source: IC interface specification, "Request: Read state".

use super::HttpError;
use crate::cert::tree::Wanted;
use crate::state::State;
use ic_principal::Principal;

/// Through which endpoint the request came.
#[derive(Debug, Clone, Copy)]
pub enum Scope {
    /// `/canister/<id>/read_state`.
    Canister(Principal),
    /// `/subnet/<id>/read_state`.
    Subnet,
}

/// Checks every path and returns what to reveal.
pub fn select(
    state: &State,
    scope: Scope,
    sender: &Principal,
    paths: &[Vec<&[u8]>],
) -> Result<Wanted, HttpError> {
    let mut wanted = Wanted::default();
    let mut request = None;
    for path in paths {
        match (path.as_slice(), scope) {
            ([b"time"] | [b"subnet", ..] | [b"canister_ranges", _], _) => {}
            ([b"canister", id, rest @ ..], Scope::Canister(effective)) if *id == effective.as_slice() => {
                canister(state, &effective, sender, rest)?;
            }
            ([b"request_status", id, rest @ ..], Scope::Canister(effective)) if rest.len() <= 1 => {
                if request.is_some_and(|other| other != *id) {
                    return Err(HttpError::Bad("the paths name different requests".to_owned()));
                }
                request = Some(*id);
                status(state, &effective, sender, id)?;
                // All of it, because a client takes a pruned error code for a fault.
                wanted.add(&[b"request_status", id]);
                continue;
            }
            _ => return Err(forbidden(path)),
        }
        wanted.add(path);
    }
    Ok(wanted)
}

fn forbidden(path: &[&[u8]]) -> HttpError {
    let labels: Vec<_> = path
        .iter()
        .take(4)
        .map(|label| match std::str::from_utf8(label) {
            Ok(text) if text.chars().all(|character| character.is_ascii_graphic()) => text.to_owned(),
            _ => hex::encode(label),
        })
        .collect();
    HttpError::Forbidden(format!("the path /{} may not be read here", labels.join("/")))
}

fn canister(state: &State, id: &Principal, sender: &Principal, rest: &[&[u8]]) -> Result<(), HttpError> {
    match rest {
        [b"controllers" | b"module_hash" | b"canister_creation_timestamp" | b"last_install_timestamp"] => {
            Ok(())
        }
        [b"metadata", name] => {
            let found = state.canister(id);
            let private = found
                .and_then(|canister| canister.code.as_ref())
                .and_then(|code| code.compiled.info.metadata.get(std::str::from_utf8(name).ok()?))
                .is_some_and(|section| !section.public);
            if private && !found.is_some_and(|canister| canister.is_controlled_by(sender)) {
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

/// A request's status is for its sender, through the canister it was sent to. One that is not known may be asked for.
fn status(state: &State, effective: &Principal, sender: &Principal, id: &[u8]) -> Result<(), HttpError> {
    let Some(record) = state.requests.get(id) else {
        return Ok(());
    };
    if record.sender != *sender {
        return Err(HttpError::Forbidden(
            "the request was sent by somebody else".to_owned(),
        ));
    }
    if record.effective != *effective {
        return Err(HttpError::Forbidden(
            "the request was sent to another canister".to_owned(),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::exec::machine::Machine;
    use crate::log::crash::rig;

    /// A state with the counter canister, which the anonymous principal controls.
    fn state() -> State {
        let mut machine = Machine::new(rig::executor(), State::default());
        machine.apply(&crate::exec::batch::Batch {
            round: 1,
            time: 1,
            memory_limit: u64::MAX,
            seed: [0; 32],
            messages: rig::setup(),
        });
        machine.state().clone()
    }

    fn may(scope: Scope, path: &[&[u8]]) -> bool {
        select(&state(), scope, &Principal::anonymous(), &[path.to_vec()]).is_ok()
    }

    #[test]
    fn the_paths_of_a_canister_are_read_through_that_canister_only() {
        let id = rig::canister();
        let other = Principal::from_slice(&[0, 0, 0, 7, 0, 0, 0, 0, 1, 1]);
        for label in [
            "controllers",
            "module_hash",
            "canister_creation_timestamp",
            "last_install_timestamp",
        ] {
            let path: [&[u8]; 3] = [b"canister", id.as_slice(), label.as_bytes()];
            assert!(may(Scope::Canister(id), &path), "{label}");
            assert!(!may(Scope::Canister(other), &path), "{label}");
            assert!(!may(Scope::Subnet, &path), "{label}");
            let below = [path.as_slice(), &[b"more"]].concat();
            assert!(!may(Scope::Canister(id), &below), "{label}");
        }
    }

    #[test]
    fn certified_data_and_a_canister_as_a_whole_are_read_by_nobody() {
        let id = rig::canister();
        let whole: [&[u8]; 2] = [b"canister", id.as_slice()];
        assert!(!may(Scope::Canister(id), &whole));
        assert!(!may(
            Scope::Canister(id),
            &[whole.as_slice(), &[b"certified_data"]].concat()
        ));
    }
}
