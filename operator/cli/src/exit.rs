//! How the program ends.

use std::{fmt, process::ExitCode};

/// Exit codes that scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// The run succeeded, or the command did what it was asked.
    Succeeded,
    /// The run failed, or the command found something wrong.
    Failed,
    /// The command line or a file is wrong.
    Usage,
    /// The run was cancelled.
    Cancelled,
    /// The run, or the waiting for it, timed out.
    TimedOut,
    /// It could not be found out.
    CannotTell,
    /// `verify`: it could not be checked, or nothing is pinned.
    Unchecked,
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::Usage | Self::Unchecked => 2,
            Self::Cancelled => 3,
            Self::TimedOut => 4,
            Self::CannotTell => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Why a command ended early: one sentence with place and fix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Exit code.
    pub exit: Exit,
    /// The sentence.
    pub message: String,
}

impl Failure {
    /// The command line or a file is wrong.
    pub fn usage(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            message: message.into(),
        }
    }

    /// It could not be found out.
    pub fn cannot_tell(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::CannotTell,
            message: message.into(),
        }
    }

    /// The command found something wrong.
    pub fn failed(message: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failed,
            message: message.into(),
        }
    }

    /// The same sentence with another exit code.
    pub fn with(self, exit: Exit) -> Self {
        Self { exit, ..self }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}
