//! Makes certificates: a network with known keys. Written without the verifier's own tree and CBOR code.

use std::collections::BTreeMap;

use blst::min_sig::SecretKey;
use sha2::{Digest as _, Sha256};

const DST: &[u8] = b"BLS_SIG_BLS12381G1_XMD:SHA-256_SSWU_RO_NUL_";
const DER: &str = "308182301d060d2b0601040182dc7c0503010201060c2b0601040182dc7c05030201036100";

/// A hash tree to be encoded.
#[derive(Clone, Debug)]
pub enum Tree {
    Empty,
    Fork(Box<Tree>, Box<Tree>),
    Label(Vec<u8>, Box<Tree>),
    Leaf(Vec<u8>),
    Pruned([u8; 32]),
}

pub fn sha(parts: &[&[u8]]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize().into()
}

pub fn leaf(value: impl Into<Vec<u8>>) -> Tree {
    Tree::Leaf(value.into())
}

/// A tree of these labels, forked evenly.
pub fn level<L: AsRef<[u8]>>(labels: impl IntoIterator<Item = (L, Tree)>) -> Tree {
    let labels: BTreeMap<Vec<u8>, Tree> = labels
        .into_iter()
        .map(|(l, t)| (l.as_ref().to_vec(), t))
        .collect();
    let mut row: Vec<Tree> = labels
        .into_iter()
        .map(|(l, t)| Tree::Label(l, Box::new(t)))
        .collect();
    while row.len() > 1 {
        let mut next = Vec::new();
        let mut members = row.into_iter();
        while let Some(left) = members.next() {
            next.push(match members.next() {
                Some(right) => Tree::Fork(Box::new(left), Box::new(right)),
                None => left,
            });
        }
        row = next;
    }
    row.pop().unwrap_or(Tree::Empty)
}

impl Tree {
    pub fn digest(&self) -> [u8; 32] {
        match self {
            Self::Empty => sha(&[b"\x11ic-hashtree-empty"]),
            Self::Fork(l, r) => sha(&[b"\x10ic-hashtree-fork", &l.digest(), &r.digest()]),
            Self::Label(l, t) => sha(&[b"\x13ic-hashtree-labeled", l, &t.digest()]),
            Self::Leaf(v) => sha(&[b"\x10ic-hashtree-leaf", v]),
            Self::Pruned(h) => *h,
        }
    }

    /// The same tree with everything below a path hidden.
    pub fn prune(self, path: &[&[u8]]) -> Self {
        match self {
            Self::Fork(l, r) => Self::Fork(Box::new(l.prune(path)), Box::new(r.prune(path))),
            Self::Label(l, t) if Some(&l.as_slice()) == path.first() => {
                if path.len() == 1 {
                    let whole = Self::Label(l, t);
                    Self::Pruned(whole.digest())
                } else {
                    Self::Label(l, Box::new(t.prune(&path[1..])))
                }
            }
            other => other,
        }
    }

    pub fn cbor(&self) -> Vec<u8> {
        match self {
            Self::Empty => vec![0x81, 0],
            Self::Fork(l, r) => [vec![0x83, 1], l.cbor(), r.cbor()].concat(),
            Self::Label(l, t) => [vec![0x83, 2], bytes(l), t.cbor()].concat(),
            Self::Leaf(v) => [vec![0x82, 3], bytes(v)].concat(),
            Self::Pruned(h) => [vec![0x82, 4], bytes(h)].concat(),
        }
    }

    pub fn tagged(&self) -> Vec<u8> {
        tagged(self.cbor())
    }
}

/// With the self-describe tag.
pub fn tagged(cbor: Vec<u8>) -> Vec<u8> {
    [vec![0xd9, 0xd9, 0xf7], cbor].concat()
}

/// A CBOR byte string.
pub fn bytes(b: &[u8]) -> Vec<u8> {
    [head(0x40, b.len()), b.to_vec()].concat()
}

pub fn head(major: u8, n: usize) -> Vec<u8> {
    match n {
        0..=23 => vec![major | u8::try_from(n).unwrap()],
        24..=0xff => vec![major | 0x18, u8::try_from(n).unwrap()],
        _ => [
            vec![major | 0x19],
            u16::try_from(n).unwrap().to_be_bytes().to_vec(),
        ]
        .concat(),
    }
}

pub fn text(t: &str) -> Vec<u8> {
    [head(0x60, t.len()), t.as_bytes().to_vec()].concat()
}

/// A key pair made from a fixed seed.
#[derive(Clone)]
pub struct Key(SecretKey);

impl Key {
    pub fn seeded(seed: u8) -> Self {
        Self(SecretKey::key_gen(&[seed; 32], b"dcanary test vectors").unwrap())
    }

    pub fn der(&self) -> Vec<u8> {
        [hex::decode(DER).unwrap(), self.0.sk_to_pk().to_bytes().to_vec()].concat()
    }

    pub fn sign(&self, tree: &Tree) -> Vec<u8> {
        let message = [b"\x0dic-state-root".as_slice(), &tree.digest()].concat();
        self.0.sign(&message, DST, &[]).to_bytes().to_vec()
    }

    /// A certificate over a tree.
    pub fn certify(&self, tree: &Tree, delegation: Option<(&[u8], &[u8])>) -> Vec<u8> {
        certificate(tree, &self.sign(tree), delegation)
    }
}

pub fn certificate(tree: &Tree, signature: &[u8], delegation: Option<(&[u8], &[u8])>) -> Vec<u8> {
    let mut out = head(0xa0, 2 + usize::from(delegation.is_some()));
    out.extend([text("tree"), tree.cbor(), text("signature"), bytes(signature)].concat());
    if let Some((subnet, inner)) = delegation {
        out.extend([text("delegation"), head(0xa0, 2)].concat());
        out.extend(
            [
                text("subnet_id"),
                bytes(subnet),
                text("certificate"),
                bytes(inner),
            ]
            .concat(),
        );
    }
    tagged(out)
}

/// Canister ranges, or controllers: arrays of byte strings, tagged.
pub fn ranges(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let body = pairs
        .iter()
        .flat_map(|(lo, hi)| [head(0x80, 2), bytes(lo), bytes(hi)].concat())
        .collect();
    tagged([head(0x80, pairs.len()), body].concat())
}

pub fn principals(ids: &[Vec<u8>]) -> Vec<u8> {
    tagged(
        [
            head(0x80, ids.len()),
            ids.iter().flat_map(|id| bytes(id)).collect(),
        ]
        .concat(),
    )
}

/// A canister id by its number.
pub fn canister(number: u64) -> Vec<u8> {
    [number.to_be_bytes().as_slice(), &[1, 1]].concat()
}

/// How the network vouches for its canisters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ranges {
    Sharded,
    Legacy,
    Both,
    /// Sharded has the ledger and legacy does not.
    Contradicting,
    /// Neither is revealed.
    Hidden,
    /// The ledger is in none.
    Elsewhere,
}

/// A network: a root key and one subnet.
pub struct Network {
    pub root: Key,
    pub subnet: Key,
    pub subnet_id: Vec<u8>,
}

impl Network {
    pub fn new() -> Self {
        Self {
            root: Key::seeded(1),
            subnet: Key::seeded(2),
            subnet_id: [vec![0x5a; 28], vec![2]].concat(),
        }
    }

    /// The root's tree about the subnet.
    pub fn subnet_tree(&self, form: Ranges, time: u64) -> Tree {
        let here = || ranges(&[(canister(0x20_0000), canister(0x2f_ffff))]);
        let elsewhere = || ranges(&[(canister(0x30_0000), canister(0x3f_ffff))]);
        let (sharded, legacy) = match form {
            Ranges::Sharded | Ranges::Hidden => (Some(here()), None),
            Ranges::Legacy => (None, Some(here())),
            Ranges::Both => (Some(here()), Some(here())),
            Ranges::Contradicting => (Some(here()), Some(elsewhere())),
            Ranges::Elsewhere => (Some(elsewhere()), None),
        };
        let mut about = vec![
            ("public_key", leaf(self.subnet.der())),
            ("type", leaf("application")),
        ];
        about.extend(legacy.map(|r| ("canister_ranges", leaf(r))));
        let mut top = vec![
            ("subnet", level([(&self.subnet_id, level(about))])),
            ("time", leaf(dcanary_types::value::leb128(time))),
        ];
        if let Some(ranges) = sharded {
            let shards = level([
                (canister(0x20_0000), leaf(ranges)),
                (canister(0x90_0000), leaf(tagged(vec![0x80]))),
            ]);
            top.push(("canister_ranges", level([(&self.subnet_id, shards)])));
        }
        let tree = level(top);
        let tree = tree.prune(&[b"subnet", &self.subnet_id, b"type"]);
        if form == Ranges::Hidden {
            tree.prune(&[b"canister_ranges", &self.subnet_id])
        } else {
            tree
        }
    }

    /// A certificate over a state tree, signed by the subnet that the root key delegates to.
    pub fn delegated(&self, tree: &Tree, form: Ranges, time: u64) -> Vec<u8> {
        let inner = self
            .root
            .certify(&self.subnet_tree(form, time - 86_400_000_000_000), None);
        self.subnet.certify(tree, Some((&self.subnet_id, &inner)))
    }
}
