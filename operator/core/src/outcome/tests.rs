#![allow(clippy::unwrap_used, clippy::panic)]

use dcanary_protocol::{exit, report::ReportEntry};

use super::*;
use crate::{pod::POD_GRACE, report, seen_pod::Ended};

/// How much longer than its time a stage may take until its runner says so.
const TIMEOUT: u64 = POD_GRACE + 30;

fn at(seconds: u64) -> Timestamp {
    later("2026-01-02T03:00:00Z".parse().unwrap(), seconds)
}

fn attempt() -> AttemptStatus {
    AttemptStatus {
        number: 1,
        pod: "p".into(),
        pod_uid: Some("u".into()),
        created_at: Some(at(0)),
        ..AttemptStatus::default()
    }
}

fn running_since(seconds: u64) -> SeenPod {
    SeenPod {
        name: "p".into(),
        uid: "u".into(),
        held: true,
        started_at: Some(at(seconds)),
        ..SeenPod::default()
    }
}

/// A Pod whose end was seen by this process, whatever the kubelet's clock says.
fn ended(code: Option<i32>, reason: &str, message: &str, seen: u64) -> SeenPod {
    SeenPod {
        ended: Some(Ended {
            exit_code: code,
            reason: reason.into(),
            message: message.into(),
            // a clock that is an hour slow
            at: Some(at(0).checked_sub(jiff::SignedDuration::from_hours(1)).unwrap()),
        }),
        end_seen: Some(at(seen)),
        ..running_since(0)
    }
}

/// The server answers, and its list was read a moment ago.
fn situation<'a>(attempt: &'a AttemptStatus, pod: Option<&'a SeenPod>, now: u64) -> Situation<'a> {
    Situation {
        attempt,
        pod,
        creation: None,
        report: None,
        stopping: None,
        timeout: 3600,
        pending: 900,
        server_away_since: None,
        reports_as_of: Some(at(now)),
        store_full_since: None,
        now: at(now),
    }
}

fn end(it: Situation<'_>) -> Option<(AttemptOutcome, String)> {
    match decide(it) {
        Verdict::Decided(decision) => Some((decision.outcome, decision.reason)),
        Verdict::Undecided { .. } => None,
    }
}

#[test]
fn an_end_without_report_counts_only_when_the_list_was_read_ten_seconds_after_it_was_seen() {
    let attempt = attempt();
    let pod = ended(Some(0), "Completed", "", 100);
    for (as_of, decided) in [
        (None, false),
        (Some(99), false),
        (Some(109), false),
        (Some(110), true),
    ] {
        let it = Situation {
            reports_as_of: as_of.map(at),
            ..situation(&attempt, Some(&pod), 5_000)
        };
        let expected = decided.then(|| (AttemptOutcome::Failed, "ReportMissing".to_owned()));
        assert_eq!(end(it), expected, "list as of {as_of:?}");
    }
    // a shell that does not say when it saw the end never gets an answer that a report could contradict
    let unknown = SeenPod {
        end_seen: None,
        ..pod.clone()
    };
    assert_eq!(end(situation(&attempt, Some(&unknown), 5_000)), None);
}

#[test]
fn what_a_process_has_not_read_yet_may_contradict_that_a_pod_is_stuck_gone_or_out_of_time() {
    let attempt = attempt();
    let stuck = SeenPod {
        deleting_since: Some(at(10)),
        ..running_since(0)
    };
    let late = running_since(0);
    for (pod, reason) in [
        (Some(&stuck), "PodStuck"),
        (None, "PodGone"),
        (Some(&late), "StageTimedOut"),
    ] {
        let read = situation(&attempt, pod, 10_000);
        assert_eq!(end(read).unwrap().1, reason);
        let unread = Situation {
            reports_as_of: None,
            ..read
        };
        assert_eq!(end(unread), None, "{reason}");
    }
}

#[test]
fn a_pod_that_somebody_deletes_is_let_go_ten_seconds_after_its_end_while_the_server_is_away() {
    let attempt = attempt();
    let pod = SeenPod {
        deleting_since: Some(at(90)),
        ..ended(Some(137), "Error", "", 100)
    };
    let away = |now| Situation {
        server_away_since: Some(at(50)),
        ..situation(&attempt, Some(&pod), now)
    };
    assert_eq!(end(away(109)), None);
    assert_eq!(
        end(away(110)),
        Some((AttemptOutcome::Lost, "PodDeleted".to_owned()))
    );
    // one that nobody deletes waits for its report
    let kept = SeenPod {
        deleting_since: None,
        ..pod.clone()
    };
    let kept = Situation {
        pod: Some(&kept),
        ..away(110)
    };
    assert_eq!(end(kept), None);
}

#[test]
fn an_attempt_is_lost_ten_minutes_after_the_server_went_away_or_after_it_began() {
    let attempt = attempt();
    let away = |pod: &SeenPod, since: u64, now: u64| {
        end(Situation {
            server_away_since: Some(at(since)),
            reports_as_of: Some(at(since)),
            ..situation(&attempt, Some(pod), now)
        })
    };
    let lost = Some((AttemptOutcome::Lost, "ServerUnavailable".to_owned()));
    // away since 1,000 s; began long before
    let old = running_since(0);
    assert_eq!(away(&old, 1_000, 1_599), None);
    assert_eq!(away(&old, 1_000, 1_600), lost);
    // began when the server had been away for an hour
    let new = running_since(4_600);
    assert_eq!(away(&new, 1_000, 4_600), None);
    assert_eq!(away(&new, 1_000, 5_199), None);
    assert_eq!(away(&new, 1_000, 5_200), lost);
    // an exit code of 0 is no success without the report, and no failure either
    let done = ended(Some(0), "Completed", "", 1_100);
    assert_eq!(away(&done, 1_000, 1_599), None);
    assert_eq!(away(&done, 1_000, 1_600), lost);
    // what the kubelet knows by itself it knows without the server
    let failed = ended(Some(1), "Error", "", 1_100);
    assert_eq!(
        away(&failed, 1_000, 1_600),
        Some((AttemptOutcome::Failed, "StepFailed".to_owned()))
    );
}

#[test]
fn a_runner_that_cannot_work_says_why_in_at_most_512_bytes() {
    let attempt = attempt();
    let long = format!("spool: no space left on device {}", "x".repeat(5_000));
    let pod = ended(Some(exit::RUNNER_ERROR), "Error", &long, 10);
    let Verdict::Decided(decision) = decide(situation(&attempt, Some(&pod), 10)) else {
        unreachable!("a runner's error needs no report");
    };
    assert_eq!(decision.outcome, AttemptOutcome::Lost);
    assert!(
        decision
            .message
            .starts_with("the runner could not do its work: spool: no space left on device"),
        "{}",
        decision.message
    );
    assert!(decision.message.len() < 600);
}

/// Steps can write the container's message; only before exit code 70 the runner puts its own word there.
#[test]
fn what_a_step_left_as_the_containers_message_is_in_no_attempt() {
    let attempt = attempt();
    let secret = "postgres://app:hunter2@db";
    for code in 0..=255 {
        for disruption in [None, Some("EvictionByEvictionAPI".to_owned())] {
            let mut pod = ended(Some(code), "Error", secret, 10);
            pod.disruption = disruption;
            let Verdict::Decided(decision) = decide(situation(&attempt, Some(&pod), 10_000)) else {
                unreachable!("an exit is decided long after it");
            };
            assert_eq!(
                decision.message.contains(secret),
                code == exit::RUNNER_ERROR,
                "{code}: {}",
                decision.message
            );
        }
    }
}

#[test]
fn a_pod_of_which_the_kubelet_says_nothing_tells_after_a_while_where_to_look() {
    let (attempt, pod) = (
        attempt(),
        SeenPod {
            started_at: None,
            ..running_since(0)
        },
    );
    for (now, told, wake) in [(5, false, 30), (29, false, 30), (30, true, 900), (899, true, 900)] {
        let Verdict::Undecided { waiting, wake: next } = decide(situation(&attempt, Some(&pod), now)) else {
            panic!("decided after {now} s");
        };
        let said = waiting.map(|waiting| waiting.message).unwrap_or_default();
        assert_eq!(said.contains("involvedObject.name=p)"), told, "{now}: {said}");
        assert_eq!(next, Some(at(wake)), "{now}");
    }
    let Verdict::Decided(decision) = decide(situation(&attempt, Some(&pod), 900)) else {
        panic!("waits for ever");
    };
    assert_eq!(decision.reason, "PendingTimedOut");
    assert!(
        decision.message.contains("a Secret or volume missing"),
        "{}",
        decision.message
    );
}

/// What the kubelet says of a container that never ran is nobody else's word.
#[test]
fn why_a_container_cannot_be_started_is_told() {
    let attempt = attempt();
    let pod = ended(Some(128), "StartError", "exec: no such file", 10);
    let Verdict::Decided(decision) = decide(situation(&attempt, Some(&pod), 10)) else {
        unreachable!("nothing else comes");
    };
    assert!(
        decision.message.ends_with(": exec: no such file"),
        "{}",
        decision.message
    );
}

#[test]
fn a_runner_that_is_not_delivered_is_lost_and_needs_no_report() {
    let attempt = attempt();
    let pod = ended(None, "InitFailed", "init container `runner` exited with 1", 10);
    let it = Situation {
        reports_as_of: None,
        ..situation(&attempt, Some(&pod), 10)
    };
    assert_eq!(end(it), Some((AttemptOutcome::Lost, "RunnerNotDelivered".into())));
}

fn reported(outcome: Outcome) -> SeenReport {
    SeenReport {
        entry: ReportEntry {
            cursor: 1,
            attempt: "u".into(),
            namespace: "team-a".into(),
            pod: "p".into(),
            run: "web-1".into(),
            run_uid: "r".into(),
            report: Some(FinalReport {
                outcome,
                reason: "StageTimedOut".into(),
                message: String::new(),
                frames: 0,
                steps: Vec::new(),
                results: Vec::new(),
                artifacts: Vec::new(),
                second_trade: false,
            }),
            second_trade: false,
        },
        received: at(0),
    }
}

#[test]
fn a_stage_that_runs_out_of_time_while_the_store_is_full_is_lost_and_not_blamed() {
    let attempt = attempt();
    let full = Some((AttemptOutcome::Lost, "ServerStoreFull".to_owned()));
    let seen = reported(Outcome::TimedOut);
    let by_exit = ended(Some(exit::TIMED_OUT), "Error", "", 10);
    let by_clock = running_since(0);
    for store_full_since in [None, Some(at(5))] {
        let expected = if store_full_since.is_some() {
            full.clone()
        } else {
            Some((AttemptOutcome::TimedOut, "StageTimedOut".to_owned()))
        };
        for (pod, report) in [
            (
                &by_clock,
                seen.entry.report.as_ref().map(|report| (&seen, report)),
            ),
            (&by_clock, None),
            (&by_exit, None),
        ] {
            let it = Situation {
                report,
                store_full_since,
                ..situation(&attempt, Some(pod), 10_000)
            };
            assert_eq!(end(it), expected);
        }
    }
    // a step's own time runs out by the same fault of the server
    let mut step = reported(Outcome::Failed);
    step.entry.report.as_mut().unwrap().reason = "StepTimedOut".into();
    for store_full_since in [None, Some(at(5))] {
        let it = Situation {
            report: step.entry.report.as_ref().map(|report| (&step, report)),
            store_full_since,
            ..situation(&attempt, None, 20)
        };
        let expected = if store_full_since.is_some() {
            full.clone()
        } else {
            Some((AttemptOutcome::Failed, "StepTimedOut".to_owned()))
        };
        assert_eq!(end(it), expected);
    }
    // a failed step is the step's fault, full store or not
    let mut failed = reported(Outcome::Failed);
    failed.entry.report.as_mut().unwrap().reason = "StepFailed".into();
    let it = Situation {
        report: failed.entry.report.as_ref().map(|report| (&failed, report)),
        store_full_since: Some(at(5)),
        ..situation(&attempt, None, 20)
    };
    assert_eq!(end(it).unwrap().0, AttemptOutcome::Failed);
    assert!(report::agrees(Outcome::TimedOut, exit::TIMED_OUT));
}

#[test]
fn an_attempt_that_runs_while_the_store_is_full_says_so() {
    let attempt = attempt();
    let pod = running_since(0);
    let it = Situation {
        store_full_since: Some(at(5)),
        ..situation(&attempt, Some(&pod), 20)
    };
    let Verdict::Undecided { waiting, .. } = decide(it) else {
        unreachable!("nothing has ended");
    };
    assert_eq!(waiting.unwrap().reason, "ServerStoreFull");
    let Verdict::Undecided { waiting, .. } = decide(situation(&attempt, Some(&pod), 20)) else {
        unreachable!("nothing has ended");
    };
    assert_eq!(waiting, None);
}

#[test]
fn the_first_sight_of_an_end_stays_and_belongs_to_one_pod() {
    let pod = SeenPod {
        end_seen: None,
        ..ended(Some(0), "", "", 0)
    };
    let first = pod.clone().seen_after(None, at(1));
    assert_eq!(first.end_seen, Some(at(1)));
    assert_eq!(pod.clone().seen_after(Some(&first), at(9)).end_seen, Some(at(1)));
    let other = SeenPod {
        uid: "other".into(),
        ..pod
    };
    assert_eq!(other.seen_after(Some(&first), at(9)).end_seen, Some(at(9)));
    assert_eq!(running_since(0).seen_after(Some(&first), at(9)).end_seen, None);
    // so does the first sight of its start, also once it has ended
    let started = running_since(0).seen_after(None, at(3));
    assert_eq!(
        first.clone().seen_after(Some(&started), at(9)).start_seen,
        Some(at(3))
    );
}

#[test]
fn a_pod_that_the_api_server_does_not_create_says_why_while_it_waits_and_when_its_time_is_over() {
    let attempt = AttemptStatus {
        pod_uid: None,
        ..attempt()
    };
    let failed = CreateAnswer::Failed {
        message: "failed calling webhook \"policy.example\"".into(),
        times: 3,
        retry_at: at(30),
    };
    let waits = Situation {
        creation: Some(&failed),
        ..situation(&attempt, None, 20)
    };
    let Verdict::Undecided {
        waiting: Some(waiting),
        wake,
    } = decide(waits)
    else {
        panic!("decided too early, or without a reason");
    };
    assert_eq!((waiting.reason.as_str(), wake), ("PodNotCreated", Some(at(30))));
    assert!(waiting.message.contains("policy.example"), "{}", waiting.message);
    assert!(
        is_of_creation(&waiting.reason),
        "it would stay when the Pod is there"
    );
    let over = Situation {
        creation: Some(&failed),
        ..situation(&attempt, None, 900)
    };
    let Verdict::Decided(decision) = decide(over) else {
        panic!("it waits for ever");
    };
    assert_eq!(decision.reason, "PendingTimedOut");
    assert!(
        decision.message.contains("policy.example"),
        "{}",
        decision.message
    );
}

#[test]
fn the_name_of_an_image_is_no_answer_of_its_registry() {
    let attempt = attempt();
    let pulling = |message: &str| SeenPod {
        started_at: None,
        waiting: Some(PodWaiting {
            reason: "ImagePullBackOff".into(),
            message: message.into(),
        }),
        ..running_since(0)
    };
    for (message, is_final) in [
        (
            r#"Back-off pulling image "acme/access-denied:1": ErrImagePull: failed to pull and unpack image "reg.example/acme/access-denied:1": failed to do request: Head https://reg.example/v2/acme/access-denied/manifests/1: dial tcp 10.0.0.1:443: connect: connection refused"#,
            false,
        ),
        (
            r#"Back-off pulling image "acme/forbidden:1": reg.example/acme/forbidden:1: not found"#,
            true,
        ),
        (r#"Back-off pulling image "acme/a:1": pull access denied"#, true),
    ] {
        let pod = pulling(message);
        let refused = end(situation(&attempt, Some(&pod), 20)).is_some();
        assert_eq!(refused, is_final, "{message}");
    }
}

#[test]
fn a_stage_has_its_time_by_the_operators_clock_whatever_that_of_the_node_says() {
    let attempt = attempt();
    for node in [0, 100, 9_000] {
        let seen = running_since(node).seen_after(None, at(1_000));
        let ends = |now| end(situation(&attempt, Some(&seen), now)).map(|(_, reason)| reason);
        let over = 1_000 + 3_600 + TIMEOUT;
        assert_eq!(ends(over - 1), None, "started at {node} by the node");
        assert_eq!(
            ends(over).as_deref(),
            Some("StageTimedOut"),
            "started at {node} by the node"
        );
    }
}
