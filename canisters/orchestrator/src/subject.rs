//! What a segment's records are about: a run or an environment, between its first and its last record.

use std::cell::RefCell;

use dcanary_types::{
    Hash, Value,
    api::AppendError,
    environment::{EnvMachine, EnvTransition},
    graph::GraphDoc,
    machine::RunMachine,
    record::{Entry, Outcome, Record, Transition},
    value::sha256,
};
use ic_stable_structures::Memory;

use crate::{
    journal::Ledger,
    segment::{Offer, Stop},
    store::{RunKey, Store, StoreError},
};

/// The state of a run or an environment.
#[derive(Debug)]
pub(crate) enum Subject {
    Run(RunMachine),
    Environment(EnvMachine),
}

impl Subject {
    /// The state after the first record.
    pub(crate) fn open(offer: &Offer, first: &Record<Entry>) -> Result<Self, AppendError> {
        match &first.transition {
            Entry::Run(Transition::RunOpened { graph: digest, .. }) => {
                let document = offer.graph.as_ref().ok_or(AppendError::GraphMissing)?;
                if sha256(document) != *digest {
                    return Err(AppendError::GraphMismatch);
                }
                let graph = GraphDoc::decode(document).map_err(|why| AppendError::Malformed {
                    n: first.n,
                    reason: why.to_string(),
                })?;
                Ok(Self::Run(RunMachine::open(graph)))
            }
            Entry::Environment(EnvTransition::Opened { from, approvals, .. }) => Ok(Self::Environment(
                EnvMachine::open(&offer.run, from.as_deref(), *approvals),
            )),
            Entry::Environment(_) => Err(illegal(
                first.n,
                format!("an environment begins with `{}`", EnvTransition::OPENED),
            )),
            Entry::Run(_) => Err(illegal(
                first.n,
                format!("a run begins with `{}`", Transition::RUN_OPENED),
            )),
        }
    }

    /// The stored state.
    pub(crate) fn stored<M: Memory + Clone>(
        store: &Store<M>,
        offer: &Offer,
        id: u64,
    ) -> Result<Self, StoreError> {
        let saved = store.machine(id)?.ok_or(StoreError::Missing("state of a run"))?;
        if EnvMachine::is_saved(&saved) {
            return restore(&offer.run, saved).map(Self::Environment);
        }
        let graph = store.graph(id).ok_or(StoreError::Missing("graph of a run"))?;
        let graph = GraphDoc::decode(&graph).map_err(|why| corrupt(&why))?;
        RunMachine::restore(graph, saved)
            .map(Self::Run)
            .map_err(|why| corrupt(&why))
    }

    /// Why nothing follows.
    pub(crate) fn ended(n: u64, outcome: &str) -> AppendError {
        if outcome == EnvMachine::OUTCOME {
            illegal(n, "the environment is closed".to_owned())
        } else {
            illegal(n, format!("the run has ended ({outcome})"))
        }
    }

    /// Takes the next record.
    pub(crate) fn apply<M: Memory + Clone>(
        &mut self,
        record: &Record<Entry>,
        others: &Others<'_, M>,
    ) -> Result<(), Stop> {
        let refused = match (self, &record.transition) {
            (Self::Run(machine), Entry::Run(transition)) => {
                machine.apply(transition).err().map(|why| why.to_string())
            }
            (Self::Run(_), Entry::Environment(_)) => {
                Some("this UID is a run's, the record an environment's".to_owned())
            }
            (Self::Environment(machine), said) => match said.clone().into_environment() {
                Some(transition) => {
                    let answer =
                        machine.admit(&transition, &|uid, release| others.has_promoted(uid, release));
                    others.broken()?;
                    answer.err().map(|why| why.to_string())
                }
                None => Some("this UID is an environment's, the record a run's".to_owned()),
            },
        };
        match refused {
            Some(reason) => Err(illegal(record.n, reason).into()),
            None => Ok(()),
        }
    }

    /// How it has ended, if it has.
    pub(crate) fn outcome(&self) -> Option<&'static str> {
        match self {
            Self::Run(machine) => machine.outcome().map(Outcome::as_str),
            Self::Environment(machine) => machine.is_closed().then_some(EnvMachine::OUTCOME),
        }
    }

    /// What is stored of it while it is open.
    pub(crate) fn to_value(&self) -> Value {
        match self {
            Self::Run(machine) => machine.to_value(),
            Self::Environment(machine) => machine.to_value(),
        }
    }
}

fn illegal(n: u64, reason: String) -> AppendError {
    AppendError::Illegal { n, reason }
}

fn corrupt(why: &impl ToString) -> StoreError {
    StoreError::Corrupt {
        what: "state of a run",
        why: why.to_string(),
    }
}

fn restore(uid: &str, saved: Value) -> Result<EnvMachine, StoreError> {
    EnvMachine::restore(uid, saved).map_err(|why| corrupt(&why))
}

/// The other environments of the offer's project and domain, as they are stored. A segment changes none of them.
pub(crate) struct Others<'l, M: Memory + Clone> {
    store: &'l Store<M>,
    project: &'l str,
    domain: &'l str,
    /// The one that was asked last; a segment asks for few.
    last: RefCell<Option<(String, Option<EnvMachine>)>>,
    /// What was found broken; the state machine cannot be told.
    broken: RefCell<Option<StoreError>>,
}

impl<M: Memory + Clone> Ledger<M> {
    /// The environments that an offer may rest on.
    pub(crate) fn others<'l>(&'l self, offer: &'l Offer) -> Others<'l, M> {
        Others {
            store: &self.store,
            project: &offer.project,
            domain: &offer.domain,
            last: RefCell::new(None),
            broken: RefCell::new(None),
        }
    }
}

impl<M: Memory + Clone> Others<'_, M> {
    fn has_promoted(&self, uid: &str, release: &Hash) -> Option<bool> {
        let mut last = self.last.borrow_mut();
        if last.as_ref().is_none_or(|(known, _)| known != uid) {
            match self.read(uid) {
                Ok(machine) => *last = Some((uid.to_owned(), machine)),
                Err(broken) => {
                    self.broken.replace(Some(broken));
                    return None;
                }
            }
        }
        let (_, machine) = last.as_ref()?;
        machine.as_ref().map(|machine| machine.has_promoted(release))
    }

    /// An open environment; none where the UID is not there, is a run's, or the environment is closed.
    fn read(&self, uid: &str) -> Result<Option<EnvMachine>, StoreError> {
        let Some(entry) = self.store.run(&RunKey::new(self.project, self.domain, uid))? else {
            return Ok(None);
        };
        match self.store.machine(entry.id)? {
            Some(saved) if EnvMachine::is_saved(&saved) => restore(uid, saved).map(Some),
            _ => Ok(None),
        }
    }

    fn broken(&self) -> Result<(), StoreError> {
        match self.broken.take() {
            Some(broken) => Err(broken),
            None => Ok(()),
        }
    }
}
