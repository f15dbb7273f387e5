//! Composite queries.

use crate::cases::prelude::*;

const QUERY: &str = "Request: Query call";
const METHODS: &str = "Public methods";

pub const CASES: &[Case] = &[
    case!(
        QUERY,
        a_composite_query_can_query_other_canisters,
        LonelyComposite;
        twin a_query_that_is_not_composite_cannot_call
    ),
    case!(QUERY, composite_queries_can_be_nested, LonelyComposite),
    case!(
        QUERY,
        a_composite_query_cannot_call_an_update,
        AnyMethodAnyWay;
        twin a_composite_query_can_query_other_canisters
    ),
    case!(
        QUERY,
        a_composite_query_discards_what_it_changes_everywhere,
        CompositeKeepsState
    ),
    case!(
        METHODS,
        a_composite_query_cannot_be_called_as_an_update,
        AnyMethodAnyWay
    ),
    case!(QUERY, a_query_that_is_not_composite_cannot_call, LonelyComposite),
    case!(
        QUERY,
        a_composite_query_hears_of_failures,
        LonelyComposite;
        twin a_composite_query_can_query_other_canisters
    ),
    case!(
        "Certified data",
        only_the_canister_that_is_asked_has_a_certificate,
        CertificateForAll
    ),
    case!(QUERY, endless_composite_queries_end; twin composite_queries_can_be_nested),
    case!(
        QUERY,
        a_callback_of_a_composite_query_that_traps_is_an_error,
        SilentTraps
    ),
];

fn leaf() -> Module {
    counter()
        .query("echo", [answer(arg())])
        .query("change", [count("n"), answer_numbers([get("n")])])
        .query("reject", [reject("no")])
        .query("trap", [trap("in the leaf")])
        .query(
            "certificate",
            [answer_numbers([sys32("data_certificate_present")])],
        )
}

async fn with_leaf(
    net: &Network,
    module: impl Fn(Principal) -> Module,
) -> Result<(User, Principal, Principal), Failure> {
    let user = net.user();
    let leaf = user.deploy(&leaf()).await?;
    let canister = user.deploy(&module(leaf)).await?;
    Ok((user, canister, leaf))
}

async fn a_composite_query_can_query_other_canisters(net: Network) -> Verdict {
    let (user, canister, _) = with_leaf(&net, |leaf| {
        Module::new().composite("go", [Call::to(leaf, "echo").arg(arg()).go()])
    })
    .await?;
    let reply = user.query(canister, "go", b"hello").await?.heard()?.reply()?;
    equal("the reply", reply, b"hello".to_vec())
}

async fn composite_queries_can_be_nested(net: Network) -> Verdict {
    let (user, middle, leaf) = with_leaf(&net, |leaf| {
        let call = Call::to(leaf, "echo").arg(arg()).go();
        Module::new()
            .composite("go", [call.clone()])
            .query("plain", [call])
    })
    .await?;
    let module = Module::new()
        .composite("plain", [Call::to(middle, "plain").go()])
        .composite(
            "go",
            [Call::to(middle, "go").arg(bytes("deep")).then("more").go()],
        )
        .callback("more", [Call::to(leaf, "echo").arg(bytes("again")).go()]);
    let top = user.deploy(&module).await?;
    let reply = user.query(top, "go", b"").await?.heard()?.reply()?;
    equal("the reply", reply, b"again".to_vec())?;
    // Not so where one in the middle is not composite.
    user.query(top, "plain", b"")
        .await?
        .heard()?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

async fn a_composite_query_cannot_call_an_update(net: Network) -> Verdict {
    let (user, canister, leaf) = with_leaf(&net, |leaf| {
        Module::new().composite("go", [Call::to(leaf, "inc").go()])
    })
    .await?;
    match user.query(canister, "go", b"").await? {
        Answer::Reject(_) => {}
        answer @ Answer::Reply(_) => drop(answer.heard()?.rejected(5)?),
    }
    equal("the count", user.query(leaf, "get", b"").await?.number()?, 0)
}

async fn a_composite_query_discards_what_it_changes_everywhere(net: Network) -> Verdict {
    let (user, canister, leaf) = with_leaf(&net, |leaf| {
        counter()
            .composite("go", [count("n"), Call::to(leaf, "change").then("tell").go()])
            .callback("tell", [count("n"), answer_numbers([get("n"), arg_number()])])
    })
    .await?;
    for _ in 0..2 {
        let seen = user.query(canister, "go", b"").await?.numbers()?;
        equal("what it sees of its own and of the other", seen, vec![2, 1])?;
    }
    for id in [canister, leaf] {
        equal("what is left", user.query(id, "get", b"").await?.number()?, 0)?;
        user.update(id, "inc", b"").await?.reply()?;
        let kept = user.query(id, "get", b"").await?.number()?;
        equal("what an update leaves", kept, 1)?;
    }
    Ok(())
}

async fn a_composite_query_cannot_be_called_as_an_update(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&Module::new().composite("go", [reply()])).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    user.query(canister, "go", b"").await?.reply().map(drop)
}

async fn a_query_that_is_not_composite_cannot_call(net: Network) -> Verdict {
    let (user, canister, _) = with_leaf(&net, |leaf| {
        Module::new()
            .query("plain", [Call::to(leaf, "echo").go()])
            .composite("composite", [Call::to(leaf, "echo").go()])
    })
    .await?;
    user.query(canister, "plain", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "composite", b"")
        .await?
        .heard()?
        .reply()
        .map(drop)
}

async fn a_composite_query_hears_of_failures(net: Network) -> Verdict {
    let (user, canister, _) = with_leaf(&net, |leaf| {
        Module::new()
            .composite("reject", [Call::to(leaf, "reject").go()])
            .composite("trap", [Call::to(leaf, "trap").go()])
            .composite("missing", [Call::to(leaf, "missing").go()])
    })
    .await?;
    for (method, code) in [("reject", 4), ("trap", 5), ("missing", 5)] {
        user.query(canister, method, b"").await?.heard()?.rejected(code)?;
    }
    Ok(())
}

async fn only_the_canister_that_is_asked_has_a_certificate(net: Network) -> Verdict {
    let present = || sys32("data_certificate_present");
    let (user, canister, leaf) = with_leaf(&net, |leaf| {
        Module::new()
            .composite(
                "go",
                [
                    set("own", present()),
                    Call::to(leaf, "certificate").then("tell").go(),
                ],
            )
            .callback("tell", [answer_numbers([get("own"), present(), arg_number()])])
    })
    .await?;
    let seen = user.query(canister, "go", b"").await?.numbers()?;
    equal("in the query, in its callback, in the other", seen, vec![1, 0, 0])?;
    equal(
        "the other when it is asked",
        user.query(leaf, "certificate", b"").await?.number()?,
        1,
    )
}

async fn endless_composite_queries_end(net: Network) -> Verdict {
    let user = net.user();
    let module = counter().composite("go", [Call::to_blob(own_id(), "go").go()]);
    let canister = user.deploy(&module).await?;
    // The end is heard somewhere on the way up, as an answer or as a rejection.
    let response = user.query(canister, "go", b"").await?;
    let ended = match response {
        Answer::Reject(_) => true,
        answer @ Answer::Reply(_) => !answer.reply()?.is_empty(),
    };
    check(ended, "that there is an end")?;
    equal(
        "others are served",
        user.query(canister, "get", b"").await?.number()?,
        0,
    )
}

async fn a_callback_of_a_composite_query_that_traps_is_an_error(net: Network) -> Verdict {
    let (user, canister, _) = with_leaf(&net, |leaf| {
        Module::new()
            .composite("go", [Call::to(leaf, "echo").then("bad").go()])
            .composite("silent", [Call::to(leaf, "echo").then("nothing").go()])
            .callback("bad", [reply(), trap("in the callback")])
            .callback("nothing", [skip()])
            .composite("good", [Call::to(leaf, "echo").then("well").go()])
            .callback("well", [answer(bytes("well"))])
    })
    .await?;
    let reject = user.query(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    check(
        reject.message.contains("in the callback"),
        format!("the reason, seen {}", reject.message),
    )?;
    user.query(canister, "silent", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    let reply = user.query(canister, "good", b"").await?.reply()?;
    equal("the reply without a trap", reply, b"well".to_vec())
}
