//! What browsers and older clients need of the API.

use crate::network::*;
use ic_agent::agent::RequestStatusResponse;
use ic_agent::identity::BasicIdentity;
use reqwest::{Client, Method, Response};

async fn post(url: String, body: Vec<u8>) -> Response {
    Client::new()
        .post(url)
        .header("content-type", "application/cbor")
        .body(body)
        .send()
        .await
        .unwrap()
}

/// What a browser asks before a page of another site may call.
pub async fn preflight(url: String) -> Response {
    Client::new()
        .request(Method::OPTIONS, url)
        .header("origin", "https://page.example.org")
        .header("access-control-request-method", "POST")
        .header("access-control-request-headers", "content-type")
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_page_of_another_site_may_call_the_api() {
    let network = Network::start().await;
    for path in [
        "/api/v2/status".to_owned(),
        format!("/api/v4/canister/{}/call", anywhere()),
        format!("/api/v3/canister/{}/query", anywhere()),
        // The POST gives 404, by which a client knows that it has to use an older version.
        format!("/api/v9/canister/{}/call", anywhere()),
        "/api/v9/x".to_owned(),
        "/api".to_owned(),
    ] {
        let asked = preflight(format!("{}{path}", network.node.url())).await;
        assert_eq!(asked.status().as_u16(), 200, "{path}");
        for (name, value) in [
            ("access-control-allow-origin", "*"),
            ("access-control-allow-methods", "*"),
            ("access-control-allow-headers", "*"),
        ] {
            assert_eq!(asked.headers()[name], value, "{path} {name}");
        }
    }
    // And read the answer, also one that refuses.
    let refused = Client::new()
        .post(format!(
            "{}/api/v3/canister/{}/query",
            network.node.url(),
            anywhere()
        ))
        .header("origin", "https://page.example.org")
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status().as_u16(), 400);
    assert_eq!(refused.headers()["access-control-allow-origin"], "*");
    // Whoever refuses it: what is no endpoint, and what is not even read.
    for (path, body, status) in [
        ("/api/v9/x", 1, 404),
        ("/api/v9/x", (4 << 20) + 1, 413),
        ("/api/v2/status", (4 << 20) + 1, 413),
    ] {
        let refused = Client::new()
            .post(format!("{}{path}", network.node.url()))
            .header("origin", "https://page.example.org")
            .body(vec![0; body])
            .send()
            .await
            .unwrap();
        assert_eq!(refused.status().as_u16(), status, "{path}");
        assert_eq!(refused.headers()["access-control-allow-origin"], "*", "{path}");
    }
}

#[tokio::test]
async fn an_asynchronous_call_is_taken_and_its_outcome_is_polled_for() {
    let network = Network::start().await;
    let agent = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&agent).await;
    let url = format!("{}/api/v2/canister/{canister}/call", network.node.url());
    let signed = agent.update(&canister, "inc").sign().unwrap();
    let answer = post(url.clone(), signed.signed_update).await;
    assert_eq!(answer.status().as_u16(), 202);
    assert!(answer.bytes().await.unwrap().is_empty());
    let reply = loop {
        let (status, _) = agent
            .request_status_raw(&signed.request_id, canister)
            .await
            .unwrap();
        if let RequestStatusResponse::Replied(reply) = status {
            break reply;
        }
    };
    assert_eq!(counts(&reply.arg), [1, 1, 1]);
    // What is refused before ordering is answered at once, without the field that v3 added.
    let signed = agent.update(&canister, "no_such_method").sign().unwrap();
    let answer = post(url, signed.signed_update).await;
    assert_eq!(answer.status().as_u16(), 200);
    let body = answer.bytes().await.unwrap();
    let text = String::from_utf8_lossy(&body);
    assert!(
        text.contains("IC0536") && !text.contains("non_replicated_rejection"),
        "{text}"
    );
}

#[tokio::test]
async fn the_older_paths_of_query_and_read_state_answer_like_the_newer() {
    let network = Network::start().await;
    let agent = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
    let canister = deploy(&agent).await;
    for version in ["v2", "v3"] {
        let url = format!("{}/api/{version}/canister/{canister}/query", network.node.url());
        let signed = agent.query(&canister, "get").sign().unwrap();
        let answer = post(url, signed.signed_query).await;
        assert_eq!(answer.status().as_u16(), 200);
        let body = answer.bytes().await.unwrap();
        let text = String::from_utf8_lossy(&body);
        assert!(
            text.contains("replied") && text.contains("signatures"),
            "{version}"
        );
    }
    let subnet = agent.get_subnet_by_canister(&canister).await.unwrap().id();
    for scope in [format!("canister/{canister}"), format!("subnet/{subnet}")] {
        for version in ["v2", "v3"] {
            let url = format!("{}/api/{version}/{scope}/read_state", network.node.url());
            let body = read_state(&[&[b"subnet"]]);
            let answer = post(url, body).await;
            assert_eq!(answer.status().as_u16(), 200);
            let body = answer.bytes().await.unwrap();
            // The path below `/subnet`, not the subtree beside it, which is not shown.
            let ranges = body
                .windows(b"canister_ranges".len())
                .filter(|window| *window == b"canister_ranges")
                .count();
            // Two are in the delegation.
            assert_eq!(ranges, if version == "v2" { 3 } else { 2 }, "{scope} {version}");
        }
    }
}

/// An anonymous request for these paths.
fn read_state(paths: &[&[&[u8]]]) -> Vec<u8> {
    use ciborium::Value;
    let text = |text: &str| Value::Text(text.to_owned());
    let paths = paths
        .iter()
        .map(|path| Value::Array(path.iter().map(|label| Value::Bytes(label.to_vec())).collect()))
        .collect();
    let content = Value::Map(vec![
        (text("request_type"), text("read_state")),
        (text("sender"), Value::Bytes(vec![4])),
        (text("ingress_expiry"), Value::Integer(0.into())),
        (text("paths"), Value::Array(paths)),
    ]);
    let mut body = Vec::new();
    ciborium::into_writer(&Value::Map(vec![(text("content"), content)]), &mut body).unwrap();
    body
}
