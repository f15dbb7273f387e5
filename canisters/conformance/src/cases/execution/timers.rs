//! The global timer.

use crate::cases::prelude::*;

const TIMER: &str = "Global timer";

pub const CASES: &[Case] = &[
    case!(TIMER, a_timer_runs_after_its_time, TimerNeverFires),
    case!(TIMER, setting_a_timer_gives_the_previous_one, TimerSetOnce),
    case!(
        TIMER,
        a_timer_runs_once_and_is_off_then,
        TimerFiresTwice;
        twin a_timer_can_be_set_in_init_and_again_in_the_timer
    ),
    case!(
        TIMER,
        a_timer_can_be_switched_off,
        TimerNeverFires;
        twin a_timer_runs_after_its_time
    ),
    case!(
        TIMER,
        a_timer_does_not_outlive_an_upgrade,
        TimerSurvivesUpgrade;
        twin setting_a_timer_gives_the_previous_one
    ),
    case!(
        TIMER,
        a_timer_can_be_set_in_init_and_again_in_the_timer,
        TimerNeverFires
    ),
    case!(
        TIMER,
        a_timer_that_traps_changes_nothing_and_is_off,
        TimerNeverFires
    ),
    case!(
        TIMER,
        a_timer_has_the_management_canister_as_caller_and_can_call,
        TimerNeverFires
    ),
];

const FAR: u64 = u64::MAX / 4;

fn ticking() -> Module {
    Module::new()
        .update("in_the_past", [drop_it(set_timer(int(1))), reply()])
        .update(
            "soon",
            [
                set("due", plus(sys("time"), int(50_000_000))),
                drop_it(set_timer(get("due"))),
                reply(),
            ],
        )
        .update("far", [answer_numbers([set_timer(int(FAR))])])
        .update("off", [answer_numbers([set_timer(int(0))])])
        .update("touch", [reply()])
        .timer([count("n"), set("ran", sys("time"))])
        .query("get", [answer_numbers([get("n"), get("ran"), get("due")])])
}

/// Waits until the timer has run so often.
async fn ran(user: &User, canister: Principal, times: u64) -> Result<Vec<u64>, Failure> {
    eventually(|| async {
        let seen = user.query(canister, "get", b"").await?.numbers()?;
        Ok(seen.first().is_some_and(|count| *count >= times).then_some(seen))
    })
    .await
}

/// Lets the network make progress: whatever is due has run after it.
async fn progress(user: &User, canister: Principal) -> Verdict {
    for _ in 0..5 {
        user.update(canister, "touch", b"").await?.reply()?;
    }
    let clock = user.deploy(&ticking()).await?;
    user.update(clock, "soon", b"").await?.reply()?;
    ran(user, clock, 1).await.map(drop)
}

async fn counted(user: &User, canister: Principal) -> Result<u64, Failure> {
    let seen = user.query(canister, "get", b"").await?.numbers()?;
    seen.first()
        .copied()
        .ok_or_else(|| Failure::new("expected a number"))
}

async fn a_timer_runs_after_its_time(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&ticking()).await?;
    let later = user.deploy(&ticking()).await?;
    user.update(later, "far", b"").await?.reply()?;
    user.update(canister, "soon", b"").await?.reply()?;
    let seen = ran(&user, canister, 1).await?;
    let [1, time, due] = seen.as_slice() else {
        return Err(Failure::new(format!("expected one run, seen {seen:?}")));
    };
    check(time >= due, format!("that it runs not before {due}, seen {time}"))?;
    let early = counted(&user, later).await?;
    equal("how often one ran whose time is far away", early, 0)
}

async fn setting_a_timer_gives_the_previous_one(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&ticking()).await?;
    for (method, previous) in [("far", 0), ("far", FAR), ("off", FAR), ("off", 0)] {
        equal(
            "the previous",
            user.update(canister, method, b"").await?.number()?,
            previous,
        )?;
    }
    Ok(())
}

async fn a_timer_runs_once_and_is_off_then(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&ticking()).await?;
    user.update(canister, "in_the_past", b"").await?.reply()?;
    ran(&user, canister, 1).await?;
    progress(&user, canister).await?;
    equal("how often it ran", counted(&user, canister).await?, 1)?;
    equal("the timer", user.update(canister, "off", b"").await?.number()?, 0)
}

async fn a_timer_can_be_switched_off(net: Network) -> Verdict {
    let both = all([drop_it(set_timer(int(1))), drop_it(set_timer(int(0)))]);
    let user = net.user();
    let canister = user
        .deploy(&ticking().update("on_and_off", [both, reply()]))
        .await?;
    user.update(canister, "on_and_off", b"").await?.reply()?;
    progress(&user, canister).await?;
    equal("how often it ran", counted(&user, canister).await?, 0)
}

async fn a_timer_does_not_outlive_an_upgrade(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&ticking()).await?;
    for mode in [CanisterInstallMode::Upgrade(None), CanisterInstallMode::Reinstall] {
        user.update(canister, "far", b"").await?.reply()?;
        user.install(canister, mode, &ticking(), b"").await?.reply()?;
        equal("the timer", user.update(canister, "off", b"").await?.number()?, 0)?;
    }
    user.update(canister, "far", b"").await?.reply()?;
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()?;
    user.put(canister, &ticking()).await?;
    equal("the timer", user.update(canister, "off", b"").await?.number()?, 0)
}

async fn a_timer_can_be_set_in_init_and_again_in_the_timer(net: Network) -> Verdict {
    let again = when(minus(get("n"), int(3)), [drop_it(set_timer(int(1)))]);
    let module = Module::new()
        .init([drop_it(set_timer(int(1)))])
        .timer([count("n"), again])
        .update("touch", [reply()])
        .query("get", [answer_numbers([get("n")])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    ran(&user, canister, 3).await?;
    progress(&user, canister).await?;
    equal("how often it ran", counted(&user, canister).await?, 3)
}

async fn a_timer_that_traps_changes_nothing_and_is_off(net: Network) -> Verdict {
    let module = Module::new()
        .update("trap", [set("bad", int(1)), drop_it(set_timer(int(1))), reply()])
        .update("run", [set("bad", int(0)), drop_it(set_timer(int(1))), reply()])
        .update("touch", [reply()])
        .update("off", [answer_numbers([set_timer(int(0))])])
        .timer([count("n"), when(get("bad"), [trap("in the timer")])])
        .query("get", [answer_numbers([get("n")])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    user.update(canister, "trap", b"").await?.reply()?;
    progress(&user, canister).await?;
    equal("how often it ran to its end", counted(&user, canister).await?, 0)?;
    equal("the timer", user.update(canister, "off", b"").await?.number()?, 0)?;
    user.update(canister, "run", b"").await?.reply()?;
    ran(&user, canister, 1).await.map(drop)
}

async fn a_timer_has_the_management_canister_as_caller_and_can_call(net: Network) -> Verdict {
    let user = net.user();
    let other = user.deploy(&counter()).await?;
    let module = Module::new()
        .init([drop_it(set_timer(int(1)))])
        .timer([
            set("length", wide("(call $msg_caller_size)")),
            Call::to(other, "inc").then("done").go(),
        ])
        .callback("done", [count("n")])
        .update("other", [answer_numbers([wide("(call $msg_caller_size)")])])
        .query("get", [answer_numbers([get("n"), get("length")])]);
    let canister = user.deploy(&module).await?;
    let seen = ran(&user, canister, 1).await?;
    equal("the callback and the length of the caller", seen, vec![1, 0])?;
    equal("the count", user.query(other, "get", b"").await?.number()?, 1)?;
    let length = user.update(canister, "other", b"").await?.number()?;
    let expected = u64::try_from(user.id().as_slice().len())?;
    equal("the length of the caller of an update", length, expected)
}
