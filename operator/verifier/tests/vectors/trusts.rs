//! Trust files, good and bad: section 9.

use dcanary_verifier::TrustFile;
use serde_json::{Value as Json, json};

use crate::world::World;

pub fn make() -> Json {
    let mut cases = Vec::new();
    let mut add = |name: &str, text: &str, accepted: bool, field: Option<&str>| {
        let read = TrustFile::parse(text.as_bytes());
        assert_eq!(read.is_ok(), accepted, "{name}: {read:?}");
        assert_eq!(
            read.as_ref().err().and_then(|e| e.field()),
            field,
            "{name}: {read:?}"
        );
        if let Ok(file) = read {
            assert_eq!(
                TrustFile::parse(file.to_json().as_bytes()).unwrap(),
                file,
                "{name}"
            );
        }
        cases.push(json!({"name": name, "text": text, "accepted": accepted, "field": field}));
    };
    let world = World::smallest();
    let good: Json = serde_json::from_str(&world.trust().to_json()).unwrap();
    let with = |key: &str, value: Json| {
        let mut file = good.clone();
        file[key] = value;
        file.to_string()
    };
    let without = |key: &str| {
        let mut file = good.clone();
        file.as_object_mut().unwrap().remove(key);
        file.to_string()
    };
    add("everything", &world.trust().to_json(), true, None);
    add("only what must be", &world.bare_trust().to_json(), true, None);
    for field in ["controllers", "domains", "quorum", "witnesses"] {
        add(&format!("without {field}"), &without(field), true, None);
    }
    for field in ["format", "root_key", "ledger", "module_hashes"] {
        add(&format!("without {field}"), &without(field), false, Some(field));
    }
    for field in [
        "format",
        "root_key",
        "ledger",
        "project",
        "module_hashes",
        "controllers",
        "domains",
        "quorum",
        "witnesses",
    ] {
        add(
            &format!("{field} is null"),
            &with(field, Json::Null),
            false,
            Some(field),
        );
        add(
            &format!("{field} is a number"),
            &with(field, json!(1)),
            false,
            Some(field),
        );
    }
    add("one project", &with("project", json!("shop")), true, None);
    add(
        "no project by name",
        &with("project", json!("")),
        false,
        Some("project"),
    );
    add(
        "unknown field",
        &with("revocations", json!([])),
        false,
        Some("revocations"),
    );
    add(
        "another format",
        &with("format", json!("dcanary-trust/2")),
        false,
        Some("format"),
    );
    let key = good["root_key"].as_str().unwrap();
    add(
        "root key in capitals",
        &with("root_key", json!(key.to_uppercase())),
        false,
        Some("root_key"),
    );
    add(
        "root key cut short",
        &with("root_key", json!(&key[..key.len() - 2])),
        false,
        Some("root_key"),
    );
    let infinity = format!("{}c0{}", &key[..74], "00".repeat(95));
    add(
        "root key is the point at infinity",
        &with("root_key", json!(infinity)),
        false,
        Some("root_key"),
    );
    let off = format!(
        "{}{}",
        &key[..key.len() - 2],
        if key.ends_with("00") { "01" } else { "00" }
    );
    add(
        "root key is no point",
        &with("root_key", json!(off)),
        false,
        Some("root_key"),
    );
    let ledger = good["ledger"].as_str().unwrap();
    add(
        "ledger in capitals",
        &with("ledger", json!(ledger.to_uppercase())),
        false,
        Some("ledger"),
    );
    add(
        "ledger with a wrong checksum",
        &with(
            "ledger",
            json!(ledger.replacen(&ledger[..1], if ledger.starts_with('a') { "b" } else { "a" }, 1)),
        ),
        false,
        Some("ledger"),
    );
    add(
        "ledger is empty",
        &with("ledger", json!("")),
        false,
        Some("ledger"),
    );
    add(
        "a module hash of 31 bytes",
        &with("module_hashes", json!(["00".repeat(31)])),
        false,
        Some("module_hashes"),
    );
    add(
        "a module hash that is no hex",
        &with("module_hashes", json!(["zz".repeat(32)])),
        false,
        Some("module_hashes"),
    );
    add(
        "no controller at all is demanded",
        &with("controllers", json!([])),
        true,
        None,
    );
    add(
        "a controller that is no principal",
        &with("controllers", json!(["me"])),
        false,
        Some("controllers"),
    );
    let domain = |key: &str, value: Option<Json>| {
        let mut domain = good["domains"][0].clone();
        match value {
            Some(value) => domain[key] = value,
            None => drop(domain.as_object_mut().unwrap().remove(key)),
        }
        with("domains", json!([domain]))
    };
    add("no writer is accepted", &with("domains", json!([])), true, None);
    add(
        "a domain without owner",
        &domain("owner", None),
        false,
        Some("domains.owner"),
    );
    add(
        "a domain with an unknown field",
        &domain("weight", Some(json!(1))),
        false,
        Some("domains.weight"),
    );
    add(
        "a domain whose principal is none",
        &domain("principal", Some(json!("me"))),
        false,
        Some("domains.principal"),
    );
    add(
        "a domain in capitals",
        &domain("domain", Some(json!("East"))),
        false,
        Some("domains.domain"),
    );
    add(
        "a threshold",
        &with("witnesses", json!({"threshold": 1, "keys": []})),
        false,
        Some("witnesses"),
    );
    add(
        "a witness key",
        &with("witnesses", json!({"threshold": 0, "keys": ["k"]})),
        false,
        Some("witnesses"),
    );
    add(
        "a quorum",
        &with("quorum", json!({"threshold": 2, "keys": []})),
        false,
        Some("quorum"),
    );
    add(
        "a reserved field with more in it",
        &with("quorum", json!({"threshold": 0, "keys": [], "x": 1})),
        false,
        Some("quorum"),
    );
    let twice = good
        .to_string()
        .replacen('{', &format!("{{\"ledger\":{},", good["ledger"]), 1);
    add("a field twice", &twice, false, None);
    add("not JSON", "{", false, None);
    add("not an object", "[]", false, Some(""));
    add("something behind it", &format!("{good} x"), false, None);
    Json::Array(cases)
}
