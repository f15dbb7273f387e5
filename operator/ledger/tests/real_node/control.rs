//! A ledger of others whose code the operator's key could replace: nothing is written until that is over.

use std::time::Duration;

use dcanary_ledger::{Appended, IcLedger, IcLedgerConfig, Recorder, RecorderOptions};
use ic_agent::Identity;

use super::{identity::hand_over, *};

/// The operator's client, as it is on a network of others.
fn operator(world: &World, every: Duration) -> IcLedger {
    let config = IcLedgerConfig::new(
        world.url(),
        world.root_key.clone(),
        FIRST_CANISTER,
        world.owner.clone(),
        memory(),
    );
    IcLedger::connect(IcLedgerConfig {
        disown_every: Some(every),
        ..config.of_others()
    })
    .unwrap()
}

async fn append(client: &IcLedger, run: &str) -> Result<Appended, LedgerError> {
    let segment = Segment {
        key: key_of(run),
        graph: Some(graph().encode()),
        records: long_run(run, 3),
    };
    client.append(&[segment]).await
}

async fn size(world: &World) -> u64 {
    world.client(memory()).head().await.unwrap().size
}

fn sender(identity: &Arc<dyn Identity>) -> Principal {
    identity.sender().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_whose_key_controls_the_ledger_of_others_writes_nothing_and_is_told_what_to_do() {
    let world = World::new().await;
    let (person, ours) = (support::identity(), sender(&world.owner));
    hand_over(&world, &world.owner, vec![sender(&person), ours]).await;
    let before = size(&world).await;
    let client = operator(&world, Duration::from_secs(60));
    for refused in [
        client.ready().await.map(drop),
        append(&client, "run-1").await.map(drop),
    ] {
        let error = refused.unwrap_err();
        assert_eq!(error.reason(), "OperatorIsController", "{error}");
        let command = format!("icp canister settings update {FIRST_CANISTER} --remove-controller {ours}");
        assert!(error.to_string().contains(&command), "{error}");
    }
    assert_eq!(size(&world).await, before, "nothing was recorded");

    // The negative twin: the same key, the same records, no controller.
    hand_over(&world, &person, vec![sender(&person)]).await;
    client.ready().await.unwrap();
    append(&client, "run-1").await.unwrap();
    assert_eq!(size(&world).await, before + 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_the_operators_own_network_it_may_be_the_controller() {
    let world = World::new().await;
    append(&world.client(memory()), "run-1").await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_made_a_controller_later_is_noticed_before_the_next_record() {
    let world = World::new().await;
    let (person, ours) = (support::identity(), sender(&world.owner));
    hand_over(&world, &world.owner, vec![sender(&person)]).await;
    let client = operator(&world, Duration::ZERO);
    append(&client, "run-1").await.unwrap();
    hand_over(&world, &person, vec![sender(&person), ours]).await;
    let error = append(&client, "run-2").await.unwrap_err();
    assert_eq!(error.reason(), "OperatorIsController", "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recorder_with_nothing_to_do_notices_it_and_goes_on_when_it_is_over() {
    let world = World::new().await;
    let (person, ours) = (support::identity(), sender(&world.owner));
    hand_over(&world, &world.owner, vec![sender(&person)]).await;
    let options = RecorderOptions {
        look_every: Duration::from_millis(100),
        ..support::quick()
    };
    let client = Arc::new(operator(&world, Duration::from_secs(3_600)));
    let (recorder, outcomes) = Recorder::start(client, options);
    let mut desk = Desk { recorder, outcomes };
    let mut reachability = desk.recorder.reachability();
    let mut until = async |wanted: fn(&Reachability) -> bool| {
        let state = reachability.wait_for(wanted);
        tokio::time::timeout(Duration::from_secs(60), state)
            .await
            .expect("in time")
            .unwrap()
            .clone()
    };
    until(|state| *state == Reachability::Reachable).await;
    hand_over(&world, &person, vec![sender(&person), ours]).await;
    let away = |state: &Reachability| matches!(state, Reachability::Away { reason, .. } if *reason == "OperatorIsController");
    until(away).await;
    let before = size(&world).await;
    desk.recorder.submit(outbox("run-1", whole_run("run-1")));
    let Outcome::Waiting { reason, .. } = desk.next().await else {
        panic!("it waits")
    };
    assert_eq!(reason, "OperatorIsController");
    assert_eq!(size(&world).await, before);

    hand_over(&world, &person, vec![sender(&person)]).await;
    assert_eq!(desk.until("run-1", 3, &mut Vec::new()).await.len(), 4);
}
