//! Certificates, heads and checkpoints; among them certificates of the Internet Computer's mainnet.

use dcanary_verifier::{Certificate, CertificateError, RootKey, Status};
use ic_principal::Principal;
use serde_json::{Value as Json, json};

use crate::forge::{Key, Network, Ranges, Tree, canister, leaf, level};
use crate::records::{NOW, ledger};

/// Recorded answers of the network: package, version and file they were published in.
const RECORDED: &[(&str, &str, &[u8])] = &[
    (
        "ivg37-qiaaa-aaaab-aaaga-cai",
        "ivg37_time.bin",
        include_bytes!("recorded/ivg37_time.bin"),
    ),
    (
        "ivg37-qiaaa-aaaab-aaaga-cai",
        "ivg37_time_pruned_ranges.bin",
        include_bytes!("recorded/ivg37_time_pruned_ranges.bin"),
    ),
    (
        "ivg37-qiaaa-aaaab-aaaga-cai",
        "ivg37_delegated_v2.bin",
        include_bytes!("recorded/ivg37_delegated_v2.bin"),
    ),
    (
        "224od-giaaa-aaaao-ae5vq-cai",
        "224od_subnet.bin",
        include_bytes!("recorded/224od_subnet.bin"),
    ),
    (
        "ryjl3-tyaaa-aaaaa-aaaba-cai",
        "ivg37_time.bin",
        include_bytes!("recorded/ivg37_time.bin"),
    ),
];

/// Statuses of certificate, delegation and range; the first letter of each.
fn expect(certificate: &[u8], root_key: Option<&RootKey>, canister: &[u8]) -> [Status; 3] {
    let Ok(decoded) = Certificate::decode(certificate) else {
        return [Status::Failed, Status::Unchecked, Status::Unchecked];
    };
    let status = |finding: Option<Result<(), CertificateError>>| match finding {
        None => Status::Unchecked,
        Some(Ok(())) => Status::Passed,
        Some(Err(_)) => Status::Failed,
    };
    let found = decoded.examine(root_key, canister);
    [
        status(found.certificate),
        status(found.delegation),
        status(found.range),
    ]
}

struct Cases(Vec<Json>);

impl Cases {
    fn add(
        &mut self,
        name: &str,
        source: Option<&str>,
        certificate: &[u8],
        key: &RootKey,
        canister: &[u8],
        good: &str,
    ) {
        let checks = expect(certificate, Some(key), canister);
        let letters: String = checks.iter().map(|s| &s.as_str()[..1]).collect();
        assert_eq!(letters, good, "{name}");
        let mut case = json!({
            "name": name,
            "certificate": hex::encode(certificate),
            "root_key": hex::encode(key.to_der()),
            "canister": Principal::from_slice(canister).to_text(),
            "checks": {"certificate": checks[0], "delegation": checks[1], "range": checks[2]},
        });
        if let Some(source) = source {
            case["source"] = json!(source);
        }
        self.0.push(case);
    }
}

pub fn key(key: &Key) -> RootKey {
    RootKey::from_der(&key.der()).unwrap()
}

fn simple_tree() -> Tree {
    level([("time", leaf(dcanary_types::value::leb128(NOW)))])
}

pub fn make_certificates() -> Json {
    let mut c = Cases(Vec::new());
    let (mainnet, test) = (RootKey::mainnet(), key(&Network::new().root));
    for (id, file, answer) in RECORDED {
        let source = format!("crate ic-agent 0.49.3, src/agent/agent_test/{file}");
        let certificate = recorded(answer);
        let canister = Principal::from_text(id).unwrap();
        let inside = !file.contains("pruned_ranges") && !id.starts_with("ryjl3");
        let good = if inside { "ppp" } else { "ppf" };
        c.add(
            &format!("mainnet: {file} for {id}"),
            Some(&source),
            &certificate,
            &mainnet,
            canister.as_slice(),
            good,
        );
        let name = format!("mainnet: {file} for {id}, another root key");
        c.add(
            &name,
            Some(&source),
            &certificate,
            &test,
            canister.as_slice(),
            "ufu",
        );
    }
    let n = Network::new();
    let (tree, here) = (simple_tree(), ledger());
    let direct = n.root.certify(&tree, None);
    c.add("root key signs", None, &direct, &test, &here, "ppp");
    c.add(
        "root key signs, without the tag",
        None,
        &direct[3..],
        &test,
        &here,
        "ppp",
    );
    c.add(
        "another root key",
        None,
        &direct,
        &key(&Key::seeded(9)),
        &here,
        "fpp",
    );
    for (form, good) in [
        (Ranges::Sharded, "ppp"),
        (Ranges::Legacy, "ppp"),
        (Ranges::Both, "ppp"),
        (Ranges::Contradicting, "ppf"),
        (Ranges::Hidden, "ppf"),
        (Ranges::Elsewhere, "ppf"),
    ] {
        c.add(
            &format!("ranges {form:?}"),
            None,
            &n.delegated(&tree, form, NOW),
            &test,
            &here,
            good,
        );
    }
    let delegated = n.delegated(&tree, Ranges::Both, NOW);
    for (name, id, good) in [
        ("first id of the range", canister(0x20_0000), "ppp"),
        ("last id of the range", canister(0x2f_ffff), "ppp"),
        ("one before the range", canister(0x1f_ffff), "ppf"),
        ("one after the range", canister(0x30_0000), "ppf"),
    ] {
        c.add(name, None, &delegated, &test, &id, good);
    }
    let inner = n.root.certify(&n.subnet_tree(Ranges::Both, NOW), None);
    let middle = n
        .subnet
        .certify(&n.subnet_tree(Ranges::Both, NOW), Some((&n.subnet_id, &inner)));
    let id = n.subnet_id.as_slice();
    c.add(
        "two deep",
        None,
        &n.subnet.certify(&tree, Some((id, &middle))),
        &test,
        &here,
        "ufu",
    );
    c.add(
        "another subnet key",
        None,
        &Key::seeded(9).certify(&tree, Some((id, &inner))),
        &test,
        &here,
        "fpp",
    );
    c.add(
        "another subnet id",
        None,
        &n.subnet.certify(&tree, Some((&[1; 29], &inner))),
        &test,
        &here,
        "ufu",
    );
    let rooted = n
        .root
        .certify(&n.subnet_tree(Ranges::Both, NOW), Some((id, &inner)));
    let deep = n.subnet.certify(&tree, Some((id, &rooted)));
    c.add(
        "two deep, the middle one by the root key",
        None,
        &deep,
        &test,
        &here,
        "ufu",
    );
    let forged = Key::seeded(9).certify(&n.subnet_tree(Ranges::Both, NOW), None);
    c.add(
        "delegation by nobody",
        None,
        &n.subnet.certify(&tree, Some((id, &forged))),
        &test,
        &here,
        "ufu",
    );
    let pruned = n
        .subnet_tree(Ranges::Both, NOW)
        .prune(&[b"subnet", id, b"public_key"]);
    let pruned = n.root.certify(&pruned, None);
    c.add(
        "subnet key pruned",
        None,
        &n.subnet.certify(&tree, Some((id, &pruned))),
        &test,
        &here,
        "ufu",
    );
    let time = || leaf(dcanary_types::value::leb128(NOW));
    let label = |name: &str| Box::new(Tree::Label(name.into(), Box::new(time())));
    for (name, tree) in [
        (
            "labels out of order",
            Tree::Fork(label("time"), label("canister")),
        ),
        ("a label twice", Tree::Fork(label("time"), label("time"))),
        (
            "a leaf beside a label",
            Tree::Fork(Box::new(time()), label("time")),
        ),
    ] {
        c.add(name, None, &n.root.certify(&tree, None), &test, &here, "fuu");
    }
    let mut other = direct.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    c.add(
        "a bit of the signature differs",
        None,
        &other,
        &test,
        &here,
        "fpp",
    );
    for (name, bytes) in [
        ("a byte behind it", [direct.clone(), vec![0]].concat()),
        ("a byte too few", direct[..last].to_vec()),
        (
            "an unknown field",
            crate::forge::tagged([vec![0xa1], crate::forge::text("note"), vec![0]].concat()),
        ),
        ("nothing", Vec::new()),
    ] {
        c.add(name, None, &bytes, &test, &here, "fuu");
    }
    Json::Array(c.0)
}

/// The certificate inside a recorded `read_state` answer: `{certificate: bytes}`.
fn recorded(answer: &[u8]) -> Vec<u8> {
    let start = answer.windows(11).position(|w| w == b"certificate").unwrap() + 11;
    assert_eq!(answer[start], 0x59);
    let length = usize::from(u16::from_be_bytes([answer[start + 1], answer[start + 2]]));
    assert_eq!(answer.len(), start + 3 + length);
    answer[start + 3..].to_vec()
}
