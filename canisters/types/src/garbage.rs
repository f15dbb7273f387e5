//! Documents from strangers: whatever the bytes are, they are read as what they say or refused.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::{
    cbor,
    graph::{GraphDoc, Stage},
    policy::{Policy, Role, RoleKind},
    value::Value,
};

fn word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z][a-z0-9-]{0,8}", any::<String>()]
}

fn stage() -> impl Strategy<Value = Stage> {
    (
        word(),
        prop::collection::vec(0_u64..6, 0..4),
        0_u64..4,
        any::<[bool; 2]>(),
    )
        .prop_map(|(name, needs, attempts, [optional, finally])| Stage {
            name,
            needs,
            attempts,
            optional,
            finally,
        })
}

fn role() -> impl Strategy<Value = Role> {
    let operator = (word(), prop::collection::vec(any::<u8>(), 1..30), word());
    prop_oneof![
        prop::collection::vec(any::<u8>(), 1..30).prop_map(Role::owner),
        operator.prop_map(|(project, principal, domain)| Role {
            project,
            principal,
            role: RoleKind::Operator,
            domain,
        }),
    ]
}

/// A document, whole or with a few bytes changed, cut off or added.
fn damaged(document: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (document, changes, any::<prop::sample::Index>(), 0_u8..4).prop_map(|(mut bytes, changes, end, kind)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        match kind {
            0 => bytes.truncate(end.index(bytes.len() + 1)),
            1 => bytes.push(0),
            _ => {}
        }
        bytes
    })
}

fn graph_bytes() -> impl Strategy<Value = Vec<u8>> {
    // Not by `GraphDoc::new`, which refuses what the reader has to refuse too.
    prop::collection::vec(stage(), 0..6).prop_map(|stages| {
        let stages = stages.into_iter().map(|stage| {
            Value::Array(vec![
                stage.name.as_str().into(),
                Value::Array(stage.needs.into_iter().map(Value::Nat).collect()),
                Value::Nat(stage.attempts),
                Value::Nat(u64::from(stage.optional) + 2 * u64::from(stage.finally)),
                Value::Array(vec![]),
            ])
        });
        let document = [("v", Value::Nat(1)), ("stages", Value::Array(stages.collect()))];
        cbor::encode(&Value::Map(crate::value::map(document)))
    })
}

fn policy_bytes() -> impl Strategy<Value = Vec<u8>> {
    (any::<u64>(), prop::collection::vec(role(), 0..6)).prop_map(|(version, roles)| {
        let document = [
            ("version", Value::Nat(version)),
            ("roles", Value::Array(roles.iter().map(Role::to_value).collect())),
        ];
        cbor::encode(&Value::Map(crate::value::map(document)))
    })
}

proptest! {
    #[test]
    fn a_graph_that_is_read_is_the_one_that_was_written(
        bytes in prop_oneof![
            damaged(graph_bytes()),
            prop::collection::vec(any::<u8>(), 0..200),
        ],
    ) {
        if let Ok(graph) = GraphDoc::decode(&bytes) {
            prop_assert_eq!(graph.encode(), bytes, "two encodings of one graph");
            prop_assert_eq!(GraphDoc::new(graph.stages().to_vec()), Ok(graph));
        }
    }

    #[test]
    fn a_policy_that_is_read_is_the_one_that_was_written(
        bytes in prop_oneof![
            damaged(policy_bytes()),
            prop::collection::vec(any::<u8>(), 0..200),
        ],
    ) {
        if let Ok(policy) = Policy::decode(&bytes) {
            prop_assert_eq!(policy.encode(), bytes, "two encodings of one policy");
            prop_assert_eq!(Policy::new(policy.version, policy.roles().cloned()), policy);
        }
    }

    #[test]
    fn a_policy_reads_back(version in any::<u64>(), roles in prop::collection::vec(role(), 0..6)) {
        // One domain for a principal in a project.
        let roles: BTreeMap<_, Role> = roles.into_iter().filter(fits)
            .map(|role| ((role.project.clone(), role.principal.clone(), role.role), role)).collect();
        let policy = Policy::new(version, roles.into_values());
        prop_assert_eq!(Policy::decode(&policy.encode()), Ok(policy));
    }
}

/// What the canister lets into a policy.
fn fits(role: &Role) -> bool {
    role.role.fits_project(&role.project)
        && role.role.fits_domain(&role.domain)
        && role.principal.len() <= crate::limits::MAX_PRINCIPAL_BYTES
}
