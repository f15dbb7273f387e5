//! Queries and the node's signature on their answers.

use crate::cases::prelude::*;
use crate::client::network::Response;
use crate::client::request::{bytes as blob, hash};
use ciborium::Value;
use ed25519_dalek::{Signature, VerifyingKey};

const QUERY: &str = "Request: Query call";

pub const CASES: &[Case] = &[
    case!(
        QUERY,
        a_query_is_signed_by_a_node_of_the_subnet,
        WrongQuerySignature
    ),
    case!(QUERY, a_rejected_query_is_signed_too, WrongQuerySignature),
    case!(
        QUERY,
        version_2_of_queries_answers_like_version_3,
        WrongQuerySignature
    ),
    case!(QUERY, an_update_method_cannot_be_queried, AnyMethodAnyWay),
    case!(
        QUERY,
        a_query_discards_everything_that_it_changes,
        CompositeKeepsState
    ),
    case!(
        QUERY,
        queries_run_at_the_same_time_without_seeing_each_other,
        CompositeKeepsState
    ),
    case!(
        QUERY,
        a_query_of_an_empty_or_stopped_canister_is_rejected,
        StoppedTakesCalls
    ),
];

/// Changes something of every kind, and tells what it is then.
fn change() -> [Code; 5] {
    [
        count("n"),
        set_cell(1, plus(cell(1), int(1))),
        set_stable(0, int(9)),
        drop_it(grow_heap(1)),
        answer_numbers([get("n"), cell(1), stable(0)]),
    ]
}

fn queried() -> Module {
    Module::new()
        .query("yes", [answer(bytes("fine"))])
        .query("no", [reject("not now")])
        .query("change", change())
        .update("keep", change())
        .query(
            "left",
            [answer_numbers([get("n"), cell(1), sys("stable64_size")])],
        )
        .update("write", [answer(arg())])
}

/// Verifies the signatures of an answer with the keys in the state tree.
async fn verify(user: &User, canister: Principal, id: [u8; 32], response: &Response) -> Verdict {
    let value = response.cbor()?;
    let certificate = user.read(canister, &[path(&[b"subnet"])]).await?;
    certificate.verify(user.net.root_key())?;
    let subnet = match &certificate.delegation {
        Some((subnet, _)) => *subnet,
        None => Principal::self_authenticating(user.net.root_key()),
    };
    let signatures = entry(&value, "signatures").and_then(Value::as_array);
    let Some([signature]) = signatures.map(Vec::as_slice) else {
        return Err(Failure::new(format!("expected one signature, seen {value:?}")));
    };
    let field = |name: &str| entry(signature, name).cloned().unwrap_or(Value::Null);
    let node = field("identity").into_bytes().unwrap_or_default();
    let der = certificate.value(&[b"subnet", subnet.as_slice(), b"node", &node, b"public_key"])?;
    equal("the length of the node's key", der.len(), 44)?;
    let raw: [u8; 32] = der.get(12..).unwrap_or_default().try_into()?;
    let parts = ["status", "reply", "reject_code", "reject_message", "error_code"];
    let signed = parts
        .into_iter()
        .filter_map(|name| Some((name, entry(&value, name)?.clone())))
        .chain([("timestamp", field("timestamp")), ("request_id", blob(id))]);
    let message = [b"\x0Bic-response".as_slice(), &hash(&map(signed))].concat();
    let bytes = field("signature").into_bytes().unwrap_or_default();
    VerifyingKey::from_bytes(&raw)?.verify_strict(&message, &Signature::from_slice(&bytes)?)?;
    let time = field("timestamp")
        .into_integer()
        .map_err(|_| Failure::new("the signature has no timestamp"))?;
    let age = now().abs_diff(u64::try_from(time)?);
    check(age < 5 * MINUTE, "that the signature is fresh")
}

/// Verifies the signatures, which must not be those of another request.
async fn verify_this_only(user: &User, canister: Principal, id: [u8; 32], response: &Response) -> Verdict {
    verify(user, canister, id, response).await?;
    let other = verify(user, canister, [0; 32], response).await;
    check(other.is_err(), "that the signature is for this request")
}

async fn signed_answer(
    net: &Network,
    method: &str,
) -> Result<(User, Principal, [u8; 32], Response), Failure> {
    let user = net.user();
    let canister = user.deploy(&queried()).await?;
    let signed = Request::query(canister, method, b"").sign(&user.key);
    let response = user.post_query(canister, &signed).await?;
    Ok((user, canister, signed.id, response))
}

async fn a_query_is_signed_by_a_node_of_the_subnet(net: Network) -> Verdict {
    let (user, canister, id, response) = signed_answer(&net, "yes").await?;
    equal(
        "the reply",
        query_answer(&response.cbor()?)?.reply()?,
        b"fine".to_vec(),
    )?;
    verify_this_only(&user, canister, id, &response).await
}

async fn a_rejected_query_is_signed_too(net: Network) -> Verdict {
    let (user, canister, id, response) = signed_answer(&net, "no").await?;
    let reject = query_answer(&response.cbor()?)?.rejected(CANISTER_REJECT)?;
    equal("the message", reject.message.as_str(), "not now")?;
    verify_this_only(&user, canister, id, &response).await
}

async fn version_2_of_queries_answers_like_version_3(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&queried()).await?;
    let signed = Request::query(canister, "yes", b"").sign(&user.key);
    let url = format!("/api/v2/canister/{canister}/query");
    let response = net.post(&url, signed.body()).await?;
    equal(
        "the reply",
        query_answer(&response.cbor()?)?.reply()?,
        b"fine".to_vec(),
    )?;
    verify_this_only(&user, canister, signed.id, &response).await?;
    // It refuses what version 3 refuses.
    let late = Request::query(canister, "yes", b"")
        .with("ingress_expiry", nat(now() - MINUTE))
        .sign(&user.key);
    net.post(&url, late.body()).await?.refused()?;
    user.post_query(canister, &late).await?.refused().map(drop)
}

async fn an_update_method_cannot_be_queried(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&queried()).await?;
    user.query(canister, "write", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "missing", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "yes", b"").await?.reply()?;
    user.update(canister, "write", b"").await?.reply().map(drop)
}

async fn a_query_discards_everything_that_it_changes(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&queried()).await?;
    for _ in 0..3 {
        let seen = user.query(canister, "change", b"").await?.numbers()?;
        equal("what the query sees of its own", seen, vec![1, 1, 9])?;
    }
    let left = user.query(canister, "left", b"").await?.numbers()?;
    equal("what is left", left, vec![0, 0, 0])?;
    let seen = user.update(canister, "keep", b"").await?.numbers()?;
    equal("what an update sees of its own", seen, vec![1, 1, 9])?;
    let left = user.query(canister, "left", b"").await?.numbers()?;
    equal("what is left of an update", left, vec![1, 1, 1])
}

async fn queries_run_at_the_same_time_without_seeing_each_other(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&queried()).await?;
    let all = futures::future::try_join_all((0..20).map(|_| user.query(canister, "change", b""))).await?;
    for answer in all {
        equal("what a query sees", answer.numbers()?, vec![1, 1, 9])?;
    }
    // Updates see each other, in whatever order they run.
    let all = futures::future::try_join_all((0..4).map(|_| user.update(canister, "keep", b""))).await?;
    let mut seen = Vec::new();
    for answer in all {
        seen.push(answer.numbers()?);
    }
    seen.sort();
    let expected: Vec<_> = (1..=4).map(|number| vec![number, number, 9]).collect();
    equal("what the updates see", seen, expected)
}

async fn a_query_of_an_empty_or_stopped_canister_is_rejected(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    user.query(canister, "yes", b"").await?.rejected(CANISTER_ERROR)?;
    user.put(canister, &queried()).await?;
    user.query(canister, "yes", b"").await?.reply()?;
    user.stop(canister).await?;
    user.query(canister, "yes", b"")
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}
