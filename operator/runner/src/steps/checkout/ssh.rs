//! SSH without an `ssh` program: a library speaks the protocol, the host key must be pinned.

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gix::bstr::ByteSlice;
use gix::protocol::transport::Protocol;
use gix::protocol::transport::client::blocking_io::Transport;
use gix::protocol::transport::client::git::ConnectMode;
use gix::protocol::transport::client::git::blocking_io::Connection;
use russh::client::{self, Handle};
use russh::keys::PublicKeyOrCertificate;
use russh::keys::known_hosts::known_host_keys_path;
use russh::keys::{PrivateKeyWithHashAlg, PublicKey, decode_secret_key};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, ReadHalf, WriteHalf};
use tokio::runtime;
use tokio_util::io::SyncIoBridge;

use super::http::LOOK;
use super::transport::SILENCE;
use super::{Address, Session};
use crate::interrupt::Interrupt;

const PORT: u16 = 22;
const USER: &str = "git";
const CONNECT: Duration = Duration::from_secs(20);
/// Keeps the way open while the server thinks.
const KEEPALIVE: Duration = Duration::from_mins(1);
/// Questions that may stay without an answer: a server that answers none has as much time as one that answers them all.
const UNANSWERED: usize = 9;
/// `rsaEncryption` (1.2.840.113549.1.1.1, RFC 8017) as it is encoded in a PKCS#8 key.
const RSA_OID: [u8; 11] = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// Length and version come before the kind of a PKCS#8 key, and are shorter than this with it.
const PKCS8_HEAD: usize = 32;

/// Why there is no SSH connection.
#[derive(Debug, Error)]
pub(crate) enum SshError {
    #[error("{0} needs an SSH key, and there is no `ssh-privatekey` for this host")]
    NoKey(String),
    #[error("{0} has no pinned host key: `known_hosts` is missing or does not name it")]
    NotPinned(String),
    #[error(
        "only an RSA host key is pinned for {0}, and RSA keys are not supported; pin its Ed25519 or ECDSA key in `known_hosts` (`ssh-keyscan -t ed25519,ecdsa {0}` shows them; compare them with what the host's owner publishes)"
    )]
    OnlyRsaPinned(String),
    #[error("`known_hosts` for {host} cannot be read: {message}")]
    KnownHosts { host: String, message: String },
    #[error("the SSH key for {0} cannot be read; keys with a passphrase are not supported")]
    Key(String),
    #[error("the SSH key for {0} is an RSA key; Ed25519 and ECDSA keys are supported")]
    Rsa(String),
    #[error("the host key of {0} is not the pinned one")]
    HostKey(String),
    #[error("{0} cannot be reached: {1}")]
    Connect(String, String),
    #[error("{0} did not answer in time")]
    Silent(String),
    #[error("{host} refused the SSH key for user {user}")]
    Refused { host: String, user: String },
    #[error("{0} does not start git-upload-pack: {1}")]
    Exec(String, String),
}

/// Accepts the pinned keys and nothing else.
struct Pinned {
    keys: Vec<PublicKey>,
}

impl client::Handler for Pinned {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Self::Error> {
        Ok(match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => {
                self.keys.iter().any(|pinned| pinned.key_data() == key.key_data())
            }
            PublicKeyOrCertificate::Certificate(_) => false,
        })
    }
}

type Channel = russh::ChannelStream<client::Msg>;

/// Keeps the session open as long as something is read.
struct Reader {
    inner: Patient<ReadHalf<Channel>>,
    _session: Handle<Pinned>,
}

impl std::io::Read for Reader {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.inner.read(buffer)
    }
}

/// Reads with a limit for silence, and only as long as the step goes on. The session's own limit is none for a server that answers to
/// keepalives and sends nothing else.
struct Patient<R> {
    inner: R,
    runtime: runtime::Handle,
    interrupt: Interrupt,
    silence: Duration,
}

impl<R: AsyncRead + Unpin> std::io::Read for Patient<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let begin = Instant::now();
        loop {
            self.interrupt.check().map_err(std::io::Error::other)?;
            let reading = async { tokio::time::timeout(LOOK, self.inner.read(buffer)).await };
            match self.runtime.block_on(reading) {
                Ok(read) => return read,
                Err(_) if begin.elapsed() >= self.silence => {
                    let text = format!("the server sent nothing for {} s", self.silence.as_secs());
                    return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text));
                }
                Err(_) => {}
            }
        }
    }
}

/// Starts `git-upload-pack` on the other side.
pub(crate) fn connect(session: &Session, address: &Address) -> Result<Box<dyn Transport + Send>, SshError> {
    let connecting = async {
        let opened = tokio::select! {
            opened = tokio::time::timeout(CONNECT, open(session, address)) => opened.ok(),
            () = given_up(&session.interrupt) => None,
        };
        opened.unwrap_or_else(|| Err(SshError::Silent(address.host().to_owned())))
    };
    let (handle, channel) = session.runtime.block_on(connecting)?;
    let (reader, writer): (_, WriteHalf<Channel>) = tokio::io::split(channel);
    let reader = Reader {
        inner: Patient {
            inner: reader,
            runtime: session.runtime.clone(),
            interrupt: session.interrupt.clone(),
            silence: SILENCE,
        },
        _session: handle,
    };
    let writer = SyncIoBridge::new_with_handle(writer, session.runtime.clone());
    let none: Option<(&str, Option<u16>)> = None;
    let path = address.url().path.clone();
    Ok(Box::new(Connection::new(
        reader,
        writer,
        Protocol::V2,
        path,
        none,
        ConnectMode::Process,
        false,
    )))
}

/// Waits until the step is given up.
async fn given_up(interrupt: &Interrupt) {
    while !interrupt.is_set() {
        tokio::time::sleep(LOOK).await;
    }
}

async fn open(session: &Session, address: &Address) -> Result<(Handle<Pinned>, Channel), SshError> {
    let host = address.host().to_owned();
    let port = address.url().port.unwrap_or(PORT);
    let user = address.url().user().unwrap_or(USER).to_owned();
    let keys = pinned(session, &host, port)?;
    let text = session
        .credentials
        .private_key(&host)
        .ok_or_else(|| SshError::NoKey(host.clone()))?;
    if is_rsa(&text) {
        return Err(SshError::Rsa(host));
    }
    let key = decode_secret_key(&text, None).map_err(|_| SshError::Key(host.clone()))?;
    if key.algorithm().is_rsa() {
        return Err(SshError::Rsa(host));
    }
    let config = config(&keys);
    let unreachable = |error: russh::Error| match error {
        russh::Error::UnknownKey => SshError::HostKey(host.clone()),
        error => SshError::Connect(host.clone(), error.to_string()),
    };
    let handler = Pinned { keys };
    let mut handle = client::connect(Arc::new(config), (host.as_str(), port), handler)
        .await
        .map_err(unreachable)?;
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let answer = handle
        .authenticate_publickey(&user, key)
        .await
        .map_err(unreachable)?;
    if !answer.success() {
        return Err(SshError::Refused { host, user });
    }
    let failed = |error: russh::Error| SshError::Exec(host.clone(), error.to_string());
    let channel = handle.channel_open_session().await.map_err(failed)?;
    // Servers that refuse it speak the older protocol.
    let _ = channel.set_env(false, "GIT_PROTOCOL", "version=2").await;
    channel.exec(true, command(address)).await.map_err(failed)?;
    Ok((handle, channel.into_stream()))
}

fn config(pinned: &[PublicKey]) -> client::Config {
    let mut config = client::Config {
        inactivity_timeout: Some(SILENCE),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: UNANSWERED,
        ..client::Config::default()
    };
    // Asks for keys of the pinned kinds only: the server would choose another one otherwise.
    config.preferred.key = pinned.iter().map(PublicKey::algorithm).collect::<Vec<_>>().into();
    config
}

/// Whether a private key is an RSA key in one of the forms that the library has no word for.
fn is_rsa(pem: &str) -> bool {
    if pem.contains("BEGIN RSA PRIVATE KEY") {
        return true;
    }
    // The kind stands before the key itself.
    PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).is_ok_and(|key| {
        let begin = key.secret_pkcs8_der().iter().take(PKCS8_HEAD);
        let begin: Vec<u8> = begin.copied().collect();
        begin.windows(RSA_OID.len()).any(|bytes| bytes == RSA_OID)
    })
}

/// What a shell on the other side runs; the path is one word whatever it holds.
fn command(address: &Address) -> Vec<u8> {
    let path = address.url().path.as_bstr();
    let path = if path.starts_with(b"/~") {
        &path[1..]
    } else {
        path.as_bytes()
    };
    let mut command = b"git-upload-pack '".to_vec();
    command.extend_from_slice(&path.replace("'", "'\\''"));
    command.push(b'\'');
    command
}

fn pinned(session: &Session, host: &str, port: u16) -> Result<Vec<PublicKey>, SshError> {
    let text = session
        .credentials
        .known_hosts(host)
        .ok_or_else(|| SshError::NotPinned(host.to_owned()))?;
    let unreadable = |message: String| SshError::KnownHosts {
        host: host.to_owned(),
        message,
    };
    // The library reads files only.
    let mut file = tempfile::NamedTempFile::new().map_err(|error| unreadable(error.to_string()))?;
    file.write_all(text.as_bytes())
        .map_err(|error| unreadable(error.to_string()))?;
    let keys = known_host_keys_path(&host.to_ascii_lowercase(), port, file.path())
        .map_err(|error| unreadable(error.to_string()))?;
    if keys.is_empty() {
        return Err(SshError::NotPinned(host.to_owned()));
    }
    // The library cannot check their signatures, and a server that has both kinds would be asked for the first one.
    let usable: Vec<PublicKey> = keys
        .into_iter()
        .map(|(_, key)| key)
        .filter(|key| !key.algorithm().is_rsa())
        .collect();
    if usable.is_empty() {
        return Err(SshError::OnlyRsaPinned(host.to_owned()));
    }
    Ok(usable)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    /// What reading from a server that is silent comes to.
    async fn read_silence(silence: Duration, interrupt: Interrupt) -> std::io::Error {
        let (inner, _server) = tokio::io::duplex(16);
        let runtime = runtime::Handle::current();
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = Patient {
                inner,
                runtime,
                interrupt,
                silence,
            };
            reader.read(&mut [0; 16])
        });
        reading.await.unwrap().unwrap_err()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_that_is_silent_for_too_long_is_given_up() {
        let error = read_silence(Duration::from_millis(10), Interrupt::default()).await;
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn reading_from_a_silent_server_ends_with_its_step() {
        let interrupt = Interrupt::default();
        let reading = read_silence(SILENCE, interrupt.clone());
        let giving_up = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            interrupt.set();
        };
        let (error, ()) = tokio::join!(reading, giving_up);
        assert_eq!(error.to_string(), "interrupted");
    }

    #[test]
    fn a_session_ends_when_nothing_comes_for_as_long_as_over_https() {
        let config = config(&[]);
        assert_eq!(config.inactivity_timeout, Some(SILENCE));
        assert_eq!(config.keepalive_interval, Some(KEEPALIVE));
        assert!(KEEPALIVE * u32::try_from(config.keepalive_max + 1).unwrap() >= SILENCE);
    }
}
