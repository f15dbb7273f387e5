//! Replies and rejections.

use crate::cases::prelude::*;

const RESPONDING: &str = "Responding";

pub const CASES: &[Case] = &[
    case!(
        RESPONDING,
        a_reply_is_what_was_appended_piece_by_piece,
        AppendReplaces;
        twin a_reply_can_be_empty
    ),
    case!(
        RESPONDING,
        a_reply_can_be_empty,
        EmptyReplyLost;
        twin a_reply_is_what_was_appended_piece_by_piece
    ),
    case!(
        RESPONDING,
        a_rejection_carries_the_message_of_the_canister,
        ForeignRejectMessage
    ),
    case!(
        RESPONDING,
        a_method_that_does_not_answer_is_rejected_but_keeps_its_changes,
        SilenceIsReply
    ),
    case!(RESPONDING, a_second_answer_traps_and_undoes_the_first, ReplyTwice),
    case!(
        RESPONDING,
        a_rejection_discards_what_was_appended,
        ForeignRejectMessage;
        twin a_reply_is_what_was_appended_piece_by_piece
    ),
    case!(
        RESPONDING,
        data_that_is_appended_but_not_sent_is_gone_in_the_next_execution,
        SilenceIsReply
    ),
    case!(
        RESPONDING,
        appending_after_the_reply_traps,
        ReplyTwice;
        twin a_reply_is_what_was_appended_piece_by_piece
    ),
    case!(
        RESPONDING,
        a_reject_message_that_is_not_text_traps,
        LossyText;
        twin a_rejection_carries_the_message_of_the_canister
    ),
    case!(RESPONDING, a_reply_that_is_too_large_traps, UnlimitedReplies),
    case!(RESPONDING, an_execution_goes_on_after_its_reply),
];

async fn deploy(net: &Network) -> Result<(User, Principal), Failure> {
    let module = counter()
        .update(
            "pieces",
            [
                append(bytes("a")),
                append(bytes("")),
                append(bytes("bc")),
                reply(),
            ],
        )
        .update("empty", [reply()])
        .update("reject", [reject("with these words: ä")])
        .update("silent", [count("n")])
        .update("reply_twice", [count("n"), reply(), reply()])
        .update("reply_then_reject", [count("n"), reply(), reject("no")])
        .update("reject_then_reply", [count("n"), reject("no"), reply()])
        .update("append_then_reject", [append(bytes("data")), reject("no")])
        .update("append_only", [append(bytes("old")), count("n")])
        .update("late", [count("n"), reply(), append(bytes("x"))])
        .update("binary", [count("n"), give("msg_reject", bytes([0xff, 0xfe]))])
        .update("large", [append(long(2 << 20)), reply()])
        .update("too_large", [count("n"), append(long((2 << 20) + 1)), reply()])
        .update("goes_on", [reply(), count("n")])
        .update("ends", [count("n"), reply(), trap("no"), count("n")]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    Ok((user, canister))
}

async fn counted(user: &User, canister: Principal) -> Result<u64, Failure> {
    user.query(canister, "get", b"").await?.number()
}

async fn a_reply_is_what_was_appended_piece_by_piece(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    equal(
        "the reply",
        user.update(canister, "pieces", b"").await?.reply()?,
        b"abc".to_vec(),
    )
}

async fn a_reply_can_be_empty(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    equal(
        "the reply",
        user.update(canister, "empty", b"").await?.reply()?,
        vec![],
    )
}

async fn a_rejection_carries_the_message_of_the_canister(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    let reject = user
        .update(canister, "reject", b"")
        .await?
        .rejected(CANISTER_REJECT)?;
    equal("the message", reject.message.as_str(), "with these words: ä")?;
    // Another one has no more than its own, and a reply has none.
    let reject = user
        .update(canister, "append_then_reject", b"")
        .await?
        .rejected(CANISTER_REJECT)?;
    equal("the other message", reject.message.as_str(), "no")?;
    user.update(canister, "empty", b"").await?.reply().map(drop)
}

async fn a_method_that_does_not_answer_is_rejected_but_keeps_its_changes(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    user.update(canister, "silent", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", counted(&user, canister).await?, 1)?;
    let answered = user.update(canister, "inc", b"").await?.number()?;
    equal("the count of one that answers", answered, 2)
}

async fn a_second_answer_traps_and_undoes_the_first(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    for method in ["reply_twice", "reply_then_reject", "reject_then_reply"] {
        user.update(canister, method, b"")
            .await?
            .rejected(CANISTER_ERROR)
            .map_err(|failure| Failure::new(format!("{method}: {failure}")))?;
    }
    equal("the count", counted(&user, canister).await?, 0)?;
    let first = user.update(canister, "inc", b"").await?.number()?;
    equal("the count of one answer", first, 1)
}

async fn a_rejection_discards_what_was_appended(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    let reject = user
        .update(canister, "append_then_reject", b"")
        .await?
        .rejected(CANISTER_REJECT)?;
    equal("the message", reject.message.as_str(), "no")
}

async fn data_that_is_appended_but_not_sent_is_gone_in_the_next_execution(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    user.update(canister, "append_only", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "the next reply",
        user.update(canister, "pieces", b"").await?.reply()?,
        b"abc".to_vec(),
    )?;
    equal("the count", counted(&user, canister).await?, 1)
}

async fn appending_after_the_reply_traps(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    user.update(canister, "late", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", counted(&user, canister).await?, 0)
}

async fn a_reject_message_that_is_not_text_traps(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    user.update(canister, "binary", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", counted(&user, canister).await?, 0)
}

async fn a_reply_that_is_too_large_traps(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    let reply = user.update(canister, "large", b"").await?.reply()?;
    equal("the length of the largest reply", reply.len(), 2 << 20)?;
    user.update(canister, "too_large", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", counted(&user, canister).await?, 0)
}

async fn an_execution_goes_on_after_its_reply(net: Network) -> Verdict {
    let (user, canister) = deploy(&net).await?;
    user.update(canister, "goes_on", b"").await?.reply()?;
    equal("the count", counted(&user, canister).await?, 1)?;
    // What it does then can still end it, which undoes the reply too.
    user.update(canister, "ends", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count after a trap", counted(&user, canister).await?, 1)
}
