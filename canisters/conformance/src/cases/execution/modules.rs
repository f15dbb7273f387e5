//! Which modules are canisters.

use crate::cases::prelude::*;

const REQUIREMENTS: &str = "WebAssembly module requirements";
const FORMAT: &str = "Canister module format";

pub const CASES: &[Case] = &[
    case!(REQUIREMENTS, bytes_that_are_no_module_are_refused),
    case!(REQUIREMENTS, only_functions_of_the_system_api_can_be_imported),
    case!(
        REQUIREMENTS,
        names_that_begin_with_canister_are_reserved,
        LaxModules
    ),
    case!(
        REQUIREMENTS,
        entry_points_have_neither_parameters_nor_results,
        LaxModules
    ),
    case!(REQUIREMENTS, a_method_is_of_one_kind, LaxModules),
    case!(REQUIREMENTS, a_module_has_at_most_one_memory),
    case!(
        REQUIREMENTS,
        sections_for_the_ic_are_public_or_private_and_named_once,
        LaxModules
    ),
    case!(
        REQUIREMENTS,
        a_module_with_too_much_of_something_is_refused,
        LaxModules
    ),
    case!(
        FORMAT,
        a_broken_gzip_stream_is_refused;
        twin the_hash_of_a_compressed_module_is_that_of_the_uploaded_bytes
    ),
    case!(
        "Public methods",
        the_name_of_a_method_can_have_spaces,
        MissingMethodIsAbsent
    ),
    case!(
        REQUIREMENTS,
        a_refused_module_leaves_the_one_that_is_there,
        RefusedModuleEmpties
    ),
];

async fn tried(user: &User, module: &[u8]) -> Result<Answer, Failure> {
    let canister = user.create().await?;
    user.install_bytes(canister, CanisterInstallMode::Install, module, b"")
        .await
}

async fn refuses(user: &User, what: &str, module: &[u8]) -> Verdict {
    let answer = tried(user, module).await?;
    answer
        .refused()
        .map(drop)
        .map_err(|failure| Failure::new(format!("{what}: {failure}")))
}

async fn takes(user: &User, what: &str, module: &[u8]) -> Verdict {
    let answer = tried(user, module).await?;
    answer
        .reply()
        .map(drop)
        .map_err(|failure| Failure::new(format!("{what}: {failure}")))
}

async fn bytes_that_are_no_module_are_refused(net: Network) -> Verdict {
    let user = net.user();
    let good = counter().build()?;
    refuses(&user, "nothing", b"").await?;
    refuses(&user, "text", b"hello").await?;
    refuses(&user, "a header alone with a wrong version", b"\0asm\x02\0\0\0").await?;
    refuses(
        &user,
        "half a module",
        good.get(..good.len() / 2).unwrap_or_default(),
    )
    .await?;
    takes(&user, "the smallest module", b"\0asm\x01\0\0\0").await?;
    takes(&user, "a whole module", &good).await
}

async fn only_functions_of_the_system_api_can_be_imported(net: Network) -> Verdict {
    let user = net.user();
    let imports = [
        (
            "another module",
            "(module (import \"env\" \"time\" (func (result i64))))",
        ),
        (
            "an unknown name",
            "(module (import \"ic0\" \"clock\" (func (result i64))))",
        ),
        (
            "a wrong type",
            "(module (import \"ic0\" \"time\" (func (result i32))))",
        ),
        ("a memory", "(module (import \"ic0\" \"memory\" (memory 1)))"),
        ("a global", "(module (import \"ic0\" \"time\" (global i64)))"),
    ];
    for (what, module) in imports {
        refuses(&user, what, &wat::parse_str(module)?).await?;
    }
    let good = "(module (import \"ic0\" \"time\" (func (result i64))))";
    takes(&user, "the right import", &wat::parse_str(good)?).await
}

async fn names_that_begin_with_canister_are_reserved(net: Network) -> Verdict {
    let user = net.user();
    for name in [
        "canister_",
        "canister_inspect",
        "canister_update",
        "canister_updates x",
        "canister_method x",
    ] {
        refuses(&user, name, &Module::new().export(name, [skip()]).build()?).await?;
    }
    takes(
        &user,
        "another name",
        &Module::new().export("canistr_x", [skip()]).build()?,
    )
    .await
}

async fn entry_points_have_neither_parameters_nor_results(net: Network) -> Verdict {
    let user = net.user();
    for name in [
        "canister_init",
        "canister_update go",
        "canister_query go",
        "canister_global_timer",
    ] {
        for kind in ["(param i32)", "(result i32) (i32.const 0)"] {
            let module = format!("(module (func (export \"{name}\") {kind}))");
            refuses(&user, name, &wat::parse_str(module)?).await?;
        }
        let plain = format!("(module (func (export \"{name}\")))");
        takes(&user, name, &wat::parse_str(plain)?).await?;
    }
    Ok(())
}

async fn a_method_is_of_one_kind(net: Network) -> Verdict {
    let user = net.user();
    let plain = || [skip()];
    refuses(
        &user,
        "update and query",
        &Module::new().update("x", plain()).query("x", plain()).build()?,
    )
    .await?;
    refuses(
        &user,
        "query and composite",
        &Module::new()
            .query("x", plain())
            .composite("x", plain())
            .build()?,
    )
    .await?;
    takes(
        &user,
        "two names",
        &Module::new().update("x", plain()).query("y", plain()).build()?,
    )
    .await
}

async fn a_module_has_at_most_one_memory(net: Network) -> Verdict {
    let user = net.user();
    refuses(
        &user,
        "two memories",
        &wat::parse_str("(module (memory 1) (memory 1))")?,
    )
    .await?;
    takes(&user, "one memory", &wat::parse_str("(module (memory 1))")?).await?;
    takes(&user, "none", &wat::parse_str("(module)")?).await
}

async fn sections_for_the_ic_are_public_or_private_and_named_once(net: Network) -> Verdict {
    let user = net.user();
    let module = |names: &[&str]| {
        names
            .iter()
            .fold(Module::new(), |module, name| module.section(name, b"x"))
    };
    refuses(&user, "neither", &module(&["icp:secret x"]).build()?).await?;
    refuses(&user, "no kind", &module(&["icp:x"]).build()?).await?;
    refuses(
        &user,
        "both",
        &module(&["icp:public x", "icp:private x"]).build()?,
    )
    .await?;
    takes(
        &user,
        "others",
        &module(&["icp:public x", "icp:private y", "other"]).build()?,
    )
    .await
}

async fn a_module_with_too_much_of_something_is_refused(net: Network) -> Verdict {
    let user = net.user();
    let many = |count: usize, field: &str| format!("(module {})", field.repeat(count));
    let methods = |count: usize, length: usize| {
        let names = (0..count).map(|at| format!("(func (export \"canister_query {at:0>length$}\"))"));
        format!("(module {})", names.collect::<String>())
    };
    let sections = |count: usize| {
        (0..count).fold(Module::new(), |module, at| {
            module.section(&format!("icp:public {at}"), b"x")
        })
    };
    for (what, most, more) in [
        (
            "globals",
            many(1_000, "(global i32 (i32.const 0))"),
            many(1_001, "(global i32 (i32.const 0))"),
        ),
        ("functions", many(2_000, "(func)"), many(50_001, "(func)")),
        ("methods", methods(1_000, 4), methods(1_001, 4)),
        ("letters in names", methods(200, 100), methods(200, 101)),
    ] {
        takes(&user, what, &wat::parse_str(most)?).await?;
        refuses(&user, what, &wat::parse_str(more)?).await?;
    }
    takes(&user, "sections", &sections(16).build()?).await?;
    refuses(&user, "sections", &sections(17).build()?).await?;
    let bytes = |size: usize| Module::new().section("icp:public x", &vec![7; size]).build();
    takes(&user, "bytes of sections", &bytes((1 << 20) - 100)?).await?;
    refuses(&user, "bytes of sections", &bytes((1 << 20) + 1)?).await
}

async fn a_broken_gzip_stream_is_refused(net: Network) -> Verdict {
    let user = net.user();
    refuses(&user, "a header alone", &[0x1f, 0x8b, 0x08]).await?;
    let mut rubbish = vec![0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 3];
    rubbish.extend([0x55; 100]);
    refuses(&user, "rubbish", &rubbish).await
}

async fn the_name_of_a_method_can_have_spaces(net: Network) -> Verdict {
    let user = net.user();
    let module = Module::new()
        .update("<internal> a b", [answer(bytes("heard"))])
        .update(" x", [answer(bytes("space"))]);
    let canister = user.deploy(&module).await?;
    equal(
        "the reply",
        user.update(canister, "<internal> a b", b"").await?.reply()?,
        b"heard".to_vec(),
    )?;
    equal(
        "the reply",
        user.update(canister, " x", b"").await?.reply()?,
        b"space".to_vec(),
    )?;
    user.update(canister, "x", b"")
        .await?
        .rejected(CANISTER_ERROR)
        .map(drop)
}

async fn a_refused_module_leaves_the_one_that_is_there(net: Network) -> Verdict {
    let user = net.user();
    let canister = user.deploy(&counter()).await?;
    user.update(canister, "inc", b"").await?.reply()?;
    for mode in [CanisterInstallMode::Reinstall, CanisterInstallMode::Upgrade(None)] {
        user.install_bytes(canister, mode, b"rubbish", b"")
            .await?
            .refused()?;
    }
    equal("the count", user.update(canister, "inc", b"").await?.number()?, 2)?;
    user.upgrade(canister, &counter()).await?.reply()?;
    let count = user.update(canister, "inc", b"").await?.number()?;
    equal("the count after a good one", count, 1)
}
