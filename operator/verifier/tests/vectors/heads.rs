//! Heads, and checkpoints that move on to them or do not.

use dcanary_types::tree;
use dcanary_verifier::{AdvanceError, Anchors, CertifiedHead, Checkpoint, check_head};
use ic_principal::Principal;
use serde_json::{Value as Json, json};

use crate::certificates::key;
use crate::forge::{Key, Network, Ranges, canister, leaf};
use crate::records::{NOW, ledger};
use crate::world::World;

/// A world with this many blocks.
pub fn grown(blocks: usize) -> World {
    let mut world = World::smallest();
    for i in 1..blocks {
        let name = format!("d{i}");
        world.grant(&[1, u8::try_from(i).unwrap()], "shop", &name);
    }
    world
}

pub fn head_of(world: &World) -> CertifiedHead {
    let anchors = Anchors {
        root_key: key(&world.network.root),
        ledger: world.ledger.clone(),
    };
    check_head(
        &world.certificate(),
        &world.hash_tree().tagged(),
        &anchors,
        Some(NOW),
    )
    .unwrap()
}

pub fn nodes(world: &World) -> Vec<[u8; 32]> {
    let mut tree = tree::Accumulator::new();
    world
        .blocks
        .iter()
        .flat_map(|block| tree.append(&block.hash()))
        .collect()
}

pub fn make_heads() -> Json {
    const MINUTE: u64 = 60_000_000_000;
    let mut heads = Vec::new();
    let mut add = |name: &str, world: &World, now: Option<u64>, fails: Option<&str>| {
        let anchors = Anchors {
            root_key: key(&Network::new().root),
            ledger: ledger(),
        };
        let (certificate, hash_tree) = (world.certificate(), world.hash_tree().tagged());
        let head = check_head(&certificate, &hash_tree, &anchors, now);
        assert_eq!(
            head.as_ref().err().map(|e| e.check().as_str()),
            fails,
            "{name}: {head:?}"
        );
        heads.push(json!({
            "name": name,
            "certificate": hex::encode(certificate),
            "hash_tree": hex::encode(hash_tree),
            "root_key": hex::encode(anchors.root_key.to_der()),
            "ledger": Principal::from_slice(&anchors.ledger).to_text(),
            "now": now,
            "fails": fails,
            "head": head.ok().map(|h| json!({
                "size": h.size(),
                "root": hex::encode(h.root()),
                "last_block_hash": hex::encode(h.last_hash()),
                "policy": hex::encode(h.policy_hash()),
                "revoked": hex::encode(h.revoked_hash()),
                "time": h.time(),
            })),
        }));
    };
    let world = World {
        ranges: Some(Ranges::Both),
        ..grown(3)
    };
    add("offline", &world, None, None);
    add("fresh", &world, Some(NOW + MINUTE), None);
    add("3 minutes old", &world, Some(NOW + 3 * MINUTE), None);
    add(
        "3 minutes and 1 ns old",
        &world,
        Some(NOW + 3 * MINUTE + 1),
        Some("age"),
    );
    add("1 minute ahead", &world, Some(NOW - MINUTE), None);
    add(
        "1 minute and 1 ns ahead",
        &world,
        Some(NOW - MINUTE - 1),
        Some("age"),
    );
    add(
        "no time",
        &World {
            state: |t| t.prune(&[b"time"]),
            ..grown(3)
        },
        None,
        Some("age"),
    );
    add(
        "other witness",
        &World {
            certified_data: Some(vec![1; 32]),
            ..grown(3)
        },
        None,
        Some("labels"),
    );
    let pruned = World {
        witness: |t| t.prune(&[b"dcanary_policy"]),
        ..grown(3)
    };
    add("pruned witness", &pruned, None, Some("labels"));
    add(
        "other ledger",
        &World {
            ledger: canister(0x20_000c),
            ..grown(3)
        },
        None,
        Some("labels"),
    );
    add(
        "outside the ranges",
        &World {
            ranges: Some(Ranges::Elsewhere),
            ..grown(3)
        },
        None,
        Some("range"),
    );
    add(
        "signed by nobody",
        &World {
            certify: Some(|_, t| Key::seeded(9).certify(t, None)),
            ..grown(3)
        },
        None,
        Some("certificate"),
    );
    Json::Array(heads)
}

pub fn make_checkpoints() -> Json {
    let mut cases = Vec::new();
    let mut add = |name: &str, old: &World, new: &World, proof: Vec<[u8; 32]>, outcome: &str| {
        let (old, new) = (head_of(old), head_of(new));
        let mut checkpoint = Checkpoint::of(&old);
        let found = match checkpoint.advance(&new, &proof) {
            Ok(()) => "accepted",
            Err(AdvanceError::LedgerForked(_)) => "forked",
            Err(AdvanceError::Stale { .. }) => "stale",
            Err(AdvanceError::OtherLedger) => "other_ledger",
        };
        assert_eq!(found, outcome, "{name}");
        cases.push(json!({
            "name": name,
            "old": {"size": old.size(), "root": hex::encode(old.root()), "time": old.time()},
            "new": {"size": new.size(), "root": hex::encode(new.root()), "time": new.time()},
            "proof": proof.iter().map(hex::encode).collect::<Vec<_>>(),
            "outcome": outcome,
        }));
    };
    let proof = |old: u64, new: u64| {
        tree::consistency(&nodes(&grown(usize::try_from(new).unwrap())), old, new).unwrap()
    };
    for (old, new) in [(1, 2), (2, 5), (3, 7), (4, 8), (6, 8), (7, 7)] {
        let worlds = [old, new].map(|n| grown(usize::try_from(n).unwrap()));
        add(
            &format!("{old} to {new}"),
            &worlds[0],
            &worlds[1],
            proof(old, new),
            "accepted",
        );
    }
    add("no proof", &grown(3), &grown(7), vec![], "forked");
    add(
        "proof between other sizes",
        &grown(3),
        &grown(7),
        proof(4, 7),
        "forked",
    );
    add(
        "a hash too many",
        &grown(3),
        &grown(7),
        [proof(3, 7), vec![[0; 32]]].concat(),
        "forked",
    );
    let mut rewritten = grown(7);
    rewritten.change(1, |block| {
        block.insert("ts".to_owned(), 1.into());
        block.insert("claimed_ts".to_owned(), 1.into());
    });
    let theirs = tree::consistency(&nodes(&rewritten), 3, 7).unwrap();
    add(
        "rewritten below the checkpoint",
        &grown(3),
        &rewritten,
        theirs,
        "forked",
    );
    add("same size, other root", &grown(7), &rewritten, vec![], "forked");
    add("smaller at the same time", &grown(7), &grown(3), vec![], "forked");
    let earlier = |t: crate::forge::Tree| replace_time(t, NOW - 1);
    add(
        "smaller and certified earlier",
        &grown(7),
        &World {
            state: earlier,
            ..grown(3)
        },
        vec![],
        "stale",
    );
    let later = |t: crate::forge::Tree| replace_time(t, NOW + 1);
    add(
        "smaller and certified later",
        &grown(7),
        &World {
            state: later,
            ..grown(3)
        },
        vec![],
        "forked",
    );
    Json::Array(cases)
}

fn replace_time(tree: crate::forge::Tree, time: u64) -> crate::forge::Tree {
    use crate::forge::Tree;
    match tree {
        Tree::Fork(l, r) => Tree::Fork(Box::new(replace_time(*l, time)), Box::new(replace_time(*r, time))),
        Tree::Label(l, _) if l == b"time" => {
            Tree::Label(l, Box::new(leaf(dcanary_types::value::leb128(time))))
        }
        other => other,
    }
}

#[test]
fn a_head_of_another_ledger_is_refused_and_accuses_nobody() {
    let other = World {
        ledger: canister(0x20_000c),
        ..grown(3)
    };
    let mut checkpoint = Checkpoint::of(&head_of(&grown(3)));
    assert_eq!(
        checkpoint.advance(&head_of(&other), &[]),
        Err(AdvanceError::OtherLedger)
    );
}

#[test]
fn a_fork_keeps_the_evidence_of_both_heads_and_leaves_the_checkpoint() {
    let (old, new) = (head_of(&grown(7)), head_of(&grown(3)));
    let mut checkpoint = Checkpoint::of(&old);
    let Err(AdvanceError::LedgerForked(fork)) = checkpoint.advance(&new, &[]) else {
        panic!("no fork")
    };
    assert_eq!((&fork.old, &fork.new), (old.evidence(), new.evidence()));
    assert_eq!(checkpoint, Checkpoint::of(&old));
    let kept = serde_json::to_string(&checkpoint).unwrap();
    assert_eq!(serde_json::from_str::<Checkpoint>(&kept).unwrap(), checkpoint);
}
