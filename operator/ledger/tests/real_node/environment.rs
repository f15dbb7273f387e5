//! Environments on the real canister.

use dcanary_ledger::{Ledger as _, Outbox, Outcome, Record};
use dcanary_types::{
    block::Block,
    environment::{EnvRecord, EnvTransition},
    record::Body,
};

use crate::support::{Desk, World, key_of, memory, outbox, whole_run};

fn records(uid: &str, transitions: &[EnvTransition]) -> Vec<Record> {
    let record = |(n, transition): (u64, &EnvTransition)| {
        let record = EnvRecord {
            run: uid.to_owned(),
            n,
            claimed_ts: 1_000 + n,
            transition: transition.clone(),
        };
        Record::from(&record)
    };
    (0..).zip(transitions).map(record).collect()
}

fn opened(from: Option<&str>) -> EnvTransition {
    EnvTransition::Opened {
        name: "shop/env".to_owned(),
        from: from.map(str::to_owned),
        approvals: 0,
        rules: [1; 32],
    }
}

fn canary() -> [EnvTransition; 3] {
    let promotion = || "p".to_owned();
    [
        EnvTransition::DeployRequested {
            promotion: promotion(),
            release: [2; 32],
            identity: [3; 32],
            by: "ann".to_owned(),
            undo: false,
        },
        EnvTransition::DeployStarted {
            promotion: promotion(),
        },
        EnvTransition::Promoted {
            promotion: promotion(),
            identity: [3; 32],
            evidence: None,
        },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_are_recorded_beside_runs_and_an_illegal_promotion_is_refused() {
    let world = World::new().await;
    let mut desk = Desk::new(world.client(memory()));
    let (staging, prod) = (
        records("staging", &[&[opened(None)][..], &canary()].concat()),
        records("prod", &[&[opened(Some("staging"))][..], &canary()].concat()),
    );
    let offer = |uid: &str, records: &[Record]| Outbox {
        key: key_of(uid),
        records: records.to_vec(),
        graph: None,
    };
    desk.recorder.submit(offer("prod", &prod[..1]));
    desk.until("prod", 0, &mut Vec::new()).await;
    desk.recorder.submit(offer("prod", &prod[1..2]));
    let Outcome::Refused { n: 1, reason, .. } = desk.next().await else {
        panic!("refused")
    };
    assert!(
        reason.contains("staging") && reason.contains("is not open"),
        "{reason}"
    );

    desk.recorder.submit(outbox("run-1", whole_run("run-1")));
    desk.until("run-1", 3, &mut Vec::new()).await;
    desk.recorder.submit(offer("staging", &staging));
    let blocks = desk.until("staging", 3, &mut Vec::new()).await;
    let client = world.client(memory());
    let position = client.position(&key_of("staging")).await.unwrap();
    assert_eq!(position.next, 4);
    assert_eq!(position.last.map(|(index, _)| index), blocks.last().copied());
    assert_eq!(client.run_graph(&key_of("staging")).await.unwrap(), None);

    // Another recorder, so that the refused record is offered once more.
    let mut again = Desk::new(world.client(memory()));
    again.recorder.submit(offer("prod", &prod));
    let blocks = again.until("prod", 3, &mut Vec::new()).await;
    let head = client.head().await.unwrap();
    for (index, record) in blocks.into_iter().zip(&prod) {
        let block: Block = client.proven_block(index, &head).await.unwrap();
        assert_eq!(Some(block.content_hash()), record.content_hash());
        assert!(matches!(Body::of(&block), Ok(Body::Environment(_))));
    }
}
