use dcanary_types::policy::Role;
use dcanary_verifier::RootKey;

use super::*;

fn args(replace: bool, yes: bool) -> PinArgs {
    PinArgs {
        network: None,
        ledger: None,
        root_key: None,
        project: None,
        trust: None,
        yes,
        replace,
    }
}

fn trust(project: &str) -> TrustFile {
    TrustFile {
        root_key: RootKey::mainnet(),
        ledger: Principal::from_slice(&[1]),
        project: Some(project.to_owned()),
        module_hashes: vec![[7; 32]],
        controllers: None,
        domains: None,
    }
}

#[test]
fn a_file_that_pins_something_else_is_never_replaced_unless_it_is_said() {
    let (found, other) = (trust("shop"), trust("docs").to_json());
    for yes in [false, true] {
        assert_eq!(
            step(Some(other.as_bytes()), &found, &args(false, yes)),
            Step::Refuse
        );
        assert_eq!(
            step(Some(b"{ not a trust file"), &found, &args(false, yes)),
            Step::Refuse
        );
        assert_eq!(step(Some(b""), &found, &args(false, yes)), Step::Refuse);
        let same = found.to_json();
        assert_eq!(step(Some(same.as_bytes()), &found, &args(false, yes)), Step::Same);
    }
    assert_eq!(
        step(Some(other.as_bytes()), &found, &args(true, true)),
        Step::Write
    );
    assert_eq!(
        step(Some(other.as_bytes()), &found, &args(true, false)),
        Step::Ask
    );
    assert_eq!(step(None, &found, &args(false, false)), Step::Ask);
    assert_eq!(step(None, &found, &args(false, true)), Step::Write);
}

#[test]
fn a_network_is_asked_for_its_root_key_unless_it_is_named_or_the_mainnet() {
    let of = |network: Option<&str>, root_key: Option<&str>| {
        source(&PinArgs {
            network: network.map(str::to_owned),
            root_key: root_key.map(str::to_owned),
            ..args(false, false)
        })
    };
    let mainnet = hex::encode(RootKey::mainnet().to_der());
    for (network, named) in [(None, None), (Some("http://n"), None), (None, Some("fetch"))] {
        assert_eq!(
            of(network, named).unwrap(),
            Source::Fetch,
            "{network:?} {named:?}"
        );
    }
    for (network, named) in [
        (Some("ic"), None),
        (None, Some("mainnet")),
        (None, Some(mainnet.as_str())),
    ] {
        let known = Source::Named(RootKey::mainnet());
        assert_eq!(of(network, named).unwrap(), known, "{network:?} {named:?}");
    }
    assert!(
        of(None, Some("xyz"))
            .unwrap_err()
            .to_string()
            .contains("--root-key is no hex")
    );
}

#[test]
fn a_root_key_that_the_cluster_names_otherwise_is_refused_with_both_fingerprints() {
    let hints = LedgerConfig {
        network: "http://n".to_owned(),
        root_key: vec![1, 2],
        ledger: Principal::from_slice(&[1]),
        project: "shop".to_owned(),
        domain: "east".to_owned(),
    };
    assert_eq!(agrees(Some(&hints), &[1, 2]), Ok(()));
    assert_eq!(agrees(None, &[9]), Ok(()), "another network was named by hand");
    let failure = agrees(Some(&hints), &[9]).unwrap_err();
    assert_eq!(failure.exit, Exit::Failed);
    for said in [
        fingerprint(&[9]),
        fingerprint(&[1, 2]),
        "ConfigMap dcanary-ledger".to_owned(),
    ] {
        assert!(failure.message.contains(&said), "{failure}");
    }
}

#[test]
fn the_writers_of_the_named_project_are_pinned_and_a_project_without_any_is_refused() {
    let role = |project: &str, principal: u8, domain: &str| Role {
        project: project.to_owned(),
        principal: vec![principal],
        role: RoleKind::Operator,
        domain: domain.to_owned(),
    };
    let policy = Policy::new(
        2,
        [
            Role::owner(vec![9]),
            role("default", 1, "east"),
            role("shop", 1, "east"),
            role("shop", 2, "west"),
        ],
    );
    let id = |byte: u8| Principal::from_slice(&[byte]);
    let pinned: Vec<(String, Principal)> = domains(&policy, id(7), "shop")
        .unwrap()
        .into_iter()
        .map(|one| (one.domain, one.principal))
        .collect();
    assert_eq!(pinned, [("east".to_owned(), id(1)), ("west".to_owned(), id(2))]);
    let failure = domains(&policy, id(7), "shpo").unwrap_err();
    assert!(
        failure.message.contains("which has default, shop: ")
            && failure.message.ends_with("ledger.projects, did you mean `shop`?"),
        "{failure}"
    );
}

#[test]
fn a_ledger_that_nobody_may_write_is_told_with_what_to_do_first_instead_of_an_empty_list() {
    let policy = Policy::new(1, [Role::owner(vec![9])]);
    let ledger = Principal::from_slice(&[7]);
    let failure = domains(&policy, ledger, "shop").unwrap_err();
    let first = format!("dcanary ledger deploy --canister {ledger} --operator PRINCIPAL --project shop");
    assert!(
        failure.message.contains(&first) && !failure.message.contains("has :"),
        "{failure}"
    );
}

#[test]
fn a_canister_that_is_no_ledger_is_called_so_and_one_that_rests_is_not() {
    let refused = |code: &str| LedgerError::Rejected {
        method: "protocol".to_owned(),
        code: Some(code.to_owned()),
        message: "in some words".to_owned(),
    };
    let ledger = Principal::from_slice(&[7]);
    let other = refused("IC0536");
    let failure = no_ledger(&other, ledger, "http://n").unwrap();
    let said = format!("canister {ledger} at http://n is no DCanary ledger");
    assert!(failure.message.starts_with(&said), "{failure}");
    assert_eq!(no_ledger(&refused("IC0508"), ledger, "http://n"), None);
}
