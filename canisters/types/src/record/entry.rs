//! Records of which only the block type says whether they are a run's or an environment's.

use crate::{
    environment::EnvTransition,
    fields::Fields,
    record::{RecordError, RecordKind, Transition},
    value::Map,
};

/// What a record of a run or of an environment says. The note that a record was refused is read as a run's and may be
/// taken as either's: whose it is, record 0 of the same UID says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Of a run.
    Run(Transition),
    /// Of an environment.
    Environment(EnvTransition),
}

impl Entry {
    /// The same as a record of a run, if it can be one.
    pub fn into_run(self) -> Option<Transition> {
        match self {
            Self::Run(transition) => Some(transition),
            Self::Environment(EnvTransition::RecordRefused { hash, reason }) => {
                Some(Transition::RecordRefused { hash, reason })
            }
            Self::Environment(_) => None,
        }
    }

    /// The same as a record of an environment, if it can be one.
    pub fn into_environment(self) -> Option<EnvTransition> {
        match self {
            Self::Environment(transition) => Some(transition),
            Self::Run(Transition::RecordRefused { hash, reason }) => {
                Some(EnvTransition::RecordRefused { hash, reason })
            }
            Self::Run(_) => None,
        }
    }
}

impl RecordKind for Entry {
    fn btype(&self) -> &'static str {
        match self {
            Self::Run(transition) => transition.btype(),
            Self::Environment(transition) => transition.btype(),
        }
    }

    fn knows(btype: &str) -> bool {
        Transition::knows(btype) || EnvTransition::knows(btype)
    }

    fn foreign(btype: &str) -> RecordError {
        RecordError::NotARecord(btype.to_owned())
    }

    fn fields(&self) -> Map {
        match self {
            Self::Run(transition) => transition.fields(),
            Self::Environment(transition) => transition.fields(),
        }
    }

    fn take(btype: &str, fields: &mut Fields) -> Result<Self, RecordError> {
        if Transition::knows(btype) {
            Transition::take(btype, fields).map(Self::Run)
        } else {
            EnvTransition::take(btype, fields).map(Self::Environment)
        }
    }
}
