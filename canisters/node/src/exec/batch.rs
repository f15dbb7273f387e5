//! What is ordered, logged and applied.

pub use crate::state::ingress::Ingress;
use crate::wire::hash::Hash;

/// What the node lets canisters do, that it can be started without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions {
    /// Whether they may create canisters.
    pub create: bool,
    /// Whether there are the methods that make canisters and cycles from nothing.
    pub provisional: bool,
}

impl Permissions {
    /// Everything.
    pub const ALL: Self = Self {
        create: true,
        provisional: true,
    };

    /// As a number, for the log.
    pub fn bits(self) -> u64 {
        u64::from(self.create) | u64::from(self.provisional) << 1
    }

    /// From its number; `None` when it is none.
    pub fn from_bits(bits: u64) -> Option<Self> {
        (bits < 4).then_some(Self {
            create: bits & 1 != 0,
            provisional: bits & 2 != 0,
        })
    }
}

/// Messages that are ordered together at one time. Those for which there are no instructions left in it wait in the state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    /// Its number; the first is 1.
    pub round: u64,
    /// Its time, nanoseconds since 1970, greater than that of the batch before.
    pub time: u64,
    /// Bytes that all canisters together may take. Part of the batch, so that replaying it under another setting gives the
    /// same state.
    pub memory_limit: u64,
    /// Bytes that one canister may hold; see [`crate::exec::quota`]. Part of the batch for the same reason.
    pub canister_limit: u64,
    /// What canisters may do. Part of the batch like the memory limit; users are checked before ordering.
    pub permissions: Permissions,
    /// Bytes that the operating system drew when the batch was made; see [`crate::mgmt::raw_rand`].
    pub seed: Hash,
    /// The messages in order.
    pub messages: Vec<Ingress>,
}
