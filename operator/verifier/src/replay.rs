//! What can be said of all blocks in order, in memory that does not grow with them: links, tree, policy, runs, environments.
//!
//! Of each run and environment its state stays (a finished run: a few words), of the policy its roles, of the tree its peaks.

use std::collections::HashMap;

use dcanary_types::block::Block;
use dcanary_types::policy::{Policy, Role, RoleBody, RoleKind};
use dcanary_types::record::{Body, LedgerEvent, Transition};
use dcanary_types::tree::Accumulator;
use dcanary_types::{Hash, Value};

use crate::environment::Environments;
use crate::loose::LooseRun;
use crate::report::{Check, Report};
use crate::trust::TrustFile;

/// Project, domain and UID name a run.
type RunKey = (String, String, String);

/// Everything that later blocks are checked against.
pub(crate) struct Replay<'t> {
    trust: Option<&'t TrustFile>,
    index: u64,
    last: Option<Hash>,
    tree: Accumulator,
    incarnation: u64,
    policy: Policy,
    /// The operators of `policy`, found without a walk over all roles for each block.
    operators: HashMap<(String, Vec<u8>), String>,
    runs: HashMap<RunKey, LooseRun>,
    /// By project and domain.
    environments: HashMap<(String, String), Environments>,
    blocks: Result<(), String>,
    hash_links: Result<(), String>,
    writers: Result<(), String>,
    transitions: Result<(), String>,
}

impl<'t> Replay<'t> {
    pub(crate) fn new(trust: Option<&'t TrustFile>) -> Self {
        Self {
            trust,
            index: 0,
            last: None,
            tree: Accumulator::default(),
            incarnation: 0,
            policy: Policy::new(0, []),
            operators: HashMap::new(),
            runs: HashMap::new(),
            environments: HashMap::new(),
            blocks: Ok(()),
            hash_links: Ok(()),
            writers: Ok(()),
            transitions: Ok(()),
        }
    }

    /// Takes the next block.
    pub(crate) fn add(&mut self, value: Value) {
        let index = self.index;
        let phash = value
            .as_map()
            .and_then(|map| map.get("phash"))
            .and_then(Value::as_blob);
        if index > 0 && phash != self.last.as_ref().map(Hash::as_slice) {
            keep(
                &mut self.hash_links,
                Err(format!("block {index} does not link to the block before it")),
            );
        }
        let hash = value.hash();
        self.tree.append(&hash);
        self.last = Some(hash);
        self.index += 1;
        match read_block(value).and_then(|read| self.check_place(index, &read).map(|()| read)) {
            Err(why) => keep(&mut self.blocks, Err(format!("block {index}: {why}"))),
            // What depends on a block that is none says nothing.
            Ok(_) if self.blocks.is_err() => {}
            Ok((block, body)) => {
                let at = |why: &str| format!("block {index}: {why}");
                let writers = self.check_writer(&block, &body).map_err(at);
                keep(&mut self.writers, writers);
                let transitions = self.check_record(block, body).map_err(|why| at(&why));
                keep(&mut self.transitions, transitions);
            }
        }
    }

    fn check_place(&mut self, index: u64, (block, body): &(Block, Body)) -> Result<(), String> {
        let opens = matches!(body, Body::Ledger(LedgerEvent::Opened { .. }));
        if opens != (index == 0) || block.phash.is_none() != (index == 0) {
            return Err(
                "block 0 opens the ledger and has no block before it, and no other block does".to_owned(),
            );
        }
        match body {
            Body::Ledger(LedgerEvent::Restored { incarnation }) => {
                self.incarnation += 1;
                if *incarnation != self.incarnation {
                    return Err("the incarnation is not one more than the last".to_owned());
                }
            }
            Body::Ledger(LedgerEvent::Conflict { have, .. }) if *have >= index => {
                return Err("a conflict names a block that is not before it".to_owned());
            }
            _ => {}
        }
        Ok(())
    }

    fn check_writer(&mut self, block: &Block, body: &Body) -> Result<(), &'static str> {
        if let Body::Ledger(LedgerEvent::Opened { owner, .. }) = body {
            self.policy = Policy::opened(owner.clone());
        }
        if block.policy != self.policy.version {
            return Err("the policy version is not the one in force");
        }
        match body {
            Body::Ledger(LedgerEvent::Opened { .. } | LedgerEvent::Restored { .. }) => Ok(()),
            Body::Ledger(LedgerEvent::RoleGranted(granted)) => {
                self.check_owner(block)?;
                let role = role(block, granted);
                if role.role == RoleKind::Operator {
                    let key = (role.project.clone(), role.principal.clone());
                    if self.operators.get(&key).is_some_and(|held| *held != role.domain) {
                        return Err("a principal is granted a second domain of a project");
                    }
                    self.operators.insert(key, role.domain.clone());
                }
                self.policy.grant(role);
                Ok(())
            }
            Body::Ledger(LedgerEvent::RoleRevoked(revoked)) => {
                self.check_owner(block)?;
                let role = role(block, revoked);
                if self.policy.revoke(&role) && role.role == RoleKind::Operator {
                    self.operators.remove(&(role.project, role.principal));
                }
                Ok(())
            }
            Body::Ledger(LedgerEvent::Conflict { .. }) | Body::Run(_) | Body::Environment(_) => {
                let key = (block.project.clone(), block.caller.clone());
                if self.operators.get(&key) != Some(&block.domain) {
                    return Err("the writer is no operator of that project and domain");
                }
                if is_accepted(self.trust, block) {
                    Ok(())
                } else {
                    Err("the writer is not among the trusted domains")
                }
            }
        }
    }

    fn check_owner(&self, block: &Block) -> Result<(), &'static str> {
        if self.policy.is_owner(&block.caller) {
            Ok(())
        } else {
            Err("the role is changed by somebody who is no owner")
        }
    }

    fn check_record(&mut self, block: Block, body: Body) -> Result<(), String> {
        let (project, domain) = (block.project, block.domain);
        let environments = self.environments.get_mut(&(project.clone(), domain.clone()));
        match body {
            Body::Ledger(_) => Ok(()),
            Body::Run(record) => match environments {
                Some(environments) if environments.has(&record.run) => {
                    // The note that a record was refused is one of whatever the UID is of.
                    if !matches!(record.transition, Transition::RecordRefused { .. }) {
                        return Err("a record of a run bears the UID of an environment".to_owned());
                    }
                    match Body::Run(record).into_environment() {
                        Some(note) => environments.apply(&note, &|_| None),
                        None => Ok(()),
                    }
                }
                _ => self
                    .runs
                    .entry((project, domain, record.run.clone()))
                    .or_default()
                    .apply(&record)
                    .map_err(str::to_owned),
            },
            Body::Environment(record) => {
                let run = (project, domain, record.run.clone());
                if self.runs.contains_key(&run) {
                    return Err("a record of an environment bears the UID of a run".to_owned());
                }
                self.environments
                    .entry((run.0, run.1))
                    .or_default()
                    .apply(&record, &|_| None)
            }
        }
    }

    /// Number of blocks taken.
    pub(crate) fn size(&self) -> u64 {
        self.index
    }

    /// Merkle root over the blocks taken.
    pub(crate) fn root(&self) -> Hash {
        self.tree.root()
    }

    /// Hash of the last block taken.
    pub(crate) fn last(&self) -> Option<Hash> {
        self.last
    }

    /// The policy after the blocks taken.
    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    fn subjects(&self) -> String {
        let environments: usize = self.environments.values().map(Environments::len).sum();
        let environments = match environments {
            0 => String::new(),
            some => format!("{some} environments; "),
        };
        format!(
            "{environments}{} runs; their graphs are not at hand: needs and attempt limits not checked",
            self.runs.len()
        )
    }

    /// Reports what the blocks alone show.
    pub(crate) fn report(&self, report: &mut Report) {
        let put = |report: &mut Report, check, result: &Result<(), String>, good: String| {
            report.settle(check, result.clone().map(|()| good));
        };
        put(
            report,
            Check::Blocks,
            &self.blocks,
            format!("{} blocks", self.index),
        );
        put(
            report,
            Check::HashLinks,
            &self.hash_links,
            "each block names the one before".to_owned(),
        );
        for (check, result, good) in [
            (
                Check::Policy,
                &self.writers,
                "writers held their roles".to_owned(),
            ),
            (Check::Transitions, &self.transitions, self.subjects()),
        ] {
            // What was found before the bad block is left out too: no verdict rests on blocks that are not one ledger.
            if self.blocks.is_ok() {
                put(report, check, result, good);
            } else {
                report.unchecked(check, "a block is malformed");
            }
        }
    }
}

/// Whether the trust file accepts the writer of a block.
pub(crate) fn is_accepted(trust: Option<&TrustFile>, block: &Block) -> bool {
    let Some(trust) = trust else { return true };
    let Some(domains) = &trust.domains else {
        return true;
    };
    let concerned = trust
        .project
        .as_ref()
        .is_none_or(|project| *project == block.project);
    let accepted = || {
        domains
            .iter()
            .any(|d| d.domain == block.domain && d.principal.as_slice() == block.caller)
    };
    !concerned || accepted()
}

fn role(block: &Block, body: &RoleBody) -> Role {
    Role {
        project: block.project.clone(),
        principal: body.principal.clone(),
        role: body.role,
        domain: body.domain.clone(),
    }
}

/// Reads a block with its body.
pub(crate) fn read_block(value: Value) -> Result<(Block, Body), String> {
    let block = Block::from_value(value).map_err(|e| e.to_string())?;
    let body = Body::of(&block).map_err(|e| e.to_string())?;
    Ok((block, body))
}

/// Keeps the first failure.
fn keep(kept: &mut Result<(), String>, new: Result<(), String>) {
    if kept.is_ok() {
        *kept = new;
    }
}

#[cfg(test)]
mod tests {
    use dcanary_types::record::{Outcome, Record};

    use super::*;
    use crate::report::Status;

    const OWNER: [u8; 3] = [1, 2, 3];

    fn block(
        phash: Option<Hash>,
        project: &str,
        domain: &str,
        btype: &str,
        body: dcanary_types::Map,
    ) -> Value {
        Block {
            btype: btype.to_owned(),
            phash,
            ts: 7,
            claimed_ts: 7,
            caller: OWNER.to_vec(),
            project: project.to_owned(),
            domain: domain.to_owned(),
            policy: 0,
            body,
        }
        .to_value()
    }

    /// An opened ledger whose one record is of a run that was never opened, by somebody without role.
    fn illegal() -> [Value; 2] {
        let event = LedgerEvent::Opened {
            owner: OWNER.to_vec(),
            incarnation: 0,
        };
        let opened = block(None, "", "", event.btype(), event.body());
        let record = Record {
            run: "r1".to_owned(),
            n: 3,
            claimed_ts: 7,
            transition: Transition::RunFinished {
                outcome: Outcome::Succeeded,
            },
        };
        let finished = block(Some(opened.hash()), "shop", "east", record.btype(), record.body());
        [opened, finished]
    }

    fn statuses(blocks: impl IntoIterator<Item = Value>) -> [Status; 3] {
        let mut replay = Replay::new(None);
        for block in blocks {
            replay.add(block);
        }
        let mut report = Report::new(None);
        replay.report(&mut report);
        [Check::Blocks, Check::Transitions, Check::Policy].map(|check| report.status(check))
    }

    #[test]
    fn what_was_found_before_a_malformed_block_stays_unchecked() {
        let all = illegal();
        assert_eq!(
            statuses(all.clone()),
            [Status::Passed, Status::Failed, Status::Failed]
        );
        let malformed = Value::Map([("phash".to_owned(), all[1].hash().into())].into());
        assert_eq!(
            statuses(all.into_iter().chain([malformed])),
            [Status::Failed, Status::Unchecked, Status::Unchecked]
        );
    }
}
