use proptest::prelude::*;

use super::*;
use crate::{
    limits::{MAX_APPROVALS, MAX_HELD, MAX_PROMOTED},
    record::{Body, Entry, RecordError, RecordKind, Transition},
    value::{self, Hash, Map, Value},
};

mod backs;
mod bodies;
mod ceilings;
mod laws;
mod oracle;
mod rules;

const UID: &str = "prod-uid";
/// The environment before, which has promoted [`R1`] and nothing else.
const BEFORE: &str = "staging-uid";
const R1: Hash = [1; 32];
const R2: Hash = [2; 32];
const I1: Hash = [11; 32];
const I2: Hash = [12; 32];

fn vouches(uid: &str, release: &Hash) -> Option<bool> {
    // It would vouch for the environment itself, if it was asked.
    [BEFORE, UID].contains(&uid).then(|| *release == R1)
}

fn requested(promotion: &str, release: Hash, identity: Hash) -> EnvTransition {
    EnvTransition::DeployRequested {
        promotion: promotion.to_owned(),
        release,
        identity,
        by: "ann".to_owned(),
        undo: false,
    }
}

fn undo(promotion: &str, release: Hash, identity: Hash) -> EnvTransition {
    EnvTransition::DeployRequested {
        promotion: promotion.to_owned(),
        release,
        identity,
        by: String::new(),
        undo: true,
    }
}

fn decided(promotion: &str, verb: &str, by: &str, identity: Option<Hash>) -> EnvTransition {
    EnvTransition::Decided {
        promotion: Some(promotion.to_owned()),
        decision: format!("{verb}-{by}"),
        verb: verb.to_owned(),
        by: by.to_owned(),
        identity,
    }
}

fn started(promotion: &str) -> EnvTransition {
    EnvTransition::DeployStarted {
        promotion: promotion.to_owned(),
    }
}

fn step(promotion: &str, step: u64, weight: u64) -> EnvTransition {
    EnvTransition::StepReached {
        promotion: promotion.to_owned(),
        step,
        weight,
    }
}

fn verdict(promotion: &str) -> EnvTransition {
    EnvTransition::AnalysisVerdict {
        promotion: promotion.to_owned(),
        analysis: "step-1".to_owned(),
        verdict: Verdict::Passed,
        evidence: [9; 32],
    }
}

fn promoted(promotion: &str, identity: Hash) -> EnvTransition {
    EnvTransition::Promoted {
        promotion: promotion.to_owned(),
        identity,
        evidence: None,
    }
}

fn aborted(promotion: &str) -> EnvTransition {
    EnvTransition::Aborted {
        promotion: promotion.to_owned(),
        reason: "Superseded".to_owned(),
    }
}

fn rolled_back(promotion: &str, identity: Hash) -> EnvTransition {
    EnvTransition::RolledBack {
        promotion: promotion.to_owned(),
        identity,
        to: None,
        reason: "AnalysisFailed".to_owned(),
        evidence: Some([9; 32]),
    }
}

fn held(identity: Hash) -> EnvTransition {
    EnvTransition::Held {
        identity,
        reason: "RolledBack".to_owned(),
        decision: None,
    }
}

fn released(identity: Hash) -> EnvTransition {
    EnvTransition::Released {
        identity,
        decision: "d".to_owned(),
    }
}

fn frozen(promotion: &str) -> EnvTransition {
    EnvTransition::Frozen {
        promotion: promotion.to_owned(),
        window: "weekend".to_owned(),
    }
}

fn overridden(promotion: &str) -> EnvTransition {
    EnvTransition::Overridden {
        promotion: promotion.to_owned(),
        decision: "d".to_owned(),
        by: "ann".to_owned(),
    }
}

fn changed(from: Option<&str>, approvals: u64) -> EnvTransition {
    EnvTransition::Changed {
        from: from.map(str::to_owned),
        approvals,
        rules: [7; 32],
    }
}

fn opened() -> EnvTransition {
    EnvTransition::Opened {
        name: "shop/prod".to_owned(),
        from: None,
        approvals: 0,
        rules: [7; 32],
    }
}

fn refused() -> EnvTransition {
    EnvTransition::RecordRefused {
        hash: [8; 32],
        reason: "Illegal".to_owned(),
    }
}

fn take(machine: &mut EnvMachine, all: &[EnvTransition]) {
    for one in all {
        machine.apply(one, &vouches).unwrap();
    }
}

fn refusal(machine: &mut EnvMachine, one: &EnvTransition) -> String {
    let before = machine.clone();
    let refused = machine.apply(one, &vouches).unwrap_err().to_string();
    assert_eq!(*machine, before, "a refusal changed something");
    refused
}
