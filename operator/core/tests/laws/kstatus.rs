//! The objects that `e2e/kstatus` lets the kstatus library judge: what a run looks like to `helm --wait` and Flux in each of its rows.
//!
//! `DCANARY_GOLDEN=write` writes them anew. The first word of a file's name is what kstatus has to say.

use std::{fs, path::Path};

use dcanary_crds::PipelineRun;
use serde_json::{Value, json};

use crate::{
    drive::drive,
    replica::{Failpoints, Replica},
    scenario::{Behaviour, Scenario, stage},
    world::World,
};

/// What kstatus looks at, and nothing that changes with a Pod's name.
fn object(run: &PipelineRun) -> Value {
    let status = run.status.as_ref();
    json!({
        "apiVersion": "dcanary.dev/v1alpha1",
        "kind": "PipelineRun",
        "metadata": {"name": run.metadata.name, "namespace": run.metadata.namespace, "generation": run.metadata.generation},
        "status": {
            "observedGeneration": status.map(|status| status.observed_generation),
            "conditions": status.map(|status| &status.conditions),
        },
    })
}

fn one(behaviour: Behaviour) -> Scenario {
    Scenario::of(vec![stage("build", &[], &[behaviour])])
}

/// A run after some rounds of the operator, with its Pods as they are then.
fn after(scenario: Scenario, rounds: usize) -> World {
    let mut world = World::new(scenario);
    world.fresh = true;
    let mut replica = Replica::started(&world);
    for _ in 0..rounds {
        replica.sync_run(&world);
        replica.sync_pods(&world);
        replica.poll(&world);
        replica.reconcile(&mut world, &mut Failpoints::default()).unwrap();
    }
    world
}

#[test]
fn the_golden_objects_of_kstatus_are_what_the_operator_writes() {
    let cancelled = drive(
        one(Behaviour::Hangs),
        &[(1, |world| {
            world.run.spec.cancel = true;
            world.run.metadata.generation = Some(2);
            world.version += 1;
        })],
        None,
    );
    let golden = [
        (
            "InProgress.run-that-nobody-has-seen",
            object(&World::new(one(Behaviour::Succeed)).run),
        ),
        (
            "InProgress.run-that-is-active",
            object(&after(one(Behaviour::Hangs), 4).run),
        ),
        (
            "Current.run-that-succeeded",
            object(&drive(one(Behaviour::Succeed), &[], None).world.run),
        ),
        (
            "Failed.run-that-failed",
            object(&drive(one(Behaviour::Fail), &[], None).world.run),
        ),
        (
            "Failed.run-that-timed-out",
            object(&drive(one(Behaviour::Hangs), &[], None).world.run),
        ),
        ("Failed.run-that-was-cancelled", object(&cancelled.world.run)),
        (
            "Failed.run-with-a-cycle",
            object(
                &drive(
                    Scenario::of(vec![stage("a", &[1], &[]), stage("b", &[0], &[])]),
                    &[],
                    None,
                )
                .world
                .run,
            ),
        ),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/kstatus");
    for (name, object) in golden {
        let file = folder.join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&object).unwrap() + "\n";
        if std::env::var("DCANARY_GOLDEN").is_ok_and(|value| value == "write") {
            fs::create_dir_all(&folder).unwrap();
            fs::write(&file, &text).unwrap();
        }
        assert_eq!(
            fs::read_to_string(&file).unwrap_or_default(),
            text,
            "{name} is not what the operator writes; DCANARY_GOLDEN=write writes it anew"
        );
    }
}
