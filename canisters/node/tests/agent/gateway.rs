//! Canisters that serve pages, as a browser gets them.

use crate::browsers::preflight;
use crate::network::*;
use candid::{CandidType, Decode, Deserialize, Encode, Principal};
use ic_agent::Agent;
use ic_agent::identity::BasicIdentity;
use ic_management_canister_types::{CanisterIdRecord, CanisterInstallMode};
use reqwest::{Client, Method, Response};
use serde_bytes::ByteBuf;

#[derive(CandidType, Deserialize, Debug)]
struct HttpRequest {
    method: String,
    url: String,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    certificate_version: Option<u16>,
}

#[derive(CandidType)]
struct Token {
    key: String,
    index: u32,
}

candid::define_function!(Next : (Token) -> (Option<Part>) query);

#[derive(CandidType)]
struct CallbackOf {
    callback: Next,
    token: Token,
}

#[derive(CandidType)]
enum Strategy {
    Callback(CallbackOf),
}

#[derive(CandidType)]
pub struct HttpResponse {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    upgrade: Option<bool>,
    streaming_strategy: Option<Strategy>,
}

#[derive(CandidType)]
struct Part {
    body: ByteBuf,
    token: Option<Token>,
}

pub fn response(status_code: u16, body: &[u8]) -> HttpResponse {
    HttpResponse {
        status_code,
        headers: vec![("x-theirs".to_owned(), "yes".to_owned())],
        body: ByteBuf::from(body.to_vec()),
        upgrade: None,
        streaming_strategy: None,
    }
}

/// An answer that asks for the request to be made again, as an update.
pub fn upgrade() -> Vec<u8> {
    encoded(&HttpResponse {
        upgrade: Some(true),
        ..response(500, b"not this")
    })
}

pub fn encoded(response: &HttpResponse) -> Vec<u8> {
    Encode!(response).unwrap()
}

/// A canister with these functions, and these bytes at multiples of 4,096; `$say` replies with `len` bytes at an address.
fn module(functions: &str, data: &[&[u8]]) -> Vec<u8> {
    module_with("", functions, data)
}

/// And with more imports.
pub fn module_with(imports: &str, functions: &str, data: &[&[u8]]) -> Vec<u8> {
    let data: String = data
        .iter()
        .enumerate()
        .map(|(at, bytes)| {
            let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
            format!("(data (i32.const {}) \"{bytes}\")\n", at * 4_096)
        })
        .collect();
    let text = format!(
        r#"(module
            (import "ic0" "msg_reply" (func $reply))
            (import "ic0" "msg_reply_data_append" (func $append (param i32 i32)))
            (import "ic0" "msg_arg_data_size" (func $arg_size (result i32)))
            (import "ic0" "msg_arg_data_copy" (func $arg_copy (param i32 i32 i32)))
            (import "ic0" "trap" (func $trap (param i32 i32)))
            {imports}
            (memory 2)
            {data}
            (func $say (param $at i32) (param $len i32)
                (call $append (local.get $at) (local.get $len))
                (call $reply))
            {functions})"#
    );
    wat::parse_str(text).unwrap()
}

/// A canister that answers every request with these bytes.
fn says(reply: &[u8]) -> Vec<u8> {
    let function = format!(
        r#"(func (export "canister_query http_request") (call $say (i32.const 0) (i32.const {})))"#,
        reply.len()
    );
    module(&function, &[reply])
}

struct Site {
    network: Network,
    agent: Agent,
    canister: Principal,
}

impl Site {
    async fn empty() -> Self {
        let network = Network::start().await;
        let agent = network.agent(BasicIdentity::from_raw_key(&[7; 32]));
        let canister = create(&agent).await;
        Self {
            network,
            agent,
            canister,
        }
    }

    async fn of(wasm: &[u8]) -> Self {
        let site = Self::empty().await;
        site.install(wasm).await;
        site
    }

    async fn install(&self, wasm: &[u8]) {
        install(&self.agent, self.canister, wasm, CanisterInstallMode::Install)
            .await
            .unwrap();
    }

    /// A request with the canister in the host.
    async fn send(&self, method: Method, url: &str, body: &[u8]) -> Response {
        self.try_send(method, url, body).await.unwrap()
    }

    async fn try_send(&self, method: Method, url: &str, body: &[u8]) -> reqwest::Result<Response> {
        Client::new()
            .request(method, format!("{}{url}", self.network.node.url()))
            .header("host", format!("{}.localhost:8000", self.canister))
            .header("x-mine", "yes")
            .body(body.to_vec())
            .send()
            .await
    }

    async fn get(&self) -> (u16, String) {
        told(self.send(Method::GET, "/", b"").await).await
    }
}

pub async fn told(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn a_request_reaches_the_canister_and_its_answer_the_browser() {
    // The answer's body is the argument that the canister got: its length, of two bytes, and its bytes go between these.
    let marked = encoded(&response(418, &[0xaa; 300]));
    let at = marked
        .windows(4)
        .position(|window| window == [0xac, 0x02, 0xaa, 0xaa])
        .unwrap();
    let (before, after) = (&marked[..at], &marked[at + 2 + 300..]);
    let functions = format!(
        r#"(func (export "canister_query http_request") (local $size i32)
            (local.set $size (call $arg_size))
            (call $append (i32.const 0) (i32.const {}))
            (i32.store8 (i32.const 8192) (i32.or (i32.const 128) (i32.and (local.get $size) (i32.const 127))))
            (i32.store8 (i32.const 8193) (i32.shr_u (local.get $size) (i32.const 7)))
            (call $append (i32.const 8192) (i32.const 2))
            (call $arg_copy (i32.const 12288) (i32.const 0) (local.get $size))
            (call $append (i32.const 12288) (local.get $size))
            (call $append (i32.const 4096) (i32.const {}))
            (call $reply))"#,
        before.len(),
        after.len()
    );
    let site = Site::of(&module(&functions, &[before, after])).await;
    let answer = site.send(Method::PUT, "/a/b?x=1&y", b"hello").await;
    assert_eq!(answer.status().as_u16(), 418);
    assert_eq!(answer.headers()["x-theirs"], "yes");
    // Whether other sites may read it is for the canister to say.
    assert!(!answer.headers().contains_key("access-control-allow-origin"));
    let got = Decode!(&answer.bytes().await.unwrap(), HttpRequest).unwrap();
    assert_eq!(got.method, "PUT");
    assert_eq!(got.url, "/a/b?x=1&y");
    assert_eq!(got.body.as_slice(), b"hello");
    assert_eq!(got.certificate_version, Some(2));
    let header = |wanted: &str| {
        got.headers
            .iter()
            .find(|(name, _)| name == wanted)
            .map(|(_, value)| value.clone())
    };
    assert_eq!(header("x-mine").as_deref(), Some("yes"));
    assert_eq!(header("host"), Some(format!("{}.localhost:8000", site.canister)));
}

#[tokio::test]
async fn a_canister_is_found_by_the_query_too_and_the_api_stays_the_api() {
    let site = Site::of(&says(&encoded(&response(200, b"welcome")))).await;
    let url = site.network.node.url();
    let by_query = reqwest::get(format!("{url}/x?canisterId={}", site.canister));
    assert_eq!(told(by_query.await.unwrap()).await, (200, "welcome".to_owned()));
    assert_eq!(site.get().await, (200, "welcome".to_owned()));
    for path in ["/api", "/api/", "/api/v9/x"] {
        let (status, text) = told(reqwest::get(format!("{url}{path}")).await.unwrap()).await;
        assert_eq!(
            (status, text),
            (404, format!("The API has no GET {path}.\n")),
            "{path}"
        );
        // a canister may have a page there, and then it says who may read it
        let page = site.send(Method::GET, path, b"").await;
        assert!(
            !page.headers().contains_key("access-control-allow-origin"),
            "{path}"
        );
        assert_eq!(told(page).await, (200, "welcome".to_owned()), "{path}");
        // a browser's question too, and a request of a page of another site
        let named = format!("{url}{path}?canisterId={}", site.canister);
        let posted = Client::new()
            .post(&named)
            .header("origin", "https://page.example.org");
        for page in [preflight(named).await, posted.send().await.unwrap()] {
            assert!(
                page.headers()
                    .keys()
                    .all(|name| !name.as_str().starts_with("access-control")),
                "{path}"
            );
            assert_eq!(told(page).await, (200, "welcome".to_owned()), "{path}");
        }
    }
    let status = site.send(Method::GET, "/api/v2/status", b"").await;
    assert_eq!(status.headers()["content-type"], "application/cbor");
}

#[tokio::test]
async fn an_upgraded_request_is_made_again_as_an_update_and_changes_the_canister() {
    let upgrade = upgrade();
    let updated = encoded(&response(201, b"0"));
    // The body, of length one.
    let digit = updated.windows(2).position(|window| window == b"\x010").unwrap() + 1;
    let functions = format!(
        r#"(func $bump (i32.store8 (i32.const {at}) (i32.add (i32.load8_u (i32.const {at})) (i32.const 1))))
        (func (export "canister_query http_request") (call $bump) (call $say (i32.const 0) (i32.const {})))
        (func (export "canister_update http_request_update") (call $bump) (call $say (i32.const 4096) (i32.const {})))"#,
        upgrade.len(),
        updated.len(),
        at = 4_096 + digit,
    );
    let site = Site::of(&module(&functions, &[&upgrade, &updated])).await;
    for expected in ["1", "2", "3"] {
        assert_eq!(
            told(site.send(Method::POST, "/", b"same").await).await,
            (201, expected.to_owned())
        );
    }
}

/// A canister that gives its body in three parts; `second` is what the callback does when it is asked for the second.
async fn in_parts(second: &str) -> Site {
    let site = Site::empty().await;
    let token = |index| Token {
        key: "/a".to_owned(),
        index,
    };
    let first = encoded(&HttpResponse {
        streaming_strategy: Some(Strategy::Callback(CallbackOf {
            callback: Next::new(site.canister, "next".to_owned()),
            token: token(1),
        })),
        ..response(200, b"one ")
    });
    let part = |body: &[u8], token| Part {
        body: ByteBuf::from(body.to_vec()),
        token,
    };
    let middle = Encode!(&Some(part(b"two ", Some(token(2))))).unwrap();
    let last = Encode!(&Some(part(b"three", None))).unwrap();
    // The number is at the end of the argument, or before the text; it is the only byte 1 or 2 that is followed by three zeros.
    let functions = format!(
        r#"(func (export "canister_query http_request") (call $say (i32.const 0) (i32.const {})))
        (func $asked (result i32) (local $at i32)
            (call $arg_copy (i32.const 16384) (i32.const 0) (call $arg_size))
            (local.set $at (i32.const 16384))
            (loop $next
                (if (i32.or (i32.eq (i32.load (local.get $at)) (i32.const 1)) (i32.eq (i32.load (local.get $at)) (i32.const 2)))
                    (then (return (i32.load (local.get $at)))))
                (local.set $at (i32.add (local.get $at) (i32.const 1)))
                (br_if $next (i32.lt_u (local.get $at) (i32.const 17000))))
            (i32.const 0))
        (func (export "canister_query next") (local $asked i32)
            (local.set $asked (call $asked))
            (if (i32.eq (local.get $asked) (i32.const 1)) (then {second} (call $say (i32.const 4096) (i32.const {})) (return)))
            (if (i32.eq (local.get $asked) (i32.const 2)) (then (call $say (i32.const 8192) (i32.const {})) (return)))
            (call $trap (i32.const 0) (i32.const 0)))"#,
        first.len(),
        middle.len(),
        last.len()
    );
    site.install(&module(&functions, &[&first, &middle, &last])).await;
    site
}

#[tokio::test]
async fn a_body_in_parts_arrives_as_one() {
    let site = in_parts("").await;
    assert_eq!(site.get().await, (200, "one two three".to_owned()));
    assert_eq!(
        told(site.send(Method::HEAD, "/", b"").await).await,
        (200, String::new())
    );
}

#[tokio::test]
async fn a_body_whose_next_part_fails_is_cut_off_and_not_taken_for_whole() {
    let site = in_parts("(call $trap (i32.const 0) (i32.const 0))").await;
    // The head may have been sent by then, or not.
    if let Ok(answer) = site.try_send(Method::GET, "/", b"").await {
        answer.bytes().await.unwrap_err();
    }
}

#[tokio::test]
async fn a_composite_query_serves_pages_too() {
    let page = encoded(&response(200, b"welcome"));
    let function = format!(
        r#"(func (export "canister_composite_query http_request") (call $say (i32.const 0) (i32.const {})))"#,
        page.len()
    );
    let site = Site::of(&module(&function, &[&page])).await;
    assert_eq!(site.get().await, (200, "welcome".to_owned()));
}

#[tokio::test]
async fn what_cannot_be_shown_is_explained() {
    let trap = r#"(func (export "canister_query http_request") (call $trap (i32.const 0) (i32.const 4)))"#;
    let upgrade = encoded(&HttpResponse {
        upgrade: Some(true),
        ..response(200, b"")
    });
    for (wasm, status, words) in [
        (counter(), 404, "serves no pages: IC0536"),
        (module(trap, &[b"boom"]), 502, "boom"),
        (says(b"<html>"), 502, "cannot be shown: it is not of the type"),
        (says(&encoded(&response(99, b""))), 502, "99 is no HTTP status"),
        (says(&upgrade), 404, "http_request_update"),
    ] {
        let site = Site::of(&wasm).await;
        let answer = site.send(Method::GET, "/", b"").await;
        assert!(
            answer.headers()["content-type"]
                .to_str()
                .unwrap()
                .starts_with("text/plain")
        );
        let (found, text) = told(answer).await;
        assert_eq!(found, status, "{text}");
        assert!(text.contains(words), "{text}");
    }
}

#[tokio::test]
async fn a_canister_that_is_not_there_or_takes_no_messages_is_named() {
    let mut site = Site::empty().await;
    let (status, text) = site.get().await;
    assert_eq!(status, 404);
    assert!(text.contains("IC0537"), "{text}");
    site.install(&says(&encoded(&response(200, b"welcome")))).await;
    assert_eq!(site.get().await.0, 200);
    let stop = Encode!(&CanisterIdRecord {
        canister_id: site.canister
    })
    .unwrap();
    manage(&site.agent, site.canister, "stop_canister", stop)
        .await
        .unwrap();
    let (status, text) = site.get().await;
    assert_eq!(status, 503);
    assert!(text.contains("IC0508"), "{text}");
    site.canister = anywhere();
    let (status, text) = site.get().await;
    assert_eq!(status, 404);
    assert!(text.contains("IC0301"), "{text}");
    let url = site.network.node.url();
    let nothing = told(reqwest::get(&url).await.unwrap()).await;
    assert_eq!(nothing.0, 404);
    assert!(nothing.1.contains("canisterId"), "{}", nothing.1);
    let malformed = told(reqwest::get(format!("{url}/?canisterId=x")).await.unwrap()).await;
    assert_eq!(malformed, (400, "`x` is not a canister id.\n".to_owned()));
}

#[tokio::test]
async fn a_request_that_fits_into_no_message_is_refused() {
    let site = Site::of(&says(&encoded(&response(200, b"welcome")))).await;
    let small = site.send(Method::POST, "/", &vec![7; 2 << 20]).await;
    assert_eq!(told(small).await, (200, "welcome".to_owned()));
    let large = site.send(Method::POST, "/", &vec![7; (2 << 20) + 1]).await;
    assert_eq!(told(large).await.0, 413);
}
