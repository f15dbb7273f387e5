//! Each function of the system API where it does not belong.

use crate::cases::prelude::*;

const IMPORTS_CLAUSE: &str = "Overview of imports";

pub const CASES: &[Case] = &[
    case!(
        IMPORTS_CLAUSE,
        an_update_cannot_use_what_belongs_elsewhere,
        WrongContextAllowed
    ),
    case!(
        IMPORTS_CLAUSE,
        a_query_cannot_use_what_belongs_elsewhere,
        WrongContextAllowed
    ),
    case!(
        IMPORTS_CLAUSE,
        a_query_that_is_called_cannot_use_what_belongs_elsewhere,
        WrongContextAllowed
    ),
    case!(
        IMPORTS_CLAUSE,
        a_composite_query_cannot_use_what_belongs_elsewhere,
        WrongContextAllowed
    ),
    case!(
        IMPORTS_CLAUSE,
        init_cannot_use_what_belongs_elsewhere,
        InstallWithoutArgument
    ),
    case!(
        IMPORTS_CLAUSE,
        pre_upgrade_cannot_use_what_belongs_elsewhere,
        SkipPreUpgrade
    ),
    case!(
        IMPORTS_CLAUSE,
        the_start_function_cannot_use_what_belongs_elsewhere,
        SkipInit
    ),
    case!(
        IMPORTS_CLAUSE,
        inspection_cannot_use_what_belongs_elsewhere,
        IgnoreInspection
    ),
    case!(
        IMPORTS_CLAUSE,
        a_reply_callback_cannot_use_what_belongs_elsewhere,
        WrongContextAllowed
    ),
    case!(
        IMPORTS_CLAUSE,
        a_reject_callback_cannot_use_what_belongs_elsewhere,
        WrongContextAllowed
    ),
    case!(
        IMPORTS_CLAUSE,
        a_cleanup_callback_cannot_use_what_belongs_elsewhere,
        SkipCleanup
    ),
    case!(
        IMPORTS_CLAUSE,
        a_timer_cannot_use_what_belongs_elsewhere,
        TimerNeverFires
    ),
];

/// The functions that a context must not use.
fn foreign(context: &str) -> Vec<&'static Import> {
    IMPORTS
        .iter()
        .filter(|import| !import.allowed_in(context))
        .collect()
}

/// Functions that need nothing to be called, and change nothing when they are called with zeros.
const HARMLESS: &[&str] = &[
    "msg_arg_data_size",
    "msg_caller_size",
    "msg_caller_info_data_size",
    "msg_reject_code",
    "msg_reject_msg_size",
    "msg_deadline",
    "msg_reply_data_append",
    "msg_cycles_available128",
    "msg_cycles_refunded128",
    "cycles_burn128",
    "canister_self_size",
    "canister_cycle_balance128",
    "canister_liquid_cycle_balance128",
    "canister_status",
    "canister_version",
    "subnet_self_size",
    "msg_method_name_size",
    "stable64_size",
    "stable64_grow",
    "root_key_size",
    "certified_data_set",
    "data_certificate_present",
    "data_certificate_size",
    "time",
    "global_timer_set",
    "performance_counter",
    "is_controller",
    "in_replicated_execution",
    "cost_call",
    "cost_create_canister",
    "env_var_count",
    "debug_print",
];

/// One step for each of them, and one that uses what is allowed.
fn steps(context: &str) -> Vec<Code> {
    let mut steps: Vec<Code> = foreign(context)
        .iter()
        .map(|import| import.called_with_zeros())
        .collect();
    let allowed = IMPORTS
        .iter()
        .filter(|import| import.allowed_in(context) && HARMLESS.contains(&import.name));
    steps.push(all(allowed.map(Import::called_with_zeros)));
    steps
}

/// Tries each function; `traps` says whether the one of this number trapped.
async fn each<F, R>(context: &str, mut traps: F) -> Verdict
where
    F: FnMut(u64) -> R,
    R: Future<Output = Result<bool, Failure>>,
{
    let foreign = foreign(context);
    for (number, import) in (0_u64..).zip(&foreign) {
        check(traps(number).await?, format!("that {} traps here", import.name))?;
    }
    let allowed = traps(u64::try_from(foreign.len())?).await?;
    check(!allowed, "that what is allowed does not trap")
}

/// Whether a call was rejected as an error of the canister.
fn trapped(answer: Answer) -> Result<bool, Failure> {
    match answer {
        Answer::Reply(_) => Ok(false),
        answer @ Answer::Reject(_) => answer.rejected(CANISTER_ERROR).map(|_| true),
    }
}

async fn an_update_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().update("go", [choose(arg_number(), steps("U")), reply()]);
    let canister = user.deploy(&module).await?;
    each("U", |row| {
        let user = &user;
        async move { trapped(user.update(canister, "go", &row.to_le_bytes()).await?) }
    })
    .await
}

async fn a_query_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().query("go", [choose(arg_number(), steps("NRQ")), reply()]);
    let canister = user.deploy(&module).await?;
    each("NRQ", |row| {
        let user = &user;
        async move { trapped(user.query(canister, "go", &row.to_le_bytes()).await?) }
    })
    .await
}

async fn a_query_that_is_called_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().query("go", [choose(arg_number(), steps("RQ")), reply()]);
    let canister = user.deploy(&module).await?;
    each("RQ", |row| {
        let user = &user;
        async move { trapped(user.update(canister, "go", &row.to_le_bytes()).await?) }
    })
    .await
}

async fn a_composite_query_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().composite("go", [choose(arg_number(), steps("CQ")), reply()]);
    let canister = user.deploy(&module).await?;
    each("CQ", |row| {
        let user = &user;
        async move { trapped(user.query(canister, "go", &row.to_le_bytes()).await?) }
    })
    .await
}

async fn init_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let module = Module::new().init([choose(arg_number(), steps("I"))]).build()?;
    each("I", |row| {
        let (user, module) = (&user, &module);
        async move {
            let mode = CanisterInstallMode::Reinstall;
            trapped(
                user.install_bytes(canister, mode, module, &row.to_le_bytes())
                    .await?,
            )
        }
    })
    .await
}

async fn pre_upgrade_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .update("pick", [set("row", arg_number()), reply()])
        .pre_upgrade([choose(get("row"), steps("G"))]);
    let canister = user.deploy(&module).await?;
    let (user, module) = (&user, &module);
    each("G", |row| async move {
        user.update(canister, "pick", &row.to_le_bytes()).await?.reply()?;
        trapped(user.upgrade(canister, module).await?)
    })
    .await
}

async fn the_start_function_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.create().await?;
    let user = &user;
    let bodies = steps("s");
    let bodies = &bodies;
    each("s", |row| async move {
        let step = usize::try_from(row).ok().and_then(|row| bodies.get(row)).cloned();
        let module = Module::new().start([step.unwrap_or_default()]);
        let mode = CanisterInstallMode::Reinstall;
        trapped(user.install(canister, mode, &module, b"").await?)
    })
    .await
}

async fn inspection_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .inspect([
            choose(arg_number(), steps("F")),
            "(call $accept_message)".to_owned(),
        ])
        .update("go", [reply()]);
    let canister = user.deploy(&module).await?;
    each("F", |row| {
        let user = &user;
        async move { trapped(user.update(canister, "go", &row.to_le_bytes()).await?) }
    })
    .await
}

/// A canister whose callbacks try a row, and one that it calls.
async fn callbacks(net: &Network, context: &str, method: &str) -> Result<(User, Principal), Failure> {
    let user = net.user();
    let callee = user
        .deploy(
            &Module::new()
                .update("yes", [reply()])
                .update("no", [reject("no")]),
        )
        .await?;
    let call = Call::to(callee, method).then("row").cleanup("clean", 0);
    // The cleanup marks that it came to its end.
    let body = all([choose(get("row"), steps(context)), set("done", get("row"))]);
    let (row, clean) = if context == "C" {
        (all([trap("to clean up")]), body)
    } else {
        (all([body, reply()]), skip())
    };
    let module = Module::new()
        .update("go", [set("row", arg_number()), call.go()])
        .callback("row", [row])
        .callback("clean", [clean])
        .init([set("done", int(99_999))])
        .query("done", [answer_numbers([get("done")])]);
    let canister = user.deploy(&module).await?;
    Ok((user, canister))
}

async fn a_reply_callback_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let (user, canister) = callbacks(&net, "Ry", "yes").await?;
    let user = &user;
    each("Ry", |row| async move {
        trapped(user.update(canister, "go", &row.to_le_bytes()).await?)
    })
    .await
}

async fn a_reject_callback_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let (user, canister) = callbacks(&net, "Rt", "no").await?;
    let user = &user;
    each("Rt", |row| async move {
        trapped(user.update(canister, "go", &row.to_le_bytes()).await?)
    })
    .await
}

async fn a_cleanup_callback_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let (user, canister) = callbacks(&net, "C", "yes").await?;
    let user = &user;
    each("C", |row| async move {
        user.update(canister, "go", &row.to_le_bytes())
            .await?
            .rejected(CANISTER_ERROR)?;
        Ok(user.query(canister, "done", b"").await?.number()? != row)
    })
    .await
}

async fn a_timer_cannot_use_what_belongs_elsewhere(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .init([set("done", int(99_999))])
        .update(
            "go",
            [set("row", arg_number()), drop_it(set_timer(int(1))), reply()],
        )
        .timer([choose(get("row"), steps("T")), set("done", get("row"))])
        // The timer is off once it is scheduled, also when it traps.
        .update(
            "pending",
            [
                set("was", set_timer(int(0))),
                when(get("was"), [drop_it(set_timer(get("was")))]),
                answer_numbers([get("was")]),
            ],
        )
        .query("done", [answer_numbers([get("done")])]);
    let canister = user.deploy(&module).await?;
    let user = &user;
    each("T", |row| async move {
        user.update(canister, "go", &row.to_le_bytes()).await?.reply()?;
        eventually(|| async {
            let pending = user.update(canister, "pending", b"").await?.number()?;
            Ok((pending == 0).then_some(()))
        })
        .await?;
        Ok(user.query(canister, "done", b"").await?.number()? != row)
    })
    .await
}
