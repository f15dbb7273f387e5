//! What the environments in the vectors' world record.

use dcanary_types::Hash;
use dcanary_types::environment::{EnvRecord, EnvTransition, Verdict};
use dcanary_types::record::LedgerEvent;
use dcanary_types::value::sha256;

use crate::forge::Ranges;
use crate::records::{NOW, operator, other_operator, owner, records, short_run};
use crate::world::World;

pub const STAGING: &str = "0c6c2a0e-3b62-4a7e-9d0a-5a3f6f1d2b01";
pub const PROD: &str = "7d1f4b92-8c55-4e0f-b1c3-90ad3c2e7f02";
/// An environment of the same project that has nothing to do with the two.
pub const OTHER: &str = "f3a9e6d4-1d2c-4b3a-8e7f-6c5b4a392803";

/// Digest of the release, and its identities in the environments.
pub fn release() -> Hash {
    sha256(b"release")
}

pub fn staged() -> Hash {
    sha256(b"release in staging")
}

pub fn identity() -> Hash {
    sha256(b"release in prod")
}

pub fn opened(name: &str, from: Option<&str>, approvals: u64) -> EnvTransition {
    EnvTransition::Opened {
        name: format!("team-a/{name}"),
        from: from.map(str::to_owned),
        approvals,
        rules: sha256(b"rules"),
    }
}

pub fn changed(from: Option<&str>, approvals: u64) -> EnvTransition {
    EnvTransition::Changed {
        from: from.map(str::to_owned),
        approvals,
        rules: sha256(b"other rules"),
    }
}

pub fn requested(promotion: &str, release: Hash, identity: Hash, undo: bool) -> EnvTransition {
    EnvTransition::DeployRequested {
        promotion: promotion.to_owned(),
        release,
        identity,
        by: if undo {
            String::new()
        } else {
            "ann@example.com".to_owned()
        },
        undo,
    }
}

pub fn decided(promotion: Option<&str>, verb: &str, by: &str, identity: Option<Hash>) -> EnvTransition {
    EnvTransition::Decided {
        promotion: promotion.map(str::to_owned),
        decision: format!("decision-{verb}-{}", by.len()),
        verb: verb.to_owned(),
        by: by.to_owned(),
        identity,
    }
}

pub fn approved(promotion: &str, by: &str) -> EnvTransition {
    decided(Some(promotion), EnvTransition::APPROVE, by, None)
}

pub fn started(promotion: &str) -> EnvTransition {
    EnvTransition::DeployStarted {
        promotion: promotion.to_owned(),
    }
}

pub fn step(promotion: &str, step: u64, weight: u64) -> EnvTransition {
    EnvTransition::StepReached {
        promotion: promotion.to_owned(),
        step,
        weight,
    }
}

pub fn judged(promotion: &str, verdict: Verdict) -> EnvTransition {
    EnvTransition::AnalysisVerdict {
        promotion: promotion.to_owned(),
        analysis: "step-1".to_owned(),
        verdict,
        evidence: sha256(b"evidence"),
    }
}

pub fn promoted(promotion: &str, identity: Hash, evidence: Option<Hash>) -> EnvTransition {
    EnvTransition::Promoted {
        promotion: promotion.to_owned(),
        identity,
        evidence,
    }
}

pub fn aborted(promotion: &str) -> EnvTransition {
    EnvTransition::Aborted {
        promotion: promotion.to_owned(),
        reason: "Superseded".to_owned(),
    }
}

pub fn rolled_back(promotion: &str, identity: Hash, to: Option<Hash>) -> EnvTransition {
    EnvTransition::RolledBack {
        promotion: promotion.to_owned(),
        identity,
        to,
        reason: "AnalysisFailed".to_owned(),
        evidence: to.map(|_| sha256(b"evidence")),
    }
}

pub fn held(identity: Hash, decision: Option<&str>) -> EnvTransition {
    EnvTransition::Held {
        identity,
        reason: "RolledBack".to_owned(),
        decision: decision.map(str::to_owned),
    }
}

pub fn released(identity: Hash) -> EnvTransition {
    EnvTransition::Released {
        identity,
        decision: "decision-unhold".to_owned(),
    }
}

pub fn frozen(promotion: &str) -> EnvTransition {
    EnvTransition::Frozen {
        promotion: promotion.to_owned(),
        window: "year-end close".to_owned(),
    }
}

pub fn overridden(promotion: &str) -> EnvTransition {
    EnvTransition::Overridden {
        promotion: promotion.to_owned(),
        decision: "decision-override".to_owned(),
        by: "größe@example.com".to_owned(),
    }
}

pub fn refused() -> EnvTransition {
    EnvTransition::RecordRefused {
        hash: sha256(b"refused"),
        reason: "IllegalTransition".to_owned(),
    }
}

/// The release goes through staging.
pub fn staging() -> Vec<EnvTransition> {
    vec![
        opened("staging", None, 0),
        requested("s1", release(), staged(), false),
        started("s1"),
        step("s1", 0, 100),
        judged("s1", Verdict::Passed),
        promoted("s1", staged(), Some(sha256(b"evidence"))),
    ]
}

/// And comes to prod at the second try. Every kind of record, with and without what may be absent.
pub fn prod() -> Vec<EnvTransition> {
    vec![
        opened("prod", Some(STAGING), 1),
        requested("p1", release(), identity(), false),
        frozen("p1"),
        overridden("p1"),
        decided(Some("p1"), EnvTransition::APPROVE, "bob", Some(identity())),
        started("p1"),
        step("p1", 0, 10),
        judged("p1", Verdict::Failed),
        rolled_back("p1", identity(), Some(sha256(b"before"))),
        held(identity(), None),
        refused(),
        released(identity()),
        changed(Some(STAGING), 0),
        requested("p2", release(), identity(), false),
        started("p2"),
        judged("p2", Verdict::Inconclusive),
        promoted("p2", identity(), None),
        decided(None, "hold", "bob", None),
        held(identity(), Some("decision-hold-3")),
        changed(None, 2),
        requested("p3", release(), staged(), true),
        rolled_back("p3", staged(), None),
        requested("p3", release(), staged(), true),
        aborted("p3"),
        EnvTransition::Closed,
    ]
}

impl World {
    /// Two environments of which one rests on the other, one beside them, and a run; no records of `prod` yet.
    pub fn staged() -> Self {
        let mut world = Self::smallest();
        world.ranges = Some(Ranges::Both);
        world.code = Some(World::good_code);
        world.grant(&operator(), "shop", "east");
        world.grant(&other_operator(), "docs", "west");
        world.environment(STAGING, staging());
        world.environment(OTHER, vec![opened("other", None, 0)]);
        for record in records("r2", short_run()) {
            world.record(&other_operator(), "docs", "west", &record);
        }
        world
    }

    /// The same with everything that `prod` records, and a conflict about it.
    pub fn deployed() -> Self {
        let mut world = Self::staged();
        world.environment(PROD, prod());
        let conflict = LedgerEvent::Conflict {
            run: PROD.to_owned(),
            n: 3,
            have: 12,
            offered: sha256(b"offered"),
        };
        world.push(
            &operator(),
            "shop",
            "east",
            conflict.btype(),
            None,
            conflict.body(),
        );
        world.event(&owner(), "", &LedgerEvent::Restored { incarnation: 1 });
        world
    }

    /// The first records of an environment.
    pub fn environment(&mut self, uid: &str, transitions: Vec<EnvTransition>) {
        for record in records(uid, transitions) {
            self.record(&operator(), "shop", "east", &record);
        }
    }

    /// A later record of an environment.
    pub fn env_record(&mut self, uid: &str, n: u64, transition: EnvTransition) {
        let record = EnvRecord {
            run: uid.to_owned(),
            n,
            claimed_ts: NOW - 7_000 + n,
            transition,
        };
        self.record(&operator(), "shop", "east", &record);
    }
}
