//! Bodies that are no requests.

use crate::cases::prelude::*;
use crate::client::request::{bytes as blob, encode};
use ciborium::Value;

const CBOR: &str = "CBOR encoding of requests and responses";

pub const CASES: &[Case] = &[
    case!(CBOR, a_body_that_is_not_cbor_is_refused_and_others_are_served),
    case!(CBOR, a_field_of_a_wrong_type_is_refused, LaxCbor),
    case!(CBOR, a_field_given_twice_is_refused, LaxCbor),
    case!(CBOR, a_number_written_as_a_float_is_refused, LaxCbor),
    case!(
        CBOR,
        answers_carry_the_self_describing_tag,
        UntaggedAnswers;
        twin an_asynchronous_call_is_accepted_with_an_empty_body_and_answered_later
    ),
];

async fn a_body_that_is_not_cbor_is_refused_and_others_are_served(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let good = Request::call(canister, "inc", b"").sign(&user.key).body();
    let half = good.get(..good.len() / 2).unwrap_or_default().to_vec();
    let bodies = [
        vec![],
        b"hello".to_vec(),
        vec![0xff; 64],
        vec![0x81; 50_000],
        half,
    ];
    for body in bodies {
        for endpoint in ["call", "query", "read_state"] {
            let url = format!("/api/v3/canister/{canister}/{endpoint}");
            net.post(&url, body.clone()).await?.refused()?;
        }
    }
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 1)
}

async fn a_field_of_a_wrong_type_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let wrong = [
        ("canister_id", text("aaaaa-aa")),
        ("method_name", nat(3)),
        ("arg", text("arg")),
        ("ingress_expiry", text("tomorrow")),
        ("nonce", nat(3)),
        ("sender", nat(3)),
        ("sender", blob([0_u8; 30])),
    ];
    for (field, value) in wrong {
        let signed = Request::call(canister, "inc", b"")
            .with(field, value)
            .sign(&user.key);
        let response = user.post_call("v4", canister, &signed).await?;
        response
            .refused()
            .map_err(|failure| Failure::new(format!("`{field}`: {failure}")))?;
    }
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    equal(
        "of the right types",
        user.update(canister, "inc", b"").await?.number()?,
        1,
    )
}

async fn a_field_given_twice_is_refused(net: Network) -> Verdict {
    let user = net.anonymous();
    let canister = net.user().deploy(&counter()).await?;
    let signed = Request::call(canister, "inc", b"").sign(&user.key);
    let content = signed
        .field("content")
        .and_then(|content| content.as_map().cloned());
    let mut content = content.unwrap_or_default();
    content.push((text("method_name"), text("inc")));
    let body = encode(&map([("content", Value::Map(content))]));
    let url = format!("/api/v4/canister/{canister}/call");
    net.post(&url, body).await?.refused()?;
    net.post(&url, signed.body()).await?.accepted().map(drop)
}

async fn a_number_written_as_a_float_is_refused(net: Network) -> Verdict {
    let canister = net.user().deploy(&counter()).await?;
    let expiry = now() + MINUTE;
    #[allow(clippy::cast_precision_loss)] // What is lost does not matter.
    let float = Value::Float(expiry as f64);
    let until = |expiry| {
        Request::call(canister, "inc", b"")
            .with("ingress_expiry", expiry)
            .sign(&Key::Anonymous)
    };
    let user = net.anonymous();
    user.post_call("v4", canister, &until(float)).await?.refused()?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    let integer = user.send(canister, &until(nat(expiry))).await?;
    equal("as an integer", integer.number()?, 1)
}

async fn answers_carry_the_self_describing_tag(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let call = user
        .post_call(
            "v4",
            canister,
            &Request::call(canister, "inc", b"").sign(&user.key),
        )
        .await?;
    let query = user
        .post_query(canister, &Request::query(canister, "get", b"").sign(&user.key))
        .await?;
    let read = user.post_read(canister, &[path(&[b"time"])]).await?;
    for response in [call, query, read, net.get("/api/v2/status").await?] {
        check(
            response.body.starts_with(&[0xd9, 0xd9, 0xf7]),
            "that the body begins with tag 55799",
        )?;
    }
    Ok(())
}
