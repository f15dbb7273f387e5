use dcanary_types::{
    api::{AppendError, BatchError, RoleArg, RoleError},
    policy::{Policy, RoleKind},
    record::{Body, LedgerEvent},
};

use super::world::*;
use crate::Ceilings;

fn policy(world: &World) -> Policy {
    Policy::decode(&world.ledger.policy().unwrap()).unwrap()
}

#[test]
fn each_change_is_a_block_with_the_version_before_it() {
    let mut world = world();
    let size = world.size();
    let granted = world.grant(OWNER, &operator(STRANGER, "shop", "north")).unwrap();
    assert_eq!((granted.version, granted.block), (5, Some(size)));
    let block = world.block(size);
    assert_eq!(
        (block.policy, block.project.as_str(), block.domain.as_str()),
        (4, "shop", "")
    );
    let Body::Ledger(LedgerEvent::RoleGranted(role)) = world.body(size) else {
        panic!("a grant")
    };
    assert_eq!((role.role, role.domain.as_str()), (RoleKind::Operator, "north"));

    let revoked = world.revoke(OWNER, &operator(STRANGER, "shop", "north")).unwrap();
    assert_eq!((revoked.version, revoked.block), (6, Some(size + 1)));
    assert_eq!(
        policy(&world).operator_domain("shop", principal(STRANGER).as_slice()),
        None
    );
}

#[test]
fn a_change_that_changes_nothing_makes_no_block() {
    let mut world = world();
    let size = world.size();
    assert_eq!(
        world.grant(OWNER, &operator(EAST, "shop", "east")).unwrap().block,
        None
    );
    assert_eq!(
        world
            .revoke(OWNER, &operator(STRANGER, "shop", "east"))
            .unwrap()
            .block,
        None
    );
    assert_eq!((world.size(), policy(&world).version), (size, 4));
}

#[test]
fn the_certified_hash_is_that_of_the_document() {
    let mut world = world();
    for _ in 0..2 {
        assert_eq!(world.ledger.labels().policy, policy(&world).hash());
        world.grant(OWNER, &operator(STRANGER, "bank", "north")).unwrap();
    }
    world.upgrade();
    assert_eq!(world.ledger.labels().policy, policy(&world).hash());
}

#[test]
fn only_owners_change_roles() {
    let mut world = world();
    for who in [EAST, STRANGER] {
        let asked = operator(STRANGER, "shop", "east");
        assert_eq!(world.grant(who, &asked), Err(RoleError::NotAuthorised));
        assert_eq!(world.revoke(who, &asked), Err(RoleError::NotAuthorised));
        let message = world.message(who);
        assert_eq!(
            world.ledger.mark_restored(&message).unwrap(),
            Err(RoleError::NotAuthorised)
        );
    }
    world.grant(OWNER, &owner(STRANGER)).unwrap();
    world
        .grant(STRANGER, &operator(STRANGER, "shop", "east"))
        .unwrap();
}

#[test]
fn the_last_owner_stays() {
    let mut world = world();
    assert_eq!(world.revoke(OWNER, &owner(OWNER)), Err(RoleError::LastOwner));
    world.grant(OWNER, &owner(STRANGER)).unwrap();
    world.revoke(STRANGER, &owner(OWNER)).unwrap();
    assert_eq!(
        world.revoke(STRANGER, &owner(STRANGER)),
        Err(RoleError::LastOwner)
    );
    assert_eq!(world.grant(OWNER, &owner(OWNER)), Err(RoleError::NotAuthorised));
}

#[test]
fn a_principal_has_one_domain_per_project() {
    let mut world = world();
    let refused = Err(RoleError::OtherDomain {
        have: "east".to_owned(),
    });
    assert_eq!(world.grant(OWNER, &operator(EAST, "shop", "west")), refused);
    assert_eq!(world.revoke(OWNER, &operator(EAST, "shop", "west")), refused);
    world.revoke(OWNER, &operator(EAST, "shop", "east")).unwrap();
    world.grant(OWNER, &operator(EAST, "shop", "west")).unwrap();
    world.grant(OWNER, &operator(EAST, "bank", "east")).unwrap();
}

#[test]
fn roles_that_are_not_well_formed_are_refused() {
    let mut world = world();
    let good = operator(STRANGER, "shop", "east");
    let bad = [
        RoleArg {
            role: "admin".to_owned(),
            ..good.clone()
        },
        RoleArg {
            project: String::new(),
            ..good.clone()
        },
        RoleArg {
            project: "Shop".to_owned(),
            ..good.clone()
        },
        RoleArg {
            domain: "a_b".to_owned(),
            ..good.clone()
        },
        RoleArg {
            role: "owner".to_owned(),
            ..good.clone()
        },
        RoleArg {
            principal: candid::Principal::anonymous(),
            ..good
        },
    ];
    for role in bad {
        assert!(
            matches!(world.grant(OWNER, &role), Err(RoleError::Malformed { .. })),
            "{role:?}"
        );
    }
}

#[test]
fn there_is_an_end_to_roles() {
    let mut world = world_with(Ceilings {
        roles: 5,
        ..Ceilings::default()
    });
    let refused = world.grant(OWNER, &operator(STRANGER, "shop", "east"));
    assert_eq!(refused, Err(RoleError::TooManyRoles { limit: 5 }));
    world.revoke(OWNER, &operator(BANK, "bank", "east")).unwrap();
    world.grant(OWNER, &operator(STRANGER, "shop", "east")).unwrap();
}

#[test]
fn a_revoked_operator_writes_no_more_and_its_runs_go_on_under_another() {
    let mut world = world();
    world.append(EAST, segment("r1", 0, &story()[..2])).unwrap();
    world.grant(OWNER, &operator(EAST, "bank", "east")).unwrap();
    world.revoke(OWNER, &operator(EAST, "shop", "east")).unwrap();
    assert_eq!(
        world.append(EAST, segment("r1", 2, &story()[2..])),
        Err(AppendError::NotAuthorised)
    );
    world.revoke(OWNER, &operator(EAST, "bank", "east")).unwrap();
    assert_eq!(world.batch(EAST, vec![]), Err(BatchError::NotAuthorised));
    world.append(EAST_TOO, segment("r1", 2, &story()[2..])).unwrap();
}

#[test]
fn a_restore_counts_up_the_incarnation() {
    let mut world = world();
    for incarnation in 1..3 {
        let message = world.message(OWNER);
        let receipt = world.ledger.mark_restored(&message).unwrap().unwrap();
        assert_eq!(
            (receipt.incarnation, receipt.block),
            (incarnation, world.size() - 1)
        );
        assert_eq!(
            world.body(receipt.block),
            Body::Ledger(LedgerEvent::Restored { incarnation })
        );
        world.upgrade();
    }
    assert_eq!(world.ledger.stats().incarnation, 2);
}
