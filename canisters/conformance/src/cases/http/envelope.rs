//! The fields of requests, and how long requests are valid.

use crate::cases::prelude::*;
use crate::client::request::bytes as blob;

const AUTHENTICATION: &str = "Authentication";

pub const CASES: &[Case] = &[
    case!(
        "Status endpoint",
        the_status_shows_the_key_under_which_certificates_verify,
        WrongPrune
    ),
    case!(
        AUTHENTICATION,
        a_call_whose_expiry_is_past_is_refused_and_not_executed,
        AcceptExpired
    ),
    case!(
        AUTHENTICATION,
        a_call_that_would_be_valid_for_very_long_is_refused,
        AcceptDistantExpiry
    ),
    case!(
        AUTHENTICATION,
        a_signed_query_whose_expiry_is_past_is_refused,
        AcceptExpired
    ),
    case!(
        AUTHENTICATION,
        a_signed_read_whose_expiry_is_past_is_refused,
        AcceptExpired
    ),
    case!(
        AUTHENTICATION,
        a_request_without_one_of_its_fields_is_refused,
        LaxCbor
    ),
    case!(AUTHENTICATION, a_nonce_has_at_most_32_bytes, UnlimitedNonce),
    case!(AUTHENTICATION, the_anonymous_user_signs_nothing, ProofOptional),
    case!(
        AUTHENTICATION,
        somebody_without_key_or_signature_is_refused,
        ProofOptional
    ),
    case!("Request: Call", each_endpoint_takes_its_own_type_of_request),
];

async fn the_status_shows_the_key_under_which_certificates_verify(net: Network) -> Verdict {
    equal("the length of the root key in DER", net.root_key().len(), 133)?;
    let certificate = net.anonymous().read(net.anywhere(), &[path(&[b"time"])]).await?;
    certificate.verify(net.root_key())?;
    let mut other = net.root_key().to_vec();
    other.reverse();
    check(
        certificate.verify(&other).is_err(),
        "that certificates do not verify under another key",
    )
}

/// A user and a counter.
async fn counting(net: &Network) -> Result<(User, Principal), Failure> {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    Ok((user, canister))
}

async fn untouched(user: &User, canister: Principal) -> Verdict {
    let seen = user.query(canister, "get", b"").await?.number()?;
    equal("how often the method was executed", seen, 0)
}

async fn a_call_whose_expiry_is_past_is_refused_and_not_executed(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    for (sender, version) in [
        (&user, "v4"),
        (&user, "v3"),
        (&user, "v2"),
        (&net.anonymous(), "v4"),
    ] {
        let signed = Request::call(canister, "inc", b"")
            .with("ingress_expiry", nat(now() - MINUTE))
            .sign(&sender.key);
        user.post_call(version, canister, &signed).await?.refused()?;
    }
    untouched(&user, canister).await?;
    equal(
        "a valid call",
        user.update(canister, "inc", b"").await?.number()?,
        1,
    )
}

async fn a_call_that_would_be_valid_for_very_long_is_refused(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    let signed = Request::call(canister, "inc", b"")
        .with("ingress_expiry", nat(now() + 60 * MINUTE))
        .sign(&user.key);
    user.post_call("v4", canister, &signed).await?.refused()?;
    untouched(&user, canister).await?;
    let near = Request::call(canister, "inc", b"")
        .with("ingress_expiry", nat(now() + 4 * MINUTE))
        .sign(&user.key);
    equal(
        "a call for four minutes",
        user.send(canister, &near).await?.number()?,
        1,
    )
}

async fn a_signed_query_whose_expiry_is_past_is_refused(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    let query = Request::query(canister, "get", b"");
    let late = query
        .clone()
        .with("ingress_expiry", nat(now() - MINUTE))
        .sign(&user.key);
    user.post_query(canister, &late).await?.refused()?;
    user.post_query(canister, &query.sign(&user.key))
        .await?
        .accepted()
        .map(drop)
}

async fn a_signed_read_whose_expiry_is_past_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let url = format!("/api/v3/canister/{}/read_state", net.anywhere());
    let read = Request::read_state(&[path(&[b"time"])]);
    let late = read
        .clone()
        .with("ingress_expiry", nat(now() - MINUTE))
        .sign(&user.key);
    net.post(&url, late.body()).await?.refused()?;
    net.post(&url, read.sign(&user.key).body())
        .await?
        .accepted()
        .map(drop)
}

async fn a_request_without_one_of_its_fields_is_refused(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    for field in [
        "request_type",
        "canister_id",
        "method_name",
        "arg",
        "ingress_expiry",
    ] {
        let signed = Request::call(canister, "inc", b"").without(field).sign(&user.key);
        let response = user.post_call("v4", canister, &signed).await?;
        response
            .refused()
            .map_err(|failure| Failure::new(format!("without `{field}`: {failure}")))?;
    }
    let unsent = Request::call(canister, "inc", b"").sign(&user.key);
    let content = unsent
        .field("content")
        .and_then(|content| content.as_map().cloned());
    let without_sender: Vec<_> = content
        .unwrap_or_default()
        .into_iter()
        .filter(|(key, _)| key.as_text() != Some("sender"))
        .collect();
    let signed = unsent.with("content", ciborium::Value::Map(without_sender));
    user.post_call("v4", canister, &signed).await?.refused()?;
    untouched(&user, canister).await?;
    // The nonce is the only field that need not be there.
    let signed = Request::call(canister, "inc", b"")
        .without("nonce")
        .sign(&user.key);
    equal(
        "without a nonce",
        user.send(canister, &signed).await?.number()?,
        1,
    )
}

async fn a_nonce_has_at_most_32_bytes(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    let with = |length: usize| {
        Request::call(canister, "inc", b"")
            .with("nonce", blob(vec![7; length]))
            .sign(&user.key)
    };
    user.post_call("v4", canister, &with(33)).await?.refused()?;
    untouched(&user, canister).await?;
    equal(
        "with 32 bytes",
        user.send(canister, &with(32)).await?.number()?,
        1,
    )
}

async fn the_anonymous_user_signs_nothing(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    let call = Request::call(canister, "inc", b"");
    let signed = call.clone().sign_as(Principal::anonymous(), &user.key);
    user.post_call("v4", canister, &signed).await?.refused()?;
    let key_only = call
        .clone()
        .sign(&Key::Anonymous)
        .with("sender_pubkey", blob(user.key.der()));
    user.post_call("v4", canister, &key_only).await?.refused()?;
    untouched(&user, canister).await?;
    let plain = call.sign(&Key::Anonymous);
    equal(
        "unsigned",
        net.anonymous().send(canister, &plain).await?.number()?,
        1,
    )
}

async fn somebody_without_key_or_signature_is_refused(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    let signed = Request::call(canister, "inc", b"").sign(&user.key);
    for field in ["sender_sig", "sender_pubkey"] {
        let incomplete = signed.clone().without(field);
        user.post_call("v4", canister, &incomplete).await?.refused()?;
    }
    let bare = signed.clone().without("sender_sig").without("sender_pubkey");
    user.post_call("v4", canister, &bare).await?.refused()?;
    untouched(&user, canister).await?;
    equal("complete", user.send(canister, &signed).await?.number()?, 1)
}

async fn each_endpoint_takes_its_own_type_of_request(net: Network) -> Verdict {
    let (user, canister) = counting(&net).await?;
    let requests = [
        ("call", Request::call(canister, "inc", b"")),
        ("query", Request::query(canister, "get", b"")),
        ("read_state", Request::read_state(&[path(&[b"time"])])),
    ];
    for (endpoint, version) in [("call", "v4"), ("query", "v3"), ("read_state", "v3")] {
        for (kind, request) in &requests {
            let url = format!("/api/{version}/canister/{canister}/{endpoint}");
            let response = net.post(&url, request.clone().sign(&user.key).body()).await?;
            let verdict = if *kind == endpoint {
                response.accepted().map(drop)
            } else {
                response.refused().map(drop)
            };
            verdict.map_err(|failure| Failure::new(format!("{kind} at {endpoint}: {failure}")))?;
        }
    }
    Ok(())
}
