//! Where the root key of a network comes from: it is named, or, in `trust pin` and `ledger deploy --root-key fetch` alone, the network is
//! asked for it. Those are the moments at which nothing is known of a network yet; both show what they got and ask.

use std::sync::Arc;

use dcanary_ledger::{NoAnswer, Transport, Unanswered, transport, transport::TransportError};
use dcanary_verifier::{RootKey, certificate::CertificateError};
use ic_agent::identity::AnonymousIdentity;
use thiserror::Error;

use crate::{exit::Failure, journal::place};

/// Where a root key comes from.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// It was named.
    Named(RootKey),
    /// The network is asked.
    Fetch,
}

/// Why there is no root key.
#[derive(Debug, Error)]
pub enum RootKeyError {
    /// Nobody named it.
    #[error(
        "by which root key is {network} believed? Give --root-key HEX as its owner tells you, `mainnet`, or `fetch` to take what it says"
    )]
    Unnamed {
        /// As named.
        network: String,
    },
    /// That of the mainnet cannot be another one.
    #[error("the root key of `--network ic` is known: leave --root-key out")]
    Known,
    /// What was named is no hex.
    #[error("--root-key is no hex ({source}); {WANTED}")]
    NoHex {
        /// What is wrong.
        source: hex::FromHexError,
    },
    /// What was named is no key.
    #[error("--root-key is {source} (it has {bytes}); {WANTED}")]
    NoKey {
        /// How many there are.
        bytes: usize,
        /// What is wrong.
        source: CertificateError,
    },
    /// The network says no key.
    #[error(
        "what {url} names as its root key is {source}; check whether the URL is that of a network of the Internet Computer's kind"
    )]
    Foreign {
        /// URL that was asked.
        url: String,
        /// What is wrong.
        source: CertificateError,
    },
    /// The network does not answer.
    #[error("cannot ask the network for its root key at {0}")]
    Unanswered(Unanswered),
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] TransportError),
}

/// What `--root-key` takes.
const WANTED: &str = "give the 266 hex digits that the network's owner tells you, `mainnet`, or `fetch` to take what the network says. `dcanary-node` writes them into its ready file";

impl From<RootKeyError> for Failure {
    fn from(error: RootKeyError) -> Self {
        match error {
            RootKeyError::Unanswered(_) | RootKeyError::Foreign { .. } => {
                Self::cannot_tell(error.to_string())
            }
            _ => Self::usage(error.to_string()),
        }
    }
}

/// What `--root-key` means: pure.
///
/// # Errors
/// When it has to be named and is not, or is no key.
pub fn source(network: &str, named: Option<&str>) -> Result<Source, RootKeyError> {
    match named {
        None | Some("mainnet") if network == "ic" => Ok(Source::Named(RootKey::mainnet())),
        Some(_) if network == "ic" => Err(RootKeyError::Known),
        Some("mainnet") => Ok(Source::Named(RootKey::mainnet())),
        Some("fetch") => Ok(Source::Fetch),
        Some(text) => {
            let der = hex::decode(text.trim()).map_err(|source| RootKeyError::NoHex { source })?;
            let key = RootKey::from_der(&der).map_err(|source| RootKeyError::NoKey {
                bytes: der.len(),
                source,
            })?;
            Ok(Source::Named(key))
        }
        None => Err(RootKeyError::Unnamed {
            network: network.to_owned(),
        }),
    }
}

/// The root key that a network names. The answer is worth what the way to it is worth.
///
/// # Errors
/// When it does not answer, or with something else.
pub async fn fetch(url: &str) -> Result<RootKey, RootKeyError> {
    let transport = Transport::new(place::url(url));
    let agent = transport::agent(&transport, &[], Arc::new(AnonymousIdentity))?;
    let status = agent.status().await.map_err(|source| {
        RootKeyError::Unanswered(Unanswered {
            url: url.to_owned(),
            cause: NoAnswer::of_agent(&source, &transport),
        })
    })?;
    match status.root_key {
        Some(der) => RootKey::from_der(&der).map_err(|source| RootKeyError::Foreign {
            url: url.to_owned(),
            source,
        }),
        // The mainnet's boundary nodes give none: its key is known to everybody.
        None => Ok(RootKey::mainnet()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_mainnets_root_key_is_known_without_being_told() {
        let mainnet = || Source::Named(RootKey::mainnet());
        assert_eq!(source("ic", None).unwrap(), mainnet());
        assert_eq!(source("https://icp-api.io", Some("mainnet")).unwrap(), mainnet());
        assert_eq!(
            source("http://n", Some(&hex::encode(RootKey::mainnet().to_der()))).unwrap(),
            mainnet()
        );
        assert_eq!(source("http://n", Some("fetch")).unwrap(), Source::Fetch);
        for (network, named, said) in [
            ("http://n", None, "--root-key HEX"),
            ("https://icp-api.io", None, "--root-key HEX"),
            (
                "http://n",
                Some("abc"),
                "no hex (Odd number of digits); give the 266 hex digits",
            ),
            (
                "http://n",
                Some("ab"),
                "not a DER-encoded BLS key of 133 bytes (it has 1)",
            ),
            ("ic", Some("fetch"), "leave --root-key out"),
        ] {
            let told = source(network, named).unwrap_err().to_string();
            assert!(told.contains(said), "{network} {named:?}: {told}");
        }
    }

    #[tokio::test]
    async fn a_network_that_does_not_answer_is_named_with_the_cause_and_what_to_check() {
        // nobody listens there
        let told = fetch("http://127.0.0.1:9").await.unwrap_err().to_string();
        assert_eq!(
            told,
            "cannot ask the network for its root key at http://127.0.0.1:9: the connection was refused; check host and port, and whether the node runs"
        );
        let told = fetch("ftp://n").await.unwrap_err().to_string();
        assert!(told.contains("`ftp://n` is not the URL of a network"), "{told}");
    }
}
