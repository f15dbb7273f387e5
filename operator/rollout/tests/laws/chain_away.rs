//! Ways back while the chain is away: people do not wait for it, and it takes all records afterwards.

use dcanary_crds::{Doing, Ledger, LedgerMode, Verb};
use serde_json::{Value, json};

use crate::{
    build::{canary, environment},
    world::World,
};

/// `good1` and then `good2` are promoted; then the chain is away.
fn away(more: Value) -> World {
    let mut world = World::new(environment(canary(json!([{"weight": 50}])), more));
    for release in ["good1", "good2"] {
        let name = world.promote(release);
        world.run(5);
        world.decide(&name, Verb::Approve, "bob");
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some(release));
    }
    world.chain_away = true;
    world
}

/// All is recorded: the model of the chain refuses what is not legal.
fn recorded(world: &mut World) {
    world.chain_away = false;
    world.run(10);
    let journal = world.status().journal.unwrap();
    assert!(journal.pending.is_empty() && journal.sealed.is_empty());
    assert_eq!(i64::try_from(world.chain.len()), Ok(journal.next));
}

#[test]
fn an_undo_and_an_abort_after_the_end_do_not_wait_for_the_chain_which_takes_their_records_afterwards() {
    let approval = json!({"approval": {"required": 1, "users": ["bob"]}});
    let from = json!({"promotesFrom": {"name": "staging"}});
    for (abort, more) in [(false, approval.clone()), (true, approval), (false, json!({}))] {
        let mut world = away(more);
        if abort {
            let name = world.promotions.last().unwrap().metadata.name.clone().unwrap();
            world.decide(&name, Verb::Abort, "ann");
        } else {
            world.decide_environment(Verb::Undo, None);
        }
        world.run(60);
        assert_eq!(world.stable().as_deref(), Some("good1"));
        recorded(&mut world);
    }
    let mut world = away(json!({}));
    world.env.spec.promotes_from = serde_json::from_value(from["promotesFrom"].clone()).unwrap();
    world.decide_environment(Verb::Undo, None);
    world.run(60);
    assert_eq!(
        world.stable().as_deref(),
        Some("good1"),
        "the source is away, too"
    );
    recorded(&mut world);
}

#[test]
fn an_undo_waits_for_no_room_in_an_outbox_that_is_full() {
    let mut world = away(json!({}));
    for n in 0..60 {
        world.decide_environment(Verb::Hold, Some(format!("sha256:{n:064x}")));
    }
    world.decide_environment(Verb::Undo, None);
    world.run(25);
    assert_eq!(world.stable().as_deref(), Some("good1"));
    recorded(&mut world);
}

#[test]
fn a_promotion_that_calls_itself_a_way_back_waits_for_the_chain() {
    let mut world = away(json!({}));
    world.ask("good1", true);
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"));
    assert_eq!(world.doing(), Some(Doing::Waiting));
}

#[test]
fn what_is_recorded_no_more_waits_for_no_chain() {
    let mut world = away(json!({}));
    world.promote("good3");
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good2"), "it waits");
    world.env.spec.ledger = Some(Ledger {
        mode: LedgerMode::Off,
    });
    world.run(60);
    assert_eq!(world.stable().as_deref(), Some("good3"));
}
