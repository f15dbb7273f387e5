//! What a canister can find out about itself and its surroundings.

use crate::cases::prelude::*;
use ic_management_canister_types::EnvironmentVariable;

const TIME: &str = "System time";
const VERSION: &str = "Canister version";
const VARIABLES: &str = "Environment Variables";
const COUNTER: &str = "Performance counter";

pub const CASES: &[Case] = &[
    case!(
        TIME,
        the_time_stands_still_during_an_execution_and_moves_between_them
    ),
    case!(COUNTER, the_performance_counter_counts_work, CounterStandsStill),
    case!(
        "Controller check",
        a_canister_can_check_who_controls_it,
        FlatteringView
    ),
    case!(
        "Canister status",
        a_canister_sees_its_status_during_an_upgrade,
        FlatteringView
    ),
    case!(
        VERSION,
        the_version_grows_with_every_change,
        VersionStandsStill;
        twin the_version_does_not_change_by_queries_or_traps
    ),
    case!(
        VERSION,
        the_version_does_not_change_by_queries_or_traps,
        VersionByTraps
    ),
    case!(
        VERSION,
        post_upgrade_sees_a_later_version_than_pre_upgrade,
        SkipPreUpgrade
    ),
    case!(
        "Replicated execution check",
        a_canister_knows_whether_it_runs_replicated,
        FlatteringView
    ),
    case!(
        VARIABLES,
        environment_variables_can_be_listed_and_read,
        NoEnvironment
    ),
    case!(
        VARIABLES,
        asking_for_a_variable_that_is_not_there_traps,
        LaxEnvironment
    ),
    case!("Certified data", a_canister_knows_the_root_key, WrongSelf),
    case!("Cycles", a_canister_sees_and_can_burn_its_cycles, IgnoreWishes),
];

async fn the_time_stands_still_during_an_execution_and_moves_between_them(net: Network) -> Verdict {
    let module = Module::new().update(
        "go",
        [
            set("a", sys("time")),
            spin(100_000),
            answer_numbers([get("a"), sys("time")]),
        ],
    );
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let mut last = 0;
    for _ in 0..4 {
        let seen = user.update(canister, "go", b"").await?.numbers()?;
        let [first, second] = seen.as_slice() else {
            return Err(Failure::new("expected two times"));
        };
        equal("the second look", first, second)?;
        check(*first > last, format!("a time after {last}, seen {first}"))?;
        last = *first;
    }
    check(
        now().abs_diff(last) < 5 * MINUTE,
        "a time near that of this machine",
    )
}

async fn the_performance_counter_counts_work(net: Network) -> Verdict {
    let counter = |kind: u32| format!("(call $performance_counter (i32.const {kind}))");
    let module = Module::new()
        .query("little", [answer_numbers([counter(0), counter(1)])])
        .query("much", [spin(100_000), answer_numbers([counter(0), counter(1)])])
        .query("wrong", [answer_numbers([counter(2)])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let little = user.query(canister, "little", b"").await?.numbers()?;
    let much = user.query(canister, "much", b"").await?.numbers()?;
    for (little, much) in little.iter().zip(&much) {
        check(
            *little > 0 && *much > little + 100_000,
            format!("{much} much above {little}"),
        )?;
    }
    user.query(canister, "wrong", b"")
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

async fn a_canister_can_check_who_controls_it(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().query("is", [answer_numbers([ask("is_controller", arg())])]);
    let canister = user.deploy(&module).await?;
    for (who, expected) in [
        (user.id(), 1),
        (net.user().id(), 0),
        (canister, 0),
        (Principal::anonymous(), 0),
    ] {
        let seen = user.query(canister, "is", who.as_slice()).await?.number()?;
        equal("whether it is a controller", seen, expected)?;
    }
    user.query(canister, "is", &[1; 30])
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

async fn a_canister_sees_its_status_during_an_upgrade(net: Network) -> Verdict {
    let module = Module::new()
        .init([set("seen", sys32("canister_status"))])
        .post_upgrade([set("seen", sys32("canister_status"))])
        .query("get", [answer_numbers([get("seen"), sys32("canister_status")])]);
    let user = net.user();
    let canister = user.deploy(&module).await?;
    equal(
        "while running",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![1, 1],
    )?;
    user.stop(canister).await?;
    user.upgrade(canister, &module).await?.reply()?;
    user.manage(canister, "start_canister", &about(canister))
        .await?
        .reply()?;
    equal(
        "while stopped",
        user.query(canister, "get", b"").await?.numbers()?,
        vec![3, 1],
    )
}

fn versioned() -> Module {
    Module::new()
        .update("touch", [reply()])
        .update("trap", [trap("no")])
        .query("version", [answer_numbers([sys("canister_version")])])
        .pre_upgrade([set_stable(0, sys("canister_version"))])
        .post_upgrade([set("old", stable(0)), set("new", sys("canister_version"))])
        .query("seen", [answer_numbers([get("old"), get("new")])])
}

async fn the_version_grows_with_every_change(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&versioned()).await?;
    let mut last = user.query(canister, "version", b"").await?.number()?;
    check(last > 0, "a version above 0 after the install")?;
    for change in ["touch", "settings", "stop", "start", "upgrade", "touch"] {
        match change {
            "settings" => user.set(canister, CanisterSettings::default()).await?.reply()?,
            "stop" => user
                .manage(canister, "stop_canister", &about(canister))
                .await?
                .reply()?,
            "start" => user
                .manage(canister, "start_canister", &about(canister))
                .await?
                .reply()?,
            "upgrade" => user.upgrade(canister, &versioned()).await?.reply()?,
            method => user.update(canister, method, b"").await?.reply()?,
        };
        let version = user.status(canister).await?.version;
        check(
            version > last,
            format!("a version above {last} after `{change}`, seen {version}"),
        )?;
        last = version;
    }
    let own = user.query(canister, "version", b"").await?.number()?;
    equal("the version that the canister sees", own, last)
}

async fn the_version_does_not_change_by_queries_or_traps(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&versioned()).await?;
    let before = user.query(canister, "version", b"").await?.number()?;
    user.update(canister, "trap", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    for _ in 0..3 {
        equal(
            "the version",
            user.query(canister, "version", b"").await?.number()?,
            before,
        )?;
    }
    user.update(canister, "touch", b"").await?.reply()?;
    let after = user.query(canister, "version", b"").await?.number()?;
    check(after > before, "a later version after an update")
}

async fn post_upgrade_sees_a_later_version_than_pre_upgrade(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&versioned()).await?;
    let before = user.query(canister, "version", b"").await?.number()?;
    user.upgrade(canister, &versioned()).await?.reply()?;
    let seen = user.query(canister, "seen", b"").await?.numbers()?;
    let [old, new] = seen.as_slice() else {
        return Err(Failure::new("expected two versions"));
    };
    equal("what pre_upgrade saw", *old, before)?;
    check(
        new > old,
        format!("that post_upgrade sees a version above {old}, seen {new}"),
    )
}

async fn a_canister_knows_whether_it_runs_replicated(net: Network) -> Verdict {
    let told = || [answer_numbers([sys32("in_replicated_execution")])];
    let user = net.user();
    let canister = user
        .deploy(&Module::new().update("update", told()).query("query", told()))
        .await?;
    equal(
        "an update",
        user.update(canister, "update", b"").await?.number()?,
        1,
    )?;
    equal("a query", user.query(canister, "query", b"").await?.number()?, 0)?;
    equal(
        "a query that is called",
        user.update(canister, "query", b"").await?.number()?,
        1,
    )
}

fn variables(pairs: &[(&str, &str)]) -> CanisterSettings {
    let variables = pairs.iter().map(|(name, value)| EnvironmentVariable {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    CanisterSettings {
        environment_variables: Some(variables.collect()),
        ..CanisterSettings::default()
    }
}

fn reader() -> Module {
    let first =
        "(call $env_var_name_copy (i32.const 0) (i32.const 4096) (i32.const 0) (i32.const 5))".to_owned();
    Module::new()
        .query("count", [answer_numbers([sys32("env_var_count")])])
        .query("exists", [answer_numbers([ask("env_var_name_exists", arg())])])
        .query("value", [answer(format!("(call $env_value {})", arg()))])
        .query("first", [first, answer("(i32.const 4096) (i32.const 5)")])
        .query(
            "size",
            [answer_numbers([wide("(call $env_var_name_size (i32.const 0))")])],
        )
        .query(
            "beyond",
            [answer_numbers([wide("(call $env_var_name_size (i32.const 1))")])],
        )
}

async fn environment_variables_can_be_listed_and_read(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&reader()).await?;
    equal("at first", user.query(canister, "count", b"").await?.number()?, 0)?;
    user.set(canister, variables(&[("COLOR", "green")]))
        .await?
        .reply()?;
    equal(
        "the count",
        user.query(canister, "count", b"").await?.number()?,
        1,
    )?;
    equal(
        "the first name",
        user.query(canister, "first", b"").await?.reply()?,
        b"COLOR".to_vec(),
    )?;
    equal(
        "its length",
        user.query(canister, "size", b"").await?.number()?,
        5,
    )?;
    equal(
        "its value",
        user.query(canister, "value", b"COLOR").await?.reply()?,
        b"green".to_vec(),
    )?;
    equal(
        "whether it exists",
        user.query(canister, "exists", b"COLOR").await?.number()?,
        1,
    )?;
    equal(
        "whether another exists",
        user.query(canister, "exists", b"SHAPE").await?.number()?,
        0,
    )?;
    user.set(canister, variables(&[])).await?.reply()?;
    equal(
        "in the end",
        user.query(canister, "count", b"").await?.number()?,
        0,
    )
}

async fn asking_for_a_variable_that_is_not_there_traps(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&reader()).await?;
    user.set(canister, variables(&[("A", "1")])).await?.reply()?;
    user.query(canister, "value", b"B")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "beyond", b"")
        .await?
        .rejected(CANISTER_ERROR)?;
    user.query(canister, "value", &[0xff])
        .await?
        .rejected(CANISTER_ERROR)?;
    equal(
        "the one that is there",
        user.query(canister, "value", b"A").await?.reply()?,
        b"1".to_vec(),
    )
}

async fn a_canister_knows_the_root_key(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .update("key", [answer(fetched("root_key"))])
        .query("ask", [answer(fetched("root_key"))]);
    let canister = user.deploy(&module).await?;
    equal(
        "the key",
        user.update(canister, "key", b"").await?.reply()?,
        net.root_key().to_vec(),
    )?;
    user.query(canister, "ask", b"")
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

async fn a_canister_sees_and_can_burn_its_cycles(net: Network) -> Verdict {
    let balance = || low128("canister_cycle_balance128");
    let billion = 1_000_000_000_000_u64;
    let module = Module::new()
        .query(
            "balance",
            [answer_numbers([
                balance(),
                low128("canister_liquid_cycle_balance128"),
            ])],
        )
        .update(
            "burn",
            [answer_numbers([format!("(call $burn_cycles {})", arg_number())])],
        );
    let user = net.user();
    let canister = user.deploy(&module).await?;
    let before = user.query(canister, "balance", b"").await?.numbers()?;
    let [balance, liquid] = before.as_slice() else {
        return Err(Failure::new("expected two balances"));
    };
    check(
        *balance <= CYCLES && *balance > CYCLES / 2,
        format!("about {CYCLES} cycles, seen {balance}"),
    )?;
    check(liquid <= balance, "that no more than all are liquid")?;
    for burnt in [0, billion] {
        let seen = user.update(canister, "burn", &burnt.to_le_bytes()).await?;
        equal("what is burnt", seen.number()?, burnt)?;
        let after = user.query(canister, "balance", b"").await?.numbers()?;
        let gone = after.first().is_some_and(|after| *after <= balance - billion);
        equal("whether a billion is gone", gone, burnt == billion)?;
    }
    Ok(())
}
