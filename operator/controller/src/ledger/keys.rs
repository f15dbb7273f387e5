//! Keys that are made once and kept in Secrets of the operator's namespace.

use std::collections::BTreeMap;

use dcanary_ledger::key::{self, KeyError};
use ic_agent::identity::BasicIdentity;
use ic_verify_bls_signature::PrivateKey;
use k8s_openapi::{
    ByteString,
    api::core::v1::{ConfigMap, Secret},
};
use kube::{Api, Client, api::PostParams};
use rand::RngCore;
use serde::{Deserialize, Serialize};
use serde_json::json;
use thiserror::Error;

use super::publish;
use crate::config::Config;

/// Key of the operator's identity in its Secret.
const IDENTITY: &str = "identity.pem";
/// Key of the node's keys in their Secret; the node is started with this file.
const NODE: &str = "keys.json";
/// What a new key of the ledger would do.
const NEW_LEDGER: &str = "make a new ledger";
/// What comes before the 96 bytes of a BLS public key in DER (interface specification, "Certificate").
const DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01,
    0x03, 0x61, 0x00,
];

/// Keys cannot be had.
#[derive(Debug, Error)]
pub enum KeysError {
    /// A Secret cannot be read or made.
    #[error("{verb} Secret {name}")]
    Secret {
        /// `read` or `create`.
        verb: &'static str,
        /// The Secret.
        name: String,
        /// What happened.
        #[source]
        source: Box<kube::Error>,
    },
    /// A Secret holds something else.
    #[error("Secret {name} has no usable {key}: restore it from a backup; deleting it would {loss}")]
    Content {
        /// The Secret.
        name: String,
        /// The key in it.
        key: &'static str,
        /// What another one would do.
        loss: &'static str,
    },
    /// Where the ledger is cannot be read.
    #[error("read ConfigMap {}", publish::NAME)]
    Published(#[source] Box<kube::Error>),
    /// A Secret that the ledger was made with is gone.
    #[error(
        "Secret {name} is gone, and the ledger was made with it: put it back from a backup (kubectl apply); for a new ledger, without the \
         records of this one, delete ConfigMap {} and the node's volume too",
        publish::NAME
    )]
    Lost {
        /// The Secret.
        name: String,
    },
    /// The operator's key.
    #[error(transparent)]
    Operator(#[from] KeyError),
}

/// The stored form of the node's keys; secrets in hexadecimal.
#[derive(Serialize, Deserialize)]
struct NodeKeys {
    root: String,
    subnet: String,
    node: String,
}

fn operator_secret(config: &Config) -> String {
    format!("{}-operator-key", config.installation)
}

fn node_secret(config: &Config) -> String {
    format!("{}-ledger-keys", config.installation)
}

/// Refuses when there is a ledger at the embedded node and a key that it was made with is gone. Another one would not do (the node refuses
/// keys that are not of its data, the ledger an operator that it does not know) and would be in the way of the backup.
pub async fn none_lost(client: &Client, config: &Config, url: &str) -> Result<(), KeysError> {
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &config.namespace);
    let published = maps
        .get_opt(publish::NAME)
        .await
        .map_err(|source| KeysError::Published(Box::new(source)))?;
    // that of another network says nothing about this one
    let is_made = published
        .and_then(|map| map.data)
        .is_some_and(|data| data.get("network").is_some_and(|network| network == url));
    if !is_made {
        return Ok(());
    }
    let secrets: Api<Secret> = Api::namespaced(client.clone(), &config.namespace);
    for name in [node_secret(config), operator_secret(config)] {
        let found = secrets.get_opt(&name).await.map_err(|source| KeysError::Secret {
            verb: "read",
            name: name.clone(),
            source: Box::new(source),
        })?;
        if found.is_none() {
            return Err(KeysError::Lost { name });
        }
    }
    Ok(())
}

/// The operator's identity, made at the first start.
pub async fn operator(client: &Client, config: &Config) -> Result<BasicIdentity, KeysError> {
    let name = operator_secret(config);
    let wanted = KeyName {
        secret: &name,
        key: IDENTITY,
        loss: NEW_LEDGER,
    };
    let pem = get_or_create(client, config, wanted, || Ok(key::generate()?.into_bytes())).await?;
    let text = String::from_utf8(pem).map_err(|_| KeysError::Content {
        name: name.clone(),
        key: IDENTITY,
        loss: NEW_LEDGER,
    })?;
    Ok(key::parse(&text, &format!("Secret {name}"))?)
}

/// DER of the root key of the embedded node, derived from the Secret that the node signs with.
pub async fn embedded_root_key(client: &Client, config: &Config) -> Result<Vec<u8>, KeysError> {
    let name = node_secret(config);
    let wanted = KeyName {
        secret: &name,
        key: NODE,
        loss: NEW_LEDGER,
    };
    let json = get_or_create(client, config, wanted, node_keys).await?;
    let unusable = || KeysError::Content {
        name: name.clone(),
        key: NODE,
        loss: NEW_LEDGER,
    };
    let keys: NodeKeys = serde_json::from_slice(&json).map_err(|_| unusable())?;
    let secret = hex::decode(keys.root).map_err(|_| unusable())?;
    let root = PrivateKey::deserialize(&secret).map_err(|_| unusable())?;
    Ok([DER_PREFIX.as_slice(), &root.public_key().serialize()].concat())
}

fn node_keys() -> Result<Vec<u8>, KeysError> {
    let mut node = [0; 32];
    rand::rng().fill_bytes(&mut node);
    let keys = NodeKeys {
        root: bls_secret(),
        subnet: bls_secret(),
        node: hex::encode(node),
    };
    Ok(serde_json::to_vec(&keys).unwrap_or_default())
}

/// A uniform BLS secret: random bytes until they are below the order of the group.
fn bls_secret() -> String {
    loop {
        let mut bytes = [0; 32];
        rand::rng().fill_bytes(&mut bytes);
        if bytes != [0; 32] && PrivateKey::deserialize(&bytes).is_ok() {
            return hex::encode(bytes);
        }
    }
}

/// A key in a Secret of the operator's namespace.
#[derive(Clone, Copy)]
pub(crate) struct KeyName<'a> {
    /// Name of the Secret.
    pub secret: &'a str,
    /// Key in it.
    pub key: &'static str,
    /// What another one would do.
    pub loss: &'static str,
}

/// Reads a key, or makes it when there is none.
pub(crate) async fn get_or_create(
    client: &Client,
    config: &Config,
    wanted: KeyName<'_>,
    make: impl FnOnce() -> Result<Vec<u8>, KeysError>,
) -> Result<Vec<u8>, KeysError> {
    let KeyName {
        secret: name,
        key,
        loss,
    } = wanted;
    let api: Api<Secret> = Api::namespaced(client.clone(), &config.namespace);
    let error = |verb, source| KeysError::Secret {
        verb,
        name: name.to_owned(),
        source: Box::new(source),
    };
    let content = |secret: Secret| {
        secret
            .data
            .and_then(|mut data| data.remove(key))
            .map(|bytes| bytes.0)
            .ok_or_else(|| KeysError::Content {
                name: name.to_owned(),
                key,
                loss,
            })
    };
    if let Some(secret) = api.get_opt(name).await.map_err(|source| error("read", source))? {
        return content(secret);
    }
    let secret = Secret {
        metadata: serde_json::from_value(json!({
            "name": name,
            "labels": {"app.kubernetes.io/part-of": "dcanary", "app.kubernetes.io/instance": config.installation},
        }))
        .unwrap_or_default(),
        immutable: Some(true),
        data: Some(BTreeMap::from([(key.to_owned(), ByteString(make()?))])),
        ..Secret::default()
    };
    match api.create(&PostParams::default(), &secret).await {
        Ok(created) => content(created),
        // another replica was quicker: its key counts
        Err(kube::Error::Api(status)) if status.reason == "AlreadyExists" => {
            content(api.get(name).await.map_err(|source| error("read", source))?)
        }
        Err(source) => Err(error("create", source)),
    }
}

/// A root key of nobody.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(super) fn test_root_key() -> Vec<u8> {
    let root = PrivateKey::deserialize(&hex::decode(bls_secret()).unwrap()).unwrap();
    [DER_PREFIX.as_slice(), &root.public_key().serialize()].concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::testing::{Answer, ApiServer, Asked, config};

    const NODE_URL: &str = "http://dcanary-ledger:8080";

    /// An API server that has the ConfigMap of a ledger at `network` and these Secrets.
    fn api(network: Option<&'static str>, secrets: &'static [&'static str]) -> ApiServer {
        ApiServer::start(move |request: &Asked| {
            let name = request.path.rsplit('/').next().unwrap_or_default();
            match network {
                _ if secrets.contains(&name) => Answer::ok(&json!({"metadata": {"name": name}})),
                Some(network) if name == publish::NAME => Answer::ok(
                    &json!({"metadata": {"name": name}, "data": {"network": network, "rootKey": "30"}}),
                ),
                _ => Answer::error(404, "NotFound", "there is none"),
            }
        })
    }

    async fn lost(network: Option<&'static str>, secrets: &'static [&'static str]) -> Option<String> {
        let config = Config {
            installation: "ci".to_owned(),
            ..config()
        };
        match none_lost(&api(network, secrets).client(), &config, NODE_URL).await {
            Ok(()) => None,
            Err(KeysError::Lost { name }) => Some(name),
            Err(other) => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn a_key_of_the_ledger_that_is_gone_is_named_and_not_made_anew() {
        let (node, operator) = ("ci-ledger-keys", "ci-operator-key");
        assert_eq!(
            lost(Some(NODE_URL), &["ci-operator-key"]).await.as_deref(),
            Some(node)
        );
        assert_eq!(
            lost(Some(NODE_URL), &["ci-ledger-keys"]).await.as_deref(),
            Some(operator)
        );
        assert_eq!(
            lost(Some(NODE_URL), &["ci-ledger-keys", "ci-operator-key"]).await,
            None
        );
        // at the first start, and when the ledger was on another network before
        assert_eq!(lost(None, &[]).await, None);
        assert_eq!(lost(Some("https://icp-api.io"), &[]).await, None);
        let told = KeysError::Lost {
            name: node.to_owned(),
        }
        .to_string();
        assert!(
            told.contains("ci-ledger-keys") && told.contains("dcanary-ledger"),
            "{told}"
        );
    }

    #[test]
    fn made_keys_have_the_form_that_the_node_reads() {
        let keys: NodeKeys = serde_json::from_slice(&node_keys().unwrap()).unwrap();
        for secret in [&keys.root, &keys.subnet] {
            assert!(PrivateKey::deserialize(&hex::decode(secret).unwrap()).is_ok());
        }
        assert_eq!(hex::decode(keys.node).unwrap().len(), 32);
    }
}
