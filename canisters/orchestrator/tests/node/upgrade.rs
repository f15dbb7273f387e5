use candid::encode_args;
use dcanary_types::{api::InitArg, icrc3::DataCertificate};
use ic_agent::AgentError;

use crate::{
    ledger::*,
    story::{opened, retried, segment, started, story, succeeded},
};

/// Every answer of every query that does not change by itself.
async fn answers(ledger: &Ledger) -> Vec<Vec<u8>> {
    let agent = ledger.agent(STRANGER);
    let run = |run: &str| encode_args(("shop", "east", run)).unwrap();
    let size = ledger.stats().await.blocks;
    let mut questions = vec![
        ("policy", encode_args(()).unwrap()),
        ("limits", encode_args(()).unwrap()),
        ("protocol", encode_args(()).unwrap()),
        ("icrc3_supported_block_types", encode_args(()).unwrap()),
        ("blocks", encode_args((0_u64, u64::MAX)).unwrap()),
        ("inclusion", encode_args((1_u64, size)).unwrap()),
        ("consistency", encode_args((1_u64, size)).unwrap()),
    ];
    for name in ["open", "ended", "never"] {
        questions.push(("run_position", run(name)));
        questions.push(("run_graph", run(name)));
        questions.push((
            "run_blocks",
            encode_args(("shop", "east", name, 0_u64, 100_u64)).unwrap(),
        ));
    }
    let mut answers = Vec::new();
    for (method, arg) in questions {
        answers.push(
            agent
                .query(&ledger.id, method)
                .with_arg(arg)
                .call()
                .await
                .unwrap(),
        );
    }
    let tip: Option<DataCertificate> = ledger.ask("icrc3_get_tip_certificate", ()).await;
    answers.push(tip.unwrap().hash_tree.into_vec());
    answers
}

#[tokio::test]
async fn an_upgrade_keeps_everything_and_runs_go_on() {
    let ledger = Ledger::start().await;
    let begun = [opened(), started("build", 1), retried("build", 1)];
    ledger.append(segment("open", 0, &begun)).await.unwrap();
    ledger.append(segment("ended", 0, &story())).await.unwrap();
    let mut other = segment("ended", 0, &story()[..1]);
    other.records[0].claimed_ts += 1;
    ledger.append(other.clone()).await.unwrap_err();
    let before = answers(&ledger).await;

    ledger.upgrade(&InitArg::Upgrade).await.unwrap();
    assert_eq!(answers(&ledger).await, before);
    ledger.head().await;
    assert!(ledger.stats().await.upgrade_instructions > 0);

    let size = ledger.stats().await.blocks;
    ledger.append(other).await.unwrap_err();
    ledger.append(segment("ended", 0, &story())).await.unwrap();
    assert_eq!(
        ledger.stats().await.blocks,
        size,
        "receipts and conflicts are remembered"
    );
    let more = [started("build", 2), succeeded("build", 2)];
    assert_eq!(
        ledger.append(segment("open", 3, &more)).await.unwrap(),
        [size, size + 1]
    );
}

#[tokio::test]
async fn a_ledger_cannot_be_begun_a_second_time() {
    let ledger = Ledger::start().await;
    let refused = ledger
        .upgrade(&InitArg::Init {
            owner: candid::Principal::management_canister(),
        })
        .await;
    assert!(matches!(refused, Err(AgentError::CertifiedReject { .. })));
    ledger.append(segment("r1", 0, &story())).await.unwrap();
}
