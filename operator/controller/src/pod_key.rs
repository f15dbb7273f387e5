//! The key that proves which Pods the operator made.

use dcanary_core::pod::PodKey;
use kube::Client;
use rand::RngCore;

use crate::{
    config::Config,
    ledger::keys::{KeyName, KeysError, get_or_create},
};

/// Key in the Secret.
const KEY: &str = "key";
const BYTES: usize = 32;
const LOSS: &str = "make the operator delete build Pods that are just being created, and their attempts anew";

/// Reads it from its Secret, or makes it at the first start. All replicas have the same.
///
/// # Errors
/// When the Secret cannot be read or made, or holds something else.
pub async fn load(client: &Client, config: &Config) -> Result<PodKey, KeysError> {
    let name = format!("{}-pod-key", config.installation);
    let wanted = KeyName {
        secret: &name,
        key: KEY,
        loss: LOSS,
    };
    let made = || {
        let mut key = [0; BYTES];
        rand::rng().fill_bytes(&mut key);
        Ok(key.to_vec())
    };
    let bytes: [u8; BYTES] = get_or_create(client, config, wanted, made)
        .await?
        .try_into()
        .map_err(|_| KeysError::Content {
            name,
            key: KEY,
            loss: LOSS,
        })?;
    Ok(PodKey::new(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Mutex;

    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, ApiServer, Asked, config};

    #[tokio::test]
    async fn every_replica_and_every_start_has_the_key_that_was_made_first() {
        let kept: Mutex<Option<Value>> = Mutex::default();
        let api = ApiServer::start(move |request: &Asked| {
            let mut kept = kept.lock().unwrap();
            if request.method == "POST" {
                *kept = Some(request.json());
            }
            kept.as_ref()
                .map_or_else(|| Answer::error(404, "NotFound", "no such Secret"), Answer::ok)
        });
        let first = load(&api.client(), &config()).await.unwrap();
        assert_eq!(load(&api.client(), &config()).await.unwrap(), first);
        assert_ne!(first, PodKey::default());
        let made = api.all("POST");
        assert_eq!(made.len(), 1);
        assert_eq!(made[0].json()["metadata"]["name"], "dcanary-pod-key");
    }

    #[tokio::test]
    async fn a_secret_with_another_content_is_an_error_and_no_key() {
        let api = ApiServer::start(|_| {
            Answer::ok(&serde_json::json!({"metadata": {"name": "dcanary-pod-key"}, "data": {"key": "AAAA"}}))
        });
        let error = load(&api.client(), &config()).await.unwrap_err();
        assert!(error.to_string().contains("dcanary-pod-key"), "{error}");
    }
}
