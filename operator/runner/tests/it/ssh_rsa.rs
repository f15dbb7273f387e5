//! RSA keys beside good ones, alone, and of users: this program cannot use them and says so.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::git_server::GitServer;
use crate::ssh::{new_key, pem, run_with, serve};

/// A new RSA key, as `ssh-keygen` writes it in this form, and its public half.
fn rsa(form: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args([
            "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "", "-m", form, "-f",
        ])
        .arg(&file)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    assert!(public.starts_with("ssh-rsa "), "{public}");
    (std::fs::read_to_string(file).unwrap(), public.trim().to_owned())
}

#[tokio::test]
async fn an_rsa_host_key_beside_a_good_one_does_no_harm_and_alone_it_is_named() {
    let git = GitServer::start().await;
    let commit = git.repository("app").commit(&[("a.txt", "over ssh\n")]);
    let (host_key, user_key) = (new_key(), new_key());
    let port = serve(git.folder.path(), host_key.clone(), user_key.public_key().clone()).await;
    let name = format!("[localhost]:{port}");
    let good = format!("{name} {}\n", host_key.public_key().to_openssh().unwrap());
    let bad = format!("{name} {}\n", rsa("RFC4716").1);
    for known_hosts in [format!("{bad}{good}"), format!("{good}{bad}")] {
        let (end, read) = run_with(
            port,
            "localhost",
            &commit,
            Some(&known_hosts),
            Some(&pem(&user_key)),
        )
        .await;
        assert!(read, "{:?}", end.report);
    }
    let (end, _) = run_with(port, "localhost", &commit, Some(&bad), Some(&pem(&user_key))).await;
    let message = end.message(0);
    assert!(
        message.contains("only an RSA host key is pinned for localhost"),
        "{message}"
    );
    assert!(message.contains("pin its Ed25519 or ECDSA key"), "{message}");
}

/// Kinds of host keys that a client asks for, in its order: the second list of its first packet (RFC 4253, 7.1).
async fn asked_for(listener: tokio::net::TcpListener) -> Vec<String> {
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.write_all(b"SSH-2.0-OpenSSH_8.0\r\n").await.unwrap();
    while stream.read_u8().await.unwrap() != b'\n' {}
    let length = stream.read_u32().await.unwrap() as usize;
    let mut packet = vec![0; length];
    stream.read_exact(&mut packet).await.unwrap();
    // length of the padding, kind of the message, cookie
    let mut lists = &packet[1 + 1 + 16..];
    let mut list = || {
        let (length, rest) = lists.split_at(4);
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let (list, rest) = rest.split_at(length);
        lists = rest;
        String::from_utf8(list.to_vec()).unwrap()
    };
    let _key_exchange = list();
    list().split(',').map(str::to_owned).collect()
}

#[tokio::test]
async fn a_server_that_has_both_kinds_is_never_asked_for_its_rsa_key() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let name = format!("[localhost]:{port}");
    let good = new_key().public_key().to_openssh().unwrap();
    let known_hosts = format!("{name} {}\n{name} {good}\n", rsa("RFC4716").1);
    let asked = tokio::spawn(asked_for(listener));
    // the server says no more than that
    let (end, read) = run_with(
        port,
        "localhost",
        "HEAD",
        Some(&known_hosts),
        Some(&pem(&new_key())),
    )
    .await;
    assert!(!read, "{:?}", end.report);
    assert_eq!(asked.await.unwrap(), ["ssh-ed25519"]);
}

#[tokio::test]
async fn an_rsa_key_of_a_user_is_called_one_in_every_form() {
    let host = format!("localhost {}\n", new_key().public_key().to_openssh().unwrap());
    for form in ["RFC4716", "PEM", "PKCS8"] {
        let (key, _) = rsa(form);
        // nobody is asked: the key is looked at first
        let (end, _) = run_with(22, "localhost", "HEAD", Some(&host), Some(&key)).await;
        let message = end.message(0);
        assert!(
            message.contains("the SSH key for localhost is an RSA key"),
            "{form}: {message}"
        );
    }
    let (end, _) = run_with(22, "localhost", "HEAD", Some(&host), Some("no key")).await;
    assert!(end.message(0).contains("cannot be read"), "{}", end.message(0));
}
