//! Offline verification of the journal against a trust file.
//!
//! Pure: bytes in, findings out. No network, no clock (the caller gives the time), no randomness.
//!
//! ```text
//!   trust file ──▶ anchors: root key, ledger id
//!                     │
//!   certificate ──▶ check_head ──▶ CertifiedHead ──▶ Checkpoint::advance     every answer of the ledger client
//!                     │
//!   run evidence, expected run ──▶ verify_run ──▶ Report + VerifiedRun       `dcanary verify run NAME`
//!   run evidence, expected UID ──▶ verify_environment ──▶ Report + VerifiedEnvironment
//!   export file  ──▶ verify_export ──▶ Report                                `dcanary verify export FILE`
//! ```
//! What each check means is section 10 of `docs/ledger-format.md`; `docs/verifier` is a second implementation that
//! shares no code with this one, and `docs/vectors` are the test vectors that both pass.

pub mod cbor;
pub mod certificate;
pub mod checkpoint;
pub mod code;
pub mod environment;
pub mod evidence;
pub mod export;
pub mod head;
pub mod report;
pub mod run;
pub mod transitions;
pub mod tree;
pub mod trust;

mod checks;
mod json;
mod loose;
mod proved;
mod replay;

pub use certificate::{Certificate, CertificateError, RootKey, Verified};
pub use checkpoint::{AdvanceError, Checkpoint, Fork, LedgerForked};
pub use code::{Code, check_read_state};
pub use environment::{VerifiedEnvironment, check_environments, verify_environment};
pub use evidence::{ExpectedRun, RunEvidence};
pub use export::{ExportError, ExportReader, ExportWriter, HeaderError, verify_export};
pub use head::{Anchors, CertifiedHead, Evidence, HeadError, LabelsError, check_head};
pub use report::{Check, Finding, Level, Report, Status};
pub use run::{VerifiedRecord, VerifiedRun, verify_run};
pub use transitions::{IllegalRecord, check_transitions};
pub use tree::{HashTree, Lookup};
pub use trust::{TrustError, TrustFile, TrustedDomain};
