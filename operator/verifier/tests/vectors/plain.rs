//! Values, trees and blocks: sections 1, 2, 3 and 6.

use dcanary_types::block::Block;
use dcanary_types::environment::EnvTransition;
use dcanary_types::record::Body;
use dcanary_types::tree;
use dcanary_types::value::{map, sha256};
use dcanary_types::{Map, Value, cbor};
use serde_json::{Value as Json, json};

use crate::forge::sha;
use crate::world::World;

pub fn make_values() -> Json {
    let deep = |depth: usize| (0..depth).fold(Value::Nat(1), |inner, _| Value::Array(vec![inner]));
    let mut values = Vec::new();
    let mut add = |name: &str, value: Value| {
        values.push(json!({
            "name": name,
            "encoded": hex::encode(cbor::encode(&value)),
            "hash": hex::encode(value.hash()),
        }));
    };
    for n in [
        0,
        1,
        23,
        24,
        42,
        127,
        128,
        255,
        256,
        65_535,
        65_536,
        u64::from(u32::MAX),
        1 << 32,
        u64::MAX,
    ] {
        add(&format!("Nat {n}"), Value::Nat(n));
    }
    for length in [0_usize, 1, 23, 24, 255, 256] {
        add(
            &format!("Blob of {length} bytes"),
            Value::Blob(vec![0xab; length]),
        );
        add(
            &format!("Text of {length} bytes"),
            Value::Text("t".repeat(length)),
        );
    }
    add("Text Hello, World!", "Hello, World!".into());
    add("Text beyond ASCII", "größe ✓".into());
    add("empty Array", Value::Array(vec![]));
    add(
        "Array [3, foo, 0x0506]",
        Value::Array(vec![3.into(), "foo".into(), vec![5, 6].into()]),
    );
    add("empty Map", Map::new().into());
    add(
        "Map: shorter keys are encoded first",
        map([("b", 1.into()), ("aa", 2.into()), ("", 3.into())]).into(),
    );
    add("nested 16 deep", deep(16));
    let refused: &[(&str, &str)] = &[
        ("nothing", ""),
        ("a byte behind the value", "0000"),
        ("Nat 23 in two bytes", "1817"),
        ("Nat 255 in three bytes", "1900ff"),
        ("Nat 65535 in five bytes", "1a0000ffff"),
        ("Nat 2^32-1 in nine bytes", "1b00000000ffffffff"),
        ("Blob with a long head", "580100"),
        ("Text with a long head", "780161"),
        ("Array with a long head", "980100"),
        ("Map with a long head", "b801616100"),
        ("Blob of indefinite length", "5f4100ff"),
        ("Text of indefinite length", "7f6161ff"),
        ("Array of indefinite length", "9f00ff"),
        ("Map of indefinite length", "bf616100ff"),
        ("negative number", "20"),
        ("tag", "c000"),
        ("self-describe tag", "d9d9f700"),
        ("bignum", "c24101"),
        ("half float", "f93c00"),
        ("double float", "fb3ff0000000000000"),
        ("NaN", "f97e00"),
        ("true", "f5"),
        ("null", "f6"),
        ("undefined", "f7"),
        ("simple value", "e0"),
        ("break alone", "ff"),
        ("reserved head", "1c"),
        ("Text that is not UTF-8", "61ff"),
        ("Text with a surrogate", "63eda080"),
        ("keys out of order", "a2616200616100"),
        ("longer key first", "a262616100616200"),
        ("key twice", "a2616100616101"),
        ("key that is no Text", "a10000"),
        ("key that is a Blob", "a1416100"),
        ("true as a value", "a16161f5"),
        ("Array that ends too early", "8200"),
        ("Map that ends too early", "a16161"),
        ("Blob that ends too early", "4200"),
        ("Blob longer than any memory", "5bffffffffffffffff"),
        ("Array longer than any memory", "9bffffffffffffffff"),
        ("nested 17 deep", "8181818181818181818181818181818181 00"),
    ];
    let refused: Vec<Json> = refused
        .iter()
        .map(|(name, encoded)| {
            let encoded = encoded.replace(' ', "");
            assert!(cbor::decode(&hex::decode(&encoded).unwrap()).is_err(), "{name}");
            json!({"name": name, "encoded": encoded})
        })
        .collect();
    json!({"values": values, "refused": refused})
}

/// Inputs and roots of the tests of Certificate Transparency's reference implementation.
const CT: &[(&str, &str)] = &[
    (
        "",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    ),
    (
        "00",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    ),
    (
        "10",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    ),
    (
        "2021",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ),
    (
        "3031",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    ),
    (
        "40414243",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    ),
    (
        "5051525354555657",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    ),
    (
        "606162636465666768696a6b6c6d6e6f",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ),
];

/// The root over inputs of any length, from the node hash of the tree under test.
fn root_of(inputs: &[Vec<u8>]) -> [u8; 32] {
    match inputs {
        [] => sha256(&[]),
        [one] => sha(&[&[0], one]),
        more => {
            let middle = more.len().next_power_of_two() / 2;
            tree::node_hash(&root_of(&more[..middle]), &root_of(&more[middle..]))
        }
    }
}

pub fn make_trees() -> Json {
    let inputs: Vec<Vec<u8>> = CT.iter().map(|(input, _)| hex::decode(input).unwrap()).collect();
    let mut roots = vec![json!({"inputs": [], "root": hex::encode(root_of(&[]))})];
    for (size, (_, root)) in CT.iter().enumerate() {
        let first = &inputs[..=size];
        assert_eq!(hex::encode(root_of(first)), *root);
        roots.push(json!({"inputs": first.iter().map(hex::encode).collect::<Vec<_>>(), "root": root}));
    }
    let leaves: Vec<[u8; 32]> = (0..11_u8).map(|i| sha256(&[i])).collect();
    let (mut accumulator, mut nodes) = (tree::Accumulator::new(), Vec::new());
    let mut sizes = vec![hex::encode(accumulator.root())];
    for leaf in &leaves {
        nodes.extend(accumulator.append(leaf));
        sizes.push(hex::encode(accumulator.root()));
    }
    let hexes = |proof: &[[u8; 32]]| proof.iter().map(hex::encode).collect::<Vec<_>>();
    let (mut inclusion, mut consistency) = (Vec::new(), Vec::new());
    for size in 1..=11_u64 {
        for index in 0..size {
            let proof = tree::inclusion(&nodes, index, size).unwrap();
            inclusion.push(json!({"index": index, "size": size, "proof": hexes(&proof), "holds": true}));
        }
        for old in 1..=size {
            let proof = tree::consistency(&nodes, old, size).unwrap();
            consistency.push(json!({"old": old, "new": size, "proof": hexes(&proof), "holds": true}));
        }
    }
    let proof = |index, size| tree::inclusion(&nodes, index, size).unwrap();
    let mut flipped = proof(3, 7);
    flipped[1][0] ^= 1;
    for (index, size, proof) in [
        (2, 7, proof(3, 7)),
        (3, 8, proof(3, 7)),
        (3, 7, proof(3, 7)[1..].to_vec()),
        (3, 7, [proof(3, 7), vec![[0; 32]]].concat()),
        (3, 7, flipped),
        (7, 7, proof(6, 7)),
        (0, 0, vec![]),
    ] {
        inclusion.push(json!({"index": index, "size": size, "proof": hexes(&proof), "holds": false}));
    }
    let proof = |old, new| tree::consistency(&nodes, old, new).unwrap();
    let mut flipped = proof(3, 7);
    flipped[0][0] ^= 1;
    for (old, new, proof) in [
        (4, 7, proof(3, 7)),
        (3, 8, proof(3, 7)),
        (3, 7, proof(3, 7)[1..].to_vec()),
        (3, 7, [proof(3, 7), vec![[0; 32]]].concat()),
        (3, 7, flipped),
        (3, 7, vec![]),
        (7, 7, vec![[0; 32]]),
        (0, 7, vec![]),
        (7, 3, proof(3, 7)),
    ] {
        consistency.push(json!({"old": old, "new": new, "proof": hexes(&proof), "holds": false}));
    }
    json!({
        "certificate_transparency": roots,
        "leaves": leaves.iter().map(hex::encode).collect::<Vec<_>>(),
        "roots": sizes,
        "inclusion": inclusion,
        "consistency": consistency,
    })
}

pub fn make_blocks() -> Json {
    let world = World::full();
    let blocks: Vec<Json> = world
        .blocks
        .iter()
        .map(|value| {
            let block = Block::from_value(value.clone()).unwrap();
            Body::of(&block).unwrap();
            json!({
                "btype": block.btype,
                "encoded": hex::encode(block.encode()),
                "hash": hex::encode(block.hash()),
                "content_hash": hex::encode(block.content_hash()),
            })
        })
        .collect();
    let types: std::collections::BTreeSet<_> = blocks.iter().map(|b| b["btype"].as_str().unwrap()).collect();
    // Those of environments are in a file of their own.
    let all = dcanary_types::record::BLOCK_TYPES.into_iter();
    let others = all.filter(|btype| !EnvTransition::TYPES.contains(btype));
    assert_eq!(types, others.collect());
    let mut refused = Vec::new();
    for value in &world.blocks {
        let Value::Map(block) = value else {
            panic!("no map")
        };
        let btype = block["btype"].as_text().unwrap();
        let mut add = |why: String, block: Map| {
            let value = Value::Map(block);
            let read = Block::from_value(value.clone()).map_err(|e| e.to_string());
            let read = read.and_then(|b| Body::of(&b).map_err(|e| e.to_string()));
            assert!(read.is_err(), "{why}");
            let case = json!({"why": why, "encoded": hex::encode(cbor::encode(&value))});
            if !refused.contains(&case) {
                refused.push(case);
            }
        };
        let Value::Map(body) = &block["body"] else {
            panic!("no body")
        };
        for field in body
            .keys()
            .filter(|f| !["source", "artifacts"].contains(&f.as_str()))
        {
            let mut less = body.clone();
            less.remove(field);
            add(
                format!("{btype} without {field}"),
                with(block, "body", less.into()),
            );
            let other = with(body, field, Value::Array(vec![Value::Array(vec![])]));
            add(
                format!("{btype} with {field} of another kind"),
                with(block, "body", other.into()),
            );
        }
        add(
            format!("{btype} with one field more"),
            with(block, "body", with(body, "zzz", 1.into()).into()),
        );
    }
    let frame = world.blocks[4].as_map().unwrap();
    for field in frame.keys().filter(|f| *f != "phash") {
        let mut less = frame.clone();
        less.remove(field);
        refused.push(json!({"why": format!("block without {field}"), "encoded": hex::encode(cbor::encode(&less.into()))}));
    }
    json!({"blocks": blocks, "refused": refused})
}

fn with(map: &Map, key: &str, value: Value) -> Map {
    let mut map = map.clone();
    map.insert(key.to_owned(), value);
    map
}
