//! Cleaning up after a callback that trapped.

use crate::cases::prelude::*;

const CALLS: &str = "Inter-canister method calls";

pub const CASES: &[Case] = &[
    case!(
        CALLS,
        a_cleanup_runs_when_the_reply_callback_traps,
        SkipCleanup;
        twin a_cleanup_does_not_run_when_all_is_well
    ),
    case!(
        CALLS,
        a_cleanup_runs_when_the_reject_callback_traps,
        SkipCleanup;
        twin a_cleanup_does_not_run_when_all_is_well
    ),
    case!(
        CALLS,
        a_cleanup_does_not_run_when_all_is_well,
        CleanupAlways;
        twin a_cleanup_runs_when_the_reply_callback_traps
    ),
    case!(
        CALLS,
        a_cleanup_sees_the_state_without_what_the_callback_did,
        SkipCleanup
    ),
    case!(
        CALLS,
        a_cleanup_that_traps_changes_nothing,
        SilentTraps;
        twin a_cleanup_runs_when_the_reply_callback_traps
    ),
    case!(
        CALLS,
        a_cleanup_does_not_run_when_the_method_itself_traps,
        KeepCallsAfterTrap;
        twin a_cleanup_runs_when_the_reply_callback_traps
    ),
    case!(CALLS, a_call_has_at_most_one_cleanup, LaxBuilding),
];

async fn scene(
    net: &Network,
    method: &str,
    callback: Vec<Code>,
    clean: Vec<Code>,
) -> Result<(User, Principal), Failure> {
    let user = net.user();
    let other = user.deploy(&counter().update("reject", [reject("no")])).await?;
    let call = Call::to(other, method).then("callback").cleanup("clean", 55).go();
    let module = Module::new()
        .update("go", [set("method", int(1)), call])
        .callback("callback", callback)
        .callback("clean", clean)
        .query(
            "get",
            [answer_numbers([
                get("method"),
                get("callback"),
                get("clean"),
                get("seen"),
                get("code"),
            ])],
        )
        .update("touch", [reply()]);
    let canister = user.deploy(&module).await?;
    Ok((user, canister))
}

fn marks() -> Vec<Code> {
    vec![
        set("clean", env()),
        set("seen", get("callback")),
        set("code", sys32("msg_reject_code")),
    ]
}

async fn left(user: &User, canister: Principal) -> Result<Vec<u64>, Failure> {
    user.update(canister, "touch", b"").await?.reply()?;
    user.query(canister, "get", b"").await?.numbers()
}

async fn a_cleanup_runs_when_the_reply_callback_traps(net: Network) -> Verdict {
    let bad = vec![set("callback", int(1)), trap("no")];
    let (user, canister) = scene(&net, "inc", bad, marks()).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal("what is left", left(&user, canister).await?, vec![1, 0, 55, 0, 0])
}

async fn a_cleanup_runs_when_the_reject_callback_traps(net: Network) -> Verdict {
    let bad = vec![set("callback", int(1)), "(unreachable)".to_owned()];
    let (user, canister) = scene(&net, "reject", bad, marks()).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal("what is left", left(&user, canister).await?, vec![1, 0, 55, 0, 4])
}

async fn a_cleanup_does_not_run_when_all_is_well(net: Network) -> Verdict {
    for method in ["inc", "reject"] {
        let good = vec![set("callback", int(1)), reply()];
        let (user, canister) = scene(&net, method, good, marks()).await?;
        user.update(canister, "go", b"").await?.reply()?;
        equal(method, left(&user, canister).await?, vec![1, 1, 0, 0, 0])?;
    }
    Ok(())
}

async fn a_cleanup_sees_the_state_without_what_the_callback_did(net: Network) -> Verdict {
    let bad = vec![set("callback", int(9)), set("method", int(9)), trap("no")];
    let clean = vec![set("clean", get("method")), set("seen", get("callback"))];
    let (user, canister) = scene(&net, "inc", bad, clean).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    equal("what is left", left(&user, canister).await?, vec![1, 0, 1, 0, 0])
}

async fn a_cleanup_that_traps_changes_nothing(net: Network) -> Verdict {
    let bad = vec![set("callback", int(1)), trap("the callback")];
    let clean = vec![set("clean", int(1)), trap("the cleanup")];
    let (user, canister) = scene(&net, "inc", bad, clean).await?;
    let reject = user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    check(
        reject.message.contains("the callback"),
        format!("the reason of the callback, seen {}", reject.message),
    )?;
    equal("what is left", left(&user, canister).await?, vec![1, 0, 0, 0, 0])?;
    // Nothing is open: the canister stops.
    user.stop(canister).await
}

async fn a_cleanup_does_not_run_when_the_method_itself_traps(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let call = Call::to(other, "inc").then("callback").cleanup("clean", 1).go();
    let module = counter()
        .update("go", [call, trap("after the call")])
        .callback("callback", [count("n")])
        .callback("clean", [count("n")]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "go", b"").await?.rejected(CANISTER_ERROR)?;
    user.stop(canister).await?;
    user.manage(canister, "start_canister", &about(canister))
        .await?
        .reply()?;
    equal("what ran", user.query(canister, "get", b"").await?.number()?, 0)?;
    equal("the callee", user.query(other, "get", b"").await?.number()?, 0)
}

async fn a_call_has_at_most_one_cleanup(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let once = Call::to(other, "inc").cleanup("clean", 1);
    let again = "(call $call_on_cleanup #[clean] (i32.const 2))".to_owned();
    let module = Module::new()
        .update("once", [once.go()])
        .update(
            "twice",
            [once.forgotten(), again, drop_it("(call $call_perform)"), reply()],
        )
        .callback("clean", [skip()]);
    let canister = user.deploy(&module).await?;
    user.update(canister, "twice", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.update(canister, "once", b"")
        .await?
        .heard()?
        .reply()
        .map(drop)
}
