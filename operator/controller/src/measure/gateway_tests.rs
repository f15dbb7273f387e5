//! A gateway on the loopback device that answers what a test says.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, Request, State},
    http::{StatusCode, header},
    response::Response,
};
use dcanary_rollout::Verify;
use tokio::net::TcpListener;

use super::{gateway::verify, guard};

const PATH: &str = "/.well-known/dcanary/0123456789abcdef";
const HOST: &str = "0123456789abcdef.dcanary.invalid";

/// What was asked: line, `Host`, and from where.
type Asked = Arc<Mutex<Vec<(String, String, SocketAddr)>>>;
/// Status and `Location` of each answer; the last one stays.
type Script = Vec<(u16, Option<&'static str>)>;

async fn answer(
    State((script, asked)): State<(Arc<Script>, Asked)>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let host = request.headers().get(header::HOST).unwrap().to_str().unwrap();
    let line = format!("{} {}", request.method(), request.uri());
    let number = {
        let mut asked = asked.lock().unwrap();
        asked.push((line, host.to_owned(), from));
        asked.len() - 1
    };
    let (status, location) = script[number.min(script.len() - 1)];
    let mut response = Response::builder().status(StatusCode::from_u16(status).unwrap());
    if let Some(location) = location {
        response = response.header(header::LOCATION, location);
    }
    response.body(Body::from("hush")).unwrap()
}

/// A gateway, and what it is asked.
async fn gateway(script: Script) -> (SocketAddr, Asked) {
    crate::testing::provider();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let router = Router::new()
        .fallback(answer)
        .with_state((Arc::new(script), asked.clone()));
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    (address, asked)
}

fn question(url: String, host: Option<&str>) -> Verify {
    Verify {
        token: "0123456789abcdef".to_owned(),
        url,
        host: host.map(str::to_owned),
        path: PATH.to_owned(),
        leads_to: HOST.to_owned(),
    }
}

async fn shown(script: Script) -> Result<(), String> {
    let (address, _) = gateway(script).await;
    verify(guard(false), &question(format!("http://{address}"), None)).await
}

const GOOD: (u16, Option<&str>) = (302, Some("http://0123456789abcdef.dcanary.invalid/elsewhere"));

#[tokio::test]
async fn a_redirect_without_a_scheme_is_one_of_the_schemes_of_the_request() {
    let bare = (302, Some("//0123456789abcdef.dcanary.invalid:8080/elsewhere"));
    assert_eq!(shown(vec![bare]).await, Ok(()));
    let elsewhere = (302, Some("/0123456789abcdef.dcanary.invalid"));
    assert!(
        shown(vec![elsewhere])
            .await
            .unwrap_err()
            .contains("another place")
    );
}

#[tokio::test]
async fn three_redirects_over_three_connections_show_a_split() {
    let (address, asked) = gateway(vec![GOOD]).await;
    let answer = verify(guard(false), &question(format!("http://{address}/"), None)).await;
    assert_eq!(answer, Ok(()));
    let asked = asked.lock().unwrap();
    assert_eq!(asked.len(), 3);
    assert!(
        asked.iter().all(|(line, ..)| *line == format!("GET {PATH}")),
        "{asked:?}"
    );
    let connections: BTreeSet<_> = asked.iter().map(|(.., from)| from).collect();
    assert_eq!(connections.len(), 3, "a replica that follows is not asked thrice");
}

#[tokio::test]
async fn a_replica_that_lags_behind_the_others_is_not_overlooked() {
    let answer = shown(vec![GOOD, GOOD, (404, None)]).await;
    assert_eq!(
        answer,
        Err("answers 404 to the check of the new weights".to_owned())
    );
}

#[tokio::test]
async fn no_other_answer_shows_a_split_and_none_is_followed_or_repeated() {
    for other in [
        (200, None),
        (301, GOOD.1),
        (302, None),
        (302, Some("/login?secret=hush")),
        (302, Some("http://fedcba9876543210.dcanary.invalid/")),
        (302, Some("http://0123456789abcdef.dcanary.invalid.example.com/")),
        (503, None),
    ] {
        let problem = shown(vec![other]).await.unwrap_err();
        assert!(problem.contains("the check of the new weights"), "{problem}");
        assert!(
            !problem.contains("hush") && !problem.contains("login"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn a_gateway_is_asked_under_the_name_of_the_route_at_its_own_address() {
    let (address, asked) = gateway(vec![GOOD]).await;
    let by_name = question(format!("http://{address}"), Some("web.shop.test"));
    assert_eq!(verify(guard(false), &by_name).await, Ok(()));
    assert!(
        asked
            .lock()
            .unwrap()
            .iter()
            .all(|(_, host, _)| host == "web.shop.test")
    );
}

#[tokio::test]
async fn a_gateway_that_is_away_is_said_to_be_away() {
    let closed = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    crate::testing::provider();
    let problem = verify(guard(false), &question(format!("http://{closed}"), None)).await;
    let problem = problem.unwrap_err();
    assert!(
        problem.starts_with("cannot be reached for the check of the new weights: "),
        "{problem}"
    );
}

#[tokio::test]
async fn link_local_addresses_are_not_asked_under_any_name() {
    crate::testing::provider();
    for url in [
        "http://169.254.169.254",
        "https://[fe80::1]:8443",
        "http://2852039166",
    ] {
        for host in [None, Some("web.shop.test")] {
            let problem = verify(guard(false), &question(url.to_owned(), host)).await;
            let problem = problem.unwrap_err();
            assert!(problem.contains("link-local"), "{url} {problem}");
        }
    }
    // a name that is an address would lead past the addresses that were looked at
    for host in ["169.254.169.254", "2852039166"] {
        let by_address = question("http://127.0.0.1:1".to_owned(), Some(host));
        let problem = verify(guard(false), &by_address).await.unwrap_err();
        assert!(problem.contains("is an IP address"), "{host} {problem}");
    }
}
