//! Which canister a request of a browser is for.

use http::Uri;
use ic_principal::Principal;

/// The parameter of the query that names a canister.
const PARAMETER: &str = "canisterId";

/// What a request says about its canister.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Named {
    /// This one.
    Canister(Principal),
    /// Something that is no canister id.
    Malformed(String),
    /// Nothing.
    Nothing,
}

/// The canister in the first label of the host, else in the query.
pub fn named(host: Option<&str>, uri: &Uri) -> Named {
    if let Some(id) = host.and_then(first_label) {
        return Named::Canister(id);
    }
    let parameters = uri.query().unwrap_or_default().split('&');
    let named = parameters
        .filter_map(|pair| pair.split_once('='))
        .find(|(name, _)| *name == PARAMETER);
    match named {
        None => Named::Nothing,
        Some((_, text)) => match canister_id(text) {
            Some(id) => Named::Canister(id),
            None => Named::Malformed(text.chars().take(64).collect()),
        },
    }
}

/// `<canister id>.<anything>`. A host that is only a label is a machine's name.
fn first_label(host: &str) -> Option<Principal> {
    canister_id(host.split_once('.')?.0)
}

fn canister_id(text: &str) -> Option<Principal> {
    // Names of hosts know no upper case; ids are written in lower case.
    let id = Principal::from_text(text.to_ascii_lowercase()).ok()?;
    let special = id == Principal::management_canister() || id == Principal::anonymous();
    (!special).then_some(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ONE: &str = "ryjl3-tyaaa-aaaaa-aaaba-cai";
    const TWO: &str = "rrkah-fqaaa-aaaaa-aaaaq-cai";

    fn canister(text: &str) -> Named {
        Named::Canister(Principal::from_text(text).unwrap())
    }

    #[test]
    fn a_canister_is_named_by_the_first_label_of_the_host_or_in_the_query() {
        for (host, uri, expected) in [
            (Some(format!("{ONE}.localhost:8000")), "/", canister(ONE)),
            (Some(format!("{ONE}.raw.example.org")), "/a?b=c", canister(ONE)),
            (
                Some(format!("{}.localhost", ONE.to_ascii_uppercase())),
                "/",
                canister(ONE),
            ),
            (
                Some("127.0.0.1:80".to_owned()),
                &*format!("/?canisterId={ONE}"),
                canister(ONE),
            ),
            (None, &format!("/x?a=b&canisterId={ONE}&c"), canister(ONE)),
            // The host is what the browser keeps apart from others.
            (
                Some(format!("{ONE}.localhost")),
                &format!("/?canisterId={TWO}"),
                canister(ONE),
            ),
        ] {
            assert_eq!(
                named(host.as_deref(), &uri.parse().unwrap()),
                expected,
                "{host:?} {uri}"
            );
        }
    }

    #[test]
    fn what_names_no_canister_is_not_taken_for_one() {
        for host in [
            None,
            Some("localhost:8000"),
            Some("127.0.0.1"),
            Some("[::1]:80"),
            Some(ONE),
            Some(""),
            Some("."),
            Some("aaaaa-aa.localhost"),
            Some("2vxsx-fae.localhost"),
            // A digit that does not fit the check sum.
            Some("ryjl3-tyaaa-aaaaa-aaabb-cai.localhost"),
        ] {
            for uri in ["/", "/?canisterid=x", "/?x=canisterId", "/canisterId=x"] {
                assert_eq!(
                    named(host, &uri.parse().unwrap()),
                    Named::Nothing,
                    "{host:?} {uri}"
                );
            }
        }
        for text in ["", "x", "aaaaa-aa", "ryjl3-tyaaa-aaaaa-aaabb-cai"] {
            assert_eq!(
                named(None, &format!("/?canisterId={text}").parse().unwrap()),
                Named::Malformed(text.to_owned())
            );
        }
    }
}
