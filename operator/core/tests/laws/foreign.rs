//! Pods that somebody else made: with our labels, our owner, our name, in a namespace of their own.

use dcanary_core::{
    Effect, Observed, SeenPod, next,
    observed::{CreateAnswer, Creation},
    seen_pod::Ended,
};
use dcanary_crds::{AttemptOutcome, PipelineRun};

use crate::{
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

fn forged(namespace: &str, name: &str) -> SeenPod {
    SeenPod {
        namespace: namespace.into(),
        name: name.into(),
        uid: "forged".into(),
        controller: Some(UID.into()),
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
