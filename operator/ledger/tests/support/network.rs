//! A network that has its keys and lies: everything is signed as it should be, and says what a test wants.
#![allow(
    dead_code,
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{SystemTime, UNIX_EPOCH},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{StatusCode, Uri},
    routing::any,
};
use blst::min_sig::SecretKey;
use candid::Principal;
use ic_agent::{Identity as _, agent::EnvelopeContent, identity::BasicIdentity};
use ic_certification::{
    Certificate, Delegation, HashTree,
    hash_tree::{fork, label, leaf},
};
use ic_transport_types::{
    NodeSignature, QueryResponse, ReadStateResponse, ReplyResponse, TransportCallResponse,
};

pub const LEDGER: Principal = Principal::from_slice(&[0, 0, 0, 0, 0, 0, 0, 1, 1, 1]);
const DER: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03, 0x02, 0x01,
    0x03, 0x61, 0x00,
];
const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";

pub type Tree = HashTree;

/// A BLS key of a network or subnet.
#[derive(Clone)]
pub struct Signer(SecretKey);

impl Signer {
    pub fn new(seed: u8) -> Self {
        Self(SecretKey::key_gen(&[seed; 32], &[]).unwrap())
    }

    pub fn der(&self) -> Vec<u8> {
        [DER.as_slice(), &self.0.sk_to_pk().compress()].concat()
    }

    pub fn certify(&self, tree: Tree, delegation: Option<Delegation>) -> Vec<u8> {
        let message = [b"\x0dic-state-root".as_slice(), &tree.digest()].concat();
        let signature = self.0.sign(&message, DST, &[]).compress().to_vec();
        encode(&Certificate {
            tree,
            signature,
            delegation,
        })
    }
}

pub fn encode(value: &impl serde::Serialize) -> Vec<u8> {
    let mut bytes = Vec::new();
    ciborium::into_writer(value, &mut bytes).unwrap();
    bytes
}

/// A tree of labels in byte order.
pub fn node(mut children: Vec<(Vec<u8>, Tree)>) -> Tree {
    children.sort_by(|a, b| a.0.cmp(&b.0));
    let mut trees = children.into_iter().rev().map(|(name, tree)| label(name, tree));
    let last = trees.next().unwrap();
    trees.fold(last, |right, left| fork(left, right))
}

pub fn text(name: &str, tree: Tree) -> (Vec<u8>, Tree) {
    (name.as_bytes().to_vec(), tree)
}

pub fn leb128(mut n: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

pub fn now() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

pub fn time(at: u64) -> (Vec<u8>, Tree) {
    text("time", leaf(leb128(at)))
}

/// Certified data of a canister.
pub fn certified(canister: Principal, data: [u8; 32]) -> (Vec<u8>, Tree) {
    let inner = node(vec![text("certified_data", leaf(data.to_vec()))]);
    text("canister", node(vec![(canister.as_slice().to_vec(), inner)]))
}

/// Ranges of canister ids as the network writes them.
pub fn ranges(low: Principal, high: Principal) -> Vec<u8> {
    encode(&vec![(
        serde_bytes::ByteBuf::from(low.as_slice()),
        serde_bytes::ByteBuf::from(high.as_slice()),
    )])
}

/// Answers by method: candid, or nothing for a reject.
pub type Script = BTreeMap<&'static str, Vec<u8>>;

pub struct Network {
    pub root: Signer,
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

struct Inner {
    root: Signer,
    replica: BasicIdentity,
    script: Mutex<Script>,
    /// Update calls that came, with their arguments.
    called: Mutex<Vec<(String, Vec<u8>)>>,
    signed: Mutex<bool>,
    /// Time in the certificates of calls.
    call_time: Mutex<Option<u64>>,
    /// Calls are answered with the certificate of this request.
    other_request: Mutex<Option<[u8; 32]>>,
    /// Who signs the certificates of calls, and what makes a subnet of them.
    call_signer: Mutex<Option<(Signer, Option<Delegation>)>>,
    /// Calls are refused with this, certified.
    call_reject: Mutex<Option<&'static str>>,
    /// Calls are answered with this and no more.
    call_status: Mutex<Option<StatusCode>>,
}

impl Network {
    pub async fn new() -> Self {
        let root = Signer::new(7);
        let inner = Arc::new(Inner {
            root: root.clone(),
            replica: BasicIdentity::from_raw_key(&[9; 32]),
            script: Mutex::default(),
            called: Mutex::default(),
            signed: Mutex::new(true),
            call_time: Mutex::new(None),
            other_request: Mutex::new(None),
            call_signer: Mutex::new(None),
            call_reject: Mutex::new(None),
            call_status: Mutex::new(None),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(any(serve)).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { root, address, inner }
    }

    pub fn says(&self, method: &'static str, answer: Vec<u8>) {
        self.inner.script.lock().unwrap().insert(method, answer);
    }

    pub fn called(&self) -> Vec<(String, Vec<u8>)> {
        self.inner.called.lock().unwrap().clone()
    }

    pub fn stop_signing_queries(&self) {
        *self.inner.signed.lock().unwrap() = false;
    }

    pub fn answer_for(&self, request: [u8; 32]) {
        *self.inner.other_request.lock().unwrap() = Some(request);
    }

    pub fn sign_calls_with(&self, signer: Signer, delegation: Option<Delegation>) {
        *self.inner.call_signer.lock().unwrap() = Some((signer, delegation));
    }

    pub fn reject_calls(&self, message: &'static str) {
        *self.inner.call_reject.lock().unwrap() = Some(message);
    }

    pub fn answer_calls_with(&self, status: StatusCode) {
        *self.inner.call_status.lock().unwrap() = Some(status);
    }

    pub fn set_call_time(&self, at: u64) {
        *self.inner.call_time.lock().unwrap() = Some(at);
    }
}

async fn serve(State(inner): State<Arc<Inner>>, uri: Uri, body: Bytes) -> (StatusCode, Vec<u8>) {
    let path = uri.path();
    let status = *inner.call_status.lock().unwrap();
    if let Some(status) = status.filter(|_| path.ends_with("/call")) {
        return (status, b"nobody is at home".to_vec());
    }
    (StatusCode::OK, answer(&inner, path, &body))
}

fn answer(inner: &Inner, path: &str, body: &[u8]) -> Vec<u8> {
    if path.ends_with("/read_state") {
        return encode(&ReadStateResponse {
            certificate: inner.subnet(),
        });
    }
    let content = content(body);
    let (EnvelopeContent::Query { method_name, arg, .. } | EnvelopeContent::Call { method_name, arg, .. }) =
        &content
    else {
        unreachable!("decoded above")
    };
    if path.ends_with("/call") {
        inner
            .called
            .lock()
            .unwrap()
            .push((method_name.clone(), arg.clone()));
    }
    let answer = inner.script.lock().unwrap().get(method_name.as_str()).cloned();
    let arg = answer.unwrap_or_else(|| panic!("no answer for {method_name}"));
    if path.ends_with("/call") {
        inner.call(&content, arg)
    } else {
        inner.query(&content, arg)
    }
}

/// The content of an envelope, field by field: an internally tagged enum buffers its fields, and a principal reads a buffered
/// byte string as Candid's own form.
fn content(body: &[u8]) -> EnvelopeContent {
    let envelope: ciborium::Value = ciborium::from_reader(body).unwrap();
    let envelope = match envelope {
        ciborium::Value::Tag(_, inner) => *inner,
        other => other,
    };
    let field = |map: &ciborium::Value, name: &str| {
        let map = map.as_map().unwrap();
        map.iter()
            .find(|(key, _)| key.as_text() == Some(name))
            .map(|(_, value)| value.clone())
    };
    let content = field(&envelope, "content").unwrap();
    let bytes = |name: &str| field(&content, name).and_then(|value| value.into_bytes().ok());
    let text = |name: &str| field(&content, name).unwrap().into_text().unwrap();
    let principal = |name: &str| Principal::from_slice(&bytes(name).unwrap());
    let expiry = field(&content, "ingress_expiry").unwrap().into_integer().unwrap();
    let (nonce, ingress_expiry) = (bytes("nonce"), u64::try_from(expiry).unwrap());
    let (sender, canister_id) = (principal("sender"), principal("canister_id"));
    let (method_name, arg, sender_info) = (text("method_name"), bytes("arg").unwrap(), None);
    match text("request_type").as_str() {
        "call" => EnvelopeContent::Call {
            nonce,
            ingress_expiry,
            sender,
            canister_id,
            method_name,
            arg,
            sender_info,
        },
        "query" => EnvelopeContent::Query {
            nonce,
            ingress_expiry,
            sender,
            canister_id,
            method_name,
            arg,
            sender_info,
        },
        other => panic!("a {other} here"),
    }
}

impl Inner {
    fn subnet_id(&self) -> Principal {
        Principal::self_authenticating(self.root.der())
    }

    fn subnet(&self) -> Vec<u8> {
        let subnet = self.subnet_id().as_slice().to_vec();
        let key = self.replica.public_key().unwrap();
        let replica = Principal::self_authenticating(&key).as_slice().to_vec();
        let all = ranges(Principal::from_slice(&[]), Principal::from_slice(&[255; 10]));
        let inside = node(vec![
            text("public_key", leaf(self.root.der())),
            text("canister_ranges", leaf(all.clone())),
            text(
                "node",
                node(vec![(replica, node(vec![text("public_key", leaf(key))]))]),
            ),
        ]);
        let tree = node(vec![
            time(now()),
            text("subnet", node(vec![(subnet.clone(), inside)])),
            text(
                "canister_ranges",
                node(vec![(subnet, node(vec![(vec![], leaf(all))]))]),
            ),
        ]);
        self.root.certify(tree, None)
    }

    fn query(&self, content: &EnvelopeContent, arg: Vec<u8>) -> Vec<u8> {
        let timestamp = now();
        let unsigned = QueryResponse::Replied {
            reply: ReplyResponse { arg: arg.clone() },
            signatures: vec![],
        };
        let signable = unsigned.signable(content.to_request_id(), timestamp);
        let signature = self.replica.sign_arbitrary(&signable).unwrap().signature.unwrap();
        let identity = Principal::self_authenticating(self.replica.public_key().unwrap());
        let signatures = if *self.signed.lock().unwrap() {
            vec![NodeSignature {
                timestamp,
                signature,
                identity,
            }]
        } else {
            vec![]
        };
        encode(&QueryResponse::Replied {
            reply: ReplyResponse { arg },
            signatures,
        })
    }

    fn call(&self, content: &EnvelopeContent, arg: Vec<u8>) -> Vec<u8> {
        let asked = content.to_request_id();
        let other = *self.other_request.lock().unwrap();
        let id = other.map_or_else(|| asked.as_slice().to_vec(), |id| id.to_vec());
        let reject = *self.call_reject.lock().unwrap();
        let status = match reject {
            None => node(vec![
                text("status", leaf(b"replied".to_vec())),
                text("reply", leaf(arg)),
            ]),
            Some(message) => node(vec![
                text("status", leaf(b"rejected".to_vec())),
                text("reject_code", leaf(leb128(4))),
                text("reject_message", leaf(message.as_bytes().to_vec())),
            ]),
        };
        let at = self.call_time.lock().unwrap().unwrap_or_else(now);
        let tree = node(vec![time(at), text("request_status", node(vec![(id, status)]))]);
        let signer = self.call_signer.lock().unwrap().clone();
        let (signer, delegation) = signer.unwrap_or_else(|| (self.root.clone(), None));
        encode(&TransportCallResponse::Replied {
            certificate: signer.certify(tree, delegation),
        })
    }
}
