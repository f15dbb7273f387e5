//! Blobs in and out of canisters.

use crate::cases::prelude::*;

const ARGUMENTS: &str = "Method arguments";
const BLOBS: &str = "Blob-typed arguments and results";

pub const CASES: &[Case] = &[
    case!(ARGUMENTS, a_method_gets_the_argument_of_the_call),
    case!(ARGUMENTS, an_argument_can_be_as_large_as_a_message, SmallMessages),
    case!(BLOBS, a_part_of_an_argument_can_be_copied, CopyIgnoresOffset),
    case!(BLOBS, copying_beyond_the_end_of_a_blob_traps, CopyBeyondEnd),
    case!(BLOBS, copying_to_or_from_beyond_the_memory_traps, LaxMemory),
    case!(
        "Self-identification",
        a_canister_knows_its_id_and_its_subnet,
        WrongSelf
    ),
    case!(
        ARGUMENTS,
        an_ingress_message_has_no_deadline,
        WrongDeadline;
        twin the_callee_of_a_bounded_call_sees_its_deadline
    ),
];

async fn a_method_gets_the_argument_of_the_call(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .update("echo", [answer(arg())])
        .query("say", [answer(arg())]);
    let canister = user.deploy(&module).await?;
    // Without an argument it gets none, also after others.
    for sent in [b"".as_slice(), b"hello", &[0xff; 300], b""] {
        equal(
            "an update",
            user.update(canister, "echo", sent).await?.reply()?,
            sent.to_vec(),
        )?;
        equal(
            "a query",
            user.query(canister, "say", sent).await?.reply()?,
            sent.to_vec(),
        )?;
    }
    Ok(())
}

async fn an_argument_can_be_as_large_as_a_message(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new().update("echo", [answer(arg())]);
    let canister = user.deploy(&module).await?;
    let sent: Vec<u8> = (0..1_900_000_u32).map(|at| at.to_le_bytes()[1]).collect();
    let reply = user.update(canister, "echo", &sent).await?.reply()?;
    check(reply == sent, "the same bytes back")?;
    // No subnet takes ingress messages of 4 MiB.
    let signed = Request::call(canister, "echo", &vec![7; 4 << 20]).sign(&user.key);
    let response = user.post_call("v4", canister, &signed).await?;
    response.refused().map(drop)
}

async fn a_part_of_an_argument_can_be_copied(net: Network) -> Verdict {
    let user = net.user();
    let copy = "(call $msg_arg_data_copy (i32.const 4096) (i32.const 2) (i32.const 3))".to_owned();
    let module = Module::new().update("part", [copy, answer("(i32.const 4096) (i32.const 3)")]);
    let canister = user.deploy(&module).await?;
    equal(
        "the part",
        user.update(canister, "part", b"abcdefg").await?.reply()?,
        b"cde".to_vec(),
    )?;
    user.update(canister, "part", b"abcd")
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

async fn copying_beyond_the_end_of_a_blob_traps(net: Network) -> Verdict {
    let copy = |name: &str, offset: &str, size: &str| {
        format!("(call ${name} (i32.const 0) (i32.const {offset}) (i32.const {size}))")
    };
    let mut steps = Vec::new();
    for name in [
        "msg_arg_data_copy",
        "msg_caller_copy",
        "canister_self_copy",
        "subnet_self_copy",
    ] {
        for (offset, size) in [("0", "30"), ("30", "0"), ("1", "-1"), ("-1", "1")] {
            steps.push(copy(name, offset, size));
        }
    }
    let rows = u64::try_from(steps.len())?;
    steps.push(copy("msg_arg_data_copy", "8", "0"));
    let user = net.user();
    let module = Module::new().update("go", [choose(arg_number(), steps), reply()]);
    let canister = user.deploy(&module).await?;
    each_row_traps(&user, canister, rows).await?;
    user.update(canister, "go", &rows.to_le_bytes())
        .await?
        .reply()
        .map(drop)
}

async fn copying_to_or_from_beyond_the_memory_traps(net: Network) -> Verdict {
    let steps = |at: &str, length: &str| {
        [
            format!("(call $msg_arg_data_copy {at} (i32.const 0) (i32.const 1))"),
            format!("(call $canister_self_copy {at} (i32.const 0) (i32.const 1))"),
            format!("(call $msg_reply_data_append {at} (i32.const 1))"),
            format!("(call $certified_data_set {at} (i32.const 1))"),
            format!("(drop (call $is_controller {at} (i32.const 1)))"),
            format!("(call $canister_cycle_balance128 {at})"),
            format!("(call $msg_reply_data_append (i32.const 8) {length})"),
            format!("(call $msg_reject {at} (i32.const 1))"),
            // This one never traps.
            format!("(call $debug_print {at} (i32.const 1))"),
        ]
    };
    let outside = steps("(i32.const 0x7fff0000)", "(i32.const -1)");
    let inside = steps("(i32.const 16)", "(i32.const 1)");
    let answered = when(minus(arg_number(), int(7)), [reply()]);
    let user = net.user();
    let module = Module::new()
        .update("go", [choose(arg_number(), outside), reply()])
        .update("inside", [choose(arg_number(), inside), answered]);
    let canister = user.deploy(&module).await?;
    each_row_traps(&user, canister, 8_u64).await?;
    user.update(canister, "go", &8_u64.to_le_bytes()).await?.reply()?;
    for row in 0..9_u64 {
        let answer = user.update(canister, "inside", &row.to_le_bytes()).await?;
        match row {
            7 => drop(answer.rejected(CANISTER_REJECT)?),
            _ => drop(answer.reply()?),
        }
    }
    Ok(())
}

async fn a_canister_knows_its_id_and_its_subnet(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .query("own", [answer(own_id())])
        .query("subnet", [answer(fetched("subnet_self"))]);
    // Two with the same code, each of which has its own.
    for canister in [user.deploy(&module).await?, user.deploy(&module).await?] {
        equal(
            "its id",
            user.query(canister, "own", b"").await?.reply()?,
            canister.as_slice().to_vec(),
        )?;
        let certificate = user.read(canister, &[]).await?;
        let subnet = match &certificate.delegation {
            Some((subnet, _)) => *subnet,
            None => Principal::self_authenticating(net.root_key()),
        };
        equal(
            "its subnet",
            user.query(canister, "subnet", b"").await?.reply()?,
            subnet.as_slice().to_vec(),
        )?;
    }
    Ok(())
}

async fn an_ingress_message_has_no_deadline(net: Network) -> Verdict {
    let user = net.user();
    let told = [answer_numbers([plus(sys("msg_deadline"), int(1))])];
    let module = Module::new().update("update", told.clone()).query("query", told);
    let canister = user.deploy(&module).await?;
    equal(
        "an update",
        user.update(canister, "update", b"").await?.number()?,
        1,
    )?;
    equal("a query", user.query(canister, "query", b"").await?.number()?, 1)
}
