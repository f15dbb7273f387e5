//! Where a token of a `checkout` goes, and where it does not.

use crate::checkout::{checkout, with};
use crate::git_server::GitServer;
use crate::pod::Pod;

/// A checkout with a token for this host, and the authorities of these servers.
async fn with_token(host: &str, url: &str, servers: &[&GitServer]) -> Pod {
    let mut pod = Pod::new().await;
    let folder = pod.folder.path().join("credentials");
    std::fs::create_dir_all(folder.join(host)).unwrap();
    std::fs::write(folder.join(host).join("token"), "t0ken").unwrap();
    std::fs::write(folder.join(host).join("username"), "ci").unwrap();
    let authorities: String = servers.iter().filter_map(|server| server.ca.clone()).collect();
    if !authorities.is_empty() {
        let authority = pod.folder.path().join("ca.pem");
        std::fs::write(&authority, authorities).unwrap();
        let authority = authority.to_str().unwrap().to_owned();
        pod.variables.push(("SSL_CERT_FILE".into(), authority));
    }
    pod.step(with(checkout(url, "main"), |_, _, _, credentials| {
        *credentials = Some(folder.to_str().unwrap().to_owned());
    }))
}

#[tokio::test]
async fn a_token_is_never_sent_without_tls() {
    let server = GitServer::guarded_without_tls("ci:t0ken").await;
    server.repository("app").commit(&[("a.txt", "private\n")]);
    let pod = with_token("127.0.0.1", &format!("{}/app", server.url), &[]).await;
    let end = pod.run().await;
    assert_eq!(end.code, Some(1));
    assert!(
        end.message(0)
            .contains("127.0.0.1 asks for credentials without TLS"),
        "{}",
        end.message(0)
    );
    assert!(!server.requests.lock().unwrap().is_empty());
    assert!(!server.saw_login());
}

#[tokio::test]
async fn a_token_does_not_follow_a_redirect_to_another_host() {
    let target = GitServer::guarded("ci:t0ken").await;
    target.repository("app").commit(&[("a.txt", "private\n")]);
    let other_host = target.url.replace("localhost", "127.0.0.1");
    // The first server asks for the token itself, or leaves that to the one that it sends to.
    for (login, shown) in [(None, false), (Some("ci:t0ken"), true)] {
        let moved = GitServer::moved(login, &other_host).await;
        target.requests.lock().unwrap().clear();
        let pod = with_token("localhost", &format!("{}/app", moved.url), &[&target, &moved]).await;
        let end = pod.run().await;
        assert_eq!(end.code, Some(1), "{login:?}");
        assert_eq!(moved.saw_login(), shown, "{login:?}");
        // The library follows the first answer only.
        let followed = !target.requests.lock().unwrap().is_empty();
        assert_eq!(followed, login.is_none(), "{login:?}");
        assert!(!target.saw_login(), "{login:?}");
        assert!(!format!("{:?}", end.report).contains("t0ken"));
    }
    // The same place is open to a token that is meant for it.
    let moved = GitServer::moved(None, &other_host).await;
    let pod = with_token("127.0.0.1", &format!("{}/app", moved.url), &[&target, &moved]).await;
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
    assert!(target.saw_login() && !moved.saw_login());
}

#[tokio::test]
async fn a_redirect_to_a_server_without_tls_is_not_followed() {
    let target = GitServer::guarded_without_tls("ci:t0ken").await;
    target.repository("app").commit(&[("a.txt", "private\n")]);
    for login in [None, Some("ci:t0ken")] {
        let moved = GitServer::moved(login, &target.url).await;
        let pod = with_token("localhost", &format!("{}/app", moved.url), &[&moved]).await;
        let end = pod.run().await;
        assert_eq!(end.code, Some(1), "{login:?}");
        assert!(!moved.requests.lock().unwrap().is_empty(), "{login:?}");
        assert!(target.requests.lock().unwrap().is_empty(), "{login:?}");
    }
}

#[tokio::test]
async fn a_host_has_the_same_credentials_however_it_is_spelled() {
    let server = GitServer::guarded("ci:t0ken").await;
    server.repository("app").commit(&[("a.txt", "private\n")]);
    let url = format!("{}/app", server.url.replace("localhost", "LocalHost"));
    let pod = with_token("localhost", &url, &[&server]).await;
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
}
