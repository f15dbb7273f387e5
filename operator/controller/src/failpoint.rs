//! Places where a test kills the operator.
//!
//! `DCANARY_FAILPOINT=before:CreatePod` ends the process there, once: a marker in `/tmp` (which outlives the container, not the Pod)
//! says that it has fired. Without the variable nothing happens.

use std::{path::Path, sync::OnceLock};

use dcanary_core::Effect;

/// Before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Declares the boundaries and the list of all of them in one place.
macro_rules! boundaries {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        /// Something that the operator does and at whose sides it can be killed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Boundary {
            $($(#[$doc])* $name),+
        }

        impl Boundary {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name, as `DCANARY_FAILPOINT` spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }
        }
    };
}

boundaries! {
    /// A status write.
    WriteStatus,
    /// [`Effect::HoldRun`].
    HoldRun,
    /// [`Effect::CreatePod`].
    CreatePod,
    /// [`Effect::DeletePod`].
    DeletePod,
    /// [`Effect::ReleasePod`].
    ReleasePod,
    /// [`Effect::RevokeSession`].
    RevokeSession,
    /// [`Effect::SealOutbox`].
    SealOutbox,
    /// [`Effect::DropSealed`].
    DropSealed,
    /// [`Effect::AckReports`].
    AckReports,
    /// [`Effect::ReleaseRun`].
    ReleaseRun,
}

impl Boundary {
    /// The boundary of an effect. A new effect without a boundary does not compile, and neither does the test that kills the operator there.
    pub const fn of(effect: &Effect) -> Self {
        match effect {
            Effect::HoldRun => Self::HoldRun,
            Effect::CreatePod(_) => Self::CreatePod,
            Effect::DeletePod(_) => Self::DeletePod,
            Effect::ReleasePod(_) => Self::ReleasePod,
            Effect::RevokeSession { .. } => Self::RevokeSession,
            Effect::SealOutbox(_) => Self::SealOutbox,
            Effect::DropSealed { .. } => Self::DropSealed,
            Effect::AckReports { .. } => Self::AckReports,
            Effect::ReleaseRun => Self::ReleaseRun,
        }
    }
}

const MARKER: &str = "/tmp/failpoint-fired";

fn chosen() -> Option<&'static str> {
    static CHOSEN: OnceLock<Option<String>> = OnceLock::new();
    CHOSEN
        .get_or_init(|| {
            std::env::var("DCANARY_FAILPOINT")
                .ok()
                .filter(|text| !text.is_empty())
        })
        .as_deref()
}

/// Ends the process here when this boundary is the chosen one and has not fired yet.
pub fn hit(side: Side, boundary: Boundary) {
    let Some(chosen) = chosen() else { return };
    let here = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    let fits = chosen
        .split_once(':')
        .is_some_and(|(side, name)| side == here && name == boundary.name());
    if fits && !Path::new(MARKER).exists() && std::fs::write(MARKER, chosen).is_ok() {
        tracing::error!(failpoint = chosen, "killed by a failpoint");
        std::process::abort();
    }
}
