//! Graph documents, and runs that are legal or go wrong at one record: section 4.

use dcanary_types::graph::GraphDoc;
use dcanary_types::record::{Outcome, Record, SkipReason, Transition};
use dcanary_types::value::sha256;
use dcanary_verifier::check_transitions;
use serde_json::{Value as Json, json};

use crate::records::{graph, records, transitions};

fn started(stage: &str, attempt: u64) -> Transition {
    Transition::StageStarted {
        stage: stage.to_owned(),
        attempt,
        image: "i".to_owned(),
    }
}

fn succeeded(stage: &str, attempt: u64) -> Transition {
    Transition::StageSucceeded {
        stage: stage.to_owned(),
        attempt,
        outputs: sha256(b"o"),
        artifacts: None,
    }
}

fn failed(stage: &str, attempt: u64) -> Transition {
    Transition::StageFailed {
        stage: stage.to_owned(),
        attempt,
        reason: "ExitCode".to_owned(),
    }
}

fn retried(stage: &str, attempt: u64) -> Transition {
    Transition::StageRetried {
        stage: stage.to_owned(),
        attempt,
        reason: "PodEvicted".to_owned(),
    }
}

fn disputed(stage: &str, attempt: u64) -> Transition {
    Transition::StageDisputed {
        stage: stage.to_owned(),
        attempt,
        reason: "ExitCode".to_owned(),
    }
}

fn skipped(stage: &str, reason: SkipReason) -> Transition {
    Transition::StageSkipped {
        stage: stage.to_owned(),
        reason,
    }
}

fn cancelled(stage: &str) -> Transition {
    Transition::StageCancelled {
        stage: stage.to_owned(),
        reason: "User".to_owned(),
    }
}

fn finished(outcome: Outcome) -> Transition {
    Transition::RunFinished { outcome }
}

const LEGAL: [Option<usize>; 2] = [None, None];

struct Cases(Vec<Json>);

impl Cases {
    /// `refused`: position of the record that is refused with the graph, and without it.
    fn records(&mut self, name: &str, graph: &[u8], records: &[Record], refused: [Option<usize>; 2]) {
        let found = [Some(graph), None].map(|graph| check_transitions(records, graph).err());
        let positions = found.clone().map(|f| f.map(|illegal| illegal.position));
        assert_eq!(positions, refused, "{name}: {found:?}");
        let encoded: Vec<Json> = records
            .iter()
            .map(|r| json!({"btype": r.btype(), "body": hex::encode(r.encode_body())}))
            .collect();
        self.0.push(json!({
            "name": name,
            "graph": hex::encode(graph),
            "records": encoded,
            "refused_at": refused[0],
            "refused_at_without_graph": refused[1],
        }));
    }

    /// Opening of the graph of the world, and then these.
    fn run(&mut self, name: &str, then: &[Transition], refused: [Option<usize>; 2]) {
        let opened = transitions().swap_remove(0);
        let all = std::iter::once(opened).chain(then.iter().cloned()).collect();
        self.records(name, &graph().encode(), &records("r1", all), refused);
    }
}

pub fn make() -> Json {
    use Outcome::{Cancelled, Failed, Succeeded, TimedOut};
    use SkipReason::{Condition, Ended, Needs, Results};
    let mut c = Cases(Vec::new());
    let (build, lint, test, deploy, clean) = ("build", "lint", "test ✓", "deploy", "clean up");
    let done = |stage| [started(stage, 1), succeeded(stage, 1)];
    let all: Vec<Transition> = [build, lint, test, deploy, clean]
        .into_iter()
        .flat_map(done)
        .collect();
    let whole = |last: Outcome| [all.clone(), vec![finished(last)]].concat();
    let both = |at| [Some(at), Some(at)];
    let graph_only = |at| [Some(at), None];

    c.records(
        "every kind of record",
        &graph().encode(),
        &records("r1", transitions()),
        LEGAL,
    );
    c.run("only opened", &[], LEGAL);
    c.run("all succeed", &whole(Succeeded), LEGAL);
    c.run("all succeed and it is called failed", &whole(Failed), both(11));
    c.run("all succeed and it was cancelled", &whole(Cancelled), LEGAL);
    c.run("all succeed and it timed out", &whole(TimedOut), LEGAL);
    c.run(
        "a record after the end",
        &[whole(Succeeded), vec![disputed(build, 1)]].concat(),
        both(12),
    );
    let late = [
        vec![skipped("other", Ended), finished(Cancelled)],
        vec![started("late", 1)],
    ]
    .concat();
    c.run("a stage starts after the end", &late, [Some(1), Some(3)]);
    c.run("opened twice", &[transitions().swap_remove(0)], both(1));
    c.run(
        "finished while a stage is pending",
        &[&all[..8], &[finished(Succeeded)]].concat(),
        graph_only(9),
    );
    c.run(
        "finished while a stage runs",
        &[&all[..9], &[finished(Cancelled)]].concat(),
        both(10),
    );
    c.run(
        "a stage that is not in the graph",
        &[started("other", 1)],
        graph_only(1),
    );

    c.run("first attempt is 2", &[started(build, 2)], both(1));
    c.run("started twice", &[started(build, 1), started(build, 2)], both(2));
    c.run(
        "next attempt without retry",
        &[started(build, 1), failed(build, 1), started(build, 2)],
        both(3),
    );
    c.run(
        "retried attempt starts again",
        &[started(build, 1), retried(build, 1), started(build, 1)],
        both(3),
    );
    c.run(
        "second attempt",
        &[
            started(build, 1),
            retried(build, 1),
            started(build, 2),
            succeeded(build, 2),
        ],
        LEGAL,
    );
    c.run(
        "failed while retrying",
        &[started(build, 1), retried(build, 1), failed(build, 1)],
        LEGAL,
    );
    c.run(
        "succeeded while retrying",
        &[started(build, 1), retried(build, 1), succeeded(build, 1)],
        both(3),
    );
    c.run(
        "retried twice",
        &[started(build, 1), retried(build, 1), retried(build, 1)],
        both(3),
    );
    c.run(
        "more attempts than allowed",
        &[started(lint, 1), retried(lint, 1), started(lint, 2)],
        graph_only(3),
    );
    c.run("succeeded without start", &[succeeded(build, 1)], both(1));
    c.run("failed without start", &[failed(build, 1)], both(1));
    c.run(
        "succeeded in another attempt",
        &[started(build, 1), succeeded(build, 2)],
        both(2),
    );
    c.run(
        "succeeded after failing",
        &[started(build, 1), failed(build, 1), succeeded(build, 1)],
        both(3),
    );

    c.run(
        "dispute of a running attempt",
        &[started(build, 1), disputed(build, 1), succeeded(build, 1)],
        LEGAL,
    );
    c.run(
        "dispute of an ended stage",
        &[started(build, 1), succeeded(build, 1), disputed(build, 1)],
        LEGAL,
    );
    c.run("dispute of no attempt", &[disputed(build, 1)], both(1));
    c.run(
        "dispute of a later attempt",
        &[started(build, 1), disputed(build, 2)],
        both(2),
    );

    c.run("started before its needs", &[started(test, 1)], graph_only(1));
    c.run(
        "started while a need runs",
        &[&all[..3], &[started(test, 1)]].concat(),
        graph_only(4),
    );
    let lint_fails = [
        started(build, 1),
        succeeded(build, 1),
        started(lint, 1),
        failed(lint, 1),
        started(test, 1),
    ];
    c.run("an optional need failed", &lint_fails, LEGAL);
    for (reason, legal) in [(Condition, true), (Results, true), (Needs, false), (Ended, false)] {
        let word = reason.as_str();
        let then = [
            started(build, 1),
            succeeded(build, 1),
            skipped(lint, Condition),
            skipped(test, Condition),
            skipped(deploy, reason),
        ];
        let at = if reason == Needs { graph_only(5) } else { LEGAL };
        c.run(&format!("skipped for {word} with needs met"), &then, at);
        let then = [
            skipped(build, if reason == Needs { Ended } else { reason }),
            started(lint, 1),
            succeeded(lint, 1),
            started(test, 1),
        ];
        c.run(
            &format!("a need skipped for {word}, or ended"),
            &then,
            if legal { LEGAL } else { graph_only(4) },
        );
    }
    c.run(
        "a need failed and it starts",
        &[
            started(build, 1),
            failed(build, 1),
            skipped(lint, Condition),
            started(test, 1),
        ],
        graph_only(4),
    );
    c.run(
        "a need failed and it is skipped for needs",
        &[started(build, 1), failed(build, 1), skipped(test, Needs)],
        LEGAL,
    );
    c.run(
        "a need failed and it is skipped for its condition",
        &[started(build, 1), failed(build, 1), skipped(test, Condition)],
        graph_only(3),
    );
    c.run(
        "no need has ended and it is skipped for needs",
        &[skipped(test, Needs)],
        graph_only(1),
    );
    c.run(
        "an optional need failed and it is skipped for needs",
        &[&lint_fails[..4], &[skipped(test, Needs)]].concat(),
        graph_only(5),
    );
    c.run(
        "skipped while running",
        &[started(build, 1), skipped(build, Ended)],
        both(2),
    );
    c.run(
        "skipped twice",
        &[skipped(build, Ended), skipped(build, Ended)],
        both(2),
    );
    c.run(
        "started after it was skipped",
        &[skipped(build, Ended), started(build, 1)],
        both(2),
    );
    c.run(
        "finally before the others end",
        &[started(clean, 1)],
        graph_only(1),
    );
    c.run(
        "finally skipped for its condition before the others end",
        &[skipped(clean, Condition)],
        graph_only(1),
    );
    let stopped = [
        cancelled(build),
        cancelled(lint),
        skipped(test, Needs),
        skipped(deploy, Needs),
        started(clean, 1),
    ];
    c.run("finally after the others ended badly", &stopped, LEGAL);
    c.run(
        "cancelled while running",
        &[started(build, 1), cancelled(build)],
        LEGAL,
    );
    c.run(
        "cancelled while retrying",
        &[started(build, 1), retried(build, 1), cancelled(build)],
        LEGAL,
    );
    c.run(
        "cancelled after success",
        &[started(build, 1), succeeded(build, 1), cancelled(build)],
        both(3),
    );
    c.run("cancelled twice", &[cancelled(build), cancelled(build)], both(2));

    let ends = |outcome| [stopped.to_vec(), vec![succeeded(clean, 1), finished(outcome)]].concat();
    c.run(
        "a cancelled stage and it is called succeeded",
        &ends(Succeeded),
        both(7),
    );
    c.run("a cancelled stage and it failed", &ends(Failed), LEGAL);
    let lint_alone = |outcome| {
        let mut then = lint_fails.to_vec();
        then.extend([
            succeeded(test, 1),
            skipped(deploy, Condition),
            skipped(clean, Results),
            finished(outcome),
        ]);
        then
    };
    c.run(
        "an optional stage failed and it succeeded",
        &lint_alone(Succeeded),
        LEGAL,
    );
    c.run(
        "an optional stage failed and it is called failed",
        &lint_alone(Failed),
        graph_only(9),
    );
    let broken = |outcome| {
        let mut then = all[..8].to_vec();
        then.extend([started(clean, 1), failed(clean, 1), finished(outcome)]);
        then
    };
    c.run(
        "finally failed and it is called succeeded",
        &broken(Succeeded),
        graph_only(11),
    );
    c.run("finally failed and it failed", &broken(Failed), LEGAL);

    let mut gap = records("r1", transitions());
    gap.remove(2);
    c.records("a number is missing", &graph().encode(), &gap, both(2));
    c.records(
        "not opened",
        &graph().encode(),
        &records("r1", vec![started(build, 1)]),
        both(0),
    );
    let other = GraphDoc::new(graph().stages()[..2].to_vec()).unwrap().encode();
    c.records(
        "another graph document",
        &other,
        &records("r1", transitions()),
        graph_only(0),
    );

    json!({"graphs": crate::graphs::make(), "runs": c.0})
}
