//! Environments, promotions and decisions: the program against a Kubernetes API that answers from a script.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod api;
#[path = "../support/mod.rs"]
mod support;

use serde_json::{Value, json};

use api::{Api, World, identity, promotion, shop};
use support::text;

#[test]
fn a_promotion_names_who_asks_and_says_how_to_follow_it() {
    let api = Api::start(shop());
    let done = api.dcanary(&["promote", "production", "web-42", "--reason", "search is faster"]);
    assert_eq!(done.status.code(), Some(0), "{}", text(&done.stderr));
    let made = api.last();
    assert_eq!(
        made["spec"],
        json!({
            "environmentRef": {"name": "production"}, "releaseRef": {"name": "web-42"},
            "requestedBy": "bo", "reason": "search is faster",
        })
    );
    let name = made["metadata"]["name"].as_str().unwrap();
    assert_eq!(text(&done.stdout), format!("{name}\n"));
    let said = text(&done.stderr);
    assert!(
        said.contains("dcanary get env production -w") && said.contains(&format!("dcanary abort {name}")),
        "{said}"
    );
    assert_eq!(
        api.shown(&["promote", "production", "web-42", "-o", "name"])
            .split('/')
            .next(),
        Some("promotion.dcanary.dev")
    );
}

#[test]
fn whoever_waits_for_a_promotion_learns_from_the_exit_code_how_it_ended() {
    for (ends, code) in [
        (("True", "Promoted"), 0),
        (("False", "AnalysisFailed"), 1),
        (("False", "Aborted"), 3),
        (("False", "ApprovalTimedOut"), 4),
    ] {
        let api = Api::start(World { ends, ..shop() });
        let done = api.dcanary(&["promote", "production", "web-42", "--wait"]);
        assert_eq!(done.status.code(), Some(code), "{ends:?}: {}", text(&done.stderr));
        assert!(text(&done.stderr).contains(ends.1), "{}", text(&done.stderr));
    }
}

#[test]
fn what_is_to_be_promoted_has_to_be_there() {
    let api = Api::start(shop());
    let said = api.refused(&["promote", "production", "web-99"], 5);
    assert!(
        said.contains("Release web-99 is not in namespace shop") && said.contains("dcanary get releases -A"),
        "{said}"
    );
    let said = api.refused(&["promote", "prod", "web-42"], 5);
    assert!(
        said.contains("Environment prod is not in namespace shop"),
        "{said}"
    );
    let said = api.refused(
        &["promote", "production", "web-42", "--from-namespace", "builds"],
        2,
    );
    assert!(said.contains("spec.allowedFrom.namespaces"), "{said}");
}

#[test]
fn an_approval_counts_for_the_exact_promotion_and_release_that_was_shown() {
    let api = Api::start(shop());
    for named in ["web-42-aaaaa", "production", "web-42"] {
        let done = api.dcanary(&["approve", named, "--yes", "--reason", "tested", "--expires", "1h"]);
        assert_eq!(done.status.code(), Some(0), "{named}: {}", text(&done.stderr));
        assert!(
            text(&done.stderr).contains(&identity("4")),
            "it was not shown: {}",
            text(&done.stderr)
        );
        let made = api.last();
        assert_eq!(
            made["spec"]["for"],
            json!({"kind": "Promotion", "name": "web-42-aaaaa", "uid": "uid-web-42-aaaaa", "digest": identity("4")})
        );
        assert_eq!(made["spec"]["verb"], "approve");
        assert_eq!(made["spec"]["by"], json!({"username": "bo", "groups": ["sre"]}));
        assert!(made["spec"]["expiresAt"].is_string());
    }
}

#[test]
fn an_approval_without_a_person_to_ask_needs_yes_or_the_identity() {
    let api = Api::start(shop());
    let said = api.refused(&["approve", "web-42-aaaaa"], 2);
    assert!(said.contains("--yes to approve"), "{said}");
    let said = api.refused(&["approve", "web-42-aaaaa", "--identity", &identity("5")], 1);
    assert!(said.contains("of another release"), "{said}");
    api.shown(&["approve", "web-42-aaaaa", "--identity", &identity("4")]);
    assert_eq!(api.last()["spec"]["for"]["digest"], identity("4"));
}

#[test]
fn whoever_asked_cannot_approve_and_an_ended_promotion_is_beyond_it() {
    let api = Api::start(World {
        caller: "ada",
        ..shop()
    });
    let said = api.refused(&["approve", "web-42-aaaaa", "--yes"], 2);
    assert!(
        said.contains("you asked for Promotion web-42-aaaaa yourself"),
        "{said}"
    );
    let said = api.refused(&["approve", "web-41-bbbbb", "--yes"], 2);
    assert!(
        said.contains("has ended (Promoted): nothing to approve"),
        "{said}"
    );
}

#[test]
fn every_other_decision_about_a_promotion_is_one_command() {
    let api = Api::start(shop());
    for verb in ["abort", "pause", "resume", "skip", "retry"] {
        api.shown(&[verb, "production"]);
        let made = api.last();
        assert_eq!(
            (
                made["spec"]["verb"].as_str(),
                made["spec"]["for"]["kind"].as_str()
            ),
            (Some(verb), Some("Promotion"))
        );
    }
    for verb in ["reject", "override"] {
        let done = api.dcanary(&[verb, "web-42-aaaaa"]);
        assert_eq!(done.status.code(), Some(2), "{verb} needs a reason");
        assert!(text(&done.stderr).contains("--reason"), "{}", text(&done.stderr));
        api.shown(&[verb, "web-42-aaaaa", "--reason", "because"]);
        assert_eq!(api.last()["spec"]["reason"], "because");
    }
}

#[test]
fn an_answer_to_an_environment_is_about_the_promotion_that_waits_there_and_says_which() {
    let mut world = shop();
    // 42 is in its steps, 43 waits for approval
    world.objects[2].1["status"]["conditions"][0]["reason"] = json!("Stepping");
    world
        .objects
        .push(("promotions", promotion("web-43-ccccc", "web-43", None)));
    let api = Api::start(world.clone());
    for arguments in [
        &["approve", "production", "--yes"][..],
        &["reject", "production", "--reason", "licence"],
    ] {
        let done = api.dcanary(arguments);
        let said = text(&done.stderr);
        assert_eq!(done.status.code(), Some(0), "{said}");
        assert_eq!(api.last()["spec"]["for"]["name"], "web-43-ccccc", "{arguments:?}");
        assert!(
            said.contains("Promotion web-43-ccccc, which waits for approval"),
            "{said}"
        );
    }
    let done = api.dcanary(&["abort", "production"]);
    assert!(
        text(&done.stderr).contains("Promotion web-42-aaaaa, which is under way"),
        "{}",
        text(&done.stderr)
    );
    world
        .objects
        .push(("promotions", promotion("web-44-ddddd", "web-44", None)));
    let several = Api::start(world);
    let said = several.refused(&["approve", "production", "--yes"], 2);
    assert!(
        said.contains(
            "web-43-ccccc (Release web-43), web-44-ddddd (Release web-44): name the promotion to approve"
        ),
        "{said}"
    );
}

#[test]
fn undo_hold_and_unhold_are_about_the_environment() {
    let mut settled = shop();
    settled.objects[0].1["status"]["rollout"] = Value::Null;
    for (world, said) in [
        (settled, "goes back from web-41 to web-40"),
        (
            shop(),
            "Environment production ends the rollout of web-42; web-41 stays",
        ),
    ] {
        let done = Api::start(world).dcanary(&["undo", "production"]);
        assert!(text(&done.stderr).contains(said), "{}", text(&done.stderr));
    }
    let api = Api::start(shop());
    api.shown(&["undo", "production"]);
    assert_eq!(
        api.last()["spec"]["for"],
        json!({"kind": "Environment", "name": "production", "uid": "uid-production"})
    );
    api.shown(&["hold", "production", "web-42", "--reason", "licence"]);
    assert_eq!(api.last()["spec"]["for"]["digest"], identity("4"));
    api.shown(&["unhold", "production", "web-39"]);
    assert_eq!(
        (
            api.last()["spec"]["verb"].as_str(),
            api.last()["spec"]["for"]["digest"].as_str()
        ),
        (Some("unhold"), Some(identity("9").as_str()))
    );
    let fresh = Api::start(shop());
    let said = fresh.refused(&["unhold", "production", "web-41"], 2);
    assert!(said.contains("nothing to unhold; held are web-39"), "{said}");
    let said = fresh.refused(&["hold", "production", "web-42"], 2);
    assert!(said.contains("--reason"), "{said}");
}

#[test]
fn what_the_policy_refuses_is_told_in_its_own_words() {
    let api = Api::start(World {
        denies: Some("bo may not approve promotions web-42-aaaaa in namespace shop"),
        ..shop()
    });
    let said = api.refused(&["approve", "web-42-aaaaa", "--yes"], 5);
    assert!(
        said.ends_with("not allowed: bo may not approve promotions web-42-aaaaa in namespace shop\n"),
        "{said}"
    );
}

#[test]
fn several_promotions_under_way_have_to_be_named() {
    let mut world = shop();
    world.objects[0].1["status"]["rollout"] = Value::Null;
    world
        .objects
        .push(("promotions", promotion("web-43-ccccc", "web-43", None)));
    let api = Api::start(world);
    let said = api.refused(&["abort", "production"], 2);
    assert!(
        said.contains(
            "web-42-aaaaa (Release web-42), web-43-ccccc (Release web-43): name the promotion to abort"
        ),
        "{said}"
    );
    let said = api.refused(&["abort", "api"], 5);
    assert!(said.contains("neither a Promotion nor an Environment"), "{said}");
}

#[test]
fn environments_releases_and_promotions_are_printed_in_every_form() {
    let api = Api::start(shop());
    for (arguments, name) in [
        (["get", "env"], "environment.dcanary.dev/production\n"),
        (["get", "releases"], "release.dcanary.dev/web-42\n"),
        (
            ["get", "promotions"],
            "promotion.dcanary.dev/web-41-bbbbb\npromotion.dcanary.dev/web-42-aaaaa\n",
        ),
    ] {
        let form = |form: &str| api.shown(&[&arguments[..], &["-o", form]].concat());
        assert_eq!(form("name"), name);
        let json: Value = serde_json::from_str(&form("json")).unwrap();
        assert_eq!(json["kind"], "List");
        assert!(form("yaml").contains("kind: List"));
        assert!(form("wide").starts_with("NAME"));
        assert!(!api.shown(&arguments).contains('\u{1b}'), "colours in a pipe");
    }
    let tree = api.shown(&["get", "env", "production"]);
    assert!(
        tree.contains("candidate  web-42")
            && tree.contains("⚠ held")
            && tree.contains("dcanary approve web-42-aaaaa"),
        "{tree}"
    );
    let json: Value = serde_json::from_str(&api.shown(&["get", "env", "production", "-o", "json"])).unwrap();
    assert_eq!(json["metadata"]["uid"], "uid-production");
    assert_eq!(
        api.shown(&["get", "promotions", "--env", "staging", "-o", "name"]),
        ""
    );
    let done = api.dcanary(&["get", "env", "-w"]);
    assert_eq!(done.status.code(), Some(2), "a watch is of one environment");
}

#[test]
fn what_is_not_there_is_exit_code_5_with_the_namespace_and_what_to_do() {
    let api = Api::start(shop());
    for (arguments, fix) in [
        (&["get", "env", "x"][..], "dcanary get env -A"),
        (&["get", "env", "x", "-w"], "dcanary get env -A"),
        (&["get", "promotions", "x"], "dcanary get promotions -A"),
        (&["undo", "x"], "dcanary get env -A"),
        (&["hold", "x", "y", "--reason", "z"], "dcanary get env -A"),
    ] {
        let said = api.refused(arguments, 5);
        assert!(
            said.contains("namespace shop") && said.contains(fix),
            "{arguments:?}: {said}"
        );
    }
}
