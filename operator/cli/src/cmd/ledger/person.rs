//! A network, and the person who signs there.

use std::time::Duration;

use dcanary_ledger::{Transport, deploy::Person, key, transport};

use crate::{
    args::PersonArgs,
    cmd::root_key::{self, Source},
    exit::Failure,
    journal::place,
};

/// Installing on the Internet Computer takes several rounds, and a person waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// Loads the key and gets the root key. Nothing is signed yet. Also whether the root key is the network's own word.
///
/// # Errors
/// When one of them cannot be had.
pub async fn of(args: &PersonArgs) -> Result<(Person, bool), Failure> {
    let identity = key::load_person(&args.identity).map_err(|source| Failure::usage(source.to_string()))?;
    let url = place::url(&args.network);
    transport::check(url).map_err(|source| Failure::usage(source.to_string()))?;
    let (root_key, fetched) = match root_key::source(&args.network, args.root_key.as_deref())? {
        Source::Named(key) => (key.to_der(), false),
        // with nobody to compare it, whoever answers first would be believed for ever
        Source::Fetch if args.yes => {
            return Err(Failure::usage(format!(
                "give --root-key HEX as the network's owner tells you (`dcanary-node` writes it into its ready file), or leave --yes out: `--root-key fetch` takes what {url} says of itself for somebody to look at, and with --yes nobody does"
            )));
        }
        Source::Fetch => (root_key::fetch(url).await?.to_der(), true),
    };
    let person = Person {
        transport: Transport {
            url: url.to_owned(),
            timeout: PATIENCE,
        },
        root_key,
        identity,
    };
    Ok((person, fetched))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_no_url_of_a_network_is_a_wrong_command_line() {
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("me.pem");
        key::create(&identity).unwrap();
        let args = PersonArgs {
            network: "foo".to_owned(),
            root_key: Some("mainnet".to_owned()),
            identity,
            wasm: None,
            yes: true,
        };
        let refused = of(&args).await.map(drop).unwrap_err();
        assert_eq!(refused.exit, crate::exit::Exit::Usage);
        assert!(
            refused.message.contains("`foo` is not the URL of a network"),
            "{refused}"
        );
    }

    #[tokio::test]
    async fn a_root_key_that_nobody_looks_at_is_not_fetched() {
        let folder = tempfile::tempdir().unwrap();
        let identity = folder.path().join("me.pem");
        key::create(&identity).unwrap();
        // nobody listens there
        let told = async |yes| {
            let args = PersonArgs {
                network: "http://127.0.0.1:9".to_owned(),
                root_key: Some("fetch".to_owned()),
                identity: identity.clone(),
                wasm: None,
                yes,
            };
            of(&args).await.map(drop).unwrap_err()
        };
        let refused = told(true).await;
        assert_eq!(refused.exit, crate::exit::Exit::Usage);
        assert!(
            refused.message.contains("--yes") && refused.message.contains("--root-key HEX"),
            "{refused}"
        );
        let asked = told(false).await;
        assert!(
            asked
                .message
                .contains("root key at http://127.0.0.1:9: the connection was refused"),
            "{asked}"
        );
    }
}
