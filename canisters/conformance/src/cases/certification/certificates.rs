//! What certificates are made of.

use crate::cases::prelude::*;
use crate::client::network::Response;
use crate::client::request::encode;
use ciborium::Value;
use ic_certification::labeled;

const CERTIFICATE: &str = "Certificate";
const DELEGATION: &str = "Delegation";

pub const CASES: &[Case] = &[
    case!(
        CERTIFICATE,
        a_certificate_verifies_and_a_changed_one_does_not,
        WrongPrune
    ),
    case!("Lookup", the_trees_of_certificates_are_well_formed),
    case!(
        DELEGATION,
        a_subnet_is_vouched_for_by_the_root_and_nobody_else,
        WrongRootKey
    ),
    case!(
        DELEGATION,
        a_delegation_covers_the_canister_in_the_path,
        DelegationWithoutRanges
    ),
    case!("Time", the_certified_time_never_goes_back, TimeGoesBack),
    case!("Time", a_certificate_is_no_older_than_the_call_before_it),
    case!(
        "Subnet information",
        the_nodes_of_a_subnet_are_shown_with_their_keys,
        HideNodes
    ),
    case!(
        "Lookup",
        what_does_not_exist_is_shown_to_be_absent,
        StaleCertificate
    ),
];

async fn a_certificate_verifies_and_a_changed_one_does_not(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let mut certificate = user
        .read(
            canister,
            &[path(&[b"canister", canister.as_slice(), b"module_hash"])],
        )
        .await?;
    certificate.verify(net.root_key())?;
    let mut bent = certificate.clone();
    bent.signature.reverse();
    check(
        bent.verify(net.root_key()).is_err(),
        "that a changed signature does not verify",
    )?;
    certificate.tree = labeled("time", certificate.tree);
    check(
        certificate.verify(net.root_key()).is_err(),
        "that a changed tree does not verify",
    )
}

/// The certificate in an answer with its tree twice, one beside the other.
fn doubled(response: &Response) -> Result<Certificate, Failure> {
    let value = response.cbor()?;
    let bytes = entry(&value, "certificate").and_then(Value::as_bytes);
    let whole = match ciborium::from_reader(bytes.map(Vec::as_slice).unwrap_or_default())? {
        Value::Tag(_, inner) => *inner,
        other => other,
    };
    let field = |name: &str| entry(&whole, name).cloned().unwrap_or(Value::Null);
    let tree = Value::Array(vec![nat(1), field("tree"), field("tree")]);
    Certificate::decode(&encode(&map([("tree", tree), ("signature", field("signature"))])))
}

async fn the_trees_of_certificates_are_well_formed(net: Network) -> Verdict {
    let user = net.user();
    let canister = user
        .deploy(
            &counter()
                .section("icp:public b", b"x")
                .section("icp:public a", b"y"),
        )
        .await?;
    let id = canister.as_slice();
    let signed = Request::call(canister, "inc", b"").sign(&user.key);
    let response = user.post_call("v4", canister, &signed).await?;
    certificate_of(&response)?.well_formed()?;
    let bent = doubled(&response)?.well_formed();
    check(bent.is_err(), "that a tree with a label twice is not well formed")?;
    let paths = [
        path(&[b"subnet"]),
        path(&[b"canister", id, b"controllers"]),
        path(&[b"canister", id, b"metadata", b"a"]),
        path(&[b"canister", id, b"module_hash"]),
        path(&[b"request_status", &signed.id]),
    ];
    let read = user.read(canister, &paths).await?;
    read.well_formed()?;
    match &read.delegation {
        Some((_, vouched)) => vouched.well_formed(),
        None => Ok(()),
    }
}

async fn a_subnet_is_vouched_for_by_the_root_and_nobody_else(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let certificate = user.read(canister, &[path(&[b"subnet"])]).await?;
    let Some((subnet, vouched)) = &certificate.delegation else {
        // The root subnet signs for itself.
        return certificate.verify(net.root_key());
    };
    check(
        vouched.delegation.is_none(),
        "that the root's certificate has no delegation",
    )?;
    vouched.verify(net.root_key())?;
    let key = vouched.value(&[b"subnet", subnet.as_slice(), b"public_key"])?;
    let id = Principal::self_authenticating(&key);
    equal("the id of the subnet", *subnet, id)?;
    check(key != net.root_key(), "that the subnet has a key of its own")?;
    let mut without = certificate.clone();
    without.delegation = None;
    check(
        without.verify(net.root_key()).is_err(),
        "that the root does not sign for the subnet's state",
    )
}

async fn a_delegation_covers_the_canister_in_the_path(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let certificate = user.read(canister, &[path(&[b"time"])]).await?;
    let Some((subnet, vouched)) = &certificate.delegation else {
        return Ok(());
    };
    check(
        vouched.covers(b"canister_ranges", *subnet, canister)?,
        "that the subnet may certify for the canister",
    )?;
    // A principal of users is above all canisters.
    let person = Principal::self_authenticating([0xff; 44]);
    let beyond = Principal::from_slice(&[0xff; 11]);
    let either = vouched.covers(b"canister_ranges", *subnet, person)?
        && vouched.covers(b"canister_ranges", *subnet, beyond)?;
    check(!either, "that the ranges have an end")
}

async fn the_certified_time_never_goes_back(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let first = user.read(canister, &[]).await?.time()?;
    let mut last = first;
    for _ in 0..6 {
        user.update(canister, "inc", b"").await?.reply()?;
        let time = user.read(canister, &[]).await?.time()?;
        check(time >= last, format!("a time not before {last}, seen {time}"))?;
        last = time;
    }
    check(last > first, "that it goes on")
}

async fn a_certificate_is_no_older_than_the_call_before_it(net: Network) -> Verdict {
    let user = net.user();
    let canister = user
        .deploy(&Module::new().update("now", [answer_numbers([sys("time")])]))
        .await?;
    let before = user.read(canister, &[]).await?.time()?;
    let signed = Request::call(canister, "now", b"").sign(&user.key);
    let response = user.post_call("v4", canister, &signed).await?;
    let executed = answer_in(&response, &signed.id)?.number()?;
    let certified = certificate_of(&response)?.time()?;
    check(certified >= executed, "a certified time not before the execution")?;
    check(
        before < executed,
        "an earlier time in a certificate before the call",
    )?;
    check(
        certified - executed < MINUTE,
        "a certified time near the execution",
    )?;
    check(
        now().abs_diff(executed) < 5 * MINUTE,
        "a time near that of this machine",
    )
}

async fn the_nodes_of_a_subnet_are_shown_with_their_keys(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let certificate = user.read(canister, &[path(&[b"subnet"])]).await?;
    let mut nodes = 0;
    for path in certificate.paths() {
        let [first, _, third, node, last] = path.as_slice() else {
            continue;
        };
        if first == b"subnet" && third == b"node" && last == b"public_key" {
            let labels: Vec<&[u8]> = path.iter().map(Vec::as_slice).collect();
            let key = certificate.value(&labels)?;
            equal("the length of a node's key", key.len(), 44)?;
            let id = Principal::self_authenticating(&key);
            equal("the id of a node", id.as_slice().to_vec(), node.clone())?;
            let nobody = Principal::self_authenticating(net.user().key.der());
            let labels = labels
                .iter()
                .map(|label| if *label == node { nobody.as_slice() } else { label });
            let none = certificate.lookup(&labels.collect::<Vec<_>>());
            equal("the key of somebody else", none, Found::Absent)?;
            nodes += 1;
        }
    }
    check(nodes > 0, "at least one node")
}

async fn what_does_not_exist_is_shown_to_be_absent(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let id = canister.as_slice();
    let empty = user
        .read(canister, &[path(&[b"canister", id, b"module_hash"])])
        .await?;
    empty.verify(net.root_key())?;
    equal(
        "the module hash",
        empty.lookup(&[b"canister", id, b"module_hash"]),
        Found::Absent,
    )?;
    user.put(canister, &counter()).await?;
    let full = user
        .read(canister, &[path(&[b"canister", id, b"module_hash"])])
        .await?;
    full.value(&[b"canister", id, b"module_hash"]).map(drop)
}
