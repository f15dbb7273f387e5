//! Pods that somebody else made: with our labels, our owner, our name, in a namespace of their own.

use dcanary_core::{
    Effect, Observed, SeenPod, next,
    observed::{CreateAnswer, Creation, SeenReport},
    pod::PodKey,
    seen_pod::Ended,
};
use dcanary_crds::{AttemptOutcome, PipelineRun, StageState};
use dcanary_protocol::report::{Outcome, ReportEntry};

use crate::{
    kubelet::claim,
    scenario::{Behaviour, Scenario, stage},
    world::{UID, World},
};

/// A run that has been held and has one attempt under way, and the name of its Pod.
fn begun() -> (PipelineRun, World, String) {
    let world = World::new(Scenario::of(vec![stage("build", &[], &[Behaviour::Hangs])]));
    let mut run = world.run.clone();
    run.metadata.finalizers = Some(vec![dcanary_crds::labels::RECORDED.to_owned()]);
    run.status = Some(next(&run, &answering(&world, Vec::new()), world.now).status);
    let pod = run.status.as_ref().unwrap().stages[0].attempts[0].pod.clone();
    (run, world, pod)
}

fn answering(world: &World, pods: Vec<SeenPod>) -> Observed {
    Observed {
        pods,
        reports_as_of: Some(world.now),
        ..Observed::default()
    }
}

/// With the proof that a Pod of that name in the run's own namespace has.
fn forged(namespace: &str, name: &str) -> SeenPod {
    SeenPod {
        namespace: namespace.into(),
        name: name.into(),
        uid: "forged".into(),
        controller: Some(UID.into()),
        proof: Some(PodKey::default().proof("team-a", UID, name)),
        held: true,
        // decided at once and without a report, if it is taken for ours
        ended: Some(Ended {
            exit_code: None,
            reason: "InitFailed".into(),
            ..Ended::default()
        }),
        end_seen: None,
        ..SeenPod::default()
    }
}

#[test]
fn a_pod_of_another_namespace_decides_nothing_and_nothing_is_done_to_it() {
    let (run, world, name) = begun();
    for (namespace, ours) in [("team-b", false), ("team-a", true)] {
        let plan = next(
            &run,
            &answering(&world, vec![forged(namespace, &name)]),
            world.now,
        );
        let attempt = &plan.status.stages[0].attempts[0];
        assert_eq!(attempt.outcome == Some(AttemptOutcome::Lost), ours, "{namespace}");
        let touched = plan.effects.iter().any(|effect| match effect {
            Effect::DeletePod(pod) | Effect::ReleasePod(pod) => pod.uid == "forged",
            _ => false,
        });
        assert_eq!(touched, ours, "{namespace}");
        // the real one is still to be created
        let created = plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::CreatePod(_)));
        assert_eq!(created, !ours, "{namespace}");
    }
}

#[test]
fn a_pod_of_another_namespace_does_not_keep_a_run_from_going() {
    let (mut run, world, name) = begun();
    run.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now));
    let mut status = run.status.clone().unwrap();
    status.journal = None;
    status.finished_at = Some(world.now);
    run.status = Some(status.clone());
    for (namespace, goes) in [("team-b", true), ("team-a", false)] {
        // one with a name of its own, so that only its labels and owner count
        for name in [name.as_str(), "another"] {
            let plan = next(&run, &answering(&world, vec![forged(namespace, name)]), world.now);
            assert_eq!(
                plan.effects.contains(&Effect::ReleaseRun),
                goes,
                "{namespace}/{name}: {:?}",
                plan.effects
            );
            // of our own namespace it is one that we made, for no attempt: it is let go, and then the run goes
            let released = plan
                .effects
                .iter()
                .any(|effect| matches!(effect, Effect::ReleasePod(pod) if pod.uid == "forged"));
            assert_eq!(
                released,
                !goes && name == "another",
                "{namespace}/{name}: {:?}",
                plan.effects
            );
        }
    }
    // a definition that cannot be read changes nothing about that
    status.finished_at = None;
    status.resolved = None;
    run.status = Some(status);
    let plan = next(&run, &answering(&world, vec![forged("team-b", &name)]), world.now);
    assert_eq!(plan.effects, [Effect::ReleaseRun]);
}

#[test]
fn a_run_does_not_go_before_a_pod_that_was_created_is_in_the_cache() {
    let (mut run, world, pod) = begun();
    run.metadata.deletion_timestamp = Some(k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(world.now));
    let mut status = run.status.clone().unwrap();
    status.journal = None;
    status.finished_at = Some(world.now);
    run.status = Some(status);
    for gone in [false, true] {
        let answer = CreateAnswer::Created {
            uid: "u".into(),
            gone,
        };
        let seen = Observed {
            creations: vec![Creation {
                pod: pod.clone(),
                answer,
            }],
            ..answering(&world, Vec::new())
        };
        let plan = next(&run, &seen, world.now);
        assert_eq!(plan.effects.contains(&Effect::ReleaseRun), gone);
    }
}

/// Pods with our labels, our owner, our name, in our namespace, as whoever may create Pods there can make them.
fn copies(name: &str) -> Vec<SeenPod> {
    let proofs = [
        None,
        Some(String::new()),
        Some(PodKey::new([1; 32]).proof("team-a", UID, name)),
        // one that can be read at another Pod of the run
        Some(PodKey::default().proof("team-a", UID, "web-1-test-1-0123456789")),
    ];
    let ends = [None, Some(Ended::default())];
    let all = proofs.into_iter().flat_map(|proof| {
        ends.clone().map(|ended| SeenPod {
            proof: proof.clone(),
            held: ended.is_some(),
            ended,
            ..forged("team-a", name)
        })
    });
    all.collect()
}

/// What a forged Pod sends to the server.
fn said(world: &World, uid: &str, pod: &str) -> SeenReport {
    SeenReport {
        entry: ReportEntry {
            cursor: 1,
            attempt: uid.into(),
            namespace: "team-a".into(),
            pod: pod.into(),
            run: "web-1".into(),
            run_uid: UID.into(),
            report: Some(claim(Outcome::Succeeded, "Succeeded", Behaviour::Succeed)),
            second_trade: false,
        },
        received: world.now,
    }
}

#[test]
fn a_pod_that_the_operator_did_not_make_decides_nothing_whatever_it_copied_and_whatever_it_says() {
    let (mut run, world, name) = begun();
    for pod in copies(&name) {
        let mut seen = answering(&world, vec![pod.clone()]);
        seen.reports = vec![said(&world, "forged", &name)];
        let plan = next(&run, &seen, world.now);
        let stage = &plan.status.stages[0];
        assert_eq!(stage.state, StageState::Running, "{pod:?}");
        let attempt = &stage.attempts[0];
        assert_eq!((attempt.outcome, &attempt.pod_uid), (None, &None), "{pod:?}");
        // it says what it waits for
        assert_eq!(attempt.reason, "PodNameTaken");
        assert!(attempt.message.contains(&name), "{}", attempt.message);
        let told = |event: &dcanary_core::Event| event.reason == "ForeignPod" && event.note.contains(&name);
        assert!(plan.events.iter().any(told), "{:?}", plan.events);
        let of_it = |effect: &Effect| match effect {
            Effect::DeletePod(pod) | Effect::ReleasePod(pod) => pod.uid == "forged",
            Effect::RevokeSession { attempt } => attempt == "forged",
            other => panic!("{other:?} before the name is free"),
        };
        assert!(plan.effects.iter().all(of_it));
        let deleted = plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::DeletePod(_)));
        assert!(deleted, "{pod:?}");
        let released = plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::ReleasePod(_)));
        assert_eq!(released, pod.held, "{pod:?}");
        let revoked = plan
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::RevokeSession { .. }));
        assert!(revoked, "{pod:?}");
        // the name is free: the Pod is made, and only its own UID counts
        run.status = Some(plan.status);
        let plan = next(&run, &answering(&world, Vec::new()), world.now);
        assert!(
            plan.effects
                .iter()
                .any(|effect| matches!(effect, Effect::CreatePod(_)))
        );
    }
}

#[test]
fn an_attempt_whose_name_stays_taken_ends_when_its_time_to_begin_is_over_and_says_why() {
    let (run, world, name) = begun();
    for mut pod in copies(&name) {
        pod.deleting_since = Some(world.now);
        let late = world.now + jiff::SignedDuration::from_hours(48);
        let plan = next(&run, &answering(&world, vec![pod]), late);
        let attempt = &plan.status.stages[0].attempts[0];
        assert!(attempt.outcome.is_some());
        assert!(!plan.status.stages[0].state.eq(&StageState::Succeeded));
    }
    // within the time of the run it is that of the attempt
    let created = run.status.as_ref().unwrap().stages[0].attempts[0]
        .created_at
        .unwrap();
    let pending = created + jiff::SignedDuration::from_mins(50);
    let plan = next(&run, &answering(&world, copies(&name)[..1].to_vec()), pending);
    let attempt = &plan.status.stages[0].attempts[0];
    assert_eq!(attempt.outcome, Some(AttemptOutcome::TimedOut));
    assert!(attempt.message.contains("PodNameTaken"), "{}", attempt.message);
}

#[test]
fn a_process_that_died_before_it_noted_its_pod_knows_it_again_and_one_that_noted_it_needs_no_proof() {
    let (mut run, world, name) = begun();
    let running = |proof: Option<String>| SeenPod {
        proof,
        started_at: Some(world.now),
        ended: None,
        ..forged("team-a", &name)
    };
    let made = running(Some(PodKey::default().proof("team-a", UID, &name)));
    let plan = next(&run, &answering(&world, vec![made]), world.now);
    assert!(plan.effects.is_empty(), "it is there: {:?}", plan.effects);
    assert!(plan.events.is_empty(), "{:?}", plan.events);
    let status = run.status.as_mut().unwrap();
    status.stages[0].attempts[0].pod_uid = Some("forged".to_owned());
    let plan = next(&run, &answering(&world, vec![running(None)]), world.now);
    assert!(plan.effects.is_empty(), "{:?}", plan.effects);
    assert!(plan.events.is_empty(), "{:?}", plan.events);
}
