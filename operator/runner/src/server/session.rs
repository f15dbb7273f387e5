//! Trades the Pod's token for a session whose key exists only in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dcanary_protocol::PROTOCOL;
use dcanary_protocol::session::{SessionAnswer, SessionRequest};
use rand::TryRngCore;
use rand::rngs::OsRng;
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderValue};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::tls::{self, TlsError};
use super::waiting::{Announcer, Later, Pause};
use super::{Once, Refusal, Server, broken, classify};
use crate::settings::Settings;

const CONNECT: Duration = Duration::from_secs(5);
const REQUEST: Duration = Duration::from_mins(2);

/// Why there is no session.
#[derive(Debug, Error)]
pub(crate) enum SessionError {
    #[error("the token file `{path}` cannot be read: {source}")]
    Token { path: PathBuf, source: std::io::Error },
    #[error("no random numbers: {0}")]
    Random(#[from] rand::rand_core::OsError),
    #[error("cannot trust the server: {0}")]
    Tls(#[from] TlsError),
    #[error("the HTTP client cannot be set up: {0}")]
    Http(#[from] reqwest::Error),
    #[error(
        "the token of this Pod was traded before by somebody else, so this attempt can report nothing (second trade)"
    )]
    SecondTrade,
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("the server speaks protocol {min} to {max}, this runner speaks {PROTOCOL}")]
    Protocol { min: u32, max: u32 },
}

/// What every request carries.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) attempt: String,
    pub(super) header: HeaderValue,
    pub(super) trade: Trade,
}

/// A trade that can be repeated: the same key gets the same answer.
#[derive(Debug, Clone)]
pub(super) struct Trade {
    token: HeaderValue,
    key_hash: String,
}

/// The token of this Pod, as bytes to mask.
pub(crate) fn read_token(path: &Path) -> Result<String, SessionError> {
    let token = std::fs::read_to_string(path).map_err(|source| SessionError::Token {
        path: path.to_owned(),
        source,
    })?;
    Ok(token.trim().to_owned())
}

/// Opens the session; waits as long as the server is away.
pub(crate) async fn open(
    settings: &Settings,
    token: &str,
    announcer: Announcer,
) -> Result<Server, SessionError> {
    let http = client(settings)?;
    let mut key = [0; 32];
    OsRng.try_fill_bytes(&mut key)?;
    let invalid = || SessionError::Token {
        path: settings.token_file.clone(),
        source: std::io::ErrorKind::InvalidData.into(),
    };
    let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| invalid())?;
    bearer.set_sensitive(true);
    let trade = Trade {
        token: bearer,
        key_hash: hex::encode(Sha256::digest(key)),
    };
    let mut pause = Pause::new(&announcer);
    let answer = self::trade(&http, &settings.server, &trade, &mut pause)
        .await
        .map_err(|refusal| {
            if refusal.reason == "second-trade" {
                SessionError::SecondTrade
            } else {
                refusal.into()
            }
        })?;
    let range = answer.protocol;
    if PROTOCOL + 1 < range.min || PROTOCOL > range.max.saturating_add(1) {
        return Err(SessionError::Protocol {
            min: range.min,
            max: range.max,
        });
    }
    let mut header = HeaderValue::from_str(&format!("DCanary {}:{}", answer.attempt, hex::encode(key)))
        .map_err(|_| invalid())?;
    header.set_sensitive(true);
    let session = Session {
        attempt: answer.attempt,
        header,
        trade,
    };
    Ok(Server {
        http,
        base: settings.server.clone(),
        session,
        announcer,
    })
}

fn client(settings: &Settings) -> Result<reqwest::Client, SessionError> {
    let builder = reqwest::Client::builder()
        // Neither proxies of the image nor redirects lie between runner and server.
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT)
        .read_timeout(REQUEST);
    let config = match &settings.server_ca {
        Some(pem) => tls::trusting_only(pem)?,
        None => tls::trusting_nobody()?,
    };
    Ok(builder.tls_backend_preconfigured(config).build()?)
}

pub(super) async fn trade(
    http: &reqwest::Client,
    base: &Url,
    trade: &Trade,
    pause: &mut Pause,
) -> Result<SessionAnswer, Refusal> {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(["v1", "session"]);
    }
    let body = SessionRequest {
        protocol: PROTOCOL,
        key: trade.key_hash.clone(),
    };
    loop {
        let request = http
            .post(url.clone())
            .header(AUTHORIZATION, &trade.token)
            .json(&body);
        let later: Later = match classify("POST /v1/session", request.send().await).await {
            Once::Answer(response) => match response.json().await {
                Ok(answer) => return Ok(answer),
                Err(_) => broken(),
            },
            Once::Later(later) => later,
            Once::No(refusal) => return Err(refusal),
        };
        pause.wait(&later).await;
    }
}
