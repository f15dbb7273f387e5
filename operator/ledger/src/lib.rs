//! Client of the ledger: nothing that it says is believed before it is checked.
//!
//! ```text
//! controller ─▶ recorder ─▶ Ledger (trait) ─▶ ic: ic-agent ─▶ network
//!                              │                │ every answer: signature, delegation, range, age,
//!                              └─ memory        │ witness, consistency with the checkpoint
//!                                 (tests)       └─▶ checkpoint (store)
//! ```
//! The root key is always given. It is never fetched from the network here.

pub mod checkpoint;
pub mod deploy;
pub mod error;
pub mod fork;
pub mod ic;
pub mod key;
pub mod ledger;
pub mod memory;
pub mod record;
pub mod recorder;
pub mod setup;
pub mod transport;
pub mod unanswered;

pub use checkpoint::{Checkpoint, CheckpointStore, FileCheckpoints, MemoryCheckpoints};
pub use error::{LedgerError, Retry};
pub use fork::{Fork, ForkEvidence};
pub use ic::{IcLedger, IcLedgerConfig};
pub use ledger::{Appended, Head, Ledger, Position};
pub use memory::MemoryLedger;
pub use record::{Answer, Record, RunKey, Segment};
pub use recorder::{Outbox, Outcome, Reachability, Recorder, RecorderOptions};
pub use transport::Transport;
pub use unanswered::{NoAnswer, Unanswered};
