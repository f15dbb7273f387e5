//! Every number that bounds a record, a batch, an answer or a caller.
//!
//! The first block is part of the format (`docs/ledger-format.md`) and never changes. The others are the canister's
//! own and are told to callers by its `limits` query.

/// Version of the block format (section 2, field `proto`).
pub const PROTO: u64 = 1;
/// Deepest nesting of arrays and maps in a value (section 1).
pub const MAX_DEPTH: usize = 16;
/// Longest encoding of a block's body (section 2).
pub const MAX_BODY_BYTES: usize = 2_048;
/// Longest principal (section 2).
pub const MAX_PRINCIPAL_BYTES: usize = 29;
/// Longest project or domain name (section 2).
pub const MAX_NAME_BYTES: usize = 63;
/// Longest UID of a run (section 2).
pub const MAX_RUN_BYTES: usize = 64;
/// Longest name of a stage (section 2).
pub const MAX_STAGE_BYTES: usize = 253;
/// Longest `reason` of a record (section 3).
pub const MAX_REASON_BYTES: usize = 64;
/// Longest graph document (section 4).
pub const MAX_GRAPH_BYTES: usize = 32_768;
/// Longest name of a person or of a freeze window (section 11).
pub const MAX_LABEL_BYTES: usize = 1_024;
/// Most approvals that an environment may demand (section 11).
pub const MAX_APPROVALS: u64 = 64;
/// Highest weight of a step, in percent (section 11).
pub const MAX_WEIGHT: u64 = 100;
/// Most identities that an environment holds (section 12).
pub const MAX_HELD: usize = 256;
/// Most digests of promoted releases that an environment remembers (section 12).
pub const MAX_PROMOTED: usize = 256;

/// Most records in a batch, over all its segments.
pub const MAX_BATCH_RECORDS: usize = 500;
/// Most segments in a batch: each has at least one record.
pub const MAX_BATCH_SEGMENTS: usize = MAX_BATCH_RECORDS;
/// Longest batch, as the candid-encoded argument of `append`.
pub const MAX_BATCH_BYTES: usize = 1_048_576;
/// Most encoded bytes of blocks in one answer.
pub const MAX_ANSWER_BYTES: usize = 1_572_864;
/// Most blocks in one answer, so that an answer of small blocks stays cheap too.
pub const MAX_ANSWER_BLOCKS: u64 = 2_000;
/// Most block indexes in one answer of `run_blocks`.
pub const MAX_ANSWER_INDEXES: u64 = 10_000;
/// Most roles of the whole ledger: the policy document must fit into one answer and its hash into one message.
pub const MAX_ROLES: u64 = 4_096;

/// `append` messages of one principal an hour. A recorder that flushes every 50 ms sends 72,000; one that sends
/// 1,000 transitions a second in full batches sends 7,200.
pub const MESSAGES_AN_HOUR: u64 = 200_000;
/// Bytes of `append` arguments of one principal an hour. 1,000 transitions a second of 600 bytes are 2.2 GB.
pub const BYTES_AN_HOUR: u64 = 4 * 1_073_741_824;
/// Runs that one principal may have open at once. Each keeps up to 32 KiB of graph and its state.
pub const OPEN_RUNS: u64 = 20_000;
/// Environments that one principal may have open at once, apart from its runs: they stay open. Each keeps up to 20 KiB of state.
pub const OPEN_ENVIRONMENTS: u64 = 5_000;

/// Blocks the journal takes. At about 700 bytes each this is some 70 GB of stable memory.
///
/// On the embedded node, which holds everything in memory, its memory limit comes first: stable memory cannot grow any more,
/// and `append` answers `JournalFull` just so (`canisters/node/README.md`, "Memory").
pub const JOURNAL_BLOCKS: u64 = 100_000_000;
/// Encoded bytes of blocks the journal takes; stable memory holds 500 GiB and the tree and the indexes need room too.
pub const JOURNAL_BYTES: u64 = 128 * 1_073_741_824;
/// Kept back at the end of the journal for role changes, conflicts and the mark of a restore.
pub const JOURNAL_RESERVE: u64 = 10_000;
