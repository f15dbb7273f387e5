//! Answers as canisters give them, and answers that are none.
#![allow(clippy::unwrap_used)]

use super::*;
use candid::{Decode, Encode, Reserved};
use proptest::prelude::*;

#[derive(CandidType, Clone, Deserialize)]
struct Token {
    index: u32,
    key: String,
    hash: Option<ByteBuf>,
}

candid::define_function!(Next : (Token) -> (Option<Part<Token>>) query);

#[derive(CandidType, Clone)]
struct CallbackOf<T> {
    callback: Next,
    token: T,
}

#[derive(CandidType, Clone)]
enum Strategy<T> {
    Callback(CallbackOf<T>),
}

#[derive(CandidType, Clone)]
struct Full<T> {
    status_code: u16,
    headers: Vec<(String, String)>,
    body: ByteBuf,
    upgrade: Option<bool>,
    streaming_strategy: Option<Strategy<T>>,
    future: Option<Reserved>,
}

#[derive(CandidType)]
struct Part<T> {
    body: ByteBuf,
    token: Option<T>,
}

fn token() -> Token {
    Token {
        index: 7,
        key: "/a".to_owned(),
        hash: None,
    }
}

fn full() -> Full<Token> {
    Full {
        status_code: 404,
        headers: vec![
            ("content-type".to_owned(), "text/html".to_owned()),
            ("set-cookie".to_owned(), "a".to_owned()),
            ("Set-Cookie".to_owned(), "b".to_owned()),
        ],
        body: ByteBuf::from(b"hello".to_vec()),
        upgrade: Some(true),
        streaming_strategy: None,
        future: None,
    }
}

fn streaming() -> Full<Token> {
    Full {
        streaming_strategy: Some(Strategy::Callback(CallbackOf {
            callback: Next::new(Principal::from_slice(&[1, 2, 3]), "next".to_owned()),
            token: token(),
        })),
        ..full()
    }
}

fn with_headers(headers: &[(&str, &str)]) -> Result<Answer, AnswerError> {
    let headers = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    decode(&Encode!(&Full { headers, ..full() }).unwrap())
}

#[test]
fn status_headers_and_body_are_passed_on() {
    let answer = decode(&Encode!(&full()).unwrap()).unwrap();
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(answer.headers["content-type"], "text/html");
    let cookies: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
    assert_eq!(cookies, ["a", "b"]);
    assert_eq!(answer.body, b"hello");
    assert!(answer.upgrade);
    assert_eq!(answer.rest, None);
}

#[test]
fn what_an_old_canister_leaves_out_is_not_missed() {
    #[derive(CandidType)]
    struct Old {
        status_code: u16,
        headers: Vec<(String, String)>,
        body: ByteBuf,
    }
    let old = Old {
        status_code: 200,
        headers: vec![],
        body: ByteBuf::new(),
    };
    let answer = decode(&Encode!(&old).unwrap()).unwrap();
    assert!(!answer.upgrade);
    assert_eq!(answer.rest, None);
}

#[test]
fn a_token_of_any_type_comes_back_to_the_canister_as_it_was() {
    let rest = decode(&Encode!(&streaming()).unwrap()).unwrap().rest.unwrap();
    assert_eq!(rest.canister, Principal::from_slice(&[1, 2, 3]));
    assert_eq!(rest.method, "next");
    let back = Decode!(&rest.token, Token).unwrap();
    assert_eq!((back.index, back.key.as_str(), back.hash), (7, "/a", None));
}

#[test]
fn a_part_of_a_body_may_be_optional_or_not_and_be_the_last_or_not() {
    let part = |token| Part {
        body: ByteBuf::from(vec![1, 2]),
        token,
    };
    let (bytes, next) = decode_part(&Encode!(&Some(part(Some(token())))).unwrap()).unwrap();
    assert_eq!(bytes, [1, 2]);
    assert_eq!(Decode!(&next.unwrap(), Token).unwrap().index, 7);
    assert_eq!(
        decode_part(&Encode!(&part(None::<Token>)).unwrap()),
        Ok((vec![1, 2], None))
    );
    assert_eq!(
        decode_part(&Encode!(&None::<Part<Token>>).unwrap()),
        Ok((vec![], None))
    );
    assert!(decode_part(&Encode!(&7_u8).unwrap()).is_err());
    assert!(decode_part(&Encode!().unwrap()).is_err());
}

#[test]
fn an_answer_of_another_type_is_named_as_such() {
    for reply in [
        b"<html>".to_vec(),
        vec![],
        Encode!().unwrap(),
        Encode!(&"text").unwrap(),
        Encode!(&Token { ..token() }).unwrap(),
    ] {
        assert!(matches!(decode(&reply), Err(AnswerError::Type(_))));
    }
}

#[test]
fn a_status_that_no_response_has_is_refused() {
    for (status_code, valid) in [
        (0, false),
        (100, false),
        (101, false),
        (199, false),
        (200, true),
        (599, true),
        (600, false),
        (u16::MAX, false),
    ] {
        let answer = decode(
            &Encode!(&Full {
                status_code,
                ..full()
            })
            .unwrap(),
        );
        assert_eq!(answer.is_ok(), valid, "{status_code}");
    }
}

#[test]
fn a_header_that_would_break_the_response_apart_is_refused() {
    for bad in [("a b", "x"), ("", "x"), ("x", "a\r\nb: c"), ("x:", "y")] {
        assert!(
            matches!(with_headers(&[bad]), Err(AnswerError::Header(_))),
            "{bad:?}"
        );
    }
    assert!(with_headers(&[("x", "ä")]).is_ok());
}

#[test]
fn headers_of_the_connection_are_the_gateways_own() {
    let answer = with_headers(&[
        ("Content-Length", "1"),
        ("transfer-encoding", "chunked"),
        ("connection", "close"),
        ("keep-alive", "1"),
        ("upgrade", "h2c"),
        ("x-mine", "1"),
    ])
    .unwrap();
    let names: Vec<_> = answer.headers.keys().map(HeaderName::as_str).collect();
    assert_eq!(names, ["x-mine"]);
}

#[test]
fn too_many_headers_are_refused() {
    let many = |count| with_headers(&vec![("x", "y"); count]);
    assert!(many(MAX_HEADERS).is_ok());
    assert_eq!(many(MAX_HEADERS + 1), Err(AnswerError::Headers));
}

#[test]
fn a_token_that_is_too_large_is_refused() {
    let with = |len| {
        let token = Token {
            key: "x".repeat(len),
            ..token()
        };
        decode(
            &Encode!(&Full {
                streaming_strategy: Some(Strategy::Callback(CallbackOf {
                    callback: Next::new(Principal::from_slice(&[1]), "next".to_owned()),
                    token,
                })),
                status_code: 200,
                headers: vec![],
                body: ByteBuf::new(),
                upgrade: None,
                future: None,
            })
            .unwrap(),
        )
    };
    assert!(with(MAX_TOKEN - 100).is_ok());
    assert_eq!(with(MAX_TOKEN), Err(AnswerError::Token));
}

#[test]
fn a_body_of_the_largest_size_is_passed_on_and_a_small_answer_cannot_claim_millions_of_values() {
    // `vec null` takes no byte for each.
    #[derive(CandidType)]
    struct Bomb {
        status_code: u16,
        headers: Vec<(String, String)>,
        body: ByteBuf,
        bomb: Vec<()>,
    }

    let body = ByteBuf::from(vec![7; 3 << 20]);
    assert_eq!(
        decode(&Encode!(&Full { body, ..full() }).unwrap())
            .unwrap()
            .body
            .len(),
        3 << 20
    );
    let bomb = Bomb {
        status_code: 200,
        headers: vec![],
        body: ByteBuf::new(),
        bomb: vec![(); 50_000_000],
    };
    assert!(matches!(
        decode(&Encode!(&bomb).unwrap()),
        Err(AnswerError::Type(_))
    ));
}

proptest! {
    #[test]
    fn a_damaged_answer_is_refused_or_read_and_never_a_panic(
        at: prop::sample::Index,
        byte: u8,
        cut in prop::option::weighted(0.3, any::<prop::sample::Index>()),
    ) {
        let mut reply = Encode!(&streaming()).unwrap();
        let at = at.index(reply.len());
        reply[at] = byte;
        if let Some(cut) = cut {
            reply.truncate(cut.index(reply.len()));
        }
        let _ = decode(&reply);
        let _ = decode_part(&reply);
    }
}
