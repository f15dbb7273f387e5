//! Messages of users.

use crate::wire::hash::Hash;
use ic_principal::Principal;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// An authenticated update call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingress {
    /// The request id.
    pub id: Hash,
    /// Who sent it.
    pub sender: Principal,
    /// The called canister.
    pub canister: Principal,
    /// The canister in whose name it is routed: the called one, or the one that a management call is about.
    pub effective: Principal,
    /// The called method.
    pub method: String,
    /// The argument.
    #[serde(with = "shared_bytes")]
    pub arg: Arc<[u8]>,
    /// Until when it is valid, nanoseconds since 1970.
    pub expiry: u64,
}

impl Ingress {
    /// In whose queue it waits: of those for a canister, or, as a management call, of those of its sender. So controllers reach a canister that
    /// others flood, and nobody who makes canisters stands in the queue of one that is there.
    pub fn queue(&self) -> Principal {
        if self.canister == Principal::management_canister() {
            self.sender
        } else {
            self.canister
        }
    }
}

/// Shared bytes are written as a byte string, and not as a list of numbers.
mod shared_bytes {
    use serde::{Deserialize, Deserializer, Serializer};
    use serde_bytes::ByteBuf;
    use std::sync::Arc;

    pub fn serialize<S: Serializer>(bytes: &Arc<[u8]>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<[u8]>, D::Error> {
        ByteBuf::deserialize(deserializer).map(|bytes| bytes.into_vec().into())
    }
}
