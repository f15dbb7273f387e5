//! Stopping, starting and deleting.

use crate::cases::door::Door;
use crate::cases::prelude::*;

const STOP: &str = "IC method stop_canister";
const START: &str = "IC method start_canister";
const DELETE: &str = "IC method delete_canister";

pub const CASES: &[Case] = &[
    case!(
        STOP,
        a_stopped_canister_takes_no_calls_until_it_is_started,
        StoppedTakesCalls
    ),
    case!(
        STOP,
        stopping_waits_for_open_calls,
        StopDoesNotWait;
        twin a_stopped_canister_takes_no_calls_until_it_is_started
    ),
    case!(
        STOP,
        a_stopping_canister_takes_no_new_calls_but_hears_answers,
        StopDoesNotWait;
        twin starting_cancels_a_stop_that_waits
    ),
    case!(
        START,
        starting_cancels_a_stop_that_waits,
        StartEndsStopWell;
        twin stopping_waits_for_open_calls
    ),
    case!(
        STOP,
        stopping_twice_and_starting_twice_do_no_harm,
        StoppedTakesCalls
    ),
    case!(
        DELETE,
        a_canister_is_deleted_only_when_it_is_stopped,
        DeleteRunning
    ),
    case!(DELETE, a_deleted_canister_is_gone, DeletedStays),
];

/// A canister with a call that is open until its door is.
pub struct Open {
    pub user: User,
    /// The canister.
    pub canister: Principal,
    /// What it waits for.
    pub door: Door,
    /// The open call.
    pub call: Signed,
}

pub async fn open(net: &Network) -> Result<Open, Failure> {
    let user = net.user();
    let door = Door::new(&user).await?;
    let module = counter()
        .update(
            "go",
            [count("n"), Call::to(door.canister, "wait").then("end").go()],
        )
        .callback(
            "end",
            [set("n", plus(get("n"), int(100))), answer_numbers([get("n")])],
        );
    let canister = user.deploy(&module).await?;
    let call = user.start(canister, "go", b"").await?;
    door.is_held().await?;
    Ok(Open {
        user,
        canister,
        door,
        call,
    })
}

impl Open {
    /// Sends a stop and waits until the canister is stopping.
    async fn begin_to_stop(&self) -> Result<Signed, Failure> {
        let management = Principal::management_canister();
        let stop = Request::call(management, "stop_canister", &about(self.canister)).sign(&self.user.key);
        self.user
            .post_call("v2", self.canister, &stop)
            .await?
            .accepted()?;
        eventually(|| async {
            let status = self.user.status(self.canister).await?.status;
            Ok((status == CanisterStatusType::Stopping).then_some(()))
        })
        .await?;
        Ok(stop)
    }
}

async fn a_stopped_canister_takes_no_calls_until_it_is_started(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.stop(canister).await?;
    equal(
        "the status",
        user.status(canister).await?.status,
        CanisterStatusType::Stopped,
    )?;
    user.update(canister, "inc", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "get", b"").await?.rejected(CANISTER_ERROR)?;
    user.manage(canister, "start_canister", &about(canister))
        .await?
        .reply()?;
    equal(
        "the status",
        user.status(canister).await?.status,
        CanisterStatusType::Running,
    )?;
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 1)
}

async fn stopping_waits_for_open_calls(net: Network) -> Verdict {
    let open = open(&net).await?;
    let stop = open.begin_to_stop().await?;
    check(
        open.user.is_pending(open.canister, &stop.id).await?,
        "that the stop waits",
    )?;
    open.door.open().await?;
    equal(
        "the open call",
        open.user.wait(open.canister, &open.call.id).await?.number()?,
        101,
    )?;
    open.user.wait(open.canister, &stop.id).await?.reply()?;
    equal(
        "the status",
        open.user.status(open.canister).await?.status,
        CanisterStatusType::Stopped,
    )
}

async fn a_stopping_canister_takes_no_new_calls_but_hears_answers(net: Network) -> Verdict {
    let open = open(&net).await?;
    let other = open
        .user
        .deploy(&Module::new().update("go", [Call::to(open.canister, "inc").go()]))
        .await?;
    let stop = open.begin_to_stop().await?;
    open.user
        .update(open.canister, "inc", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    open.user.update(other, "go", b"").await?.heard()?.rejected(5)?;
    open.door.open().await?;
    // 1 for the call, 100 for its callback, and nothing in between.
    equal(
        "the open call",
        open.user.wait(open.canister, &open.call.id).await?.number()?,
        101,
    )?;
    open.user.wait(open.canister, &stop.id).await?.reply().map(drop)
}

async fn starting_cancels_a_stop_that_waits(net: Network) -> Verdict {
    let open = open(&net).await?;
    let stop = open.begin_to_stop().await?;
    open.user
        .manage(open.canister, "start_canister", &about(open.canister))
        .await?
        .reply()?;
    open.user.wait(open.canister, &stop.id).await?.refused()?;
    equal(
        "the status",
        open.user.status(open.canister).await?.status,
        CanisterStatusType::Running,
    )?;
    equal(
        "a new call",
        open.user.update(open.canister, "inc", b"").await?.number()?,
        2,
    )?;
    open.door.open().await?;
    equal(
        "the open call",
        open.user.wait(open.canister, &open.call.id).await?.number()?,
        102,
    )
}

async fn stopping_twice_and_starting_twice_do_no_harm(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    for (method, status) in [
        ("start_canister", CanisterStatusType::Running),
        ("stop_canister", CanisterStatusType::Stopped),
        ("stop_canister", CanisterStatusType::Stopped),
        ("start_canister", CanisterStatusType::Running),
        ("start_canister", CanisterStatusType::Running),
    ] {
        user.manage(canister, method, &about(canister)).await?.reply()?;
        equal("the status", user.status(canister).await?.status, status)?;
        let taken = user.update(canister, "inc", b"").await?.reply().is_ok();
        let runs = status == CanisterStatusType::Running;
        equal("whether a call is taken", taken, runs)?;
    }
    equal("the count", user.query(canister, "get", b"").await?.number()?, 3)
}

async fn a_canister_is_deleted_only_when_it_is_stopped(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.manage(canister, "delete_canister", &about(canister))
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 1)?;
    user.remove(canister).await
}

async fn a_deleted_canister_is_gone(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.stop(canister).await?;
    user.status(canister).await?;
    for label in [b"module_hash".as_slice(), b"controllers"] {
        let found = user.shown(canister, &[label]).await?;
        check(
            matches!(found, Found::Value(_)),
            "that a stopped one is still there",
        )?;
    }
    user.remove(canister).await?;
    user.update(canister, "inc", b"")
        .await?
        .rejected(DESTINATION_INVALID)?;
    user.manage(canister, "canister_status", &about(canister))
        .await?
        .refused()?;
    equal(
        "the module",
        user.shown(canister, &[b"module_hash"]).await?,
        Found::Absent,
    )?;
    equal(
        "the controllers",
        user.shown(canister, &[b"controllers"]).await?,
        Found::Absent,
    )
}
