//! A ledger in memory with an owner, two projects and three operators.

use candid::Principal;
use dcanary_types::{
    api::{AppendError, Batch, BatchError, Receipt, RoleArg, RoleResult, Segment, SegmentResult},
    block::Block,
    record::Body,
};

use super::memory::SparseMemory;
pub use super::story::*;
use crate::{Ceilings, Ledger, Message};

pub const OWNER: u8 = 1;
/// Operator of `shop` under `east`.
pub const EAST: u8 = 2;
/// Another operator of `shop` under `east`.
pub const EAST_TOO: u8 = 3;
/// Operator of `shop` under `west`.
pub const WEST: u8 = 4;
/// Operator of `bank` under `east`.
pub const BANK: u8 = 5;
/// Nobody.
pub const STRANGER: u8 = 9;

pub fn principal(who: u8) -> Principal {
    Principal::from_slice(&[who; 10])
}

pub struct World {
    pub ledger: Ledger<SparseMemory>,
    pub memory: SparseMemory,
    pub now: u64,
}

pub fn world() -> World {
    world_with(Ceilings::default())
}

pub fn world_with(ceilings: Ceilings) -> World {
    let memory = SparseMemory::default();
    let message = Message {
        caller: vec![7; 10],
        now: START,
    };
    let owner = principal(OWNER).as_slice().to_vec();
    let ledger = Ledger::create(memory.clone(), &message, owner, ceilings).unwrap();
    let mut world = World {
        ledger,
        memory,
        now: START,
    };
    for (who, project, domain) in [
        (EAST, "shop", "east"),
        (EAST_TOO, "shop", "east"),
        (WEST, "shop", "west"),
        (BANK, "bank", "east"),
    ] {
        world.grant(OWNER, &operator(who, project, domain)).unwrap();
    }
    world
}

pub fn operator(who: u8, project: &str, domain: &str) -> RoleArg {
    RoleArg {
        principal: principal(who),
        role: "operator".to_owned(),
        project: project.to_owned(),
        domain: domain.to_owned(),
    }
}

pub fn owner(who: u8) -> RoleArg {
    RoleArg {
        principal: principal(who),
        role: "owner".to_owned(),
        project: String::new(),
        domain: String::new(),
    }
}

impl World {
    pub fn message(&mut self, who: u8) -> Message {
        self.now += 1_000_000;
        Message {
            caller: principal(who).as_slice().to_vec(),
            now: self.now,
        }
    }

    pub fn grant(&mut self, who: u8, role: &RoleArg) -> RoleResult {
        let message = self.message(who);
        self.ledger.grant(&message, role).unwrap()
    }

    pub fn revoke(&mut self, who: u8, role: &RoleArg) -> RoleResult {
        let message = self.message(who);
        self.ledger.revoke(&message, role).unwrap()
    }

    pub fn batch(&mut self, who: u8, segments: Vec<Segment>) -> Result<Vec<SegmentResult>, BatchError> {
        let message = self.message(who);
        self.ledger.append(&message, Batch { segments }).unwrap()
    }

    pub fn append(&mut self, who: u8, segment: Segment) -> Result<Vec<u64>, AppendError> {
        let mut results = self.batch(who, vec![segment]).unwrap();
        assert_eq!(results.len(), 1);
        results.remove(0).map(|Receipt { blocks }| blocks)
    }

    pub fn size(&self) -> u64 {
        self.ledger.stats().blocks
    }

    pub fn block(&self, index: u64) -> Block {
        Block::decode(&self.ledger.blocks(index, 1)[0]).unwrap()
    }

    pub fn body(&self, index: u64) -> Body {
        Body::of(&self.block(index)).unwrap()
    }

    /// What is left when the canister is upgraded.
    pub fn upgrade(&mut self) {
        self.ledger = Ledger::open(self.memory.clone(), Ceilings::default()).unwrap();
    }
}
