//! How much text a stage's `$(…)` may become. A definition of a few KiB can name a long parameter thousands of times, so everything is
//! measured before it is written.

use std::{cell::Cell, fmt};

use super::{PlanError, refused};

/// The longest string that Linux gives a program, the zero byte at its end included.
pub(crate) const STRING_BYTES: usize = 128 * 1024;
/// All texts of a stage with their values. What is written out in a Pipeline and an executor is less: neither kind of object can be so large.
const STAGE_BYTES: usize = 4 * 1024 * 1024;

/// What is left for the texts of a stage.
pub(super) struct Left(Cell<usize>);

impl Left {
    pub(super) fn all() -> Self {
        Self(Cell::new(STAGE_BYTES))
    }

    /// The most that a text of this name may become, and whether that is because of what others of the stage have taken.
    pub(super) fn most(&self, name: &str) -> (usize, Cause) {
        // `NAME=value` and a zero byte
        let own = STRING_BYTES.saturating_sub(name.len() + 2);
        let left = self.0.get();
        if left < own {
            (left, Cause::Stage)
        } else {
            (own, Cause::Text)
        }
    }

    /// Takes a text into account.
    pub(super) fn take(&self, field: impl fmt::Display, bytes: usize) -> Result<(), PlanError> {
        let left = self.0.get().checked_sub(bytes);
        self.0.set(left.ok_or_else(|| Cause::Stage.refusal(field))?);
        Ok(())
    }
}

/// Which of the bounds a text is beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    Text,
    Stage,
}

impl Cause {
    pub(super) fn refusal(self, field: impl fmt::Display) -> PlanError {
        const FIX: &str = "name fewer or shorter values, or hand long texts on as an artifact";
        match self {
            Self::Text => refused(
                "TextTooLarge",
                format!(
                    "{field}: with its values this text and its name are longer than {STRING_BYTES} bytes, the most that Linux takes in one variable: {FIX}"
                ),
            ),
            Self::Stage => refused(
                "TextsTooLarge",
                format!(
                    "{field}: with this one and all values the texts of the stage are longer than {STAGE_BYTES} bytes together: {FIX}"
                ),
            ),
        }
    }
}
