use proptest::prelude::*;

use super::*;
use crate::graph::Stage;

mod oracle;

fn started(stage: &str, attempt: u64) -> Transition {
    Transition::StageStarted {
        stage: stage.to_owned(),
        attempt,
        image: "busybox".to_owned(),
    }
}

fn succeeded(stage: &str, attempt: u64) -> Transition {
    Transition::StageSucceeded {
        stage: stage.to_owned(),
        attempt,
        outputs: [0; 32],
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
        reason: "Lost".to_owned(),
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

fn refused() -> Transition {
    Transition::RecordRefused {
        hash: [1; 32],
        reason: "Illegal".to_owned(),
    }
}

fn opened() -> Transition {
    Transition::RunOpened {
        name: "a/b".to_owned(),
        definition: [0; 32],
        graph: [0; 32],
        params: [0; 32],
        source: None,
    }
}

fn stage(name: &str, needs: &[u64], attempts: u64) -> Stage {
    Stage {
        name: name.to_owned(),
        needs: needs.to_vec(),
        attempts,
        optional: false,
        finally: false,
    }
}

/// Every record there could be next, legal or not, for stages of a graph and one that it does not have.
fn everything(graph: &GraphDoc) -> Vec<Transition> {
    let mut all = vec![opened(), refused()];
    all.extend(Outcome::ALL.iter().map(|outcome| finished(*outcome)));
    let names = graph.stages().iter().map(|s| s.name.as_str()).chain(["ghost"]);
    for name in names {
        for attempt in 1..=4 {
            all.push(started(name, attempt));
            all.push(succeeded(name, attempt));
            all.push(failed(name, attempt));
            all.push(retried(name, attempt));
            all.push(disputed(name, attempt));
        }
        all.extend(SkipReason::ALL.iter().map(|reason| skipped(name, *reason)));
        all.push(cancelled(name));
    }
    all
}

fn graphs() -> impl Strategy<Value = GraphDoc> {
    let stages = prop::collection::vec((any::<u16>(), 1_u64..4, 0_u8..4, 0_u8..5), 1..6);
    stages.prop_map(|picks| {
        let mut stages: Vec<Stage> = Vec::new();
        for (i, (mask, attempts, optional, finally)) in picks.into_iter().enumerate() {
            let finally = finally == 0;
            let needs = (0..i as u64).filter(|need| {
                let free = !stages[usize::try_from(*need).unwrap()].finally;
                !finally && free && mask >> need & 1 == 1
            });
            let needs = needs.collect();
            stages.push(Stage {
                name: format!("s{i}"),
                needs,
                attempts,
                optional: optional == 0,
                finally,
            });
        }
        GraphDoc::new(stages).unwrap()
    })
}

/// A legal history: at each step one of the records that the oracle allows, notes and early ends less often.
fn legal_history(graph: &GraphDoc, picks: &[prop::sample::Index]) -> Vec<Transition> {
    let all = everything(graph);
    let mut history = Vec::new();
    for (i, pick) in picks.iter().enumerate() {
        let rare = i % 5 == 0;
        let allowed: Vec<&Transition> = all
            .iter()
            .filter(|t| {
                let note = matches!(
                    t,
                    Transition::RecordRefused { .. } | Transition::StageDisputed { .. }
                );
                let early = matches!(
                    t,
                    Transition::StageCancelled { .. }
                        | Transition::StageSkipped {
                            reason: SkipReason::Ended,
                            ..
                        }
                );
                (rare || !(note || early)) && oracle::legal(graph, &history, t)
            })
            .collect();
        if allowed.is_empty() {
            if history
                .iter()
                .any(|t| matches!(t, Transition::RunFinished { .. }))
            {
                break;
            }
            continue;
        }
        history.push(allowed[pick.index(allowed.len())].clone());
    }
    history
}

fn accepts(graph: &GraphDoc, history: &[Transition]) -> bool {
    let mut machine = RunMachine::open(graph.clone());
    history.iter().all(|t| machine.apply(t).is_ok())
}

fn oracle_accepts(graph: &GraphDoc, history: &[Transition]) -> bool {
    (0..history.len()).all(|i| oracle::legal(graph, &history[..i], &history[i]))
}

fn mutated(t: &Transition, graph: &GraphDoc) -> Vec<Transition> {
    // Attempt, stage, reason, outcome and type: whatever else could stand in this place.
    everything(graph).into_iter().filter(|other| other != t).collect()
}

/// A number of cases, or what `PROPTEST_CASES` says.
fn cases(usual: u32) -> ProptestConfig {
    let wanted = std::env::var("PROPTEST_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig::with_cases(wanted.unwrap_or(usual))
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn machine_and_oracle_agree_on_every_next_record_of_every_legal_history(
        graph in graphs(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let history = legal_history(&graph, &picks);
        let mut machine = RunMachine::open(graph.clone());
        for i in 0..=history.len() {
            for next in everything(&graph) {
                let before = machine.clone();
                let mut tried = machine.clone();
                let answer = tried.apply(&next);
                prop_assert_eq!(answer.is_ok(), oracle::legal(&graph, &history[..i], &next), "{:?} after {:?}", next, &history[..i]);
                if let Err(refusal) = answer {
                    prop_assert_eq!(tried, before, "a refusal changed something");
                    prop_assert!(!refusal.to_string().is_empty());
                }
            }
            if let Some(next) = history.get(i) {
                prop_assert_eq!(machine.apply(next), Ok(()));
            }
        }
    }

    #[test]
    fn a_history_with_one_record_dropped_doubled_swapped_or_changed_is_refused_unless_itself_legal(
        graph in graphs(), picks in prop::collection::vec(any::<prop::sample::Index>(), 1..40), at: prop::sample::Index,
    ) {
        let history = legal_history(&graph, &picks);
        prop_assume!(!history.is_empty());
        prop_assert!(accepts(&graph, &history));
        let at = at.index(history.len());
        let mut mutants = Vec::new();
        let mut dropped = history.clone();
        dropped.remove(at);
        mutants.push(dropped);
        let mut doubled = history.clone();
        doubled.insert(at, history[at].clone());
        mutants.push(doubled);
        if at + 1 < history.len() {
            let mut swapped = history.clone();
            swapped.swap(at, at + 1);
            mutants.push(swapped);
        }
        for other in mutated(&history[at], &graph) {
            let mut changed = history.clone();
            changed[at] = other;
            mutants.push(changed);
        }
        for mutant in mutants {
            prop_assert_eq!(accepts(&graph, &mutant), oracle_accepts(&graph, &mutant), "{:?}", mutant);
        }
    }

    #[test]
    fn a_state_saved_anywhere_goes_on_as_if_never_saved(
        graph in graphs(), picks in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
    ) {
        let mut machine = RunMachine::open(graph.clone());
        for next in legal_history(&graph, &picks) {
            machine.apply(&next).unwrap();
            machine = RunMachine::restore(graph.clone(), machine.to_value()).unwrap();
        }
        let saved = machine.to_value();
        prop_assert_eq!(RunMachine::restore(graph, saved).unwrap(), machine);
    }
}

#[test]
fn refusals_say_what_and_why() {
    let graph = GraphDoc::new(vec![
        stage("build", &[], 1),
        stage("test", &[0], 2),
        Stage {
            finally: true,
            ..stage("tidy", &[], 1)
        },
    ])
    .unwrap();
    let mut machine = RunMachine::open(graph);
    let refusal = |machine: &mut RunMachine, t: Transition| machine.apply(&t).unwrap_err().to_string();
    assert_eq!(
        refusal(&mut machine, started("test", 1)),
        "cannot start attempt 1 of stage `test`: it needs `build`, and it has not started"
    );
    assert_eq!(
        refusal(&mut machine, started("tidy", 1)),
        "cannot start attempt 1 of stage `tidy`: `build` has not ended: it has not started"
    );
    assert_eq!(
        refusal(&mut machine, started("deploy", 1)),
        "cannot start attempt 1 of stage `deploy`: the graph has no such stage"
    );
    machine.apply(&started("build", 1)).unwrap();
    assert_eq!(
        refusal(&mut machine, started("build", 2)),
        "cannot start attempt 2 of stage `build`: it is running attempt 1"
    );
    machine.apply(&retried("build", 1)).unwrap();
    assert_eq!(
        refusal(&mut machine, started("build", 2)),
        "cannot start attempt 2 of stage `build`: the graph allows 1 attempts"
    );
    machine.apply(&failed("build", 1)).unwrap();
    assert_eq!(
        refusal(&mut machine, finished(Outcome::Failed)),
        "the run cannot end as failed: `test` has not ended: it has not started"
    );
    machine.apply(&skipped("test", SkipReason::Needs)).unwrap();
    machine.apply(&skipped("tidy", SkipReason::Condition)).unwrap();
    assert_eq!(
        refusal(&mut machine, finished(Outcome::Succeeded)),
        "the run cannot end as succeeded: stage `build` did not let it succeed: it has failed in attempt 1"
    );
    assert_eq!(machine.verdict(), Outcome::Failed);
    machine.apply(&finished(Outcome::Failed)).unwrap();
    assert_eq!(
        refusal(&mut machine, cancelled("test")),
        "cannot cancel stage `test`: the run has ended (failed)"
    );
}

#[test]
fn an_empty_graph_may_only_finish() {
    let mut machine = RunMachine::open(GraphDoc::new(vec![]).unwrap());
    assert!(machine.apply(&finished(Outcome::Failed)).is_err());
    machine.apply(&finished(Outcome::Succeeded)).unwrap();
    assert!(machine.is_finished());
}

#[test]
fn a_saved_state_of_another_version_or_graph_is_refused() {
    let one = GraphDoc::new(vec![stage("a", &[], 1)]).unwrap();
    let two = GraphDoc::new(vec![stage("a", &[], 1), stage("b", &[], 1)]).unwrap();
    let saved = RunMachine::open(one.clone()).to_value();
    assert_eq!(
        RunMachine::restore(two, saved),
        Err(StateError::OtherGraph { stages: 2, saved: 1 })
    );
    let version = value::map([("v", Value::Nat(2)), ("stages", Value::Array(vec![]))]);
    assert_eq!(
        RunMachine::restore(one, version.into()),
        Err(StateError::Version(2))
    );
}
