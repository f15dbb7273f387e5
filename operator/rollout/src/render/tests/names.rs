use proptest::prelude::*;

use super::environment;
use crate::render::{copy_name, record_name, release_name};

const IDENTITY: &str = "sha256:0123456789abcdef";

#[test]
fn names_have_the_beginning_of_the_identity() {
    let env = environment();
    assert_eq!(release_name(&env, IDENTITY), "web-0123456789");
    assert_eq!(copy_name(&env, "app", IDENTITY), "web-0123456789.app");
    assert_eq!(record_name(&env, IDENTITY), "web-0123456789-template");
}

#[test]
fn an_environment_and_a_config_map_of_one_name_have_no_copy_in_common() {
    let env = environment();
    for name in ["web", "template"] {
        assert_ne!(record_name(&env, IDENTITY), copy_name(&env, name, IDENTITY));
    }
}

proptest! {
    #[test]
    fn names_fit_and_those_of_different_environments_differ(a in "[a-z][a-z0-9.-]{0,80}[a-z0-9]", b in "[a-z][a-z0-9.-]{0,80}[a-z0-9]") {
        let name = |text: &str| {
            let mut env = environment();
            env.metadata.name = Some(text.to_owned());
            release_name(&env, IDENTITY)
        };
        prop_assert!(name(&a).len() <= 52);
        prop_assert!(name(&a).ends_with("-0123456789") && !name(&a).contains('.'));
        prop_assert_eq!(a == b, name(&a) == name(&b));
        prop_assert!(copy_name(&environment(), &a.repeat(4), IDENTITY).len() <= 253);
    }
}
