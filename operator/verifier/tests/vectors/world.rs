//! A small ledger with a block of every type, and exports of it that are right or wrong in one place.

use dcanary_types::block::Block;
use dcanary_types::labels::Labels;
use dcanary_types::policy::{Policy, Role, RoleBody, RoleKind};
use dcanary_types::record::{LedgerEvent, Record, RecordKind};
use dcanary_types::tree::Accumulator;
use dcanary_types::value::{map, sha256};
use dcanary_types::{Map, Value, cbor};
use dcanary_verifier::{RootKey, TrustFile, TrustedDomain};
use ic_principal::Principal;

use crate::forge::{Network, Ranges, Tree, canister, leaf, level, principals};
use crate::records::{NOW, RUN, ledger, operator, other_operator, owner, records, short_run, transitions};

/// Everything an export is made of. Change a part, and [`World::export`] signs what you made of it.
pub struct World {
    pub network: Network,
    pub ledger: Vec<u8>,
    pub format: &'static str,
    pub size: Option<u64>,
    pub blocks: Vec<Value>,
    pub policy: Policy,
    pub policy_bytes: Option<Vec<u8>>,
    /// Leaves of the witness; filled from the blocks when empty.
    pub labels: Vec<(Vec<u8>, Vec<u8>)>,
    pub witness: fn(Tree) -> Tree,
    pub certified_data: Option<Vec<u8>>,
    pub state: fn(Tree) -> Tree,
    pub ranges: Option<Ranges>,
    pub certify: Option<fn(&World, &Tree) -> Vec<u8>>,
    pub code: Option<fn(&World) -> Vec<u8>>,
    pub module_hash: Vec<u8>,
    pub controllers: Vec<Vec<u8>>,
}

impl World {
    /// Block 0 only, signed by the root key itself, without code.
    pub fn smallest() -> Self {
        let mut world = Self {
            network: Network::new(),
            ledger: ledger(),
            format: "dcanary-export/1",
            size: None,
            blocks: Vec::new(),
            policy: Policy::opened(owner()),
            policy_bytes: None,
            labels: Vec::new(),
            witness: |tree| tree,
            certified_data: None,
            state: |tree| tree,
            ranges: None,
            certify: None,
            code: None,
            module_hash: sha256(b"wasm").to_vec(),
            controllers: vec![owner()],
        };
        world.event(
            &owner(),
            "",
            &LedgerEvent::Opened {
                owner: owner(),
                incarnation: 0,
            },
        );
        world
    }

    /// A block of every type; delegated with both forms of ranges; with code.
    pub fn full() -> Self {
        let mut world = Self::smallest();
        world.ranges = Some(Ranges::Both);
        world.code = Some(World::good_code);
        world.grant(&operator(), "shop", "east");
        world.grant(&other_operator(), "docs", "west");
        let run = records(RUN, transitions());
        let (first, rest) = run.split_at(6);
        for record in first {
            world.record(&operator(), "shop", "east", record);
        }
        for record in records("r2", short_run()) {
            world.record(&other_operator(), "docs", "west", &record);
        }
        let conflict = LedgerEvent::Conflict {
            run: RUN.to_owned(),
            n: 3,
            have: 6,
            offered: sha256(b"offered"),
        };
        world.push(
            &operator(),
            "shop",
            "east",
            conflict.btype(),
            None,
            conflict.body(),
        );
        world.event(&owner(), "", &LedgerEvent::Restored { incarnation: 1 });
        for record in rest {
            world.record(&operator(), "shop", "east", record);
        }
        world.revoke(&other_operator(), "docs", "west");
        world
    }

    pub fn push(
        &mut self,
        caller: &[u8],
        project: &str,
        domain: &str,
        btype: &str,
        claimed: Option<u64>,
        body: Map,
    ) {
        let ts = NOW - 1_000_000 + self.blocks.len() as u64;
        let block = Block {
            btype: btype.to_owned(),
            phash: self.blocks.last().map(Value::hash),
            ts,
            claimed_ts: claimed.unwrap_or(ts),
            caller: caller.to_vec(),
            project: project.to_owned(),
            domain: domain.to_owned(),
            policy: self.policy.version,
            body,
        };
        self.blocks.push(block.to_value());
    }

    pub fn event(&mut self, caller: &[u8], project: &str, event: &LedgerEvent) {
        self.push(caller, project, "", event.btype(), None, event.body());
    }

    pub fn record<T: RecordKind>(&mut self, caller: &[u8], project: &str, domain: &str, record: &Record<T>) {
        self.push(
            caller,
            project,
            domain,
            record.btype(),
            Some(record.claimed_ts),
            record.body(),
        );
    }

    pub fn grant(&mut self, principal: &[u8], project: &str, domain: &str) {
        let body = role_body(principal, domain);
        self.event(&owner(), project, &LedgerEvent::RoleGranted(body));
        self.policy.grant(role(principal, project, domain));
    }

    pub fn revoke(&mut self, principal: &[u8], project: &str, domain: &str) {
        let body = role_body(principal, domain);
        self.event(&owner(), project, &LedgerEvent::RoleRevoked(body));
        self.policy.revoke(&role(principal, project, domain));
    }

    /// Changes a block and links all later ones anew.
    pub fn change(&mut self, index: usize, change: impl FnOnce(&mut Map)) {
        let Value::Map(block) = &mut self.blocks[index] else {
            panic!("no block")
        };
        change(block);
        self.relink(index + 1);
    }

    pub fn relink(&mut self, from: usize) {
        for i in from..self.blocks.len() {
            let phash = self.blocks[i - 1].hash();
            if let Value::Map(block) = &mut self.blocks[i] {
                block.insert("phash".to_owned(), phash.into());
            }
        }
    }

    pub fn root(&self) -> [u8; 32] {
        let mut tree = Accumulator::new();
        self.blocks.iter().for_each(|block| {
            tree.append(&block.hash());
        });
        tree.root()
    }

    pub fn policy_bytes(&self) -> Vec<u8> {
        self.policy_bytes.clone().unwrap_or_else(|| self.policy.encode())
    }

    /// The leaves of the witness as they should be.
    pub fn good_labels(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let policy = cbor::decode(&self.policy_bytes()).map_or([0; 32], |v| v.hash());
        let last = self.blocks.last().map_or([0; 32], Value::hash);
        let labels = Labels::new(policy, self.root(), self.blocks.len() as u64, last);
        labels
            .leaves()
            .into_iter()
            .map(|(l, v)| (l.as_bytes().to_vec(), v))
            .collect()
    }

    pub fn set_label(&mut self, label: &str, value: &[u8]) {
        self.labels = self.good_labels();
        for (l, v) in &mut self.labels {
            if l == label.as_bytes() {
                *v = value.to_vec();
            }
        }
    }

    pub fn hash_tree(&self) -> Tree {
        let labels = if self.labels.is_empty() {
            self.good_labels()
        } else {
            self.labels.clone()
        };
        (self.witness)(level(labels.into_iter().map(|(l, v)| (l, leaf(v)))))
    }

    pub fn state_tree(&self) -> Tree {
        let data = self
            .certified_data
            .clone()
            .unwrap_or_else(|| self.hash_tree().digest().to_vec());
        let about = level([
            ("certified_data", leaf(data)),
            ("module_hash", leaf(self.module_hash.clone())),
        ]);
        let tree = level([
            (
                "canister",
                level([(self.ledger.clone(), about), (canister(7), leaf("hidden"))]),
            ),
            ("time", leaf(dcanary_types::value::leb128(NOW))),
        ]);
        (self.state)(tree.prune(&[b"canister", &canister(7)]).prune(&[
            b"canister",
            &self.ledger,
            b"module_hash",
        ]))
    }

    pub fn sign(&self, tree: &Tree) -> Vec<u8> {
        match self.ranges {
            Some(form) => self.network.delegated(tree, form, NOW),
            None => self.network.root.certify(tree, None),
        }
    }

    pub fn code_tree(&self) -> Tree {
        let about = level([
            ("controllers", leaf(principals(&self.controllers))),
            ("module_hash", leaf(self.module_hash.clone())),
        ]);
        level([
            ("canister", level([(self.ledger.clone(), about)])),
            ("time", leaf(dcanary_types::value::leb128(NOW + 5))),
        ])
    }

    pub fn good_code(&self) -> Vec<u8> {
        self.sign(&self.code_tree())
    }

    pub fn certificate(&self) -> Vec<u8> {
        match self.certify {
            Some(certify) => certify(self, &self.state_tree()),
            None => self.sign(&self.state_tree()),
        }
    }

    pub fn header(&self) -> Map {
        let size = self.size.unwrap_or(self.blocks.len() as u64);
        map([
            ("format", self.format.into()),
            ("ledger", self.ledger.clone().into()),
            ("size", size.into()),
        ])
    }

    pub fn trailer(&self) -> Map {
        let mut trailer = map([
            ("certificate", self.certificate().into()),
            ("hash_tree", self.hash_tree().tagged().into()),
            ("policy", self.policy_bytes().into()),
        ]);
        if let Some(code) = self.code {
            trailer.insert("code".to_owned(), code(self).into());
        }
        trailer
    }

    pub fn export(&self) -> Vec<u8> {
        let blocks: Vec<Vec<u8>> = self.blocks.iter().map(cbor::encode).collect();
        sequence(&self.header(), &blocks, &self.trailer())
    }

    /// A trust file that demands everything it can of this ledger.
    pub fn trust(&self) -> TrustFile {
        let id = |bytes: &[u8]| Principal::from_slice(bytes);
        let domain = |owner: &str, domain: &str, key: &[u8]| TrustedDomain {
            owner: owner.to_owned(),
            domain: domain.to_owned(),
            principal: id(key),
        };
        TrustFile {
            root_key: RootKey::from_der(&self.network.root.der()).unwrap(),
            ledger: id(&ledger()),
            project: None,
            module_hashes: vec![sha256(b"older wasm"), sha256(b"wasm")],
            controllers: Some(vec![id(&owner())]),
            domains: Some(vec![
                domain("Ada", "east", &operator()),
                domain("Bob", "west", &other_operator()),
            ]),
        }
    }

    /// A trust file that pins only key and ledger.
    pub fn bare_trust(&self) -> TrustFile {
        TrustFile {
            module_hashes: vec![],
            controllers: None,
            domains: None,
            ..self.trust()
        }
    }
}

pub fn role(principal: &[u8], project: &str, domain: &str) -> Role {
    let role = if domain.is_empty() {
        RoleKind::Owner
    } else {
        RoleKind::Operator
    };
    Role {
        project: project.to_owned(),
        principal: principal.to_vec(),
        role,
        domain: domain.to_owned(),
    }
}

fn role_body(principal: &[u8], domain: &str) -> RoleBody {
    RoleBody {
        principal: principal.to_vec(),
        role: role(principal, "", domain).role,
        domain: domain.to_owned(),
    }
}

pub fn sequence(header: &Map, blocks: &[Vec<u8>], trailer: &Map) -> Vec<u8> {
    let mut out = cbor::encode_map(header);
    for block in blocks {
        out.extend(cbor::encode(&Value::Blob(block.clone())));
    }
    out.extend(cbor::encode_map(trailer));
    out
}
