//! Update calls and their answers.

use crate::cases::prelude::*;

const CALL: &str = "Request: Call";
const ASYNCHRONOUS: &str = "Request: Asynchronous Call";

pub const CASES: &[Case] = &[
    case!(
        CALL,
        a_call_is_answered_with_a_certificate_of_its_reply,
        WrongPrune;
        twin a_rejection_by_the_canister_is_certified_too
    ),
    case!(
        CALL,
        a_rejection_by_the_canister_is_certified_too,
        UncertifiedRejections;
        twin a_call_of_nobody_is_rejected_without_a_certificate
    ),
    case!(
        CALL,
        the_certificate_of_a_call_shows_that_request_and_the_time_only,
        TalkativeCalls;
        twin what_was_not_asked_for_is_pruned
    ),
    case!(
        CALL,
        version_3_answers_like_version_4,
        WrongPrune;
        twin an_asynchronous_call_is_accepted_with_an_empty_body_and_answered_later
    ),
    case!(
        ASYNCHRONOUS,
        an_asynchronous_call_is_accepted_with_an_empty_body_and_answered_later,
        TalkativeCalls;
        twin a_call_is_answered_with_a_certificate_of_its_reply
    ),
    case!(
        ASYNCHRONOUS,
        what_is_refused_before_it_is_accepted_is_said_at_once,
        IgnoreInspection
    ),
    case!(
        CALL,
        a_call_of_nobody_is_rejected_without_a_certificate,
        AdmitEverything;
        twin a_rejection_by_the_canister_is_certified_too
    ),
    case!(
        CALL,
        a_query_method_can_be_called_for_a_certified_answer_and_changes_nothing,
        QueryKeepsState
    ),
    case!(
        "Synchronicity across nodes",
        a_query_after_a_call_sees_what_the_call_did,
        StaleQuery
    ),
    case!(
        "Error codes",
        a_rejection_has_a_code_from_1_to_5_and_a_message,
        SilenceIsReply;
        twin a_call_is_answered_with_a_certificate_of_its_reply
    ),
];

async fn certified(net: &Network, version: &str, method: &str) -> Result<(Certificate, Signed), Failure> {
    let module = Module::new()
        .update("yes", [answer(bytes("it is done"))])
        .update("no", [reject("it is not done")]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let signed = Request::call(canister, method, b"").sign(&user.key);
    let response = user.post_call(version, canister, &signed).await?;
    let value = response.cbor()?;
    let status = entry(&value, "status").and_then(ciborium::Value::as_text);
    equal("the status", status, Some("replied"))?;
    let certificate = certificate_of(&response)?;
    certificate.verify(net.root_key())?;
    Ok((certificate, signed))
}

async fn a_call_is_answered_with_a_certificate_of_its_reply(net: Network) -> Verdict {
    let (certificate, signed) = certified(&net, "v4", "yes").await?;
    let at = |field: &str| certificate.value(&[b"request_status", &signed.id, field.as_bytes()]);
    equal("the status", at("status")?, b"replied".to_vec())?;
    equal("the reply", at("reply")?, b"it is done".to_vec())?;
    for field in [b"reject_code".as_slice(), b"reject_message"] {
        let none = certificate.lookup(&[b"request_status", &signed.id, field]);
        equal("what belongs to rejections", none, Found::Absent)?;
    }
    Ok(())
}

async fn a_rejection_by_the_canister_is_certified_too(net: Network) -> Verdict {
    let (certificate, signed) = certified(&net, "v4", "no").await?;
    let at = |field: &str| certificate.value(&[b"request_status", &signed.id, field.as_bytes()]);
    equal("the status", at("status")?, b"rejected".to_vec())?;
    equal("the code", at("reject_code")?, vec![4])?;
    equal("the message", at("reject_message")?, b"it is not done".to_vec())?;
    let reply = certificate.lookup(&[b"request_status", &signed.id, b"reply"]);
    equal("the reply", reply, Found::Absent)
}

async fn the_certificate_of_a_call_shows_that_request_and_the_time_only(net: Network) -> Verdict {
    let (certificate, signed) = certified(&net, "v4", "yes").await?;
    for path in certificate.paths() {
        let allowed = match path.as_slice() {
            [label] => label == b"time",
            [label, id, ..] => label == b"request_status" && id.as_slice() == signed.id.as_slice(),
            [] => false,
        };
        check(allowed, format!("only the request and the time, seen {path:?}"))?;
    }
    certificate.value(&[b"request_status", &signed.id, b"status"])?;
    certificate.time().map(drop)
}

async fn version_3_answers_like_version_4(net: Network) -> Verdict {
    let (certificate, signed) = certified(&net, "v3", "yes").await?;
    let reply = certificate.value(&[b"request_status", &signed.id, b"reply"])?;
    equal("the reply", reply, b"it is done".to_vec())
}

async fn an_asynchronous_call_is_accepted_with_an_empty_body_and_answered_later(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    let signed = Request::call(canister, "inc", b"").sign(&user.key);
    let response = user.post_call("v2", canister, &signed).await?;
    equal("the HTTP status", response.status, 202)?;
    equal("the length of the body", response.body.len(), 0)?;
    equal("the reply", user.wait(canister, &signed.id).await?.number()?, 1)
}

async fn what_is_refused_before_it_is_accepted_is_said_at_once(net: Network) -> Verdict {
    let user = net.user();
    let canister = user
        .deploy(&Module::new().inspect([skip()]).update("go", [answer(arg())]))
        .await?;
    let signed = Request::call(canister, "go", b"").sign(&user.key);
    let response = user.post_call("v2", canister, &signed).await?;
    equal("the HTTP status", response.status, 200)?;
    let early = answer_in(&response, &signed.id)?.refused()?;
    check(!early.certified, "a rejection without certificate")?;
    let synchronous = user.post_call("v4", canister, &signed).await?.cbor()?;
    let status = entry(&synchronous, "status").and_then(ciborium::Value::as_text);
    equal("the status", status, Some("non_replicated_rejection"))?;
    // What the canister rejects is accepted first.
    let other = Module::new().update("go", [reject("no")]);
    user.upgrade(canister, &other).await?.reply()?;
    let later = Request::call(canister, "go", b"").sign(&user.key);
    let response = user.post_call("v2", canister, &later).await?;
    equal("the HTTP status", response.status, 202)?;
    let late = user.wait(canister, &later.id).await?.rejected(CANISTER_REJECT)?;
    check(late.certified, "a rejection with a certificate")
}

async fn a_call_of_nobody_is_rejected_without_a_certificate(net: Network) -> Verdict {
    let user = net.user();
    let gone = user.create().await?;
    user.remove(gone).await?;
    let reject = user
        .update(gone, "anything", b"")
        .await?
        .rejected(DESTINATION_INVALID)?;
    check(!reject.certified, "a rejection before the call is accepted")?;
    user.query(gone, "anything", b"")
        .await?
        .rejected(DESTINATION_INVALID)
        .map(drop)
}

async fn a_query_method_can_be_called_for_a_certified_answer_and_changes_nothing(net: Network) -> Verdict {
    let module = counter()
        .query(
            "peek",
            [
                count("n"),
                set_cell(0, int(7)),
                set_stable(0, int(7)),
                answer_numbers([get("n")]),
            ],
        )
        .query("all", [answer_numbers([get("n"), cell(0), sys("stable64_size")])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    for _ in 0..2 {
        equal(
            "the reply",
            user.update(canister, "peek", b"").await?.number()?,
            1,
        )?;
    }
    let left = user.query(canister, "all", b"").await?.numbers()?;
    equal("what is left of it", left, vec![0, 0, 0])?;
    user.update(canister, "inc", b"").await?.reply()?;
    let left = user.query(canister, "all", b"").await?.numbers()?;
    equal("what is left of an update method", left, vec![1, 0, 0])
}

async fn a_query_after_a_call_sees_what_the_call_did(net: Network) -> Verdict {
    let user = net.user();
    let (canister, other) = (user.deploy(&counter()).await?, user.deploy(&counter()).await?);
    let before = user.query(canister, "get", b"").await?.number()?;
    equal("a query before all calls", before, 0)?;
    for expected in 1..=5 {
        equal(
            "the reply",
            user.update(canister, "inc", b"").await?.number()?,
            expected,
        )?;
        let seen = user.query(canister, "get", b"").await?.number()?;
        equal("the query after it", seen, expected)?;
    }
    let elsewhere = user.query(other, "get", b"").await?.number()?;
    equal("a query of a canister that was not called", elsewhere, 0)
}

async fn a_rejection_has_a_code_from_1_to_5_and_a_message(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .update("trap", [trap("on purpose")])
        .update("reject", [reject("no")])
        .update("silence", [skip()]);
    let canister = user.deploy(&module).await?;
    for (method, code) in [("trap", 5), ("reject", 4), ("silence", 5), ("missing", 5)] {
        let reject = user.update(canister, method, b"").await?.rejected(code)?;
        check(!reject.message.is_empty(), format!("a message for {method}"))?;
    }
    Ok(())
}
