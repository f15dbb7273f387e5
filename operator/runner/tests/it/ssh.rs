//! `checkout` over SSH, without an `ssh` program.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use dcanary_protocol::plan::Action;
use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey, PublicKey};
use russh::server::{Auth, Handler, Msg, Server as _, Session, VerifiedPublicKey};
use russh::{Channel, ChannelId};
use tokio::io::AsyncWriteExt;

use crate::git_server::GitServer;
use crate::pod::{End, Pod};

pub fn new_key() -> PrivateKey {
    key_of(Algorithm::Ed25519)
}

fn key_of(algorithm: Algorithm) -> PrivateKey {
    PrivateKey::random(&mut russh::keys::key::safe_rng(), algorithm).unwrap()
}

pub fn pem(key: &PrivateKey) -> String {
    key.to_openssh(LineEnding::LF).unwrap().to_string()
}

/// The step's end when the host has this `known_hosts`.
pub async fn run_with(
    port: u16,
    host: &str,
    commit: &str,
    known_hosts: Option<&str>,
    key: Option<&str>,
) -> (End, bool) {
    let pod = Pod::new().await;
    let folder = pod.folder.path().join("credentials/localhost");
    std::fs::create_dir_all(&folder).unwrap();
    if let Some(known_hosts) = known_hosts {
        std::fs::write(folder.join("known_hosts"), known_hosts).unwrap();
    }
    if let Some(key) = key {
        std::fs::write(folder.join("ssh-privatekey"), key).unwrap();
    }
    let credentials = pod.folder.path().join("credentials").to_str().unwrap().to_owned();
    let pod = pod.step(Action::Checkout {
        url: format!("ssh://git@{host}:{port}/app"),
        revision: commit.to_owned(),
        depth: 1,
        submodules: 0,
        path: "src".into(),
        credentials: Some(credentials),
    });
    let end = pod.run().await;
    let read = std::fs::read_to_string(pod.workspace().join("src/a.txt"));
    (end, read.is_ok_and(|text| text == "over ssh\n"))
}

#[derive(Clone)]
struct Sshd {
    root: PathBuf,
    allowed: PublicKey,
    channel: Option<Arc<std::sync::Mutex<Option<Channel<Msg>>>>>,
}

impl russh::server::Server for Sshd {
    type Handler = Self;

    fn new_client(&mut self, _: Option<std::net::SocketAddr>) -> Self {
        Self {
            channel: Some(Arc::default()),
            ..self.clone()
        }
    }
}

impl Handler for Sshd {
    type Error = russh::Error;

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        let good = user == "git" && key.public_key.key_data() == self.allowed.key_data();
        Ok(if good { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: russh::server::ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        *self.channel.as_ref().unwrap().lock().unwrap() = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        data: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let command = String::from_utf8(data.to_vec()).unwrap();
        let path = command
            .strip_prefix("git-upload-pack '/")
            .unwrap()
            .strip_suffix('\'')
            .unwrap();
        let mut child = tokio::process::Command::new("git")
            .args(["-c", "safe.directory=*", "upload-pack"])
            .arg(self.root.join(path))
            .env("GIT_CONFIG_COUNT", "1")
            .env("GIT_CONFIG_KEY_0", "safe.directory")
            .env("GIT_CONFIG_VALUE_0", "*")
            .env("GIT_PROTOCOL", "version=2")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        session.channel_success(id)?;
        let channel = self.channel.as_ref().unwrap().lock().unwrap().take().unwrap();
        tokio::spawn(async move {
            let (mut reader, mut writer) = tokio::io::split(channel.into_stream());
            let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
            tokio::spawn(async move { tokio::io::copy(&mut reader, &mut input).await });
            let _ = tokio::io::copy(&mut output, &mut writer).await;
            let _ = writer.shutdown().await;
        });
        Ok(())
    }
}

pub async fn serve(root: &Path, host_key: PrivateKey, allowed: PublicKey) -> u16 {
    let config = russh::server::Config {
        keys: vec![host_key],
        auth_rejection_time: std::time::Duration::ZERO,
        ..Default::default()
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = Sshd {
        root: root.to_owned(),
        allowed,
        channel: None,
    };
    tokio::spawn(async move { server.run_on_socket(Arc::new(config), &listener).await });
    port
}

#[tokio::test]
async fn a_commit_comes_over_ssh_from_a_pinned_host_only() {
    let git = GitServer::start().await;
    let commit = git.repository("app").commit(&[("a.txt", "over ssh\n")]);
    let (host_key, other_key, user_key, stranger) = (new_key(), new_key(), new_key(), new_key());
    let port = serve(git.folder.path(), host_key.clone(), user_key.public_key().clone()).await;
    let line = |key: &PrivateKey| format!("[localhost]:{port} {}\n", key.public_key().to_openssh().unwrap());
    for (known_hosts, key, expected) in [
        (Some(line(&host_key)), Some(&user_key), ""),
        (
            Some(line(&other_key)),
            Some(&user_key),
            "the host key of localhost is not the pinned one",
        ),
        (
            Some(line(&host_key)),
            Some(&stranger),
            "localhost refused the SSH key for user git",
        ),
        (
            Some("elsewhere ssh-ed25519 AAAA\n".to_owned()),
            Some(&user_key),
            "localhost has no pinned host key",
        ),
        (None, Some(&user_key), "localhost has no pinned host key"),
        (Some(line(&host_key)), None, "there is no `ssh-privatekey`"),
    ] {
        let key = key.map(pem);
        let (end, read) = run_with(port, "localhost", &commit, known_hosts.as_deref(), key.as_deref()).await;
        if expected.is_empty() {
            assert_eq!(end.code, Some(0), "{:?}", end.report);
            assert!(read);
        } else {
            assert!(end.message(0).contains(expected), "{}", end.message(0));
        }
    }
}

/// As `ssh-keygen -H` writes it.
fn hashed(line: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known_hosts");
    std::fs::write(&file, line).unwrap();
    let made = std::process::Command::new("ssh-keygen")
        .arg("-H")
        .arg("-f")
        .arg(&file)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("|1|") && !text.contains("localhost"), "{text}");
    text
}

#[tokio::test]
async fn hashed_lines_and_ecdsa_keys_of_hosts_and_users_are_understood() {
    let git = GitServer::start().await;
    let commit = git.repository("app").commit(&[("a.txt", "over ssh\n")]);
    for curve in [EcdsaCurve::NistP256, EcdsaCurve::NistP384] {
        let key = || key_of(Algorithm::Ecdsa { curve });
        let (host_key, other_key, user_key) = (key(), key(), key());
        let port = serve(git.folder.path(), host_key.clone(), user_key.public_key().clone()).await;
        let line =
            |key: &PrivateKey| format!("[localhost]:{port} {}\n", key.public_key().to_openssh().unwrap());
        for (known_hosts, host, expected) in [
            (line(&host_key), "localhost", ""),
            (hashed(&line(&host_key)), "localhost", ""),
            (hashed(&line(&host_key)), "LocalHost", ""),
            (hashed(&line(&other_key)), "localhost", "is not the pinned one"),
            (
                hashed(&line(&host_key).replace("localhost", "elsewhere")),
                "localhost",
                "has no pinned host key",
            ),
        ] {
            let (end, read) = run_with(port, host, &commit, Some(&known_hosts), Some(&pem(&user_key))).await;
            assert_eq!(read, expected.is_empty(), "{known_hosts}: {:?}", end.report);
            assert!(end.message(0).contains(expected), "{}", end.message(0));
        }
    }
}
