//! Places where a test kills the operator.
//!
//! `DCANARY_FAILPOINT=before:CreatePod` ends the process there, once: a marker in `/tmp` (which outlives the container, not the Pod)
//! says that it has fired. Several (`before:CreatePod,after:CreatePod`) end it one after the other, each once; then the process begins again
//! by replacing itself, because the kubelet waits longer and longer before it starts a container again. Whatever the process knew is lost either
//! way. Without the variable nothing happens.

use std::{
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Mutex, OnceLock, PoisonError},
};

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

/// What is logged when the process ends here; the failpoint itself is a field beside it.
pub const KILLED: &str = "killed by a failpoint";

/// Held by the one at which the process ends.
static KILL: Mutex<()> = Mutex::new(());

/// Where a failpoint leaves its marker.
fn marker(point: &str) -> PathBuf {
    Path::new("/tmp").join(format!("failpoint-{}", point.replace(':', "-")))
}

fn chosen() -> &'static [String] {
    static CHOSEN: OnceLock<Vec<String>> = OnceLock::new();
    CHOSEN.get_or_init(|| {
        let points = std::env::var("DCANARY_FAILPOINT").unwrap_or_default();
        let points = points.split(',').map(str::trim).filter(|point| !point.is_empty());
        points.map(str::to_owned).collect()
    })
}

/// Whether a failpoint names this side of this place.
fn names(point: &str, side: Side, place: impl Place) -> bool {
    let here = match side {
        Side::Before => "before",
        Side::After => "after",
    };
    point
        .split_once(':')
        .is_some_and(|(side, name)| side == here && name == place.name())
}

/// Ends the process here when this boundary is a chosen one and has not fired yet.
pub fn hit(side: Side, place: impl Place) {
    let chosen = chosen();
    let Some(point) = chosen.iter().find(|point| names(point, side, place)) else {
        return;
    };
    // whoever is second waits here until the process ends: else it would have left its marker and said nothing
    let _first = KILL.lock().unwrap_or_else(PoisonError::into_inner);
    let marker = marker(point);
    if marker.exists() || std::fs::write(&marker, point).is_err() {
        return;
    }
    tracing::error!(failpoint = point, "{KILLED}");
    if chosen.len() > 1
        && let Ok(program) = std::env::current_exe()
    {
        // returns only when it could not begin again
        let error = Command::new(program).args(std::env::args_os().skip(1)).exec();
        tracing::error!(%error, "cannot begin again by itself; the kubelet has to");
    }
    std::process::abort();
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

    #[test]
    fn a_failpoint_names_one_side_of_one_place() {
        assert!(names("before:CreatePod", Side::Before, Boundary::CreatePod));
        assert!(!names("before:CreatePod", Side::After, Boundary::CreatePod));
        assert!(!names("before:CreatePod", Side::Before, Boundary::DeletePod));
        assert!(!names("CreatePod", Side::Before, Boundary::CreatePod));
    }
}
