//! Opening a session, and losing it.

use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::double::{ATTEMPT, Fault, TOKEN};
use crate::pod::Pod;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

#[tokio::test]
async fn the_runner_waits_for_a_server_that_is_away() {
    let pod = Pod::new().await.run_step("true");
    pod.double.faults(|kind, count| {
        if kind == "session" && count < 4 {
            Fault::Away
        } else {
            Fault::None
        }
    });
    assert_eq!(pod.run().await.code, Some(0));
    assert_eq!(pod.double.seen().counts["session"], 5);
}

#[tokio::test]
async fn a_lost_answer_to_the_trade_is_harmless() {
    let pod = Pod::new().await.run_step("true");
    pod.double.faults(|kind, count| {
        if kind == "session" && count == 0 {
            Fault::LoseAnswer
        } else {
            Fault::None
        }
    });
    assert_eq!(pod.run().await.code, Some(0));
    assert!(!pod.double.seen().second_trade);
}

#[tokio::test]
async fn a_token_that_was_traded_before_ends_the_runner_with_70() {
    let pod = Pod::new().await.run_step("touch ran");
    pod.double.seen().key = Some("00".repeat(32));
    let end = pod.run().await;
    assert_eq!(end.code, Some(70));
    assert!(end.stderr.contains("second trade"), "{}", end.stderr);
    assert!(!end.stderr.contains(TOKEN));
    assert!(!pod.workspace().join("ran").exists());
}

#[tokio::test]
async fn a_step_that_trades_the_token_again_is_refused_and_the_attempt_goes_on() {
    let mut pod = Pod::new().await.run_step("");
    // bash speaks TCP by itself
    let port = pod.double.address.port();
    let text = format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; body='{{\"protocol\":1,\"key\":\"{}\"}}'\n\
         printf 'POST /v1/session HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\nAuthorization: Bearer %s\\r\\nContent-Length: %d\\r\\n\\r\\n%s' \"$(cat ../token)\" ${{#body}} \"$body\" >&3\n\
         cat <&3",
        "11".repeat(32)
    );
    pod.plan.steps[0].action = dcanary_protocol::plan::Action::Run {
        script: text,
        shell: vec!["/bin/bash".into()],
    };
    let end = pod.run().await;
    assert!(
        pod.double.output(0).contains("second-trade"),
        "{}",
        pod.double.output(0)
    );
    assert!(pod.double.seen().second_trade);
    assert_eq!(end.code, Some(0));
}

#[tokio::test]
async fn a_step_cannot_read_the_session_key_of_the_runner() {
    let mut pod = Pod::new().await.run_step(
        "for file in mem environ maps auxv; do if cat /proc/$PPID/$file >/dev/null 2>&1; then echo \"read $file\"; fi; done\n\
         ls /proc/$PPID/fd >/dev/null 2>&1 && echo 'read fd'; ls /proc/$PPID/task >/dev/null && echo looked",
    );
    pod.uid = Some(4711);
    pod.folder
        .path()
        .metadata()
        .unwrap()
        .permissions()
        .set_mode(0o755);
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.output(0), "looked\n");
}

#[tokio::test]
async fn a_revoked_session_ends_the_steps_and_the_runner_with_70() {
    let begin = std::time::Instant::now();
    let pod = Pod::new()
        .await
        .run_step("echo begin; sleep 0.5; echo more; sleep 60");
    pod.double.faults(|kind, count| {
        if kind == "frames" && count > 0 {
            Fault::Refuse(410, "session-revoked")
        } else {
            Fault::None
        }
    });
    let end = pod.run().await;
    assert!(begin.elapsed() < std::time::Duration::from_secs(20));
    assert_eq!(end.code, Some(70));
    assert!(end.stderr.contains("session-revoked"), "{}", end.stderr);
    assert!(end.report.is_none());
}

#[tokio::test]
async fn why_there_is_no_report_is_left_for_the_kubelet_without_secrets_and_output() {
    let mut pod = Pod::new()
        .await
        .run_step(
            "n=$(env | grep -c TERMINATION || true); echo output of the step $n; while :; do echo more; sleep 0.1; done",
        )
        .secret("PASSWORD", "session-revoked");
    let file = pod.folder.path().join("termination-log");
    std::fs::write(&file, "").unwrap();
    let path = file.to_str().unwrap().to_owned();
    pod.variables.push(("DCANARY_TERMINATION_LOG".into(), path));
    let revoked = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&revoked);
    pod.double.faults(move |kind, _| {
        if kind == "frames" && flag.load(Ordering::SeqCst) {
            Fault::Refuse(410, "session-revoked")
        } else {
            Fault::None
        }
    });
    let child = pod.start();
    pod.wait_for(0, "output of the step 0\n").await;
    revoked.store(true, Ordering::SeqCst);
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(70));
    let left = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        left,
        format!(
            "the stream ended: the server refused POST /v1/attempts/{ATTEMPT}/frames: 410 ***: said the double"
        )
    );
    assert!(end.stderr.contains(&left), "{}", end.stderr);
}

/// The kubelet makes the file writable for everybody, and steps have the runner's user.
#[tokio::test]
async fn nothing_that_a_step_leaves_for_the_kubelet_stays_whatever_the_end() {
    for (step, code) in [("true", 0), ("exit 7", 1), ("sleep 60", 4)] {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&file, "from before").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let mut pod = Pod::new()
            .await
            .run_step(&format!("test ! -s {path}; echo 'password hunter2' > {path}"))
            .run_step(&format!(
                "test ! -s {path}; echo 'password hunter2' > {path}; chmod 0 {path}; {step}"
            ));
        pod.plan.timeout_seconds = if code == 4 { 2 } else { 0 };
        pod.variables
            .push(("DCANARY_TERMINATION_LOG".into(), path.clone()));
        let end = pod.run().await;
        assert_eq!(end.code, Some(code), "{} {}", end.stderr, end.report().message);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "", "{step}");
    }
}

#[tokio::test]
async fn a_file_for_the_kubelet_that_is_not_there_is_not_made_and_a_long_reason_is_cut() {
    let mut pod = Pod::new().await.run_step("true");
    let file = pod.folder.path().join("termination-log");
    pod.variables
        .push(("DCANARY_TERMINATION_LOG".into(), file.to_str().unwrap().into()));
    pod.plan.masks.push(dcanary_protocol::plan::Mask::Dir {
        path: format!("/nowhere/{}", "é".repeat(400)),
    });
    assert_eq!(pod.run().await.code, Some(70));
    assert!(!file.exists());
    std::fs::write(&file, "older").unwrap();
    assert_eq!(pod.run().await.code, Some(70));
    let left = std::fs::read_to_string(&file).unwrap();
    assert!(left.starts_with("the secret files `/nowhere/"), "{left}");
    assert!((511..=512).contains(&left.len()), "{}", left.len());
}

#[tokio::test]
async fn a_server_that_forgot_its_sessions_gets_the_same_key_again() {
    let pod = Pod::new().await.run_step("echo one; sleep 0.5; echo two");
    let child = pod.start();
    pod.wait_for(0, "one").await;
    let key = pod.double.seen().key.take();
    let end = pod.end(child).await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.seen().key, key);
    assert_eq!(pod.double.output(0), "one\ntwo\n");
}

#[tokio::test]
async fn only_the_given_authority_is_trusted() {
    let pod = Pod::new().await.run_step("echo over TLS");
    let server = tls_before(pod.double.address).await;
    let other = rcgen::generate_simple_self_signed(vec!["localhost".into()])
        .unwrap()
        .cert
        .pem();
    let url = format!("https://localhost:{}", server.port);
    let wrong = pod.start_at(&url, &[("DCANARY_SERVER_CA", &STANDARD.encode(other))]);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(
        pod.double.seen().key.is_none(),
        "the token was shown to a stranger"
    );
    drop(wrong);
    let end = pod
        .end(pod.start_at(&url, &[("DCANARY_SERVER_CA", &STANDARD.encode(&server.ca))]))
        .await;
    assert_eq!(end.code, Some(0), "{}", end.stderr);
    assert_eq!(pod.double.output(0), "over TLS\n");
    let key = pod.double.seen().key.clone().unwrap();
    assert_ne!(key, hex::encode(Sha256::digest(ATTEMPT)));
}

#[tokio::test]
async fn a_server_without_tls_is_refused_except_on_the_loopback_device() {
    let pod = Pod::new().await.run_step("true");
    let end = pod.end(pod.start_at("http://dcanary-server:8443", &[])).await;
    assert_eq!(end.code, Some(70));
    assert!(end.stderr.contains("https"), "{}", end.stderr);
}

pub struct Tls {
    pub port: u16,
    pub ca: String,
}

/// Puts TLS before a plain server.
pub async fn tls_before(plain: std::net::SocketAddr) -> Tls {
    use tokio_rustls::rustls;
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(std::sync::Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Ok(mut tls) = acceptor.accept(stream).await {
                    let mut inner = tokio::net::TcpStream::connect(plain).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut tls, &mut inner).await;
                }
            });
        }
    });
    Tls {
        port,
        ca: made.cert.pem(),
    }
}
