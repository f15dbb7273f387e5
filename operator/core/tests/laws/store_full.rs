//! The server's store full: what runs out of time meanwhile is its fault, and so is a step's own time.

use dcanary_core::{
    Observed, next,
    observed::{CreateAnswer, Creation, SeenReport},
    seen_pod::{Ended, SeenPod},
};
use dcanary_crds::{AttemptOutcome, AttemptStatus, PipelineRun, labels};
use dcanary_protocol::report::Outcome;
use jiff::Timestamp;

use crate::{
    kubelet::claim,
    scenario::{Behaviour, Scenario, stage},
    world::{UID, World},
};

/// A run whose only attempt has a Pod that runs, and what is seen of it while the store is full.
fn under_way() -> (World, PipelineRun, Observed) {
    let world = World::new(Scenario::of(vec![stage("build", &[], &[Behaviour::Hangs])]));
    let mut run = world.run.clone();
    run.metadata.finalizers = Some(vec![labels::RECORDED.to_owned()]);
    let mut seen = Observed {
        reports_as_of: Some(world.now),
        store_full_since: Some(world.now),
        ..Observed::default()
    };
    run.status = Some(next(&run, &seen, world.now).status);
    let pod = attempt(&run).pod.clone();
    seen.creations = vec![Creation {
        pod: pod.clone(),
        answer: CreateAnswer::Created {
            uid: "pod-1".into(),
            gone: false,
        },
    }];
    seen.pods = vec![SeenPod {
        namespace: "team-a".into(),
        name: pod,
        uid: "pod-1".into(),
        controller: Some(UID.into()),
        held: true,
        started_at: Some(world.now),
        ..SeenPod::default()
    }];
    run.status = Some(next(&run, &seen, world.now).status);
    assert_eq!(attempt(&run).pod_uid.as_deref(), Some("pod-1"));
    (world, run, seen)
}

fn attempt(run: &PipelineRun) -> &AttemptStatus {
    &run.status.as_ref().unwrap().stages[0].attempts[0]
}

fn report(world: &mut World, seen: &mut Observed, reason: &str) {
    let pod = seen.pods[0].name.clone();
    world.say(&pod, "pod-1", claim(Outcome::Failed, reason, Behaviour::Fail));
    seen.reports = vec![SeenReport {
        entry: world.reports[0].clone(),
        received: world.now,
    }];
}

fn exits(seen: &mut Observed, code: i32, now: Timestamp) {
    seen.pods[0].ended = Some(Ended {
        exit_code: Some(code),
        ..Ended::default()
    });
    seen.pods[0].end_seen = Some(now);
}

#[test]
fn a_step_out_of_time_while_the_store_is_full_is_lost_and_the_exit_code_of_a_failure_confirms_it() {
    let (mut world, mut run, mut seen) = under_way();
    report(&mut world, &mut seen, "StepTimedOut");
    // the report is left for later until the kubelet has seen the end
    exits(&mut seen, 1, world.now);
    // with the report, and when it was acknowledged
    for _ in 0..2 {
        run.status = Some(next(&run, &seen, world.now).status);
        let lost = attempt(&run);
        assert_eq!(
            (lost.outcome, lost.reason.as_str()),
            (Some(AttemptOutcome::Lost), "ServerStoreFull")
        );
        assert_eq!((lost.confirmed, &lost.disputed), (true, &None));
        seen.reports.clear();
    }
}

#[test]
fn what_only_the_clock_decided_while_the_store_was_full_is_not_disputed_by_a_step_that_says_the_same() {
    for (reason, disputed) in [
        ("StepTimedOut", None),
        ("StepFailed", Some("LateReport".to_owned())),
    ] {
        let (mut world, mut run, mut seen) = under_way();
        world.pass(2 * 3600);
        seen.reports_as_of = Some(world.now);
        run.status = Some(next(&run, &seen, world.now).status);
        assert_eq!(attempt(&run).reason, "ServerStoreFull");
        report(&mut world, &mut seen, reason);
        let status = next(&run, &seen, world.now).status;
        assert_eq!(status.stages[0].attempts[0].disputed, disputed, "{reason}");
    }
}
