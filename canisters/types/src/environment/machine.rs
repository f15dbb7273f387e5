//! The state machine of an environment: which record may follow which (section 12).
//!
//! ```text
//!          deploy_requested            deploy_started
//! no one ──────────────────► waiting ──────────────────► started ── step_reached, analysis_verdict ─┐
//! current    not held,        │  │      approvals,         │  │  ▲                                  │
//!    ▲       vouched for      │  │      no rejection,      │  │  └──────────────────────────────────┘
//!    │                        │  │      not held           │  │
//!    └─── aborted, rolled_back┘  └ decided                 └──┴─ promoted, aborted, rolled_back ──► no one current
//! ```
//! Holding, releasing, decisions and new rules come at any time until the environment is closed.

use std::collections::{BTreeSet, VecDeque};

use super::{
    EnvTransition, IllegalEnv, IllegalEnvReason as Illegal, Request,
    error::{self, Shown},
};
use crate::{
    limits::{MAX_APPROVALS, MAX_HELD, MAX_PROMOTED, MAX_WEIGHT},
    value::{Hash, sha256},
};

/// Whether an environment of the same project and domain has promoted a release; `None` when no such environment is open.
pub type HasPromoted<'a> = dyn Fn(&str, &Hash) -> Option<bool> + 'a;

/// One environment between its first and its last record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvMachine {
    pub(super) uid: String,
    pub(super) from: Option<String>,
    pub(super) approvals: u64,
    pub(super) current: Option<Request>,
    pub(super) held: BTreeSet<Hash>,
    /// Digests of promoted releases, the latest last, each once.
    pub(super) promoted: VecDeque<Hash>,
    /// Identities of promoted releases, the latest last, each once.
    pub(super) identities: VecDeque<Hash>,
    /// Releases that were promoted before identities were remembered.
    pub(super) unidentified: VecDeque<Hash>,
    pub(super) closed: bool,
}

impl EnvMachine {
    /// How an environment that was closed has ended, where a run has its outcome. No run ends so.
    pub const OUTCOME: &'static str = "closed";

    /// The state after `dcanary_env_opened`.
    pub fn open(uid: &str, from: Option<&str>, approvals: u64) -> Self {
        Self {
            uid: uid.to_owned(),
            from: from.map(str::to_owned),
            approvals,
            current: None,
            held: BTreeSet::new(),
            promoted: VecDeque::new(),
            identities: VecDeque::new(),
            unidentified: VecDeque::new(),
            closed: false,
        }
    }

    /// Its UID.
    pub fn uid(&self) -> &str {
        &self.uid
    }

    /// UID of the environment whose releases may come here.
    pub fn from(&self) -> Option<&str> {
        self.from.as_deref()
    }

    /// How many different people must approve.
    pub fn approvals(&self) -> u64 {
        self.approvals
    }

    /// The request that has its turn.
    pub fn current(&self) -> Option<&Request> {
        self.current.as_ref()
    }

    /// Whether a release may not come.
    pub fn is_held(&self, identity: &Hash) -> bool {
        self.held.contains(identity)
    }

    /// Whether a release was promoted here, as far as is remembered.
    pub fn has_promoted(&self, release: &Hash) -> bool {
        self.promoted.contains(release)
    }

    /// Whether the environment has ended: nothing follows.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the next record of the environment, or leaves everything as it is. This is section 12, which never changes: what a ledger has taken
    /// stays legal.
    ///
    /// # Errors
    /// What the record would do and why it may not.
    pub fn apply(
        &mut self,
        transition: &EnvTransition,
        has_promoted: &HasPromoted<'_>,
    ) -> Result<(), IllegalEnv> {
        self.taken(transition, has_promoted, Backs::ToReleases)
    }

    /// The same for a record that is to be written, of which more is asked than section 12 does: a release that was promoted here needs no
    /// approvals on the way back only in a configuration that was promoted here too.
    ///
    /// # Errors
    /// What the record would do and why it may not.
    pub fn admit(
        &mut self,
        transition: &EnvTransition,
        has_promoted: &HasPromoted<'_>,
    ) -> Result<(), IllegalEnv> {
        self.taken(transition, has_promoted, Backs::ToIdentities)
    }

    fn taken(
        &mut self,
        transition: &EnvTransition,
        has_promoted: &HasPromoted<'_>,
        backs: Backs,
    ) -> Result<(), IllegalEnv> {
        self.step(transition, has_promoted, backs)
            .map_err(|why| IllegalEnv {
                what: error::describe(transition),
                why: Box::new(why),
            })
    }

    fn step(
        &mut self,
        transition: &EnvTransition,
        has_promoted: &HasPromoted<'_>,
        backs: Backs,
    ) -> Result<(), Illegal> {
        if self.closed {
            return Err(Illegal::Closed);
        }
        match transition {
            EnvTransition::Opened { .. } => return Err(Illegal::AlreadyOpen),
            EnvTransition::RecordRefused { .. } => {}
            EnvTransition::Changed { from, approvals, .. } => {
                self.from.clone_from(from);
                self.approvals = *approvals;
            }
            EnvTransition::DeployRequested {
                promotion,
                release,
                identity,
                undo,
                ..
            } => {
                self.may_come(release, identity, *undo, has_promoted)?;
                let returns = *undo && self.has_promoted(release);
                self.current = Some(Request::new(promotion, *release, *identity, returns));
            }
            EnvTransition::Decided {
                promotion,
                verb,
                by,
                identity,
                ..
            } => self.decide(promotion.as_deref(), verb, by, identity.as_ref())?,
            EnvTransition::DeployStarted { promotion } => self.start(promotion, backs)?,
            EnvTransition::StepReached {
                promotion, weight, ..
            } => {
                self.started(promotion)?;
                if *weight > MAX_WEIGHT {
                    return Err(Illegal::Weight(*weight));
                }
            }
            EnvTransition::AnalysisVerdict { promotion, .. } => {
                self.started(promotion)?;
            }
            EnvTransition::Promoted {
                promotion, identity, ..
            } => {
                let release = *of(self.started(promotion)?, identity)?.release();
                self.current = None;
                remember(&mut self.promoted, release);
                remember(&mut self.identities, *identity);
            }
            EnvTransition::Aborted { promotion, .. } => {
                self.named(promotion)?;
                self.current = None;
            }
            EnvTransition::RolledBack {
                promotion, identity, ..
            } => {
                // also of one that never started: a rollback waits for nothing
                of(self.named(promotion)?, identity)?;
                self.current = None;
            }
            EnvTransition::Held { identity, .. } => {
                if self.held.len() >= MAX_HELD && !self.held.contains(identity) {
                    return Err(Illegal::TooManyHeld);
                }
                self.held.insert(*identity);
            }
            EnvTransition::Released { identity, .. } => {
                if !self.held.remove(identity) {
                    return Err(Illegal::NotHeld(Shown(*identity)));
                }
            }
            EnvTransition::Frozen { promotion, .. } | EnvTransition::Overridden { promotion, .. } => {
                self.named(promotion)?;
            }
            EnvTransition::Closed => self.closed = true,
        }
        Ok(())
    }

    /// Whether a release may have its turn.
    fn may_come(
        &self,
        release: &Hash,
        identity: &Hash,
        undo: bool,
        has_promoted: &HasPromoted<'_>,
    ) -> Result<(), Illegal> {
        if let Some(current) = &self.current {
            return Err(Illegal::Busy {
                current: current.promotion.clone(),
            });
        }
        if self.held.contains(identity) {
            return Err(Illegal::Held(Shown(*identity)));
        }
        let Some(from) = &self.from else { return Ok(()) };
        if undo && self.has_promoted(release) {
            return Ok(());
        }
        let (from, release) = (from.clone(), Shown(*release));
        // nothing vouches for itself
        let answer = if from == self.uid {
            None
        } else {
            has_promoted(&from, &release.0)
        };
        match answer {
            Some(true) => Ok(()),
            None => Err(Illegal::NoSource { from }),
            Some(false) if undo => Err(Illegal::NothingToUndo { from, release }),
            Some(false) => Err(Illegal::NotPromoted { from, release }),
        }
    }

    fn decide(
        &mut self,
        promotion: Option<&str>,
        verb: &str,
        by: &str,
        identity: Option<&Hash>,
    ) -> Result<(), Illegal> {
        let Some(current) = self
            .current
            .as_mut()
            .filter(|current| promotion == Some(current.promotion.as_str()))
        else {
            return Ok(());
        };
        match verb {
            EnvTransition::APPROVE => {
                if let Some(identity) = identity {
                    of(current, identity)?;
                }
                // More are never needed; what is kept has an end.
                if current.approvals() < MAX_APPROVALS {
                    current.approvers.insert(sha256(by.as_bytes()));
                }
            }
            EnvTransition::REJECT => current.rejected = true,
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, promotion: &str, backs: Backs) -> Result<(), Illegal> {
        let current = self.named(promotion)?;
        if current.started {
            return Err(Illegal::AlreadyStarted);
        }
        if current.rejected {
            return Err(Illegal::Rejected);
        }
        if self.held.contains(&current.identity) {
            return Err(Illegal::Held(Shown(current.identity)));
        }
        // the way back waits for nobody: whoever asked for it may decide that
        let back = current.returns && (backs == Backs::ToReleases || self.was_here(current));
        if !back && current.approvals() < self.approvals {
            return Err(Illegal::NotApproved {
                have: current.approvals(),
                needed: self.approvals,
            });
        }
        if let Some(current) = &mut self.current {
            current.started = true;
        }
        Ok(())
    }

    /// The current request, if it is that promotion's.
    fn named(&self, promotion: &str) -> Result<&Request, Illegal> {
        match &self.current {
            Some(current) if current.promotion == promotion => Ok(current),
            other => Err(Illegal::NotCurrent {
                current: other.as_ref().map(|current| current.promotion.clone()),
            }),
        }
    }

    /// The current request, if it is that promotion's and has started.
    fn started(&self, promotion: &str) -> Result<&Request, Illegal> {
        let current = self.named(promotion)?;
        if current.started {
            Ok(current)
        } else {
            Err(Illegal::NotStarted)
        }
    }

    /// Whether the identity of a request was promoted here. Of a release from before identities were remembered it may have been.
    fn was_here(&self, request: &Request) -> bool {
        self.identities.contains(&request.identity) || self.unidentified.contains(&request.release)
    }
}

/// What makes a request a way back that needs no approvals.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backs {
    /// Its release was promoted here.
    ToReleases,
    /// So was its identity.
    ToIdentities,
}

/// Makes it the latest; beyond the ceiling the oldest is forgotten.
fn remember(known: &mut VecDeque<Hash>, latest: Hash) {
    known.retain(|other| *other != latest);
    known.push_back(latest);
    if known.len() > MAX_PROMOTED {
        known.pop_front();
    }
}

/// The request, if it is for that identity.
fn of<'a>(request: &'a Request, identity: &Hash) -> Result<&'a Request, Illegal> {
    if request.identity == *identity {
        Ok(request)
    } else {
        Err(Illegal::OtherIdentity {
            named: Shown(*identity),
            requested: Shown(request.identity),
        })
    }
}
