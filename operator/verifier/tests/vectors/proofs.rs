//! Runs proved by inclusion: good ones, and for each check some that only that check catches.

use dcanary_types::policy::Policy;
use dcanary_types::record::Transition;
use dcanary_types::value::sha256;
use dcanary_types::{Value, cbor, tree};
use dcanary_verifier::{Check, ExpectedRun, RootKey, RunEvidence, TrustFile, verify_run};
use serde_json::{Value as Json, json};

use crate::forge::{Key, Ranges};
use crate::heads::nodes;
use crate::records::{NOW, RUN, graph, operator, other_operator, records};
use crate::world::{World, role};

pub const MINUTE: u64 = 60_000_000_000;

/// The run that the evidence of [`evidence`] proves.
pub fn expected() -> ExpectedRun {
    ExpectedRun {
        project: "shop".to_owned(),
        domain: Some("east".to_owned()),
        run: RUN.to_owned(),
    }
}

/// One block with its proof.
pub fn proved(world: &World, index: usize) -> (u64, Vec<u8>, Vec<[u8; 32]>) {
    let size = world.blocks.len() as u64;
    (
        index as u64,
        cbor::encode(&world.blocks[index]),
        tree::inclusion(&nodes(world), index as u64, size).unwrap(),
    )
}

/// The evidence for the run of a project in a world.
pub fn evidence_of(world: &World, project: &str, run: &str, graph: Option<Vec<u8>>) -> RunEvidence {
    let is_record = |v: &Value| {
        let block = v.as_map().unwrap();
        let body = block["body"].as_map().unwrap();
        block["project"].as_text() == Some(project)
            && body.get("run").and_then(Value::as_text) == Some(run)
            && block["btype"].as_text() != Some("dcanary_conflict")
    };
    RunEvidence {
        ledger: world.ledger.clone(),
        root_key: Some(world.network.root.der()),
        certificate: world.certificate(),
        hash_tree: world.hash_tree().tagged(),
        blocks: (0..world.blocks.len())
            .filter(|index| is_record(&world.blocks[*index]))
            .map(|index| proved(world, index))
            .collect(),
        graph,
        policy: world.policy_bytes(),
        code: Some(world.good_code()),
    }
}

/// The evidence for the first run of a world: the blocks of project `shop`.
pub fn evidence(world: &World) -> RunEvidence {
    evidence_of(world, "shop", RUN, Some(graph().encode()))
}

struct Cases(Vec<Json>);

impl Cases {
    fn add(
        &mut self,
        name: &str,
        evidence: &RunEvidence,
        expected: &ExpectedRun,
        trust: Option<&TrustFile>,
        now: Option<u64>,
        fails: &[Check],
    ) {
        let (report, run) = verify_run(evidence, expected, trust, now);
        let failed: Vec<Check> = report.failed().map(|f| f.check).collect();
        assert_eq!(failed, fails, "{name}: {:#?}", report.findings());
        assert_eq!(run.is_some(), fails.is_empty() && trust.is_some(), "{name}");
        let checks: Map<String, Json> = report
            .findings()
            .iter()
            .map(|f| (f.check.to_string(), json!(f.status)))
            .collect();
        self.0.push(json!({
            "name": name,
            "evidence": evidence.to_json(),
            "expected": {"project": expected.project, "domain": expected.domain, "run": expected.run},
            "trust": trust.map(TrustFile::to_json),
            "now": now,
            "checks": checks,
            "exit_code": report.exit_code(),
        }));
    }

    /// The good evidence after one change.
    fn bad(&mut self, fails: &[Check], name: &str, change: impl FnOnce(&mut RunEvidence)) {
        self.bad_world(fails, name, |_| {}, change);
    }

    /// The evidence of a changed ledger, itself changed.
    fn bad_world(
        &mut self,
        fails: &[Check],
        name: &str,
        change_world: impl FnOnce(&mut World),
        change: impl FnOnce(&mut RunEvidence),
    ) {
        let mut world = World::full();
        change_world(&mut world);
        let mut evidence = evidence(&world);
        change(&mut evidence);
        let names: Vec<&str> = fails.iter().map(|c| c.as_str()).collect();
        let name = format!("{}: {name}", names.join("+"));
        let now = Some(NOW + MINUTE);
        self.add(&name, &evidence, &expected(), Some(&world.trust()), now, fails);
    }

    /// The good evidence, offered for another run than the one asked for.
    fn other(&mut self, name: &str, change: impl FnOnce(&mut ExpectedRun)) {
        let world = World::full();
        let mut other = expected();
        change(&mut other);
        let name = format!("blocks: {name}");
        let now = Some(NOW + MINUTE);
        self.add(
            &name,
            &evidence(&world),
            &other,
            Some(&world.trust()),
            now,
            &[Check::Blocks],
        );
    }
}

type Map<K, V> = serde_json::Map<K, V>;

fn rewrite(evidence: &mut RunEvidence, at: usize, key: &str, value: impl Into<Value>) {
    let Value::Map(mut block) = cbor::decode(&evidence.blocks[at].1).unwrap() else {
        panic!("no block")
    };
    block.insert(key.to_owned(), value.into());
    evidence.blocks[at].1 = cbor::encode_map(&block);
}

pub fn make() -> Json {
    let mut c = Cases(Vec::new());
    good(&mut c);
    asked_for(&mut c);
    signatures(&mut c);
    blocks(&mut c);
    writers(&mut c);
    Json::Array(c.0)
}

fn good(c: &mut Cases) {
    let world = World::full();
    let (good, trust) = (evidence(&world), world.trust());
    let now = Some(NOW + MINUTE);
    c.add(
        "good: everything is given",
        &good,
        &expected(),
        Some(&trust),
        now,
        &[],
    );
    c.add("good: offline", &good, &expected(), Some(&trust), None, &[]);
    c.add(
        "good: 3 minutes old",
        &good,
        &expected(),
        Some(&trust),
        Some(NOW + 3 * MINUTE),
        &[],
    );
    let anywhere = ExpectedRun {
        domain: None,
        ..expected()
    };
    c.add(
        "good: the domain is not known",
        &good,
        &anywhere,
        Some(&trust),
        now,
        &[],
    );
    let bare = RunEvidence {
        root_key: None,
        code: None,
        ..good.clone()
    };
    c.add(
        "good: nothing pinned but key and ledger",
        &bare,
        &expected(),
        Some(&world.bare_trust()),
        now,
        &[],
    );
    let without = RunEvidence {
        graph: None,
        ..good.clone()
    };
    c.add(
        "open: the graph is not at hand",
        &without,
        &expected(),
        Some(&trust),
        now,
        &[],
    );
    c.add("open: no trust file", &good, &expected(), None, now, &[]);
    let mut revoked = World::full();
    revoked.revoke(&operator(), "shop", "east");
    c.add(
        "open: the writer has lost its role since",
        &evidence(&revoked),
        &expected(),
        Some(&revoked.trust()),
        now,
        &[],
    );
}

/// A source of evidence may be honest about another run.
fn asked_for(c: &mut Cases) {
    c.other("another run is asked for", |e| {
        "5b1f0f6e-52e2-4a1c-9a37-0d6a5f8f9e12".clone_into(&mut e.run);
    });
    c.other("a run of another project is asked for", |e| {
        "docs".clone_into(&mut e.project)
    });
    c.other("a run of another domain is asked for", |e| {
        e.domain = Some("west".to_owned())
    });
    // The same name, definition and graph, an earlier time: only the UID tells them apart.
    let mut world = World::full();
    let older = "00000000-52e2-4a1c-9a37-0d6a5f8f9e11";
    let again: Vec<Transition> = crate::records::transitions();
    for record in records(older, again) {
        world.record(&operator(), "shop", "east", &record);
    }
    c.add(
        "blocks: an older run of the same name and definition",
        &evidence_of(&world, "shop", older, Some(graph().encode())),
        &expected(),
        Some(&world.trust()),
        Some(NOW + MINUTE),
        &[Check::Blocks],
    );
}

fn signatures(c: &mut Cases) {
    use Check::{Age, Certificate, Code, Delegation, Format, Labels, Policy, Range, Trust};
    c.bad(&[Format], "bytes follow a block", |e| e.blocks[0].1.push(0));
    c.bad(&[Format], "bytes follow the policy document", |e| {
        e.policy.push(0)
    });
    c.bad(&[Format], "bytes follow the graph document", |e| {
        e.graph.as_mut().unwrap().push(0)
    });
    c.bad(&[Trust], "another ledger is named", |e| e.ledger[3] ^= 1);
    c.bad(&[Trust], "another root key is named", |e| {
        e.root_key = Some(RootKey::mainnet().to_der());
    });
    let world = World::full();
    let pinned = TrustFile {
        project: Some("docs".to_owned()),
        ..world.trust()
    };
    let now = Some(NOW + MINUTE);
    c.add(
        "trust: another project is pinned",
        &evidence(&world),
        &expected(),
        Some(&pinned),
        now,
        &[Trust],
    );
    for (name, now) in [
        ("age+code: 4 minutes old", NOW + 4 * MINUTE),
        ("age+code: 2 minutes ahead", NOW - 2 * MINUTE),
    ] {
        c.add(
            name,
            &evidence(&world),
            &expected(),
            Some(&world.trust()),
            Some(now),
            &[Age, Code],
        );
    }
    let state = world.state_tree();
    let (n, stranger) = (&world.network, Key::seeded(9));
    c.bad(&[Certificate], "signed by a stranger", |e| {
        e.certificate = stranger.certify(&state, None)
    });
    let forged = stranger.certify(&n.subnet_tree(Ranges::Both, NOW), None);
    let delegated = n.subnet.certify(&state, Some((&n.subnet_id, &forged)));
    c.bad(&[Delegation], "delegated by a stranger", |e| {
        e.certificate = delegated
    });
    let elsewhere = n.delegated(&state, Ranges::Elsewhere, NOW);
    c.bad(&[Range], "the ledger is in no range", |e| {
        e.certificate = elsewhere
    });
    let mut other = World::full();
    other.set_label("dcanary_policy", &[1; 32]);
    let witness = other.hash_tree().tagged();
    c.bad(&[Labels, Policy], "another witness", |e| e.hash_tree = witness);
    c.bad(&[Code], "the demanded code is not shown", |e| e.code = None);
}

fn blocks(c: &mut Cases) {
    use Check::{Blocks, HashLinks, Root, Transitions};
    let world = World::full();
    let opening = proved(&world, 0);
    c.bad(&[Blocks], "the opening of the ledger among them", |e| {
        e.blocks.insert(0, opening)
    });
    c.bad(&[Blocks], "out of order", |e| e.blocks.swap(3, 4));
    c.bad(&[Blocks], "none", |e| e.blocks.clear());
    let docs = world
        .blocks
        .iter()
        .rposition(|b| b.as_map().unwrap()["domain"].as_text() == Some("west"))
        .unwrap();
    let stranger = proved(&world, docs);
    c.bad(&[Blocks], "a record of another run among them", |e| {
        let at = e.blocks.iter().position(|(i, _, _)| *i > docs as u64).unwrap();
        e.blocks.insert(at, stranger);
    });
    let last = world.blocks.len() - 2;
    c.bad_world(
        &[Blocks],
        "a record that links to nothing",
        |w| w.change(last, |block| drop(block.remove("phash"))),
        |_| {},
    );
    c.bad(&[Root], "another time in a block", |e| rewrite(e, 12, "ts", 1));
    c.bad(&[Root], "another hash in a proof", |e| e.blocks[5].2[0][0] ^= 1);
    c.bad(&[Root], "a proof cut short", |e| e.blocks[5].2.truncate(1));
    c.bad(&[Root], "a proof with a hash too many", |e| {
        e.blocks[5].2.push([0; 32])
    });
    c.bad(&[Root], "the proof of another index", |e| e.blocks[5].0 += 1);
    c.bad_world(
        &[HashLinks],
        "a neighbour links elsewhere",
        |w| {
            w.change(4, |block| {
                drop(block.insert("phash".to_owned(), vec![9; 32].into()))
            })
        },
        |_| {},
    );
    c.bad(&[Transitions], "a record is left out", |e| {
        drop(e.blocks.remove(4))
    });
    c.bad(&[Transitions], "the first record is left out", |e| {
        drop(e.blocks.remove(0))
    });
    let other = dcanary_types::graph::GraphDoc::new(vec![]).unwrap().encode();
    c.bad(&[Transitions], "another graph document", |e| {
        e.graph = Some(other)
    });
    let at = evidence(&world).blocks[1].0;
    c.bad_world(
        &[Transitions],
        "a stage that the graph does not have",
        |w| {
            w.change(usize::try_from(at).unwrap(), |block| {
                let Some(Value::Map(body)) = block.get_mut("body") else {
                    panic!("no body")
                };
                body.insert("stage".to_owned(), "ghost".into());
            });
        },
        |_| {},
    );
}

fn writers(c: &mut Cases) {
    use Check::Policy as P;
    let world = World::full();
    let now = Some(NOW + MINUTE);
    let mut trust = world.trust();
    trust.domains.as_mut().unwrap().remove(0);
    c.add(
        "policy: a writer that is not pinned",
        &evidence(&world),
        &expected(),
        Some(&trust),
        now,
        &[P],
    );
    c.bad(&[P], "another document than certified", |e| {
        e.policy = Policy::opened(vec![1]).encode()
    });
    let last = world.blocks.len() - 2;
    c.bad_world(
        &[P],
        "a version later than the certified one",
        |w| w.change(last, |block| drop(block.insert("policy".to_owned(), 99.into()))),
        |_| {},
    );
    let mut stranger = World::full();
    stranger.blocks.pop();
    stranger.policy.grant(role(&other_operator(), "docs", "west"));
    stranger.policy.version = 2;
    let last = stranger.blocks.len() - 1;
    stranger.change(last, |block| {
        drop(block.insert("caller".to_owned(), vec![1].into()))
    });
    c.add(
        "policy: somebody without a role under the certified policy",
        &evidence(&stranger),
        &expected(),
        Some(&stranger.bare_trust()),
        now,
        &[P],
    );
    // The evidence of this one holds only blocks, so the policy document alone is at fault.
    let mut unordered = World::full();
    unordered.policy_bytes = Some(cbor::encode(&Value::Map(dcanary_types::value::map([
        ("version", 3.into()),
        (
            "roles",
            Value::Array(vec![Value::Blob(sha256(b"no role").to_vec())]),
        ),
    ]))));
    c.add(
        "policy: a certified document that is none",
        &evidence(&unordered),
        &expected(),
        Some(&unordered.trust()),
        now,
        &[P],
    );
}
