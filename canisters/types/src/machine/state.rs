//! The state of one stage (section 4).

use std::fmt;

use crate::record::SkipReason;

/// Where a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has happened.
    Pending,
    /// The last attempt runs.
    Running,
    /// The last attempt ended and another will follow.
    Retrying,
    /// The last attempt succeeded.
    Succeeded,
    /// It failed for good.
    Failed,
    /// It will not run.
    Skipped(SkipReason),
    /// It was cancelled.
    Cancelled,
}

/// A stage's phase and how many attempts have begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StageState {
    /// Where it is.
    pub phase: Phase,
    /// Number of the last attempt that began, 0 if none did.
    pub attempts: u64,
}

/// Phases by their code; the place in the list is for ever.
const PHASES: [Phase; 10] = [
    Phase::Pending,
    Phase::Running,
    Phase::Retrying,
    Phase::Succeeded,
    Phase::Failed,
    Phase::Cancelled,
    Phase::Skipped(SkipReason::Condition),
    Phase::Skipped(SkipReason::Needs),
    Phase::Skipped(SkipReason::Results),
    Phase::Skipped(SkipReason::Ended),
];

impl StageState {
    /// The state every stage begins in.
    pub const PENDING: Self = Self {
        phase: Phase::Pending,
        attempts: 0,
    };

    /// Whether nothing more can happen to the stage.
    pub fn has_ended(self) -> bool {
        matches!(
            self.phase,
            Phase::Succeeded | Phase::Failed | Phase::Skipped(_) | Phase::Cancelled
        )
    }

    /// The saved form: attempts in the upper bits, the phase in the lower four.
    pub(super) fn code(self) -> u64 {
        let phase = PHASES
            .iter()
            .position(|phase| *phase == self.phase)
            .unwrap_or_default();
        (self.attempts << 4) | phase as u64
    }

    pub(super) fn from_code(code: u64) -> Option<Self> {
        let phase = PHASES.get(usize::try_from(code & 0xf).ok()?)?;
        Some(Self {
            phase: *phase,
            attempts: code >> 4,
        })
    }
}

impl fmt::Display for StageState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Pending => write!(f, "it has not started"),
            Phase::Running => write!(f, "it is running attempt {}", self.attempts),
            Phase::Retrying => write!(f, "it waits to retry after attempt {}", self.attempts),
            Phase::Succeeded => write!(f, "it has succeeded in attempt {}", self.attempts),
            Phase::Failed => write!(f, "it has failed in attempt {}", self.attempts),
            Phase::Skipped(reason) => write!(f, "it has been skipped ({})", reason.as_str()),
            Phase::Cancelled => write!(f, "it has been cancelled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_phase_has_a_code_that_reads_back() {
        for phase in PHASES {
            for attempts in [0, 1, 10, 1 << 32] {
                let state = StageState { phase, attempts };
                assert_eq!(StageState::from_code(state.code()), Some(state));
            }
        }
        assert_eq!(StageState::from_code(10), None);
    }
}
