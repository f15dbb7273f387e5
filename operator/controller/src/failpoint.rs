//! Places where a test kills the operator.
//!
//! `DCANARY_FAILPOINT=before:CreatePod` ends the process there, once: a marker in `/tmp` (which outlives the container, not the Pod)
//! says that it has fired. Without the variable nothing happens.

use std::{path::Path, sync::OnceLock};

use dcanary_core::Effect;
use dcanary_rollout as rollout;

/// Before or after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Before it.
    Before,
    /// After it.
    After,
}

/// Something with a name at whose sides the operator can be killed.
pub trait Place: Copy {
    /// Its name, as `DCANARY_FAILPOINT` spells it. No two places have the same.
    fn name(self) -> &'static str;
}

/// Declares the boundaries and the list of all of them in one place.
macro_rules! boundaries {
    ($(#[$docs:meta])* $all:ident: $($(#[$doc:meta])* $name:ident),+ $(,)?) => {
        $(#[$docs])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $all {
            $($(#[$doc])* $name),+
        }

        impl $all {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name, as `DCANARY_FAILPOINT` spells it.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name)),+
                }
            }
        }

        impl Place for $all {
            fn name(self) -> &'static str {
                Self::name(self)
            }
        }
    };
}

boundaries! {
    /// Something that the operator does about runs and at whose sides it can be killed.
    Boundary:
    /// A status write.
    WriteStatus,
    /// [`Effect::HoldRun`].
    HoldRun,
    /// [`Effect::CreatePod`].
    CreatePod,
    /// [`Effect::Deploy`].
    Deploy,
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

boundaries! {
    /// Something that the operator does about Environments and at whose sides it can be killed.
    EnvironmentBoundary:
    /// A status write.
    WriteEnvironmentStatus,
    /// [`rollout::Effect::HoldEnvironment`].
    HoldEnvironment,
    /// [`rollout::Effect::Write`].
    WriteObject,
    /// [`rollout::Effect::Delete`].
    DeleteObject,
    /// [`rollout::Effect::WritePromotion`].
    WritePromotion,
    /// [`rollout::Effect::Measure`].
    TakeSample,
    /// [`rollout::Effect::Verify`].
    VerifyRoute,
    /// [`rollout::Effect::StoreEvidence`].
    StoreEvidence,
    /// [`rollout::Effect::SealOutbox`].
    SealEnvironmentOutbox,
    /// [`rollout::Effect::DropSealed`].
    DropEnvironmentSealed,
    /// [`rollout::Effect::ReleaseEnvironment`].
    ReleaseEnvironment,
}

impl EnvironmentBoundary {
    /// The boundary of an effect. A new effect without a boundary does not compile.
    pub const fn of(effect: &rollout::Effect) -> Self {
        match effect {
            rollout::Effect::HoldEnvironment => Self::HoldEnvironment,
            rollout::Effect::Write(_) => Self::WriteObject,
            rollout::Effect::Delete { .. } => Self::DeleteObject,
            rollout::Effect::WritePromotion { .. } => Self::WritePromotion,
            rollout::Effect::Measure(_) => Self::TakeSample,
            rollout::Effect::Verify(_) => Self::VerifyRoute,
            rollout::Effect::StoreEvidence { .. } => Self::StoreEvidence,
            rollout::Effect::SealOutbox(_) => Self::SealEnvironmentOutbox,
            rollout::Effect::DropSealed { .. } => Self::DropEnvironmentSealed,
            rollout::Effect::ReleaseEnvironment => Self::ReleaseEnvironment,
        }
    }
}

impl Boundary {
    /// The boundary of an effect. A new effect without a boundary does not compile, and neither does the test that kills the operator there.
    pub const fn of(effect: &Effect) -> Self {
        match effect {
            Effect::HoldRun => Self::HoldRun,
            Effect::CreatePod(_) => Self::CreatePod,
            Effect::Deploy(_) => Self::Deploy,
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
pub fn hit(side: Side, place: impl Place) {
    let Some(chosen) = chosen() else { return };
    let here = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    let fits = chosen
        .split_once(':')
        .is_some_and(|(side, name)| side == here && name == place.name());
    if fits && !Path::new(MARKER).exists() && std::fs::write(MARKER, chosen).is_ok() {
        tracing::error!(failpoint = chosen, "killed by a failpoint");
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_two_places_have_the_same_name() {
        let runs = Boundary::ALL.iter().map(|place| place.name());
        let all: Vec<_> = runs
            .chain(EnvironmentBoundary::ALL.iter().map(|place| place.name()))
            .collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    }
}
