use dcanary_types::policy::Role;

use super::*;

fn principal(n: u8) -> Principal {
    Principal::from_slice(&[n])
}

fn policy() -> Policy {
    let owner = Role {
        project: String::new(),
        principal: principal(1).as_slice().to_vec(),
        role: RoleKind::Owner,
        domain: String::new(),
    };
    let operator = Role {
        project: "shop".to_owned(),
        principal: principal(2).as_slice().to_vec(),
        role: RoleKind::Operator,
        domain: "east".to_owned(),
    };
    Policy::new(2, [owner, operator])
}

fn found() -> Deployed {
    Deployed {
        ledger: principal(3),
        module_hash: [4; 32],
        controllers: vec![principal(1)],
        policy: policy(),
        blocks: 2,
        cycles: Some(4_500_000_000_000),
        done: vec!["installed the ledger".to_owned()],
    }
}

const NAMED: Meant<'_> = Meant::Role {
    project: "shop",
    domain: "east",
};

fn mainnet() -> Place {
    Place {
        url: "https://icp-api.io".to_owned(),
        root_key: RootKey::mainnet().to_der(),
    }
}

#[test]
fn what_is_printed_for_the_chart_and_the_trust_file_is_what_they_read() {
    let view = deployed(&mainnet(), &found(), NAMED).unwrap();
    let key = hex::encode(RootKey::mainnet().to_der());
    for said in [
        format!("controller   {}", principal(1)),
        format!("operator     {} writes project shop, domain east", principal(2)),
        format!("module       {}", hex::encode([4; 32])),
        "4.500 T".to_owned(),
        "mainnet".to_owned(),
        format!("    rootKey: {key}\n    canister: {}", principal(3)),
        format!(
            "dcanary trust pin --network https://icp-api.io --ledger {}",
            principal(3)
        ),
    ] {
        assert!(view.text.contains(&said), "{said} in {}", view.text);
    }
    let external = &view.value["values"]["ledger"]["external"];
    assert_eq!(external["canister"], principal(3).to_text());
    assert_eq!(external["rootKey"], key);
    let trust = TrustFile::parse(view.value["trust"].to_string().as_bytes()).unwrap();
    assert_eq!((trust.ledger, trust.module_hashes), (principal(3), vec![[4; 32]]));
    assert_eq!(trust.controllers, Some(vec![principal(1)]));
    assert_eq!(trust.domains.unwrap()[0].principal, principal(2));
}

#[test]
fn a_private_network_is_not_called_the_mainnet_and_a_ledger_without_controllers_is_named_as_one() {
    let place = Place {
        url: "http://n".to_owned(),
        ..mainnet()
    };
    assert!(
        place.network().contains("mainnet"),
        "it follows from the key alone"
    );
    let blackholed = Deployed {
        controllers: vec![],
        done: vec![],
        cycles: None,
        ..found()
    };
    let text = deployed(&place, &blackholed, NAMED).unwrap().text;
    assert!(text.starts_with("everything was there\n"), "{text}");
    assert!(text.contains("controllers  nobody"), "{text}");
    assert!(text.contains("--identity FILE"), "{text}");
}

#[test]
fn an_upgrade_shows_every_grant_and_pins_again_only_where_the_module_is_another_one() {
    let role = |n: u8, project: &str, domain: &str| Role {
        project: project.to_owned(),
        principal: principal(n).as_slice().to_vec(),
        role: RoleKind::Operator,
        domain: domain.to_owned(),
    };
    let of = |roles: Vec<Role>| Deployed {
        policy: Policy::new(2, roles),
        ..found()
    };
    let all = of(vec![
        role(2, "shop", "east"),
        role(4, "shop", "west"),
        role(5, "docs", "west"),
    ]);
    let upgraded = deployed(&mainnet(), &all, Meant::All { upgraded: true }).unwrap();
    for said in [
        format!("{} writes project shop, domain east\n", principal(2)),
        format!("{} writes project shop, domain west\n", principal(4)),
        format!("{} writes project docs, domain west\n", principal(5)),
        "ledger:\n  # project and domain: those of the installation's operator, above\n".to_owned(),
    ] {
        assert!(upgraded.text.contains(&said), "{said} in {}", upgraded.text);
    }
    let pins = |view: &View| -> Vec<bool> {
        let lines = view
            .text
            .lines()
            .filter(|line| line.starts_with("dcanary trust pin"));
        lines.map(|line| line.ends_with(" --replace")).collect()
    };
    assert_eq!(pins(&upgraded), [true, true], "one for each project");
    assert_eq!(upgraded.value["operators"].as_array().map(Vec::len), Some(3));
    assert_eq!(upgraded.value["trust"], Value::Null);
    assert_eq!(upgraded.value["values"]["ledger"].get("project"), None);

    let same = deployed(&mainnet(), &all, Meant::All { upgraded: false }).unwrap();
    assert_eq!(pins(&same), [false, false]);
    let one = deployed(&mainnet(), &found(), Meant::All { upgraded: false }).unwrap();
    assert_eq!(one.value["values"]["ledger"]["domain"], "east");
    assert_eq!(one.value["trust"]["project"], "shop");
    let none = deployed(&mainnet(), &of(vec![]), Meant::All { upgraded: false }).unwrap();
    assert!(
        none.text.contains("  project: default\n  domain: local\n"),
        "{}",
        none.text
    );
    assert_eq!(none.value["trust"]["project"], "default");
}

#[test]
fn the_cycles_of_a_new_canister_are_promised_only_where_they_are_paid() {
    let paid = new_canister(&mainnet(), 5_000_000_000_000);
    assert!(
        paid.contains("5.000 T") && paid.ends_with("less the price of its creation"),
        "{paid}"
    );
    let private = Place {
        url: "http://n".to_owned(),
        root_key: vec![],
    };
    let made = new_canister(&private, 5_000_000_000_000);
    assert!(
        made.contains("5.000 T")
            && made.ends_with("a node in production mode gives it the node's default cycles instead"),
        "{made}"
    );
}

fn status(code: Option<Code>) -> Status {
    Status {
        ledger: principal(3),
        network: "http://n".to_owned(),
        head: Head {
            size: 7,
            root: [1; 32],
            last_hash: [2; 32],
            policy_hash: [3; 32],
            time: 0,
            certificate: vec![],
            hash_tree: vec![],
        },
        module: Some([4; 32]),
        code,
    }
}

fn code(shipped: Option<bool>) -> Code {
    Code {
        shipped,
        controllers: vec![principal(1), principal(2)],
        incarnation: Some(1),
        cycles: None,
    }
}

#[test]
fn the_longer_status_says_whose_code_it_is() {
    let short = status_rows(&status(None));
    assert!(
        short.contains("module       0404") && !short.contains("controller"),
        "{short}"
    );
    assert_eq!(status_value(&status(None)).get("controllers"), None);
    let long = status_rows(&status(Some(code(Some(false)))));
    for said in [
        "shipped      no",
        "incarnation  1",
        "cycles       only its controllers",
    ] {
        assert!(long.contains(said), "{said} in {long}");
    }
    assert_eq!(long.matches("controller   ").count(), 2, "{long}");
    let value = status_value(&status(Some(code(None))));
    assert_eq!(value["shipped"], Value::Null);
    assert_eq!(value["controllers"][1], principal(2).to_text());
    assert_eq!(
        (&value["incarnation"], &value["cycles"]),
        (&json!(1), &Value::Null)
    );
}
