//! Who signed.

use crate::cases::prelude::*;
use crate::client::request::bytes as blob;

const SIGNATURES: &str = "Signatures";
const AUTHENTICATION: &str = "Authentication";

pub const CASES: &[Case] = &[
    case!(
        SIGNATURES,
        an_ed25519_signature_is_accepted_and_a_changed_one_refused,
        AcceptForgedSignature
    ),
    case!(
        SIGNATURES,
        a_secp256k1_signature_is_accepted_and_a_changed_one_refused,
        AcceptForgedSignature
    ),
    case!(
        SIGNATURES,
        a_p256_signature_is_accepted_and_a_changed_one_refused,
        AcceptForgedSignature
    ),
    case!(
        SIGNATURES,
        a_signature_without_the_domain_separator_is_refused,
        AcceptForgedSignature
    ),
    case!(
        AUTHENTICATION,
        the_signature_of_another_request_is_refused,
        AcceptForgedSignature
    ),
    case!(
        AUTHENTICATION,
        nobody_can_send_in_the_name_of_another,
        AcceptBorrowedSender
    ),
    case!(
        AUTHENTICATION,
        a_forged_query_and_a_forged_read_are_refused,
        AcceptForgedSignature
    ),
    case!(
        AUTHENTICATION,
        a_canister_sees_the_principal_of_the_key_as_its_caller,
        CallerIsAnonymous
    ),
];

/// Who calls, told by a canister.
fn mirror() -> Module {
    Module::new()
        .update("who", [answer(caller())])
        .query("ask", [answer(caller())])
}

fn flipped(signature: &[u8]) -> Vec<u8> {
    let mut changed = signature.to_vec();
    if let Some(byte) = changed.get_mut(40) {
        *byte ^= 1;
    }
    changed
}

async fn checked(net: Network, key: Key) -> Verdict {
    let user = net.user_with(key);
    let canister = net.user().deploy(&mirror()).await?;
    let reply = user.update(canister, "who", b"").await?.reply()?;
    equal("the caller", reply, user.id().as_slice().to_vec())?;
    let signed = Request::call(canister, "who", b"").sign(&user.key);
    let message = [b"\x0Aic-request".as_slice(), &signed.id].concat();
    let forged = signed.with("sender_sig", blob(flipped(&user.key.sign(&message))));
    user.post_call("v4", canister, &forged).await?.refused().map(drop)
}

async fn an_ed25519_signature_is_accepted_and_a_changed_one_refused(net: Network) -> Verdict {
    checked(net, Key::ed25519()).await
}

async fn a_secp256k1_signature_is_accepted_and_a_changed_one_refused(net: Network) -> Verdict {
    checked(net, Key::secp256k1()).await
}

async fn a_p256_signature_is_accepted_and_a_changed_one_refused(net: Network) -> Verdict {
    checked(net, Key::p256()).await
}

async fn a_signature_without_the_domain_separator_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&mirror()).await?;
    let signed = Request::call(canister, "who", b"").sign(&user.key);
    let bare = blob(user.key.sign(&signed.id));
    let refused = signed.clone().with("sender_sig", bare);
    user.post_call("v4", canister, &refused).await?.refused()?;
    user.post_call("v4", canister, &signed)
        .await?
        .accepted()
        .map(drop)
}

async fn the_signature_of_another_request_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let one = Request::call(canister, "inc", b"").sign(&user.key);
    let other = Request::call(canister, "inc", b"other").sign(&user.key);
    let Some(borrowed) = other.field("sender_sig").cloned() else {
        return Err(Failure::new("a signed request has no signature"));
    };
    let mixed = one.with("sender_sig", borrowed);
    user.post_call("v4", canister, &mixed).await?.refused()?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    equal(
        "the other request",
        user.send(canister, &other).await?.number()?,
        1,
    )
}

async fn nobody_can_send_in_the_name_of_another(net: Network) -> Verdict {
    let (owner, thief) = (net.user(), net.user());
    let canister = owner.deploy(&counter()).await?;
    let forged = Request::call(canister, "inc", b"").sign_as(owner.id(), &thief.key);
    thief.post_call("v4", canister, &forged).await?.refused()?;
    let claimed = forged.with("sender_pubkey", blob(owner.key.der()));
    thief.post_call("v4", canister, &claimed).await?.refused()?;
    equal("the count", owner.query(canister, "get", b"").await?.number()?, 0)?;
    // Each in the own name.
    for (user, expected) in [(owner, 1), (thief, 2)] {
        let own = Request::call(canister, "inc", b"").sign_as(user.id(), &user.key);
        equal("the count", user.send(canister, &own).await?.number()?, expected)?;
    }
    Ok(())
}

async fn a_forged_query_and_a_forged_read_are_refused(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&mirror()).await?;
    let url = format!("/api/v3/canister/{canister}");
    let requests = [
        ("query", Request::query(canister, "ask", b"")),
        ("read_state", Request::read_state(&[path(&[b"time"])])),
    ];
    for (endpoint, request) in requests {
        let good = request.sign(&user.key);
        let message = [b"\x0Aic-request".as_slice(), &good.id].concat();
        let bad = good
            .clone()
            .with("sender_sig", blob(flipped(&user.key.sign(&message))));
        net.post(&format!("{url}/{endpoint}"), bad.body())
            .await?
            .refused()?;
        net.post(&format!("{url}/{endpoint}"), good.body())
            .await?
            .accepted()?;
    }
    Ok(())
}

async fn a_canister_sees_the_principal_of_the_key_as_its_caller(net: Network) -> Verdict {
    let canister = net.user().deploy(&mirror()).await?;
    for user in [net.user(), net.anonymous()] {
        let expected = user.id().as_slice().to_vec();
        let update = user.update(canister, "who", b"").await?.reply()?;
        equal("the caller of an update", update, expected.clone())?;
        let query = user.query(canister, "ask", b"").await?.reply()?;
        equal("the caller of a query", query, expected)?;
    }
    Ok(())
}
