//! The methods of `orchestrator.did`.

use std::cell::{Cell, RefCell};

use candid::{DecoderConfig, Principal, candid_method, utils::decode_one_with_config};
use dcanary_orchestrator::{Ceilings, Ledger, Message, StoreError, certify, icrc3, query};
use dcanary_types::{
    api::{
        Batch, BatchError, BatchResult, InitArg, Limits, ProofResult, Protocol, RestoreResult, RoleArg,
        RoleResult, RunPosition, Stats,
    },
    icrc3::{Archive, DataCertificate, GetArchivesArgs, GetBlocksRange, GetBlocksResult, SupportedBlockType},
    limits,
};
use ic_cdk::{api, init, inspect_message, post_upgrade, query, update};
use ic_stable_structures::DefaultMemoryImpl;
use serde_bytes::ByteBuf;

/// Work that decoding one argument may take; a full batch takes about a tenth of it.
const DECODING_QUOTA: usize = 50_000_000;
/// Work that skipping unknown parts of an argument may take.
const SKIPPING_QUOTA: usize = 10_000;

/// How much of a reason is worth sending back.
const REASON_CHARS: usize = 200;

thread_local! {
    static LEDGER: RefCell<Option<Ledger<DefaultMemoryImpl>>> = const { RefCell::new(None) };
    static UPGRADE_INSTRUCTIONS: Cell<u64> = const { Cell::new(0) };
    static APPEND_INSTRUCTIONS: Cell<u64> = const { Cell::new(0) };
}

#[init(decode_with = "init_arg")]
fn init(arg: InitArg) {
    let InitArg::Init { owner } = arg else {
        api::trap("a new ledger is installed with `variant { Init = record { owner } }`");
    };
    if owner == Principal::anonymous() {
        api::trap("the anonymous principal cannot own a ledger: anybody is it");
    }
    let ledger = Ledger::create(
        DefaultMemoryImpl::default(),
        &message(),
        owner.as_slice().to_vec(),
        Ceilings::default(),
    );
    serve(ledger);
}

#[post_upgrade(decode_with = "init_arg")]
fn post_upgrade(arg: InitArg) {
    if arg != InitArg::Upgrade {
        api::trap("a ledger that is there is upgraded with `variant { Upgrade }`");
    }
    serve(Ledger::open(DefaultMemoryImpl::default(), Ceilings::default()));
    UPGRADE_INSTRUCTIONS.set(api::instruction_counter());
}

#[inspect_message]
fn inspect_message() {
    // Saves the cycles of a message that its method would refuse; the method checks again and is what counts.
    if read(|ledger| Ok(ledger.has_role(api::msg_caller().as_slice()))) {
        api::accept_message();
    }
}

#[update(decode_with = "batch", hidden = true)]
fn append(batch: Result<Batch, BatchError>) -> BatchResult {
    let result = match batch {
        Ok(batch) => write(|ledger| ledger.append(&message(), batch)),
        Err(refused) => Err(refused),
    };
    APPEND_INSTRUCTIONS.set(api::instruction_counter());
    result
}

#[update]
fn grant_role(role: RoleArg) -> RoleResult {
    write(|ledger| ledger.grant(&message(), &role))
}

#[update]
fn revoke_role(role: RoleArg) -> RoleResult {
    write(|ledger| ledger.revoke(&message(), &role))
}

#[update]
fn record_restored() -> RestoreResult {
    write(|ledger| ledger.mark_restored(&message()))
}

#[query]
fn blocks(start: u64, length: u64) -> Vec<ByteBuf> {
    read(|ledger| Ok(ledger.blocks(start, length)))
}

#[query]
fn inclusion(index: u64, size: u64) -> ProofResult {
    read(|ledger| ledger.inclusion(index, size))
}

#[query]
fn consistency(old: u64, new: u64) -> ProofResult {
    read(|ledger| ledger.consistency(old, new))
}

#[query]
fn run_position(project: String, domain: String, run: String) -> Option<RunPosition> {
    read(|ledger| ledger.run_position(&project, &domain, &run))
}

#[query]
fn run_blocks(project: String, domain: String, run: String, from: u64, limit: u64) -> Vec<u64> {
    read(|ledger| ledger.run_blocks(&project, &domain, &run, from, limit))
}

#[query]
fn run_graph(project: String, domain: String, run: String) -> Option<ByteBuf> {
    read(|ledger| ledger.run_graph(&project, &domain, &run))
}

#[query]
fn policy() -> ByteBuf {
    read(Ledger::policy)
}

#[query]
fn protocol() -> Protocol {
    query::protocol()
}

#[query(name = "limits")]
fn ceilings() -> Limits {
    read(|ledger| Ok(ledger.limits()))
}

#[query]
fn stats() -> Stats {
    let stats = read(|ledger| Ok(ledger.stats()));
    Stats {
        upgrade_instructions: UPGRADE_INSTRUCTIONS.get(),
        append_instructions: APPEND_INSTRUCTIONS.get(),
        ..stats
    }
}

#[query]
fn icrc3_get_blocks(ranges: Vec<GetBlocksRange>) -> GetBlocksResult {
    read(|ledger| ledger.icrc3_blocks(&ranges))
}

#[query]
fn icrc3_get_archives(_: GetArchivesArgs) -> Vec<Archive> {
    Vec::new()
}

#[query]
fn icrc3_get_tip_certificate() -> Option<DataCertificate> {
    let certificate = api::data_certificate()?;
    let tag = certify::SELF_DESCRIBE;
    let certificate = if certificate.starts_with(&tag) {
        certificate
    } else {
        [&tag, certificate.as_slice()].concat()
    };
    let hash_tree = read(|ledger| Ok(certify::witness(&ledger.labels())));
    Some(DataCertificate {
        certificate: certificate.into(),
        hash_tree: hash_tree.into(),
    })
}

#[query]
fn icrc3_supported_block_types() -> Vec<SupportedBlockType> {
    icrc3::supported_block_types()
}

/// The signatures of what reads its argument itself, for the exported interface.
#[allow(dead_code, reason = "only their types are looked at")]
mod signatures {
    use super::{Batch, BatchResult, InitArg, candid_method};

    #[candid_method(init)]
    fn init(_: InitArg) {}

    #[candid_method(update)]
    fn append(_: Batch) -> BatchResult {
        Ok(Vec::new())
    }
}

fn init_arg(bytes: Vec<u8>) -> InitArg {
    decode_one_with_config(&bytes, &decoding()).unwrap_or_else(|_| {
        api::trap("the argument must be `variant { Init = record { owner } }` or `variant { Upgrade }`")
    })
}

fn batch(bytes: Vec<u8>) -> Result<Batch, BatchError> {
    if bytes.len() > limits::MAX_BATCH_BYTES {
        return Err(BatchError::TooManyBytes {
            limit: limits::MAX_BATCH_BYTES as u64,
        });
    }
    decode_one_with_config(&bytes, &decoding())
        // The reason can quote the whole argument; its beginning says what is wrong.
        .map_err(|why| BatchError::Malformed {
            reason: why.to_string().chars().take(REASON_CHARS).collect(),
        })
}

fn decoding() -> DecoderConfig {
    let mut config = DecoderConfig::new();
    config
        .set_decoding_quota(DECODING_QUOTA)
        .set_skipping_quota(SKIPPING_QUOTA);
    config
}

fn message() -> Message {
    Message {
        caller: api::msg_caller().as_slice().to_vec(),
        now: api::time(),
    }
}

/// Begins to serve a ledger and certifies it.
fn serve(ledger: Result<Ledger<DefaultMemoryImpl>, StoreError>) {
    match ledger {
        Ok(ledger) => {
            api::certified_data_set(certify::root(&ledger.labels()));
            LEDGER.set(Some(ledger));
        }
        Err(broken) => api::trap(broken.to_string()),
    }
}

fn read<T>(ask: impl FnOnce(&Ledger<DefaultMemoryImpl>) -> Result<T, StoreError>) -> T {
    LEDGER.with_borrow(|ledger| answer(ledger.as_ref().ok_or(StoreError::Empty).and_then(ask)))
}

/// Runs one update and certifies what it left, once.
fn write<T>(tell: impl FnOnce(&mut Ledger<DefaultMemoryImpl>) -> Result<T, StoreError>) -> T {
    LEDGER.with_borrow_mut(|ledger| {
        let ledger = answer(ledger.as_mut().ok_or(StoreError::Empty));
        let result = answer(tell(ledger));
        api::certified_data_set(certify::root(&ledger.labels()));
        result
    })
}

fn answer<T>(result: Result<T, StoreError>) -> T {
    result.unwrap_or_else(|broken| api::trap(broken.to_string()))
}

#[cfg(test)]
mod tests {
    use candid_parser::utils::{CandidSource, service_equal};

    use super::*;

    #[test]
    fn the_exported_interface_equals_the_written_one() {
        candid::export_service!();
        let written = include_str!("../orchestrator.did");
        service_equal(
            CandidSource::Text(&__export_service()),
            CandidSource::Text(written),
        )
        .unwrap();
    }
}
