//! What runs say, for tests here and against the real node.

use dcanary_types::{
    api::{self, Segment},
    graph::{GraphDoc, Stage},
    record::{Outcome, Record, Transition},
};
use serde_bytes::ByteBuf;

/// The operator's clock when a run begins.
pub const START: u64 = 1_700_000_000_000_000_000;

/// Two stages in a row, two attempts each.
pub fn graph() -> GraphDoc {
    let stage = |name: &str, needs: &[u64]| Stage {
        name: name.to_owned(),
        needs: needs.to_vec(),
        attempts: 2,
        optional: false,
        finally: false,
    };
    GraphDoc::new(vec![stage("build", &[]), stage("test", &[0])]).unwrap()
}

/// A whole successful run of [`graph`]: six records.
pub fn story() -> Vec<Transition> {
    let mut story = vec![opened()];
    for stage in ["build", "test"] {
        story.push(started(stage, 1));
        story.push(succeeded(stage, 1));
    }
    story.push(Transition::RunFinished {
        outcome: Outcome::Succeeded,
    });
    story
}

pub fn opened() -> Transition {
    Transition::RunOpened {
        name: "team/run".to_owned(),
        definition: [1; 32],
        graph: graph().digest(),
        params: [2; 32],
        source: None,
    }
}

pub fn started(stage: &str, attempt: u64) -> Transition {
    Transition::StageStarted {
        stage: stage.to_owned(),
        attempt,
        image: "busybox".to_owned(),
    }
}

pub fn succeeded(stage: &str, attempt: u64) -> Transition {
    Transition::StageSucceeded {
        stage: stage.to_owned(),
        attempt,
        outputs: [3; 32],
        artifacts: None,
    }
}

pub fn retried(stage: &str, attempt: u64) -> Transition {
    Transition::StageRetried {
        stage: stage.to_owned(),
        attempt,
        reason: "Lost".to_owned(),
    }
}

/// A segment of project `shop` that begins with record `first`; the graph comes with record 0.
pub fn segment(run: &str, first: u64, transitions: &[Transition]) -> Segment {
    let records = transitions
        .iter()
        .zip(first..)
        .map(|(transition, n)| {
            let record = Record {
                run: run.to_owned(),
                n,
                claimed_ts: START + n,
                transition: transition.clone(),
            };
            api::Record::from(&record)
        })
        .collect();
    Segment {
        project: "shop".to_owned(),
        run: run.to_owned(),
        graph: (first == 0).then(|| ByteBuf::from(graph().encode())),
        records,
    }
}
