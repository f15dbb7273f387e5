//! Whole exports: good ones, and for each check of section 10 some that only that check catches.

use dcanary_types::cbor;
use dcanary_verifier::{Check, RootKey, TrustFile, verify_export};
use ic_principal::Principal;
use serde_json::{Value as Json, json};

use crate::forge::{Key, Ranges, canister, certificate};
use crate::records::NOW;
use crate::world::{World, sequence};

pub struct Cases(pub Vec<Json>);

impl Cases {
    pub fn add(&mut self, name: &str, export: &[u8], trust: Option<&TrustFile>, fails: &[Check]) {
        let report = verify_export(export, trust);
        let failed: Vec<Check> = report.failed().map(|f| f.check).collect();
        assert_eq!(failed, fails, "{name}: {:#?}", report.findings());
        let checks: serde_json::Map<String, Json> = report
            .findings()
            .iter()
            .map(|f| (f.check.to_string(), json!(f.status)))
            .collect();
        self.0.push(json!({
            "name": name,
            "export": hex::encode(export),
            "trust": trust.map(TrustFile::to_json),
            "checks": checks,
            "exit_code": report.exit_code(),
            "level": report.level(),
        }));
    }

    /// The full ledger after one change, under the trust file that demands everything.
    pub fn bad(&mut self, fails: Check, name: &str, change: impl FnOnce(&mut World)) {
        let mut world = World::full();
        change(&mut world);
        self.add(
            &format!("{fails}: {name}"),
            &world.export(),
            Some(&world.trust()),
            &[fails],
        );
    }

    pub fn bad_trust(&mut self, fails: &[Check], name: &str, change: impl FnOnce(&mut TrustFile)) {
        let world = World::full();
        let mut trust = world.trust();
        change(&mut trust);
        let names: Vec<&str> = fails.iter().map(|c| c.as_str()).collect();
        self.add(
            &format!("{}: {name}", names.join("+")),
            &world.export(),
            Some(&trust),
            fails,
        );
    }

    fn bad_bytes(&mut self, name: &str, make: impl FnOnce(&World) -> Vec<u8>) {
        let world = World::full();
        self.add(
            &format!("format: {name}"),
            &make(&world),
            Some(&world.trust()),
            &[Check::Format],
        );
    }
}

fn blocks_of(world: &World) -> Vec<Vec<u8>> {
    world.blocks.iter().map(cbor::encode).collect()
}

pub fn make() -> Json {
    let mut c = Cases(Vec::new());
    good(&mut c);
    format(&mut c);
    signatures(&mut c);
    crate::attacks::add(&mut c);
    Json::Array(c.0)
}

fn good(c: &mut Cases) {
    let small = World::smallest();
    c.add(
        "good: one block, signed by the root key",
        &small.export(),
        Some(&small.bare_trust()),
        &[],
    );
    for form in [Ranges::Sharded, Ranges::Legacy, Ranges::Both] {
        let world = World {
            ranges: Some(form),
            ..World::full()
        };
        c.add(
            &format!("good: ranges {form:?}"),
            &world.export(),
            Some(&world.trust()),
            &[],
        );
    }
    let full = World::full();
    c.add(
        "good: nothing pinned but key and ledger",
        &full.export(),
        Some(&full.bare_trust()),
        &[],
    );
    let project = TrustFile {
        project: Some("docs".to_owned()),
        ..full.trust()
    };
    c.add("good: one project", &full.export(), Some(&project), &[]);
    let mut only_docs = project.clone();
    only_docs.domains.as_mut().unwrap().retain(|d| d.domain == "west");
    c.add(
        "good: writers of other projects are not asked for",
        &full.export(),
        Some(&only_docs),
        &[],
    );
    c.add("no trust file", &full.export(), None, &[]);
    let spoiled = World {
        policy_bytes: Some(World::smallest().policy.encode()),
        ..World::full()
    };
    c.add(
        "no trust file and another policy",
        &spoiled.export(),
        None,
        &[Check::Policy],
    );
    let mainnet = TrustFile {
        root_key: RootKey::mainnet(),
        ..small.bare_trust()
    };
    c.add(
        "certificate: level of the mainnet key",
        &small.export(),
        Some(&mainnet),
        &[Check::Certificate],
    );
}

fn format(c: &mut Cases) {
    c.bad_bytes("bytes follow the trailer", |w| [w.export(), vec![0]].concat());
    c.bad_bytes("the last byte is missing", |w| {
        let mut bytes = w.export();
        bytes.pop();
        bytes
    });
    c.bad_bytes("nothing at all", |_| Vec::new());
    c.bad_bytes("unknown version", |_| {
        World {
            format: "dcanary-export/2",
            ..World::full()
        }
        .export()
    });
    c.bad_bytes("unknown field of the header", |w| {
        let mut header = w.header();
        header.insert("note".to_owned(), "x".into());
        sequence(&header, &blocks_of(w), &w.trailer())
    });
    c.bad_bytes("no block is announced", |_| {
        World {
            size: Some(0),
            ..World::full()
        }
        .export()
    });
    c.bad_bytes("more blocks are announced than given", |_| {
        World {
            size: Some(99),
            ..World::full()
        }
        .export()
    });
    c.bad_bytes("fewer blocks are announced than given", |_| {
        World {
            size: Some(3),
            ..World::full()
        }
        .export()
    });
    c.bad_bytes("unknown field of the trailer", |w| {
        let mut trailer = w.trailer();
        trailer.insert("note".to_owned(), "x".into());
        sequence(&w.header(), &blocks_of(w), &trailer)
    });
    c.bad_bytes("a field of the trailer is missing", |w| {
        let mut trailer = w.trailer();
        trailer.remove("policy");
        sequence(&w.header(), &blocks_of(w), &trailer)
    });
    c.bad_bytes("a block whose number is not in its shortest form", |w| {
        let mut blocks = blocks_of(w);
        let proto = b"\x65proto\x01";
        let at = blocks[1].windows(proto.len()).position(|b| b == proto).unwrap();
        blocks[1].splice(at + 6..at + 7, [0x18, 1]);
        sequence(&w.header(), &blocks, &w.trailer())
    });
    c.bad_bytes("a block with bytes behind it", |w| {
        let mut blocks = blocks_of(w);
        blocks[2].push(0);
        sequence(&w.header(), &blocks, &w.trailer())
    });
    c.bad_bytes("a policy document with bytes behind it", |w| {
        let bytes = [w.policy.encode(), vec![0]].concat();
        World {
            policy_bytes: Some(bytes),
            ..World::full()
        }
        .export()
    });
}

fn signatures(c: &mut Cases) {
    let other = Principal::from_slice(&canister(0x20_000c));
    let full = World::full();
    let mut header = full.header();
    header.insert("ledger".to_owned(), other.as_slice().to_vec().into());
    let impostor = sequence(&header, &blocks_of(&full), &full.trailer());
    c.add(
        "trust: the header names another ledger",
        &impostor,
        Some(&full.trust()),
        &[Check::Trust],
    );
    let named = World {
        ledger: other.as_slice().to_vec(),
        ..World::full()
    };
    let fails = [Check::Trust, Check::Labels, Check::Code];
    c.add(
        "trust: a whole other ledger of the same network",
        &named.export(),
        Some(&full.trust()),
        &fails,
    );

    let stranger = || RootKey::from_der(&Key::seeded(9).der()).unwrap();
    let small = World::smallest();
    let trust = TrustFile {
        root_key: stranger(),
        ..small.bare_trust()
    };
    c.add(
        "certificate: another root key",
        &small.export(),
        Some(&trust),
        &[Check::Certificate],
    );
    c.bad(
        Check::Certificate,
        "signed by another key than the subnet's",
        |w| {
            w.certify = Some(|w, tree| {
                let inner = w
                    .network
                    .root
                    .certify(&w.network.subnet_tree(Ranges::Both, NOW), None);
                Key::seeded(9).certify(tree, Some((&w.network.subnet_id, &inner)))
            });
        },
    );
    c.bad(
        Check::Certificate,
        "the signature is the point at infinity",
        |w| {
            w.certify = Some(|w, tree| {
                let inner = w
                    .network
                    .root
                    .certify(&w.network.subnet_tree(Ranges::Both, NOW), None);
                let mut infinity = vec![0; 48];
                infinity[0] = 0xc0;
                certificate(tree, &infinity, Some((&w.network.subnet_id, &inner)))
            });
        },
    );
    c.bad_trust(&[Check::Delegation, Check::Code], "another root key", |t| {
        t.root_key = stranger()
    });
    c.bad(Check::Delegation, "two deep", |w| {
        w.certify = Some(|w, tree| {
            let n = &w.network;
            let inner = n.root.certify(&n.subnet_tree(Ranges::Both, NOW), None);
            let middle = n
                .subnet
                .certify(&n.subnet_tree(Ranges::Both, NOW), Some((&n.subnet_id, &inner)));
            n.subnet.certify(tree, Some((&n.subnet_id, &middle)))
        });
    });
    c.bad(Check::Delegation, "the subnet's key is pruned", |w| {
        w.certify = Some(|w, tree| {
            let n = &w.network;
            let about = n
                .subnet_tree(Ranges::Both, NOW)
                .prune(&[b"subnet", &n.subnet_id, b"public_key"]);
            n.subnet
                .certify(tree, Some((&n.subnet_id, &n.root.certify(&about, None))))
        });
    });
    c.bad(Check::Delegation, "for another subnet", |w| {
        w.certify = Some(|w, tree| {
            let inner = w
                .network
                .root
                .certify(&w.network.subnet_tree(Ranges::Both, NOW), None);
            w.network.subnet.certify(tree, Some((&[1; 29], &inner)))
        });
    });
    // The code certificate is delegated alike, so the ranges are changed for the head alone.
    for (form, name) in [
        (Ranges::Hidden, "no ranges are revealed"),
        (Ranges::Elsewhere, "the ledger is in no range"),
        (
            Ranges::Contradicting,
            "the sharded ranges hold the ledger and the legacy ones do not",
        ),
    ] {
        let mut world = World {
            ranges: Some(form),
            ..World::full()
        };
        world.code = Some(|w| w.network.delegated(&w.code_tree(), Ranges::Both, NOW));
        c.add(
            &format!("range: {name}"),
            &world.export(),
            Some(&world.trust()),
            &[Check::Range],
        );
    }
    c.bad(Check::Age, "the time is pruned", |w| {
        w.state = |tree| tree.prune(&[b"time"])
    });
}
