//! What environments leave in stable memory is for ever too: `fixtures/stable-v1-environments.bin` is a memory with some, and
//! is never written again (see `layout.rs`). `fixtures/stable-v1-identities.bin` is the same life since the identities that were
//! promoted are remembered, which a state of before does not have.

use dcanary_types::{api::AppendError, environment::EnvTransition};

use super::{
    environments::{canary, env_opened, env_segment, requested},
    memory::SparseMemory,
    world::*,
};
use crate::{Ceilings, Ledger, certify};

const IMAGE: &[u8] = include_bytes!("fixtures/stable-v1-environments.bin");
const WITH_IDENTITIES: &[u8] = include_bytes!("fixtures/stable-v1-identities.bin");
const ROOT: &str = include_str!("fixtures/stable-v1-environments.root");

/// An environment that rests on another, with a request that waits; a closed one, and a run.
fn lived() -> World {
    let mut world = world();
    let staging = [&[env_opened(None, 0)][..], &canary("s")].concat();
    world.append(EAST, env_segment("staging", 0, &staging)).unwrap();
    world.append(EAST, env_segment("prod", 0, &prod())).unwrap();
    let gone = [env_opened(None, 0), EnvTransition::Closed];
    world.append(EAST, env_segment("gone", 0, &gone)).unwrap();
    world.append(EAST, segment("r", 0, &story()[..2])).unwrap();
    world
}

fn prod() -> [EnvTransition; 4] {
    [
        env_opened(Some("staging"), 1),
        EnvTransition::Held {
            identity: [8; 32],
            reason: "RolledBack".to_owned(),
            decision: None,
        },
        requested("p", [1; 32], [11; 32]),
        EnvTransition::Decided {
            promotion: Some("p".to_owned()),
            decision: "d".to_owned(),
            verb: EnvTransition::APPROVE.to_owned(),
            by: "bob".to_owned(),
            identity: None,
        },
    ]
}

fn upgraded(ceilings: Ceilings) -> World {
    upgraded_from(IMAGE, ceilings)
}

fn upgraded_from(image: &[u8], ceilings: Ceilings) -> World {
    let memory = SparseMemory::from_image(image);
    World {
        ledger: Ledger::open(memory.clone(), ceilings).unwrap(),
        memory,
        now: START + 1_000_000_000,
    }
}

fn root(world: &World) -> String {
    hex::encode(certify::root(&world.ledger.labels()))
}

#[test]
fn environments_of_version_1_go_on() {
    for image in [IMAGE, WITH_IDENTITIES] {
        goes_on(upgraded_from(image, Ceilings::default()));
    }
}

fn goes_on(mut world: World) {
    assert_eq!(root(&world), ROOT.trim());
    let size = world.size();
    world.append(EAST, env_segment("prod", 0, &prod())).unwrap();
    assert_eq!(world.size(), size, "receipts are remembered");
    // The approval, the held identity and what staging has promoted.
    let started = EnvTransition::DeployStarted {
        promotion: "p".to_owned(),
    };
    let aborted = EnvTransition::Aborted {
        promotion: "p".to_owned(),
        reason: "Superseded".to_owned(),
    };
    world
        .append(EAST, env_segment("prod", 4, &[started, aborted]))
        .unwrap();
    let refused = |world: &mut World, release, identity| {
        let answer = world.append(EAST, env_segment("prod", 6, &[requested("q", release, identity)]));
        matches!(answer, Err(AppendError::Illegal { n: 6, .. }))
    };
    assert!(refused(&mut world, [1; 32], [8; 32]), "held");
    assert!(refused(&mut world, [2; 32], [12; 32]), "not promoted there");
    world
        .append(EAST, env_segment("prod", 6, &[requested("q", [1; 32], [12; 32])]))
        .unwrap();
    let after_the_end = world.append(EAST, env_segment("gone", 2, &prod()[1..2]));
    assert!(matches!(after_the_end, Err(AppendError::Illegal { n: 2, .. })));
    world.append(EAST, segment("r", 2, &story()[2..])).unwrap();
}

#[test]
fn open_environments_of_version_1_are_counted() {
    let mut world = upgraded(Ceilings {
        open_environments: 2,
        ..Ceilings::default()
    });
    let more = env_segment("more", 0, &[env_opened(None, 0)]);
    assert_eq!(
        world.append(EAST, more.clone()),
        Err(AppendError::RunLimit { limit: 2 })
    );
    let close = [EnvTransition::Closed];
    world.append(EAST, env_segment("prod", 4, &close)).unwrap();
    world.append(EAST, more).unwrap();
}

#[test]
fn the_present_canister_keeps_environments_as_since_it_remembers_identities() {
    let world = lived();
    if let Some(file) = std::env::var_os("DCANARY_WRITE_ENVIRONMENTS_IMAGE") {
        let file = std::path::PathBuf::from(file);
        std::fs::write(&file, world.memory.to_image()).unwrap();
        std::fs::write(file.with_extension("root"), root(&world) + "\n").unwrap();
    }
    assert_eq!(root(&world), ROOT.trim());
    // Not `assert_eq`: it would print both.
    assert!(
        world.memory.to_image() == WITH_IDENTITIES,
        "the layout is another"
    );
}
