//! Connections: HTTPS with roots that need nothing from the image, and credentials for the host that asks and no other.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use gix::credentials::helper::Action;
use gix::credentials::protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::blocking_io::http;
use gix::remote::{Connection, Direction};
use gix::url::Scheme;
use thiserror::Error;

use super::http::Client;
use super::ssh::{self, SshError};
use super::{Address, CheckoutError, Session};
use crate::environment::Environment;
use crate::server::tls::{self, TlsError};

/// A server may think for a long time before it sends the first byte of a large pack.
pub(super) const SILENCE: Duration = Duration::from_mins(10);
const CONNECT: Duration = Duration::from_secs(20);

/// Why there is no connection.
#[derive(Debug, Error)]
pub(crate) enum TransportError {
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ssh(#[from] SshError),
}

/// A connection of any kind.
pub(crate) type AnyConnection<'a, 'repo> = Connection<'a, 'static, 'repo, Box<dyn Transport + Send>>;

/// A connection and what became of its login.
pub(crate) struct Connected<'a, 'repo> {
    pub(crate) connection: AnyConnection<'a, 'repo>,
    pub(crate) login: LoginState,
}

/// Whether the server asked for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    Not,
    /// And got none.
    Without,
    /// And got some.
    With,
    /// Without TLS, so that it got none.
    Plain,
}

/// Shared with the callback that answers.
#[derive(Debug, Clone)]
pub(crate) struct LoginState(Rc<Cell<Asked>>);

impl LoginState {
    pub(crate) fn state(&self) -> Asked {
        self.0.get()
    }
}

/// Roots for all fetches of a step.
pub(crate) fn tls(environment: &Environment) -> Result<rustls::ClientConfig, TlsError> {
    let file = |name: &str| {
        let path = environment.variables().get(std::ffi::OsStr::new(name))?;
        std::fs::read(path).ok()
    };
    tls::trusting_the_world(&[file("GIT_SSL_CAINFO"), file("SSL_CERT_FILE")])
}

/// Connects to the server of an address.
pub(crate) fn connect<'a, 'repo>(
    session: &Session,
    remote: &'a gix::Remote<'repo>,
    address: &Address,
) -> Result<Connected<'a, 'repo>, CheckoutError> {
    let failed = |error: gix::Error| CheckoutError::Fetch {
        url: address.to_string(),
        message: error.to_string(),
    };
    let login = LoginState(Rc::new(Cell::new(Asked::Not)));
    if *address.scheme() == Scheme::Ssh {
        let transport = ssh::connect(session, address).map_err(TransportError::from)?;
        return Ok(Connected {
            connection: remote.to_connection_with_transport(transport),
            login,
        });
    }
    let mut connection = if matches!(address.scheme(), Scheme::Https | Scheme::Http) {
        let (url, version) = remote
            .sanitized_url_and_version(Direction::Fetch)
            .map_err(failed)?;
        let client = Client::new(session.interrupt.clone());
        let transport: Box<dyn Transport + Send> =
            Box::new(http::Transport::new_http(client, url, version, false));
        let mut connection = remote.to_connection_with_transport(transport);
        connection.set_transport_options(Box::new(http_options(session, address)?));
        connection
    } else {
        remote.connect(Direction::Fetch).map_err(failed)?
    };
    let (credentials, state) = (Arc::clone(&session.credentials), login.clone());
    connection.set_credentials(move |action| match action {
        Action::Get(context) => {
            // The address that asks now, which is another one after a redirect.
            let url = context.url.as_ref().and_then(|url| gix::url::parse(url).ok());
            let host = url.as_ref().and_then(|url| url.host()).unwrap_or_default();
            if url.as_ref().is_none_or(|url| url.scheme != Scheme::Https) {
                state.0.set(Asked::Plain);
                return Ok(None);
            }
            let Some(login) = credentials.login(host) else {
                state.0.set(Asked::Without);
                return Ok(None);
            };
            state.0.set(Asked::With);
            let identity = gix::sec::identity::Account {
                username: login.user,
                password: login.token,
                oauth_refresh_token: None,
            };
            Ok(Some(protocol::Outcome {
                identity,
                next: context.into(),
            }))
        }
        Action::Store(_) | Action::Erase(_) => Ok(None),
    });
    Ok(Connected { connection, login })
}

fn http_options(session: &Session, address: &Address) -> Result<http::Options, CheckoutError> {
    let config = match session.credentials.authority(address.host()) {
        Some(pem) => tls::trusting_only(pem.as_bytes()).map_err(TransportError::from)?,
        None => session.tls.as_ref().clone(),
    };
    let backend = http::reqwest::Options {
        configure_client: Some(Box::new(move |builder| {
            Ok(builder
                .tls_backend_preconfigured(config.clone())
                .connect_timeout(CONNECT)
                .timeout(Some(SILENCE)))
        })),
        configure_request: None,
    };
    Ok(http::Options {
        backend: Some(Arc::new(Mutex::new(backend))),
        ..http::Options::default()
    })
}
