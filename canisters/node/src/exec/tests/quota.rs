//! What one canister may hold.

use super::memory::{GROWER, PAGE};
use super::*;
use crate::exec::quota::held;
use ic_management_canister_types::{CanisterIdRecord, UploadChunkArgs};

fn grown(world: &mut World, canister: Principal, method: &str, pages: u8) -> i64 {
    let reply = world.send(owner(), canister, method, &[pages]).unwrap();
    i64::from_le_bytes(reply.try_into().unwrap())
}

/// Two canisters of which each may grow by ten pages.
fn ten_pages_each() -> World {
    let mut world = World::running(GROWER);
    world.add(second(), GROWER);
    world.canister_limit = held(world.canister()) + 10 * PAGE;
    world
}

/// Code that brings so many bytes with it, and so many pages of heap.
fn code_of(bytes: usize, pages: usize) -> String {
    format!(
        r#"(module (memory {pages}) (@custom "padding" "{}"))"#,
        "x".repeat(bytes)
    )
}

fn refused(result: Result<Vec<u8>, Reject>) {
    let reject = result.unwrap_err();
    assert_eq!(reject.error.to_string(), "IC0101");
    assert!(
        reject.message.contains("disk quota") && reject.message.contains("--quota-disk"),
        "{}",
        reject.message
    );
}

#[test]
fn memories_grow_up_to_the_quota_and_those_of_another_canister_have_their_own() {
    for method in ["heap", "stable"] {
        let mut world = ten_pages_each();
        assert_eq!(grown(&mut world, id(), method, 11), -1, "{method}");
        assert!(grown(&mut world, id(), method, 10) >= 0, "{method}");
        assert_eq!(held(world.canister()), world.canister_limit);
        for other in ["heap", "stable"] {
            assert_eq!(grown(&mut world, id(), other, 1), -1, "{method} {other}");
        }
        assert!(grown(&mut world, second(), method, 10) >= 0, "{method}");
    }
}

#[test]
fn both_memories_of_one_message_share_the_quota() {
    let mut world = ten_pages_each();
    assert_eq!(grown(&mut world, id(), "both", 6), -1);
    // Of the ten the heap has six.
    assert_eq!(grown(&mut world, id(), "stable", 5), -1);
    assert_eq!(grown(&mut world, id(), "stable", 4), 0);
}

#[test]
fn what_is_over_the_quota_is_not_installed_and_nothing_changes() {
    for (bytes, pages, fits) in [
        (100, 2, true),
        (100, 30, false),
        (20 * 65_536, 1, false),
        (5 * 65_536, 4, true),
    ] {
        let code = code_of(bytes, pages);
        for mode in [CanisterInstallMode::Reinstall, CanisterInstallMode::Upgrade(None)] {
            let mut world = ten_pages_each();
            let before = world.canister().code.as_ref().unwrap().hash;
            let result = world.install(&code, mode, b"");
            let changed = world.canister().code.as_ref().unwrap().hash != before;
            assert_eq!(
                (result.is_ok(), changed),
                (fits, fits),
                "{bytes} {pages} {mode:?}"
            );
            if !fits {
                refused(result);
                assert!(grown(&mut world, id(), "heap", 1) >= 0);
            }
        }
    }
}

#[test]
fn code_grows_within_the_quota_while_it_is_installed() {
    // `canister_init` traps when it does not get a page.
    const GREEDY: &str = r#"(module (memory 1)
        (func (export "canister_init") (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then (unreachable)))))"#;
    for (pages, fits) in [(2, true), (1, false)] {
        let mut world = World::new();
        world.canister_limit = wat::parse_str(GREEDY).unwrap().len() as u64 + pages * PAGE;
        let result = world.install(GREEDY, CanisterInstallMode::Install, b"");
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
}

#[test]
fn chunks_count_as_long_as_they_are_stored() {
    let mut world = World::running(GROWER);
    world.canister_limit = held(world.canister()) + (1 << 20) + PAGE;
    let upload = |world: &mut World, chunk: &[u8]| {
        let args = UploadChunkArgs {
            canister_id: id(),
            chunk: chunk.to_vec(),
        };
        world.manage(owner(), "upload_chunk", Encode!(&args).unwrap())
    };
    upload(&mut world, b"one").unwrap();
    refused(upload(&mut world, b"another"));
    // It is there already.
    upload(&mut world, b"one").unwrap();
    assert_eq!(grown(&mut world, id(), "stable", 2), -1);
    let target = Encode!(&CanisterIdRecord { canister_id: id() }).unwrap();
    world.manage(owner(), "clear_chunk_store", target).unwrap();
    assert_eq!(grown(&mut world, id(), "stable", 2), 0);
}

#[test]
fn a_canister_over_a_quota_that_became_smaller_works_shrinks_and_does_not_grow() {
    let mut world = ten_pages_each();
    grown(&mut world, id(), "stable", 5);
    world.canister_limit = PAGE;
    assert_eq!(grown(&mut world, id(), "heap", 0), 1);
    assert_eq!(grown(&mut world, id(), "heap", 1), -1);
    refused(world.install(&code_of(2_000, 1), CanisterInstallMode::Upgrade(None), b""));
    world
        .install(GROWER, CanisterInstallMode::Upgrade(None), b"")
        .unwrap();
    world
        .install("(module)", CanisterInstallMode::Reinstall, b"")
        .unwrap();
    assert!(held(world.canister()) < PAGE);
}

#[test]
fn each_batch_is_replayed_under_the_quota_that_it_was_accepted_under() {
    let mut world = ten_pages_each();
    assert_eq!(grown(&mut world, id(), "stable", 11), -1);
    world.canister_limit += PAGE;
    assert_eq!(grown(&mut world, id(), "stable", 11), 0);
    world.canister_limit = 1;
    assert_eq!(grown(&mut world, second(), "stable", 1), -1);
    world.assert_replayed();
}

#[test]
fn a_replay_under_another_quota_is_another_state() {
    let mut world = ten_pages_each();
    assert_eq!(grown(&mut world, id(), "stable", 10), 0);
    let mut replayed = Machine::new(executor(Limits::default()), State::default());
    for batch in &world.batches {
        replayed.apply(&Batch {
            canister_limit: batch.canister_limit.min(held(world.canister()) - 1),
            ..batch.clone()
        });
    }
    assert_ne!(replayed.state().root(), world.machine.state().root());
}
