//! Each request is executed at most once.

use crate::cases::prelude::*;
use futures::future::try_join_all;

const OVERVIEW: &str = "Overview of canister calling";

pub const CASES: &[Case] = &[
    case!(
        OVERVIEW,
        a_request_that_is_sent_again_is_executed_once_and_answered_again,
        ExecuteRepeated;
        twin requests_that_differ_in_their_nonce_are_two_requests
    ),
    case!(
        OVERVIEW,
        a_request_that_is_sent_many_times_at_once_is_executed_once,
        ExecuteRepeated
    ),
    case!(
        OVERVIEW,
        a_request_that_is_sent_through_all_endpoints_is_executed_once,
        ExecuteRepeated;
        twin requests_that_differ_in_their_nonce_are_two_requests
    ),
    case!(
        "Request ids",
        requests_that_differ_in_their_nonce_are_two_requests,
        ExecuteRepeated
    ),
    case!(
        "Request ids",
        the_same_content_signed_again_is_the_same_request,
        ExecuteRepeated;
        twin requests_that_differ_in_their_nonce_are_two_requests
    ),
];

async fn counting(net: &Network) -> Result<(User, Principal, Signed), Failure> {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let signed = Request::call(canister, "inc", b"").sign(&user.key);
    Ok((user, canister, signed))
}

async fn counted(user: &User, canister: Principal) -> Result<u64, Failure> {
    user.query(canister, "get", b"").await?.number()
}

async fn a_request_that_is_sent_again_is_executed_once_and_answered_again(net: Network) -> Verdict {
    let (user, canister, signed) = counting(&net).await?;
    for _ in 0..3 {
        equal("the reply", user.send(canister, &signed).await?.number()?, 1)?;
    }
    equal("the count", counted(&user, canister).await?, 1)
}

async fn a_request_that_is_sent_many_times_at_once_is_executed_once(net: Network) -> Verdict {
    let (user, canister, signed) = counting(&net).await?;
    let sent = try_join_all((0..16).map(|_| user.send(canister, &signed))).await?;
    for answer in sent {
        equal("a reply", answer.number()?, 1)?;
    }
    equal("the count", counted(&user, canister).await?, 1)?;
    // Sixteen requests at once are executed each.
    try_join_all((0..16).map(|_| user.update(canister, "inc", b""))).await?;
    equal("the count", counted(&user, canister).await?, 17)
}

async fn a_request_that_is_sent_through_all_endpoints_is_executed_once(net: Network) -> Verdict {
    let (user, canister, signed) = counting(&net).await?;
    for version in ["v2", "v3", "v4", "v2"] {
        user.post_call(version, canister, &signed).await?.accepted()?;
    }
    equal("the reply", user.wait(canister, &signed.id).await?.number()?, 1)?;
    equal("the count", counted(&user, canister).await?, 1)
}

async fn requests_that_differ_in_their_nonce_are_two_requests(net: Network) -> Verdict {
    let (user, canister, _) = counting(&net).await?;
    let expiry = nat(now() + 2 * MINUTE);
    for (nonce, expected) in [("one", 1), ("two", 2), ("one", 1)] {
        let signed = Request::call(canister, "inc", b"")
            .with("ingress_expiry", expiry.clone())
            .with("nonce", ciborium::Value::Bytes(nonce.into()))
            .sign(&user.key);
        equal(
            "the reply",
            user.send(canister, &signed).await?.number()?,
            expected,
        )?;
    }
    equal("the count", counted(&user, canister).await?, 2)
}

async fn the_same_content_signed_again_is_the_same_request(net: Network) -> Verdict {
    let user = net.user_with(Key::secp256k1());
    let canister = user.deploy(&counter()).await?;
    let request = Request::call(canister, "inc", b"");
    let session = Key::ed25519();
    let link = Delegation::new(&user.key, &session, vec![]);
    let ways = [
        request.clone().sign(&user.key),
        request.sign_delegated(&user.key, &[link], &session),
    ];
    for signed in ways {
        equal("the reply", user.send(canister, &signed).await?.number()?, 1)?;
    }
    equal("the count", counted(&user, canister).await?, 1)
}
