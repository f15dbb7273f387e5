//! What a verification found: one named result per check, the exit code, the level.
//!
//! ```text
//!   any check failed            ─▶ 1
//!   any check unchecked         ─▶ 2   something that should be known is not
//!   no trust file               ─▶ 2   the arithmetic may hold, but for whose ledger?
//!   all passed or notApplicable ─▶ 0
//! ```

use std::fmt;

use serde::{Serialize, Serializer};

use crate::trust::TrustFile;

/// The checks, in the order in which they are reported (section 10 of the ledger format).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// Deterministic encoding, exact keys, known header.
    Format,
    /// Ids equal the trust file's.
    Trust,
    /// The signature over the certificate.
    Certificate,
    /// At most one delegation, signed by the root key.
    Delegation,
    /// The ledger is inside the delegated ranges.
    Range,
    /// The age of the certificate.
    Age,
    /// The certified labels.
    Labels,
    /// Form of every block.
    Blocks,
    /// Each block names the one before.
    HashLinks,
    /// The blocks are the leaves of the certified tree.
    Root,
    /// The new head extends the last verified one.
    Consistency,
    /// The run's records are legal.
    Transitions,
    /// The policy document, and who wrote.
    Policy,
    /// The code of the ledger and who may change it.
    Code,
    /// The cluster's status agrees with the journal.
    Cluster,
}

impl Check {
    /// All checks in their order.
    pub const ALL: [Self; 15] = [
        Self::Format,
        Self::Trust,
        Self::Certificate,
        Self::Delegation,
        Self::Range,
        Self::Age,
        Self::Labels,
        Self::Blocks,
        Self::HashLinks,
        Self::Root,
        Self::Consistency,
        Self::Transitions,
        Self::Policy,
        Self::Code,
        Self::Cluster,
    ];

    /// The name in output and vectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Format => "format",
            Self::Trust => "trust",
            Self::Certificate => "certificate",
            Self::Delegation => "delegation",
            Self::Range => "range",
            Self::Age => "age",
            Self::Labels => "labels",
            Self::Blocks => "blocks",
            Self::HashLinks => "hash_links",
            Self::Root => "root",
            Self::Consistency => "consistency",
            Self::Transitions => "transitions",
            Self::Policy => "policy",
            Self::Code => "code",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Check {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Outcome of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// The evidence holds.
    Passed,
    /// The evidence contradicts what is claimed.
    Failed,
    /// There was no evidence, or nothing to check it against; the detail says which. Never good enough for exit code 0.
    Unchecked,
    /// The check has no object here: an export has no cluster, and a first look has nothing before it.
    NotApplicable,
}

impl Status {
    /// The name in output and vectors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unchecked => "unchecked",
            Self::NotApplicable => "notApplicable",
        }
    }
}

/// One line of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The check.
    pub check: Check,
    /// Its outcome.
    pub status: Status,
    /// Why, for a person.
    pub detail: String,
}

/// Who could have forged what was verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Level {
    /// Embedded node.
    L0,
    /// Embedded node with witnesses.
    L1,
    /// Internet Computer, people as controllers.
    L2,
    /// Internet Computer, steward or no controller, with witnesses.
    L3,
}

impl Level {
    /// The level that a trust file allows: the pinned root key tells the mainnet from every other network. Controllers
    /// are not looked at, because L1 and L3 need witnesses too, and those are reserved in this version.
    pub fn of(trust: &TrustFile) -> Self {
        if trust.root_key.is_mainnet() {
            Self::L2
        } else {
            Self::L0
        }
    }

    /// What the level means, in one plain sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::L0 => {
                "the owner of the node that holds the ledger can forge and rewrite everything, unseen by strangers"
            }
            Self::L1 => {
                "the owner of the node can add false records; rewriting old ones needs the witnesses too"
            }
            Self::L2 => "any one controller of the ledger's canister can forge and rewrite",
            Self::L3 => "only a dishonest subnet, or enough colluding domains, can forge",
        }
    }
}

/// All findings of one verification, in the order of the checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    findings: Vec<Finding>,
    level: Option<Level>,
    trusted: bool,
    as_of: Option<u64>,
    hints: Vec<String>,
}

impl Report {
    /// A report in which nothing is checked yet.
    pub fn new(trust: Option<&TrustFile>) -> Self {
        let findings = Check::ALL
            .into_iter()
            .map(|check| Finding {
                check,
                status: Status::Unchecked,
                detail: "not reached".to_owned(),
            })
            .collect();
        Self {
            findings,
            level: trust.map(Level::of),
            trusted: trust.is_some(),
            as_of: None,
            hints: Vec::new(),
        }
    }

    /// The findings, one per check, in order.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The outcome of one check.
    pub fn status(&self, check: Check) -> Status {
        self.findings[check as usize].status
    }

    /// The checks that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Finding> {
        self.of(Status::Failed)
    }

    /// The checks that should have been made and could not be.
    pub fn open(&self) -> impl Iterator<Item = &Finding> {
        self.of(Status::Unchecked)
    }

    fn of(&self, status: Status) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(move |f| f.status == status)
    }

    /// Adds what the caller found out, for the checks that need more than this crate sees (`consistency`, `cluster`,
    /// the live part of `trust`). A failed check stays failed.
    pub fn record(&mut self, check: Check, status: Status, detail: impl Into<String>) {
        let finding = &mut self.findings[check as usize];
        if finding.status != Status::Failed {
            finding.status = status;
            finding.detail = detail.into();
        }
    }

    /// The level of trust, without trust file none.
    pub fn level(&self) -> Option<Level> {
        self.level
    }

    /// The certificate's time in nanoseconds: the report says nothing of what happened later, revocation included.
    pub fn as_of(&self) -> Option<u64> {
        self.as_of
    }

    /// Without trust file: what a trust file would pin, as lines for a person.
    pub fn to_pin(&self) -> &[String] {
        &self.hints
    }

    /// 1 when any check failed, else 2 when any is unchecked or there is no trust file, else 0.
    pub fn exit_code(&self) -> u8 {
        if self.failed().next().is_some() {
            1
        } else if self.open().next().is_some() || !self.trusted {
            2
        } else {
            0
        }
    }

    pub(crate) fn pass(&mut self, check: Check, detail: impl Into<String>) {
        self.record(check, Status::Passed, detail);
    }

    pub(crate) fn fail(&mut self, check: Check, detail: impl Into<String>) {
        self.record(check, Status::Failed, detail);
    }

    pub(crate) fn unchecked(&mut self, check: Check, detail: impl Into<String>) {
        self.record(check, Status::Unchecked, detail);
    }

    pub(crate) fn not_applicable(&mut self, check: Check, detail: impl Into<String>) {
        self.record(check, Status::NotApplicable, detail);
    }

    pub(crate) fn settle(&mut self, check: Check, result: Result<String, String>) {
        match result {
            Ok(detail) => self.pass(check, detail),
            Err(detail) => self.fail(check, detail),
        }
    }

    pub(crate) fn set_as_of(&mut self, time: u64) {
        self.as_of = Some(time);
    }

    pub(crate) fn hint(&mut self, line: String) {
        self.hints.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_stays_failed_and_decides_the_exit_code() {
        let mut report = Report::new(None);
        assert_eq!(report.exit_code(), 2);
        report.fail(Check::Root, "other root");
        report.pass(Check::Root, "later opinion");
        assert_eq!(
            (report.status(Check::Root), report.exit_code()),
            (Status::Failed, 1)
        );
    }

    #[test]
    fn one_unchecked_check_keeps_the_exit_code_from_0_and_one_without_object_does_not() {
        let trust = TrustFile {
            root_key: crate::certificate::RootKey::mainnet(),
            ledger: ic_principal::Principal::from_slice(&[1]),
            project: None,
            module_hashes: vec![],
            controllers: None,
            domains: None,
        };
        for open in Check::ALL {
            for (status, code) in [
                (Status::Passed, 0),
                (Status::NotApplicable, 0),
                (Status::Unchecked, 2),
                (Status::Failed, 1),
            ] {
                let mut report = Report::new(Some(&trust));
                for check in Check::ALL {
                    report.pass(check, "");
                }
                report.record(open, status, "");
                assert_eq!(report.exit_code(), code, "{open} is {status:?}");
            }
        }
        let mut unpinned = Report::new(None);
        for check in Check::ALL {
            unpinned.pass(check, "");
        }
        assert_eq!(unpinned.exit_code(), 2, "nothing is pinned");
    }

    #[test]
    fn findings_are_in_the_order_of_the_checks() {
        let report = Report::new(None);
        assert!(report.findings().iter().map(|f| f.check).eq(Check::ALL));
        assert!(
            Check::ALL
                .iter()
                .enumerate()
                .all(|(i, check)| *check as usize == i)
        );
    }
}
