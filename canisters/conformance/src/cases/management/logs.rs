//! Logs of canisters.

use crate::cases::prelude::*;
use ic_management_canister_types::{CanisterLogRecord, FetchCanisterLogsResult, LogVisibility};

const LOGS: &str = "IC method fetch_canister_logs";

pub const CASES: &[Case] = &[
    case!(
        LOGS,
        what_a_canister_prints_is_logged_in_order,
        LogsReversed;
        twin queries_are_not_logged
    ),
    case!(
        LOGS,
        the_message_of_a_trap_is_logged_although_the_rest_is_undone,
        TrapNotLogged
    ),
    case!(LOGS, queries_are_not_logged),
    case!(
        LOGS,
        logs_are_for_controllers_unless_they_are_made_visible,
        LogsForAll
    ),
    case!(
        LOGS,
        logs_stay_over_an_upgrade_and_go_with_the_code,
        UpgradeForgets
    ),
    case!(
        LOGS,
        the_oldest_logs_make_room_for_new_ones,
        LogsStopWhenFull;
        twin what_a_canister_prints_is_logged_in_order
    ),
    case!(LOGS, logs_cannot_be_fetched_by_a_call, OpenChannels),
];

fn talking() -> Module {
    Module::new()
        .update("say", [print(arg()), reply()])
        .query("whisper", [print(bytes("in a query")), reply()])
        .update(
            "fall",
            [count("n"), print(bytes("before")), trap("the last words")],
        )
        .update("stand", [count("n"), print(bytes("after")), reply()])
        .query("get", [answer_numbers([get("n")])])
}

async fn fetch(user: &User, canister: Principal) -> Result<Answer, Failure> {
    let management = Principal::management_canister();
    user.query_at(canister, management, "fetch_canister_logs", &about(canister))
        .await
}

async fn logs(user: &User, canister: Principal) -> Result<Vec<CanisterLogRecord>, Failure> {
    let reply = fetch(user, canister).await?.reply()?;
    Ok(Decode!(&reply, FetchCanisterLogsResult)?.canister_log_records)
}

async fn texts(user: &User, canister: Principal) -> Result<Vec<String>, Failure> {
    let logs = logs(user, canister).await?;
    Ok(logs
        .iter()
        .map(|log| String::from_utf8_lossy(&log.content).into_owned())
        .collect())
}

async fn what_a_canister_prints_is_logged_in_order(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&talking()).await?;
    for word in ["one", "two", "three"] {
        user.update(canister, "say", word.as_bytes()).await?.reply()?;
    }
    equal(
        "the words",
        texts(&user, canister).await?,
        vec!["one".into(), "two".into(), "three".into()],
    )?;
    let logs = logs(&user, canister).await?;
    let ordered =
        logs.is_sorted_by(|one, next| one.idx + 1 == next.idx && one.timestamp_nanos <= next.timestamp_nanos);
    check(ordered, "numbers without gaps and times that do not go back")?;
    let fresh = logs
        .iter()
        .all(|log| now().abs_diff(log.timestamp_nanos) < 5 * MINUTE);
    check(fresh, "times near now")
}

async fn the_message_of_a_trap_is_logged_although_the_rest_is_undone(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&talking()).await?;
    user.update(canister, "fall", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 0)?;
    user.update(canister, "stand", b"").await?.reply()?;
    equal("the count", user.query(canister, "get", b"").await?.number()?, 1)?;
    let texts = texts(&user, canister).await?;
    let [first, words, last] = texts.as_slice() else {
        return Err(Failure::new(format!("expected three logs, seen {texts:?}")));
    };
    equal("what was printed before", first.as_str(), "before")?;
    check(
        words.contains("the last words"),
        format!("the words of the trap, seen {words}"),
    )?;
    equal("what did not trap", last.as_str(), "after")
}

async fn queries_are_not_logged(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&talking()).await?;
    user.query(canister, "whisper", b"").await?.reply()?;
    user.update(canister, "say", b"aloud").await?.reply()?;
    equal("the words", texts(&user, canister).await?, vec!["aloud".into()])
}

async fn logs_are_for_controllers_unless_they_are_made_visible(net: Network) -> Verdict {
    let (user, friend, other) = (net.user(), net.user(), net.user());
    let canister = user.deploy(&talking()).await?;
    let sees = move |who: User| async move {
        fetch(&who, canister)
            .await
            .is_ok_and(|answer| answer.reply().is_ok())
    };
    let settings = |to| CanisterSettings {
        log_visibility: Some(to),
        ..CanisterSettings::default()
    };
    let viewer = settings(LogVisibility::AllowedViewers(vec![friend.id()]));
    let public = settings(LogVisibility::Public);
    seen_as_the_settings_say(canister, [&user, &friend, &other], sees, [viewer, public]).await
}

async fn logs_stay_over_an_upgrade_and_go_with_the_code(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&talking()).await?;
    user.update(canister, "say", b"kept").await?.reply()?;
    user.upgrade(canister, &talking()).await?.reply()?;
    equal(
        "after an upgrade",
        texts(&user, canister).await?,
        vec!["kept".into()],
    )?;
    user.install(canister, CanisterInstallMode::Reinstall, &talking(), b"")
        .await?
        .reply()?;
    equal("after a reinstall", texts(&user, canister).await?, vec![])?;
    user.update(canister, "say", b"again").await?.reply()?;
    user.manage(canister, "uninstall_code", &about(canister))
        .await?
        .reply()?;
    equal("after uninstalling", texts(&user, canister).await?, vec![])
}

async fn the_oldest_logs_make_room_for_new_ones(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&talking()).await?;
    for round in 0..12_u8 {
        let mut words = vec![b'.'; 700];
        words.push(b'a' + round);
        user.update(canister, "say", &words).await?.reply()?;
    }
    let texts = texts(&user, canister).await?;
    check(texts.len() < 12, "that not all are kept")?;
    check(
        texts.last().is_some_and(|text| text.ends_with('l')),
        "that the newest is there",
    )?;
    check(
        texts.iter().all(|text| !text.ends_with('a')),
        "that the oldest is gone",
    )
}

async fn logs_cannot_be_fetched_by_a_call(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&talking()).await?;
    let management = Principal::management_canister();
    let signed = Request::call(management, "fetch_canister_logs", &about(canister)).sign(&user.key);
    let response = user.post_call("v4", canister, &signed).await?;
    match response.status {
        200 => answer_in(&response, &signed.id)?.refused().map(drop)?,
        _ => response.refused().map(drop)?,
    }
    fetch(&user, canister).await?.reply().map(drop)
}
