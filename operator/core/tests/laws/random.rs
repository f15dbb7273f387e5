//! Random graphs, random ends, one crash: every law holds and the run comes to an end.

use proptest::prelude::*;

use crate::{
    drive::{Event, drive},
    scenario::{Behaviour, Scenario, Stage},
};

pub fn behaviour() -> impl Strategy<Value = Behaviour> {
    prop_oneof![4 => Just(Behaviour::Succeed), 3 => proptest::sample::select(Behaviour::ALL.to_vec())]
}

pub fn scenario() -> impl Strategy<Value = Scenario> {
    let one = (
        any::<prop::sample::Index>(),
        any::<u8>(),
        proptest::bool::weighted(0.2),
        proptest::bool::weighted(0.15),
        0_u32..3,
        proptest::option::weighted(
            0.2,
            proptest::sample::select(vec![
                "true",
                "false",
                "success()",
                "1 == 'x'",
                "run.name == 'web-1'",
            ]),
        ),
        proptest::collection::vec(behaviour(), 1..4),
        proptest::bool::weighted(0.25),
    );
    (
        proptest::collection::vec(one, 1..8),
        proptest::option::weighted(0.3, 1_u32..4),
        proptest::bool::weighted(0.1),
        proptest::bool::weighted(0.2),
        0_u32..3,
    )
        .prop_map(|(list, parallelism, ledger_off, chain_away, quota_refusals)| {
            let mut stages: Vec<Stage> = Vec::new();
            for (i, (_, mask, optional, finally, retries, when, behaviours, deploys)) in
                list.into_iter().enumerate()
            {
                let finally = finally && i > 0;
                let needs: Vec<usize> = (0..i)
                    .filter(|need| !finally && mask & (1 << need) != 0 && !stages[*need].finally)
                    .collect();
                let deploys = deploys && !needs.is_empty();
                for need in needs.iter().filter(|_| deploys) {
                    stages[*need].builds = !stages[*need].deploys;
                }
                let reads = optional && !deploys && needs.contains(&0);
                stages.push(Stage {
                    name: format!("s{i}"),
                    reads: reads.then_some("$(stages.s0.results.version)"),
                    needs,
                    optional,
                    finally,
                    retries,
                    retry_on: Vec::new(),
                    when: when.map(str::to_owned),
                    builds: false,
                    deploys,
                    behaviours,
                });
            }
            Scenario {
                stages,
                parallelism,
                finally_timeout: None,
                ledger_off,
                chain_away,
                quota_refusals,
            }
        })
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let kinds: Vec<fn(&mut crate::world::World)> = vec![
        |world| {
            world.run.spec.cancel = true;
            world.version += 1;
        },
        crate::world::World::delete_run,
        |world| world.pass(7 * 3600),
        |world| {
            if let Some(name) = world.pods.keys().next().cloned() {
                world.delete_pod(&name);
            }
        },
        |world| world.server_away_since = Some(world.now),
        |world| world.server_away_since = None,
        |world| world.chain_away = !world.chain_away,
        crate::world::World::delete_namespace,
        |world| {
            world.namespace_shown = true;
            world.delete_namespace();
        },
    ];
    proptest::collection::vec((0_usize..20, proptest::sample::select(kinds)), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_ends_and_keeps_the_laws(scenario in scenario(), events in events(), die_at in proptest::option::of(0_usize..80)) {
        let mut events = events;
        // whatever was away comes back in the end
        events.push((25, |world| {
            world.server_away_since = None;
            world.chain_away = false;
        }));
        drive(scenario, &events, die_at);
    }
}
