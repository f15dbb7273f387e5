//! Who writes in the world of the vectors, and what they record.

use dcanary_types::graph::{GraphDoc, Stage};
use dcanary_types::record::{
    Artifact, Outcome, Outputs, Record, ResultDigest, SkipReason, Source, Transition,
};
use dcanary_types::value::sha256;

use crate::forge::canister;

pub const NOW: u64 = 1_790_000_000_000_000_000;
pub const RUN: &str = "5b1f0f6e-52e2-4a1c-9a37-0d6a5f8f9e11";

pub fn owner() -> Vec<u8> {
    [vec![0xa1; 28], vec![2]].concat()
}

pub fn operator() -> Vec<u8> {
    [vec![0xb2; 28], vec![2]].concat()
}

pub fn other_operator() -> Vec<u8> {
    [vec![0xc3; 28], vec![2]].concat()
}

pub fn ledger() -> Vec<u8> {
    canister(0x20_000b)
}

pub fn graph() -> GraphDoc {
    let stage = |name: &str, needs: &[u64], attempts, optional, finally| Stage {
        name: name.to_owned(),
        needs: needs.to_vec(),
        attempts,
        optional,
        finally,
    };
    GraphDoc::new(vec![
        stage("build", &[], 3, false, false),
        stage("lint", &[], 1, true, false),
        stage("test ✓", &[0, 1], 2, false, false),
        stage("deploy", &[2], 1, false, false),
        stage("clean up", &[], 1, false, true),
    ])
    .unwrap()
}

pub fn outputs() -> Outputs {
    let artifact = Artifact {
        name: "web.tar".into(),
        digest: sha256(b"web"),
        size: 3,
    };
    let result = ResultDigest {
        digest: sha256(b"1.2.3"),
        size: 5,
    };
    Outputs::new([artifact], [("version".to_owned(), result)])
}

/// The records of a run that takes every kind of transition.
pub fn transitions() -> Vec<Transition> {
    let s = str::to_owned;
    vec![
        Transition::RunOpened {
            name: s("team-a/web-1"),
            definition: sha256(b"definition"),
            graph: graph().digest(),
            params: sha256(b"params"),
            source: Some(Source {
                repo: s("ssh://git@forge.example/web"),
                reference: Some(s("refs/heads/main")),
                commit: "c0ffee".repeat(6),
            }),
        },
        Transition::StageStarted {
            stage: s("build"),
            attempt: 1,
            image: s("rust@sha256:aa"),
        },
        Transition::StageRetried {
            stage: s("build"),
            attempt: 1,
            reason: s("PodEvicted"),
        },
        Transition::StageStarted {
            stage: s("build"),
            attempt: 2,
            image: s("rust@sha256:aa"),
        },
        Transition::StageDisputed {
            stage: s("build"),
            attempt: 1,
            reason: s("TokenTradedTwice"),
        },
        Transition::StageSucceeded {
            stage: s("build"),
            attempt: 2,
            outputs: outputs().digest(),
            artifacts: Some(outputs().artifacts().cloned().collect()),
        },
        Transition::StageSkipped {
            stage: s("lint"),
            reason: SkipReason::Condition,
        },
        Transition::StageStarted {
            stage: s("test ✓"),
            attempt: 1,
            image: s("node@sha256:bb"),
        },
        Transition::RecordRefused {
            hash: sha256(b"refused"),
            reason: s("IllegalTransition"),
        },
        Transition::StageFailed {
            stage: s("test ✓"),
            attempt: 1,
            reason: s("ExitCode"),
        },
        Transition::StageSkipped {
            stage: s("deploy"),
            reason: SkipReason::Needs,
        },
        Transition::StageCancelled {
            stage: s("clean up"),
            reason: s("Quota"),
        },
        Transition::RunFinished {
            outcome: Outcome::Failed,
        },
    ]
}

pub fn records<T>(run: &str, transitions: Vec<T>) -> Vec<Record<T>> {
    let record = |(n, transition): (usize, T)| {
        let n = n as u64;
        Record {
            run: run.to_owned(),
            n,
            claimed_ts: NOW - 7_000 + n,
            transition,
        }
    };
    transitions.into_iter().enumerate().map(record).collect()
}

pub fn short_run() -> Vec<Transition> {
    let opened = Transition::RunOpened {
        name: "team-b/docs-1".to_owned(),
        definition: sha256(b"d2"),
        graph: sha256(b"graph that is not at hand"),
        params: sha256(b"p2"),
        source: None,
    };
    let stage = || "render".to_owned();
    vec![
        opened,
        Transition::StageStarted {
            stage: stage(),
            attempt: 1,
            image: "hugo@sha256:cc".to_owned(),
        },
        Transition::StageSucceeded {
            stage: stage(),
            attempt: 1,
            outputs: sha256(b"o"),
            artifacts: None,
        },
        Transition::RunFinished {
            outcome: Outcome::Succeeded,
        },
    ]
}
