use super::*;
use crate::args::PersonArgs;

fn args() -> DeployArgs {
    DeployArgs {
        person: PersonArgs {
            network: "http://n".to_owned(),
            root_key: None,
            // none of this is there, and none of it is looked at
            identity: "/nonex/me.pem".into(),
            wasm: Some("/nonex/orchestrator.wasm".into()),
            yes: true,
        },
        canister: None,
        create: true,
        cycles: 1,
        owner: None,
        operator: vec![],
        project: "shop".to_owned(),
        domain: "east".to_owned(),
    }
}

#[test]
fn a_name_or_principal_that_no_ledger_takes_is_refused_before_anything_is_made() {
    assert_eq!(checked(&args()).map(|grants| grants.len()), Ok(0));
    let everybody = Principal::anonymous();
    for (wrong, said) in [
        // with an operator or without one: the lines that are printed name them
        (
            DeployArgs {
                project: "Bad Name/..".to_owned(),
                ..args()
            },
            "--project `Bad Name/..`",
        ),
        (
            DeployArgs {
                domain: "East".to_owned(),
                operator: vec![Principal::from_slice(&[1])],
                ..args()
            },
            "--domain `East`",
        ),
        (
            DeployArgs {
                operator: vec![everybody],
                ..args()
            },
            "--operator 2vxsx-fae",
        ),
        (
            DeployArgs {
                owner: Some(everybody),
                ..args()
            },
            "--owner 2vxsx-fae",
        ),
    ] {
        let failure = checked(&wrong).unwrap_err();
        assert_eq!(failure.exit, Exit::Usage);
        assert!(failure.message.starts_with(said), "{failure}");
    }
}

#[tokio::test]
async fn the_names_are_looked_at_before_the_files_and_the_network() {
    let wrong = DeployArgs {
        project: "Bad Name/..".to_owned(),
        ..args()
    };
    let failure = deploy(&Global::default(), &wrong).await.unwrap_err();
    assert!(failure.message.contains("--project `Bad Name/..`"), "{failure}");
}

#[test]
fn without_operators_the_values_are_those_of_the_roles_that_the_ledger_has() {
    let args = args();
    assert!(matches!(
        meant(&args, false, true),
        Meant::All { upgraded: false }
    ));
    for (named, has_writers) in [(true, true), (true, false), (false, false)] {
        assert!(
            matches!(
                meant(&args, named, has_writers),
                Meant::Role {
                    project: "shop",
                    domain: "east"
                }
            ),
            "{named} {has_writers}"
        );
    }
}

#[test]
fn only_code_that_answers_as_no_ledger_does_is_replaced_as_such() {
    let refused = |code: &str| {
        Err(DeployError::Ledger(LedgerError::Rejected {
            method: "protocol".to_owned(),
            code: Some(code.to_owned()),
            message: "in some words".to_owned(),
        }))
    };
    assert!(matches!(no_ledger(Ok(())), Ok(None)));
    let other = no_ledger(refused("IC0536"));
    assert!(matches!(other, Ok(Some(_))));
    assert!(no_ledger(refused("IC0508")).is_err());
}

#[test]
fn the_mainnets_root_key_makes_no_mainnet_of_another_url() {
    let at = |url: &str| {
        network(&Place {
            url: url.to_owned(),
            root_key: dcanary_verifier::RootKey::mainnet().to_der(),
        })
    };
    assert_eq!(
        at(MAINNET_URL),
        format!("{MAINNET_URL} (the Internet Computer's mainnet)")
    );
    let other = at("http://127.0.0.1:8080");
    assert!(
        other.starts_with("http://127.0.0.1:8080 (with the root key of") && other.contains(MAINNET_URL),
        "{other}"
    );
}
