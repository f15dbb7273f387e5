//! Registries that answer without end, lead elsewhere, or say what nobody should repeat.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::response::Response;
use dcanary_server::digest::Digest;
use dcanary_server::images::Registries;
use dcanary_server::images::registry::AnswerTime;
use serde_json::json;

use crate::images::options;
use crate::layouts::{image, layer_of, push};
use crate::support::TestServer;

const MIB: u64 = 1 << 20;
/// What an answer without end has here: enough to see that nobody read it all.
const ENDLESS_MIB: u64 = 96;

type Answer = Arc<dyn Fn(&Hostile, &Request) -> Option<Response> + Send + Sync>;

/// It has every layer and takes everything, but for what its script answers.
#[derive(Clone)]
struct Hostile {
    host: String,
    script: Answer,
    sent: Arc<AtomicU64>,
    asked: Arc<AtomicU64>,
}

fn status(status: u16) -> axum::http::response::Builder {
    Response::builder().status(status)
}

impl Hostile {
    async fn start(script: impl Fn(&Self, &Request) -> Option<Response> + Send + Sync + 'static) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hostile = Self {
            host: listener.local_addr().unwrap().to_string(),
            script: Arc::new(script),
            sent: Arc::default(),
            asked: Arc::default(),
        };
        let router = Router::new().fallback(answer).with_state(hostile.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        hostile
    }

    /// MiB that were read of answers without end.
    fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed) / MIB
    }

    fn endless(&self) -> Body {
        let sent = Arc::clone(&self.sent);
        let piece = bytes::Bytes::from(vec![b' '; 64 << 10]);
        let pieces = (0..ENDLESS_MIB * 16).map(move |_| {
            sent.fetch_add(64 << 10, Ordering::Relaxed);
            Ok::<_, std::io::Error>(piece.clone())
        });
        Body::from_stream(futures::stream::iter(pieces))
    }

    /// What the server says about pushing an image on a base of this registry.
    async fn on_its_base(&self) -> (u16, String) {
        let base = format!("{}/base/os:1", self.host);
        self.pushed(Registries::default(), Some(&base)).await
    }

    async fn pushed(&self, registries: Registries, base: Option<&str>) -> (u16, String) {
        let registries = Registries {
            insecure: vec![self.host.clone()],
            ..registries
        };
        let server = TestServer::with(options(registries)).await;
        let runner = server.runner("uid-1").await;
        let image = image(&[&layer_of(&["app"])], &json!({}), base);
        let pushing = push(&runner, "app", &image, &format!("{}/team/app:1", self.host)).await;
        (pushing.status().as_u16(), pushing.text().await.unwrap())
    }
}

async fn answer(State(hostile): State<Hostile>, request: Request) -> Response {
    hostile.asked.fetch_add(1, Ordering::Relaxed);
    if let Some(answer) = (hostile.script)(&hostile, &request) {
        return answer;
    }
    let code = if request.method() == Method::PUT { 201 } else { 200 };
    status(code)
        .header("location", request.uri().path())
        .body(Body::empty())
        .unwrap()
}

fn gets(request: &Request, part: &str) -> bool {
    request.method() == Method::GET && request.uri().path().contains(part)
}

/// A manifest of a base with this config.
fn manifest(config: &Digest) -> Response {
    let text = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"digest": config.to_string(), "size": 10}, "layers": []});
    status(200).body(Body::from(text.to_string())).unwrap()
}

#[track_caller]
fn refused((code, text): &(u16, String), part: &str) {
    assert!(
        *code == 422 && text.contains("registry-refused") && text.contains(part),
        "{code} {text}"
    );
}

#[tokio::test]
async fn a_manifest_or_a_config_of_a_base_without_end_is_not_read_to_its_end() {
    let manifests = Hostile::start(|hostile, request| {
        gets(request, "/manifests/").then(|| status(200).body(hostile.endless()).unwrap())
    });
    let configs = Hostile::start(|hostile, request| {
        let config = Digest::of(b"config");
        if gets(request, "/manifests/") {
            return Some(manifest(&config));
        }
        gets(request, "/blobs/").then(|| status(200).body(hostile.endless()).unwrap())
    });
    for hostile in [manifests.await, configs.await] {
        let said = hostile.on_its_base().await;
        refused(&said, "larger than");
        assert!(hostile.sent() < 24, "{} MiB", hostile.sent());
    }
}

#[tokio::test]
async fn a_token_or_an_error_without_end_is_not_read_to_its_end() {
    for code in [200, 401] {
        let tokens = Hostile::start(move |hostile, request| {
            if gets(request, "/token") {
                return Some(status(code).body(hostile.endless()).unwrap());
            }
            let realm = format!(r#"Bearer realm="http://{}/token",service="x""#, hostile.host);
            (request.uri().path() == "/v2/").then(|| {
                status(401)
                    .header("www-authenticate", realm)
                    .body(Body::empty())
                    .unwrap()
            })
        });
        let hostile = tokens.await;
        refused(&hostile.on_its_base().await, "");
        assert!(hostile.sent() < 24, "{} MiB", hostile.sent());
    }
    for method in [Method::GET, Method::POST, Method::PUT] {
        let wanted = method.clone();
        let errors = Hostile::start(move |hostile, request| {
            let missing = request.method() == Method::HEAD;
            let code = if missing { 404 } else { 403 };
            let starts = request.method() == Method::POST && request.method() != wanted;
            (request.uri().path() != "/v2/").then(|| match (missing, starts) {
                (true, _) => status(code).body(Body::empty()).unwrap(),
                (_, true) => status(202)
                    .header("location", "/v2/upload")
                    .body(Body::empty())
                    .unwrap(),
                _ if request.method() == Method::PATCH => status(202)
                    .header("location", "/v2/upload")
                    .body(Body::empty())
                    .unwrap(),
                _ => status(code).body(hostile.endless()).unwrap(),
            })
        });
        let hostile = errors.await;
        let base = format!("{}/base/os:1", hostile.host);
        let base = (method == Method::GET).then_some(base.as_str());
        let said = hostile.pushed(Registries::default(), base).await;
        refused(&said, "403");
        assert!(hostile.sent() < 24, "{method} {} MiB", hostile.sent());
    }
}

#[tokio::test]
async fn a_registry_that_answers_byte_by_byte_has_so_much_time_and_no_more() {
    let hostile = Hostile::start(|_, request| {
        let slowly = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Some((Ok::<_, std::io::Error>(bytes::Bytes::from_static(b" ")), ()))
        });
        gets(request, "/manifests/").then(|| status(200).body(Body::from_stream(slowly)).unwrap())
    })
    .await;
    let registries = Registries {
        answer_time: AnswerTime(Duration::from_millis(500)),
        ..Registries::default()
    };
    let base = format!("{}/base/os:1", hostile.host);
    let (code, text) = hostile.pushed(registries, Some(&base)).await;
    assert!(code == 503 && text.contains("no answer in time"), "{code} {text}");
}

#[tokio::test]
async fn of_what_a_registry_says_one_short_line_is_repeated() {
    let hostile = Hostile::start(|_, request| {
        gets(request, "/manifests/").then(|| {
            let text = format!("no \u{1b}[31mentry{}\nkey=hush", "y".repeat(2_000));
            status(403).body(Body::from(text)).unwrap()
        })
    })
    .await;
    let said = hostile.on_its_base().await;
    refused(&said, "403");
    refused(&said, "no [31mentry");
    assert!(
        !said.1.contains("hush") && !said.1.contains("\\u001b") && said.1.len() < 800,
        "{}",
        said.1
    );
}

#[tokio::test]
async fn what_a_registry_says_in_the_form_of_the_specification_is_repeated() {
    let hostile = Hostile::start(|_, request| {
        gets(request, "/manifests/").then(|| {
            let text = json!({"errors": [{"code": "MANIFEST_UNKNOWN", "message": "manifest unknown", "detail": "hush"}]});
            status(404).body(Body::from(text.to_string())).unwrap()
        })
    })
    .await;
    let said = hostile.on_its_base().await;
    refused(&said, "404");
    refused(&said, "MANIFEST_UNKNOWN: manifest unknown");
    assert!(!said.1.contains("hush"), "{}", said.1);
}

#[tokio::test]
async fn link_local_and_unspecified_addresses_are_no_registries() {
    let hostile = Hostile::start(|_, _| None).await;
    for host in [
        "169.254.169.254",
        "169.254.169.254:5000",
        "[::ffff:169.254.169.254]:80",
        "[fe80::1]:5000",
        "0.0.0.0:5000",
        "[::]:5000",
    ] {
        let base = format!("{host}/base/os:1");
        let registries = Registries {
            insecure: vec![host.to_owned(), hostile.host.clone()],
            ..Registries::default()
        };
        let server = TestServer::with(options(registries)).await;
        let runner = server.runner("uid-1").await;
        let image = image(&[b"a layer"], &json!({}), Some(&base));
        let answer = push(&runner, "app", &image, &format!("{}/team/app:1", hostile.host)).await;
        let said = (answer.status().as_u16(), answer.text().await.unwrap());
        if said.1.contains("bad-image") {
            // not even a reference
            continue;
        }
        refused(&said, "AllowLinkLocal");
    }
}

#[tokio::test]
async fn a_layer_of_a_base_is_passed_on_up_to_its_size_only() {
    let hostile = Hostile::start(|hostile, request| {
        let config = br#"{"rootfs": {"diff_ids": ["a"]}}"#;
        let (config, layer) = ((Digest::of(config), config), Digest::of(b"layer"));
        if request.method() == Method::HEAD {
            return Some(status(404).body(Body::empty()).unwrap());
        }
        let upload = || status(202).header("location", "/v2/up").body(Body::empty());
        if request.method() == Method::POST || request.method() == Method::PATCH {
            return Some(upload().unwrap());
        }
        if gets(request, "/manifests/") {
            let text = json!({"config": {"digest": config.0.to_string(), "size": 10},
                "layers": [{"digest": layer.to_string(), "size": 3 << 20}]});
            return Some(status(200).body(Body::from(text.to_string())).unwrap());
        }
        if gets(request, &config.0.to_string()) {
            return Some(status(200).body(Body::from(config.1.to_vec())).unwrap());
        }
        gets(request, &layer.to_string()).then(|| status(200).body(hostile.endless()).unwrap())
    })
    .await;
    refused(&hostile.on_its_base().await, "larger than the 3145728 bytes");
    assert!(hostile.sent() < 24, "{} MiB", hostile.sent());
}

#[tokio::test]
async fn a_token_realm_or_a_redirect_or_an_upload_at_a_link_local_address_is_not_asked() {
    const ELSEWHERE: &str = "http://169.254.169.254/latest";
    let realm = Hostile::start(|_, request| {
        (request.uri().path() == "/v2/").then(|| {
            status(401)
                .header("www-authenticate", format!(r#"Bearer realm="{ELSEWHERE}""#))
                .body(Body::empty())
                .unwrap()
        })
    });
    let moved = |part: &'static str, code| {
        Hostile::start(move |_, request: &Request| {
            if request.method() == Method::HEAD {
                return Some(status(404).body(Body::empty()).unwrap());
            }
            request.uri().path().contains(part).then(|| {
                status(code)
                    .header("location", ELSEWHERE)
                    .body(Body::empty())
                    .unwrap()
            })
        })
    };
    for hostile in [realm.await, moved("/manifests/", 302).await] {
        refused(&hostile.on_its_base().await, "is link-local");
    }
    let upload = moved("/uploads/", 202).await;
    let said = upload.pushed(Registries::default(), None).await;
    refused(&said, "is link-local");
}

/// The same over TLS, with its certificate authority.
async fn over_tls(router: Router) -> (String, Vec<u8>, tempfile::TempDir) {
    use dcanary_server::http::gate::Gate;
    use dcanary_server::http::serve::{self, ServeSettings};
    use dcanary_server::http::tls::Tls;
    use dcanary_server::metrics::Metrics;
    crate::support::provider();
    let dir = tempfile::tempdir().unwrap();
    let tls = Arc::new(Tls::load(crate::support::certificate(dir.path())).unwrap());
    let gate = Arc::new(Gate::new(tokio_util::sync::CancellationToken::new()));
    gate.open(router);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let settings = ServeSettings {
        connections: 64,
        grace: Duration::from_secs(1),
    };
    tokio::spawn(serve::protocol(listener, tls, gate, settings, Metrics::default()));
    let pem = std::fs::read(dir.path().join("tls.crt")).unwrap();
    (host, pem, dir)
}

#[tokio::test]
async fn a_registry_with_tls_leads_to_none_without() {
    let plain = Hostile::start(|_, _| None).await;
    let lead = |to: String, path: &'static str| {
        Router::new().fallback(move |request: Request| {
            let code = match (request.method(), request.uri().path()) {
                (_, at) if at.contains(path) && path == "/v2/" => 401,
                (_, at) if at.contains(path) => 302,
                _ => 200,
            };
            let realm = format!(r#"Bearer realm="http://{to}/token""#);
            let mut answer = status(code);
            if code == 302 {
                answer = answer.header("location", format!("http://{to}/v2/moved"));
            } else if code == 401 {
                answer = answer.header("www-authenticate", realm);
            }
            let answer = answer.body(Body::empty()).unwrap();
            async move { answer }
        })
    };
    for path in ["/manifests/", "/v2/"] {
        let (host, pem, _dir) = over_tls(lead(plain.host.clone(), path)).await;
        let registries = Registries {
            authorities: vec![pem],
            ..Registries::default()
        };
        let server = TestServer::with(options(registries)).await;
        let runner = server.runner("uid-1").await;
        let image = image(&[b"a layer"], &json!({}), Some(&format!("{host}/base/os:1")));
        let answer = push(&runner, "app", &image, &format!("{host}/team/app:1")).await;
        let said = (answer.status().as_u16(), answer.text().await.unwrap());
        refused(&said, "without TLS");
    }
    assert_eq!(plain.asked.load(Ordering::Relaxed), 0);
}
