//! What is known of Secrets: a digest under a key of this installation, never their content.

use std::collections::BTreeMap;

use hmac::{Hmac, Mac};
use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{Api, Client};
use rand::RngCore;
use sha2::Sha256;

use crate::{
    config::Config,
    ledger::keys::{KeyName, KeysError, get_or_create},
};

/// Key in the Secret.
const KEY: &str = "key";
const BYTES: usize = 32;
const LOSS: &str = "change the identity of every release that tracks Secrets, so that it is deployed anew";

/// The key under which Secrets are digested: whoever reads a status cannot try out what is in a Secret.
#[derive(Clone)]
pub struct IdentityKey([u8; BYTES]);

impl IdentityKey {
    /// Reads it from its Secret, or makes it at the first start.
    ///
    /// # Errors
    /// When the Secret cannot be read or made, or holds something else.
    pub async fn load(client: &Client, config: &Config) -> Result<Self, KeysError> {
        let name = format!("{}-identity-key", config.installation);
        let wanted = KeyName {
            secret: &name,
            key: KEY,
            loss: LOSS,
        };
        let bytes = get_or_create(client, config, wanted, || {
            let mut key = [0; BYTES];
            rand::rng().fill_bytes(&mut key);
            Ok(key.to_vec())
        })
        .await?;
        let key = bytes.try_into().map_err(|_| KeysError::Content {
            name,
            key: KEY,
            loss: LOSS,
        })?;
        Ok(Self(key))
    }

    /// Digest of the data of a Secret. Keys and values are told apart by their lengths.
    pub fn digest(&self, data: &BTreeMap<String, ByteString>) -> String {
        // a key of any length is taken
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else {
            return String::new();
        };
        mac.update(b"dcanary secret v1");
        for (key, value) in data {
            for part in [key.as_bytes(), &value.0] {
                mac.update(&(part.len() as u64).to_be_bytes());
                mac.update(part);
            }
        }
        format!("hmac-sha256:{}", hex::encode(mac.finalize().into_bytes()))
    }
}

/// Digest of a Secret, read as a service account. `None`: there is no such Secret.
///
/// # Errors
/// When the API server gives another answer.
pub async fn digest(
    client: &Client,
    namespace: &str,
    name: &str,
    key: &IdentityKey,
) -> Result<Option<String>, kube::Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await?;
    Ok(found.map(|secret| key.digest(&secret.data.unwrap_or_default())))
}

/// Value of one key, for the moment in which it is used. `None`: no such Secret or key.
///
/// # Errors
/// When the API server gives another answer.
pub async fn value(
    client: &Client,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<Option<String>, kube::Error> {
    let api: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await?;
    let value = found
        .and_then(|secret| secret.data)
        .and_then(|mut data| data.remove(key));
    Ok(value.and_then(|value| String::from_utf8(value.0).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(entries: &[(&str, &str)]) -> BTreeMap<String, ByteString> {
        entries
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())))
            .collect()
    }

    #[test]
    fn a_digest_tells_contents_and_keys_apart_and_says_nothing_without_the_key() {
        let key = IdentityKey([1; BYTES]);
        let one = key.digest(&data(&[("a", "b"), ("c", "d")]));
        assert_eq!(
            one,
            key.digest(&data(&[("c", "d"), ("a", "b")])),
            "the order does not count"
        );
        for other in [
            data(&[("a", "bc"), ("c", "d")]),
            data(&[("ab", ""), ("c", "d")]),
            data(&[("a", "b")]),
            data(&[]),
        ] {
            assert_ne!(one, key.digest(&other), "{other:?}");
        }
        assert_ne!(
            one,
            IdentityKey([2; BYTES]).digest(&data(&[("a", "b"), ("c", "d")]))
        );
    }
}
