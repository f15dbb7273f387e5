//! A network, and the person who signs there.

use std::time::Duration;

use dcanary_ledger::{Transport, deploy::Person, key};
use dcanary_verifier::RootKey;

use crate::{args::PersonArgs, cmd::root_key, exit::Failure};

/// What `--network ic` means.
pub const MAINNET_URL: &str = "https://icp-api.io";

/// Installing on the Internet Computer takes several rounds, and a person waits.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where a root key comes from.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// It was named.
    Named(RootKey),
    /// The network is asked.
    Fetch,
}

/// Loads the key and gets the root key. Nothing is signed yet. Also whether the root key is the network's own word.
///
/// # Errors
/// When one of them cannot be had.
pub async fn of(args: &PersonArgs) -> Result<(Person, bool), Failure> {
    let identity = key::load_person(&args.identity).map_err(|source| Failure::usage(source.to_string()))?;
    let url = url(&args.network);
    let (root_key, fetched) = match source(&args.network, args.root_key.as_deref())? {
        Source::Named(key) => (key.to_der(), false),
        // with nobody to compare it, whoever answers first would be believed for ever
        Source::Fetch if args.yes => {
            return Err(Failure::usage(format!(
                "`--root-key fetch` takes what {url} says of itself for somebody to look at, and with --yes nobody does: give --root-key HEX as the network's owner tells you (`dcanary-node` writes it into its ready file), or leave --yes out"
            )));
        }
        Source::Fetch => (root_key::fetch(url).await?, true),
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

fn url(network: &str) -> &str {
    if network == "ic" {
        MAINNET_URL
    } else {
        network.trim_end_matches('/')
    }
}

/// What `--root-key` means: pure.
fn source(network: &str, named: Option<&str>) -> Result<Source, Failure> {
    match named {
        None | Some("mainnet") if network == "ic" => Ok(Source::Named(RootKey::mainnet())),
        Some(_) if network == "ic" => Err(Failure::usage(
            "the root key of `--network ic` is known: leave --root-key out",
        )),
        Some("mainnet") => Ok(Source::Named(RootKey::mainnet())),
        Some("fetch") => Ok(Source::Fetch),
        Some(text) => hex::decode(text.trim())
            .ok()
            .and_then(|der| RootKey::from_der(&der).ok())
            .map(Source::Named)
            .ok_or_else(|| {
                Failure::usage(
                    "--root-key is not the hex of a DER-encoded BLS key of 133 bytes; give that, `mainnet`, or `fetch`",
                )
            }),
        None => Err(Failure::usage(format!(
            "by which root key is {network} believed? Give --root-key HEX as its owner tells you, `mainnet`, or `fetch` to take what it says"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mainnets_root_key_is_known_without_being_told() {
        let mainnet = || Ok(Source::Named(RootKey::mainnet()));
        assert_eq!(source("ic", None), mainnet());
        assert_eq!(source("https://icp-api.io", Some("mainnet")), mainnet());
        assert_eq!(
            source("http://n", Some(&hex::encode(RootKey::mainnet().to_der()))),
            mainnet()
        );
        assert_eq!(source("http://n", Some("fetch")), Ok(Source::Fetch));
        for (network, named, said) in [
            ("http://n", None, "--root-key HEX"),
            ("https://icp-api.io", None, "--root-key HEX"),
            ("http://n", Some("abc"), "133 bytes"),
            ("http://n", Some("ab"), "133 bytes"),
            ("ic", Some("fetch"), "leave --root-key out"),
        ] {
            let told = source(network, named).unwrap_err().message;
            assert!(told.contains(said), "{network} {named:?}: {told}");
        }
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
        assert!(asked.message.contains("cannot reach the network"), "{asked}");
    }

    #[test]
    fn ic_is_the_mainnet_and_everything_else_a_url() {
        assert_eq!(url("ic"), MAINNET_URL);
        assert_eq!(url("http://n:1/"), "http://n:1");
    }
}
