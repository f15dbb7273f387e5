//! A real HTTP server on the loopback device that answers what a test says.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, Once},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    response::Response,
};
use dcanary_rollout::{
    Measure,
    plan::Source,
    seen::{Answer, MeasureKey},
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::{BODY_BYTES, Sources, builder, guard, measure};

#[derive(Clone)]
enum Script {
    Body(StatusCode, Bytes),
    /// Goes on for ever.
    Endless,
    /// Never answers.
    Silent,
    Redirect(String),
}

struct Asked {
    line: String,
    authorization: Option<String>,
    body: String,
}

struct Server {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

type Shared = (Script, Arc<Mutex<Vec<Asked>>>);

async fn answer(State((script, asked)): State<Shared>, request: Request) -> Response {
    let line = format!("{} {}", request.method(), request.uri());
    let authorization = request.headers().get(header::AUTHORIZATION);
    let authorization = authorization.map(|value| value.to_str().unwrap().to_owned());
    let redirected = request.uri().path().ends_with("/moved");
    let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
    asked.lock().unwrap().push(Asked {
        line,
        authorization,
        body: String::from_utf8(body.to_vec()).unwrap(),
    });
    let response = Response::builder();
    match script {
        Script::Body(status, body) => response.status(status).body(Body::from(body)),
        Script::Endless => {
            let chunk = Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 1 << 16]));
            response.body(Body::from_stream(futures::stream::repeat_with(move || {
                chunk
                    .as_ref()
                    .map(Bytes::clone)
                    .map_err(|_| std::io::Error::other("never"))
            })))
        }
        Script::Silent => std::future::pending().await,
        Script::Redirect(_) if redirected => response.body(Body::from("{\"ok\":true}")),
        Script::Redirect(to) => response
            .status(StatusCode::TEMPORARY_REDIRECT)
            .header(header::LOCATION, to)
            .body(Body::empty()),
    }
    .unwrap()
}

impl Server {
    async fn with(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::default());
        let router = Router::new()
            .fallback(answer)
            .with_state((script, Arc::clone(&asked)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    async fn saying(status: u16, body: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap();
        Self::with(Script::Body(status, Bytes::from(body.to_owned()))).await
    }

    async fn prometheus(&self, query: &str) -> Answer {
        let source = Source::Prometheus {
            address: format!("http://{}/prefix/", self.address),
            query: query.to_owned(),
        };
        ask(source, 10, None).await
    }

    async fn web(&self, json_path: Option<&str>) -> Answer {
        ask(self.at("/state?a=hush", json_path), 10, None).await
    }

    fn at(&self, path: &str, json_path: Option<&str>) -> Source {
        Source::Web {
            url: format!("http://{}{path}", self.address),
            json_path: json_path.map(str::to_owned),
        }
    }
}

async fn ask(source: Source, timeout: u64, token: Option<&str>) -> Answer {
    ask_through(builder(guard(false)), source, timeout, token).await
}

async fn ask_through(
    client: reqwest::ClientBuilder,
    source: Source,
    timeout: u64,
    token: Option<&str>,
) -> Answer {
    measure(&through(client), &wanted(source, timeout), token).await
}

fn through(client: reqwest::ClientBuilder) -> Sources {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Sources {
        http: client.no_proxy().tls_certs_only([]).build().unwrap(),
        guard: guard(false),
    }
}

fn wanted(source: Source, timeout: u64) -> Measure {
    Measure {
        key: MeasureKey {
            promotion: "uid".to_owned(),
            analysis: "step-1".to_owned(),
            metric: "m".to_owned(),
            sample: 0,
            baseline: false,
        },
        timeout,
        token: None,
        source,
    }
}

#[tokio::test]
async fn every_sample_is_asked_for_on_a_connection_of_its_own() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let peers = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&peers);
    let answer = move |ConnectInfo(peer): ConnectInfo<SocketAddr>| async move {
        seen.lock().unwrap().push(peer);
        "{}"
    };
    let service = Router::new()
        .fallback(answer)
        .into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let sources = through(builder(guard(false)));
    let source = Source::Web { url, json_path: None };
    for _ in 0..2 {
        measure(&sources, &wanted(source.clone(), 10), None).await;
    }
    let peers = peers.lock().unwrap();
    assert_eq!(peers.len(), 2);
    assert_ne!(
        peers[0], peers[1],
        "the second one would be answered by a Pod of before"
    );
}

fn problem(answer: Answer) -> String {
    match answer {
        Answer::Error(problem) => {
            assert!(problem.len() <= 256 && !problem.contains("hush"), "{problem}");
            problem
        }
        other => panic!("{other:?}"),
    }
}

fn vector(values: &[&str]) -> String {
    let sample = |value: &&str| json!({"metric": {"pod": "a"}, "value": [1_700_000_000.5, value]});
    let result: Vec<Value> = values.iter().map(sample).collect();
    json!({"status": "success", "data": {"resultType": "vector", "result": result}}).to_string()
}

#[tokio::test]
async fn one_number_is_a_number_and_several_are_a_list() {
    let scalar = json!({"status": "success", "data": {"resultType": "scalar", "result": [1.5, "3"]}});
    for (body, wanted) in [
        (vector(&["0.25"]), Answer::Value(json!(0.25))),
        (vector(&["7"]), Answer::Value(json!(7))),
        (vector(&["1e-05"]), Answer::Value(json!(1e-5))),
        (vector(&["0.1", "2", "-3"]), Answer::Value(json!([0.1, 2, -3]))),
        (scalar.to_string(), Answer::Value(json!(3))),
    ] {
        assert_eq!(
            Server::saying(200, &body).await.prometheus("x").await,
            wanted,
            "{body}"
        );
    }
}

#[tokio::test]
async fn an_empty_answer_and_nan_are_no_data() {
    for values in [&[][..], &["NaN"], &["NaN", "NaN"]] {
        let server = Server::saying(200, &vector(values)).await;
        assert_eq!(server.prometheus("x").await, Answer::NoData, "{values:?}");
    }
    let some = Server::saying(200, &vector(&["NaN", "1", "2"])).await;
    assert_eq!(some.prometheus("x").await, Answer::Value(json!([1, 2])));
}

#[tokio::test]
async fn what_is_no_number_is_an_error_with_its_fix() {
    let of = |kind: &str, result: Value| {
        json!({"status": "success", "data": {"resultType": kind, "result": result}}).to_string()
    };
    let histogram = json!([{"metric": {}, "histogram": [1, {}]}]);
    for (body, said) in [
        (vector(&["+Inf"]), "infinite"),
        (vector(&["1", "-Inf"]), "infinite"),
        (of("matrix", json!([])), "avg_over_time"),
        (of("string", json!([1, "x"])), "string"),
        (of("vector", histogram), "histogram_quantile"),
        (of("tensor", json!([])), "tensor"),
        (vector(&["seven"]), "no number"),
        ("<html>".to_owned(), "no answer of Prometheus"),
        ("{\"status\":\"success\"}".to_owned(), "no answer of Prometheus"),
    ] {
        let told = problem(Server::saying(200, &body).await.prometheus("x").await);
        assert!(told.contains(said), "{body}: {told}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_the_source_said_or_its_status() {
    let body = r#"{"status":"error","errorType":"bad_data","error":"parse error: unexpected end"}"#;
    let told = problem(Server::saying(400, body).await.prometheus("x(").await);
    assert!(told.contains("parse error: unexpected end"), "{told}");
    let told = problem(Server::saying(401, "hush").await.prometheus("x").await);
    assert!(told.contains("401") && told.contains("token"), "{told}");
    let told = problem(Server::saying(503, "hush").await.web(None).await);
    assert!(told.contains("503"), "{told}");
}

#[tokio::test]
async fn the_query_is_sent_as_a_form_with_the_token_under_the_given_path() {
    let server = Server::saying(200, &vector(&["1"])).await;
    let source = Source::Prometheus {
        address: format!("http://{}/prefix", server.address),
        query: "a{b=\"c&d=e\"} > 1+2 # é".to_owned(),
    };
    ask(source, 10, Some("hush")).await;
    let asked = server.asked.lock().unwrap();
    assert_eq!(asked[0].line, "POST /prefix/api/v1/query");
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer hush"));
    let encoded = "query=a%7Bb%3D%22c%26d%3De%22%7D+%3E+1%2B2+%23+%C3%A9";
    assert_eq!(asked[0].body, encoded);
}

#[tokio::test]
async fn a_value_is_taken_out_of_a_document_by_its_path() {
    let document =
        r#"{"data":{"ok":true,"rates":[0.1,2],"none":null},"items":[{"n":"a","v":1},{"n":"b","v":2}]}"#;
    let server = Server::saying(200, document).await;
    for (path, wanted) in [
        (Some("$.data.ok"), Answer::Value(json!(true))),
        (Some("$.data.rates"), Answer::Value(json!([0.1, 2]))),
        (Some("$.items[?@.n == 'b'].v"), Answer::Value(json!(2))),
        (Some("$.items[*].v"), Answer::Value(json!([1, 2]))),
        (Some("$..v"), Answer::Value(json!([1, 2]))),
        (Some("$.data.missing"), Answer::NoData),
        (Some("$.data.none"), Answer::NoData),
        (None, Answer::Value(serde_json::from_str(document).unwrap())),
    ] {
        assert_eq!(server.web(path).await, wanted, "{path:?}");
    }
    for path in ["$.[", "$..a..b..c"] {
        assert!(problem(server.web(Some(path)).await).contains("jsonPath"));
    }
    assert_eq!(server.asked.lock().unwrap()[0].line, "GET /state?a=hush");
}

#[tokio::test]
async fn an_answer_that_is_no_json_too_large_or_does_not_come_is_an_error() {
    let told = problem(Server::saying(200, "hush").await.web(None).await);
    assert!(told.contains("no JSON"), "{told}");
    let told = problem(Server::with(Script::Endless).await.web(None).await);
    assert!(told.contains(&BODY_BYTES.to_string()), "{told}");
    let silent = Server::with(Script::Silent).await;
    let began = std::time::Instant::now();
    let told = problem(ask(silent.at("/", None), 1, None).await);
    assert!(told.contains("no answer in 1s"), "{told}");
    assert!(began.elapsed() < Duration::from_secs(9));
}

#[tokio::test]
async fn a_source_that_is_away_is_named_by_host_and_cause_without_its_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let url = format!("http://{address}/?token=hush");
    let told = problem(ask(Source::Web { url, json_path: None }, 10, Some("hush")).await);
    assert!(
        told.contains(&address.to_string()) && told.contains("refused"),
        "{told}"
    );
    let url = "http://[hush".to_owned();
    assert!(problem(ask(Source::Web { url, json_path: None }, 10, None).await).contains("no URL"));
}

#[tokio::test]
async fn a_redirect_is_followed_on_the_same_host_and_never_to_another() {
    let same = Server::with(Script::Redirect("/moved".to_owned())).await;
    assert_eq!(same.web(Some("$.ok")).await, Answer::Value(json!(true)));
    let other = Server::saying(200, "{\"ok\":true}").await;
    let away = Server::with(Script::Redirect(format!("http://{}/moved", other.address))).await;
    let told = problem(ask(away.at("/", Some("$.ok")), 10, Some("hush")).await);
    assert!(told.contains("redirects"), "{told}");
    assert!(other.asked.lock().unwrap().is_empty(), "it is not even asked");
    let round = Server::with(Script::Redirect("/again".to_owned())).await;
    assert!(problem(round.web(None).await).contains("redirects"));
}

#[tokio::test]
async fn a_link_local_address_is_not_asked_and_the_error_says_how_it_could_be() {
    let web = |url: &str| Source::Web {
        url: url.to_owned(),
        json_path: None,
    };
    let prometheus = Source::Prometheus {
        address: "http://[fe80::1]:9090/".to_owned(),
        query: "up".to_owned(),
    };
    for source in [
        web("http://169.254.169.254/hush"),
        web("https://0xA9FEA9FE/hush"),
        prometheus,
    ] {
        let said = problem(ask(source, 10, None).await);
        assert!(
            said.contains("link-local") && said.contains("allowLinkLocal"),
            "{said}"
        );
    }
}

/// What a name means.
fn found(
    addresses: &'static [[u8; 4]],
) -> futures::future::BoxFuture<'static, std::io::Result<Vec<SocketAddr>>> {
    let all = addresses.iter().map(|&address| SocketAddr::from((address, 0)));
    Box::pin(std::future::ready(Ok(all.collect())))
}

#[tokio::test]
async fn a_name_that_leads_to_a_link_local_address_is_not_asked() {
    let server = Server::saying(200, "{}").await;
    let port = server.address.port();
    let url = format!("http://metrics.example:{port}/hush");
    let lookups: [(dcanary_guard::Lookup, bool); 3] = [
        (|_| found(&[[127, 0, 0, 1]]), true),
        (|_| found(&[[169, 254, 169, 254]]), false),
        // one good address beside it does not help
        (|_| found(&[[127, 0, 0, 1], [169, 254, 1, 1]]), false),
    ];
    for (lookup, good) in lookups {
        let client = guard(false).watches_with(reqwest::Client::builder(), lookup);
        let source = Source::Web {
            url: url.clone(),
            json_path: None,
        };
        let answer = ask_through(client, source, 10, None).await;
        if good {
            assert_eq!(answer, Answer::Value(json!({})));
        } else {
            let said = problem(answer);
            assert!(
                said.contains("metrics.example") && said.contains("is link-local"),
                "{said}"
            );
        }
    }
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_redirect_to_a_link_local_address_is_not_followed() {
    let server = Server::with(Script::Redirect("http://169.254.169.254/moved".to_owned())).await;
    let said = problem(server.web(None).await);
    assert!(said.contains("redirects to another place"), "{said}");
    assert_eq!(server.asked.lock().unwrap().len(), 1);
}
