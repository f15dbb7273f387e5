//! From which kinds of execution a function may be called.
//!
//! The letters are those of the IC interface specification, "Overview of imports".

/// A set of kinds of execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contexts(u16);

impl Contexts {
    /// `canister_init`, `canister_post_upgrade`.
    pub const I: Self = Self(1);
    /// `canister_pre_upgrade`.
    pub const G: Self = Self(1 << 1);
    /// `canister_update`.
    pub const U: Self = Self(1 << 2);
    /// `canister_query` in replicated mode.
    pub const RQ: Self = Self(1 << 3);
    /// `canister_query` in non-replicated mode.
    pub const NRQ: Self = Self(1 << 4);
    /// A transform function of an HTTP outcall.
    pub const TQ: Self = Self(1 << 5);
    /// `canister_composite_query`.
    pub const CQ: Self = Self(1 << 6);
    /// A reply callback.
    pub const RY: Self = Self(1 << 7);
    /// A reject callback.
    pub const RT: Self = Self(1 << 8);
    /// A reply callback of a composite query.
    pub const CRY: Self = Self(1 << 9);
    /// A reject callback of a composite query.
    pub const CRT: Self = Self(1 << 10);
    /// A cleanup callback.
    pub const C: Self = Self(1 << 11);
    /// A cleanup callback of a composite query.
    pub const CC: Self = Self(1 << 12);
    /// The start function.
    pub const S: Self = Self(1 << 13);
    /// `canister_inspect_message`.
    pub const F: Self = Self(1 << 14);
    /// Heartbeat, timer, low memory hook.
    pub const T: Self = Self(1 << 15);
    /// `*`: everything but the start function.
    pub const ANY: Self = Self(!(1 << 13));
    /// Everything.
    pub const ALWAYS: Self = Self(u16::MAX);

    /// The union of two sets.
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether all of the other set is in this one.
    pub const fn allows(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// U RQ NRQ TQ CQ Ry Rt CRy CRt: everything that can answer.
pub const ANSWERING: Contexts = Contexts::U
    .or(Contexts::RQ)
    .or(Contexts::NRQ)
    .or(Contexts::TQ)
    .or(Contexts::CQ)
    .or(CALLBACKS);
/// Ry Rt CRy CRt.
pub const CALLBACKS: Contexts = Contexts::RY.or(Contexts::RT).or(Contexts::CRY).or(Contexts::CRT);
/// Executions whose effects are kept when they succeed.
pub const REPLICATED: Contexts = Contexts::I
    .or(Contexts::G)
    .or(Contexts::U)
    .or(Contexts::RQ)
    .or(Contexts::RY)
    .or(Contexts::RT)
    .or(Contexts::C)
    .or(Contexts::S)
    .or(Contexts::T);
