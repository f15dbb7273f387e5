//! The parts of the state tree that describe the subnet. They never change while the node runs.

use super::keys::Keys;
use super::tree::Tree;
use crate::faults::{Fault, broken};
use crate::wire::cbor;
use ic_principal::Principal;

/// First and last canister id of the one subnet: the whole id space of opaque ids, so that the ids of well-known
/// canisters are in range too.
pub const FIRST_CANISTER: [u8; 10] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 1];
const LAST_CANISTER: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1];

/// `[[first, last]]` in CBOR with the self-describing tag.
fn ranges() -> Vec<u8> {
    let mut out = Vec::with_capacity(32);
    cbor::write_tag(&mut out);
    cbor::write_array(&mut out, 1);
    cbor::write_array(&mut out, 2);
    cbor::write_bytes(&mut out, &FIRST_CANISTER);
    cbor::write_bytes(&mut out, &LAST_CANISTER);
    out
}

/// Whether an id belongs to the subnet.
pub fn in_range(id: &Principal) -> bool {
    let bytes = id.as_slice();
    bytes >= FIRST_CANISTER.as_slice() && bytes <= LAST_CANISTER.as_slice()
}

/// `/canister_ranges`: one shard, because agent-js picks the first shard at or below an id.
pub fn canister_ranges(keys: &Keys) -> Tree {
    Tree::map([(
        keys.subnet_id.as_slice(),
        Tree::map([(FIRST_CANISTER, Tree::leaf(ranges()))]),
    )])
}

/// `/subnet` as the subnet certifies it. The legacy `canister_ranges` below it serves older clients.
pub fn subnet(keys: &Keys) -> Tree {
    let key = if broken(Fault::HideNodes) {
        [].as_slice()
    } else {
        keys.node_der.as_slice()
    };
    let node = Tree::map([("public_key", Tree::leaf(key))]);
    let subnet = Tree::map([
        ("public_key", Tree::leaf(keys.subnet.der())),
        ("canister_ranges", Tree::leaf(ranges())),
        ("node", Tree::map([(keys.node_id.as_slice(), node)])),
        ("type", Tree::leaf("application")),
    ]);
    Tree::map([(keys.subnet_id.as_slice(), subnet)])
}

/// The tree that the root key signs for the subnet.
pub fn delegation(keys: &Keys, time: u64) -> Tree {
    if broken(Fault::DelegationWithoutRanges) {
        let subnet = Tree::map([("public_key", Tree::leaf(keys.subnet.der()))]);
        return Tree::map([
            ("subnet", Tree::map([(keys.subnet_id.as_slice(), subnet)])),
            ("time", Tree::leaf(crate::wire::hash::leb128(time))),
        ]);
    }
    let subnet = Tree::map([
        ("public_key", Tree::leaf(keys.subnet.der())),
        ("canister_ranges", Tree::leaf(ranges())),
    ]);
    Tree::map([
        ("subnet", Tree::map([(keys.subnet_id.as_slice(), subnet)])),
        ("canister_ranges", canister_ranges(keys)),
        ("time", Tree::leaf(crate::wire::hash::leb128(time))),
    ])
}
