//! Clients that ask as the service account of an Environment.
//!
//! Only `Impersonate-User` is sent. The API server itself adds the groups that belong to a service account, so the operator needs the right to
//! impersonate service accounts alone; a right to impersonate groups cannot be limited to theirs and would include `system:masters`.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use http::{HeaderName, HeaderValue, Request};
use kube::{Client, client::Body};
use thiserror::Error;

/// Clients that are kept.
const MOST: usize = 256;
const USER: HeaderName = HeaderName::from_static("impersonate-user");

/// A name that no service account has.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("`{0}` is no name of a service account: lower-case letters, digits, `-` and `.`")]
pub struct NoAccount(String);

/// Clients by service account. All of them share the connections of one.
pub struct Accounts {
    base: Client,
    made: Mutex<HashMap<String, (Client, Instant)>>,
}

impl Accounts {
    /// Asks through a client.
    pub fn new(base: Client) -> Self {
        Self {
            base,
            made: Mutex::default(),
        }
    }

    /// A client that asks as a service account.
    ///
    /// # Errors
    /// When it cannot be the name of one.
    pub fn client(&self, namespace: &str, account: &str) -> Result<Client, NoAccount> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
        if account.is_empty() || !account.bytes().all(allowed) {
            return Err(NoAccount(account.to_owned()));
        }
        let user = user(namespace, account);
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((client, used)) = made.get_mut(&user) {
            *used = Instant::now();
            return Ok(client.clone());
        }
        let header = HeaderValue::from_str(&user).map_err(|_| NoAccount(account.to_owned()))?;
        if made.len() >= MOST
            && let Some(oldest) = made
                .iter()
                .min_by_key(|(_, (_, used))| *used)
                .map(|(user, _)| user.clone())
        {
            made.remove(&oldest);
        }
        let client = impersonating(&self.base, header, namespace);
        made.insert(user, (client.clone(), Instant::now()));
        Ok(client)
    }
}

/// User name of a service account.
pub fn user(namespace: &str, account: &str) -> String {
    format!("system:serviceaccount:{namespace}:{account}")
}

fn impersonating(base: &Client, user: HeaderValue, namespace: &str) -> Client {
    let base = base.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (base, user) = (base.clone(), user.clone());
        async move {
            request.headers_mut().insert(USER, user);
            base.send(request).await
        }
    });
    Client::new(service, namespace)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::testing::{Answer, ApiServer};

    #[tokio::test]
    async fn no_more_clients_are_kept_than_the_limit_and_odd_names_get_none() {
        let api = ApiServer::start(|_| Answer::error(500, "InternalError", "not asked"));
        let accounts = Accounts::new(api.client());
        for number in 0..MOST + 20 {
            accounts.client("team", &format!("account-{number}")).unwrap();
        }
        assert_eq!(accounts.made.lock().unwrap().len(), MOST);
        for odd in ["", "a:b", "A", "a b", "a\nImpersonate-Group: system:masters", "é"] {
            assert!(accounts.client("team", odd).is_err(), "{odd:?}");
        }
    }
}
