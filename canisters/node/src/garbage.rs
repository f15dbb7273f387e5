//! Bytes from strangers and from damaged disks: whatever they are, they are read or refused, never a panic, and what is read
//! can be used.
#![allow(clippy::unwrap_used)]

use crate::cert::keys::Secrets;
use crate::creators::Creators;
use crate::exec::batch::{Batch, Permissions};
use crate::exec::call::Call;
use crate::exec::machine::Machine;
use crate::log::crash::rig;
use crate::log::disk::DiskFile;
use crate::log::format;
use crate::mgmt::{self, Sender};
use crate::mode::Mode;
use crate::state::State;
use crate::state::calls::Origin;
use crate::wasm::inspect::inspect;
use crate::wasm::rewrite::rewrite;
use crate::wire::hash::Hash;
use candid::{CandidType, Encode};
use ic_principal::Principal;
use proptest::prelude::*;
use sha2::{Digest, Sha256};
use std::io;
use std::sync::OnceLock;

type Changes = (Vec<(prop::sample::Index, u8)>, Option<prop::sample::Index>);

/// A few bytes to change, and where to cut.
fn changes() -> impl Strategy<Value = Changes> {
    (
        prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        prop::option::weighted(0.2, any::<prop::sample::Index>()),
    )
}

fn damage(whole: &[u8], (changes, cut): &Changes) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for (at, byte) in changes {
        let at = at.index(bytes.len());
        bytes[at] = *byte;
    }
    if let Some(cut) = cut {
        bytes.truncate(cut.index(bytes.len() + 1));
    }
    bytes
}

/// A module with something in every section that is looked at.
pub fn module() -> &'static [u8] {
    static MODULE: OnceLock<Vec<u8>> = OnceLock::new();
    MODULE.get_or_init(|| {
        wat::parse_str(
            r#"(module
                (import "ic0" "msg_reply" (func $reply))
                (import "ic0" "data_certificate_size" (func (result i32)))
                (memory 2 3)
                (table 3 funcref)
                (global $g (mut i32) (i32.const 7))
                (global i64 (i64.const 1))
                (elem (i32.const 0) $start $reply)
                (data (i32.const 5) "hello")
                (data (i32.const 70000) "far")
                (data "passive")
                (func $start (global.set $g (i32.const 1)))
                (start $start)
                (func (export "canister_update a") (call $reply) (memory.init 2 (i32.const 0) (i32.const 0) (i32.const 1)))
                (func (export "canister_query b") (call $reply))
                (func (export "canister_init"))
                (@custom "icp:public candid:service" "service: {}")
                (@custom "icp:private x" "y"))"#,
        )
        .unwrap()
    })
}

/// A checkpoint in memory.
#[derive(Debug, Default)]
pub struct Bytes(pub Vec<u8>);

impl DiskFile for Bytes {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.0.truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A state with the counter canister, and its checkpoint.
fn checkpoint() -> &'static (State, Vec<u8>) {
    static CHECKPOINT: OnceLock<(State, Vec<u8>)> = OnceLock::new();
    CHECKPOINT.get_or_init(|| {
        let mut machine = Machine::new(rig::executor(), State::default());
        machine.apply(&Batch {
            round: 1,
            time: 1,
            memory_limit: u64::MAX,
            canister_limit: u64::MAX,
            permissions: Permissions::ALL,
            seed: [0; 32],
            messages: rig::setup(),
        });
        let mut file = Bytes::default();
        format::write(&mut file, machine.state(), None, &State::default()).unwrap();
        (machine.state().clone(), file.0)
    })
}

#[derive(CandidType)]
struct Install {
    canister_id: Principal,
    wasm_module: Vec<u8>,
    arg: Vec<u8>,
    mode: ic_management_canister_types::CanisterInstallMode,
}

const METHODS: [&str; 20] = [
    "create_canister",
    "provisional_create_canister_with_cycles",
    "provisional_top_up_canister",
    "install_code",
    "uninstall_code",
    "update_settings",
    "canister_status",
    "start_canister",
    "stop_canister",
    "delete_canister",
    "deposit_cycles",
    "raw_rand",
    "upload_chunk",
    "clear_chunk_store",
    "stored_chunks",
    "install_chunked_code",
    "canister_info",
    "canister_metadata",
    "fetch_canister_logs",
    "http_request",
];

fn management_argument() -> Vec<u8> {
    Encode!(&Install {
        canister_id: rig::canister(),
        wasm_module: module().to_vec(),
        arg: vec![1, 2, 3],
        mode: ic_management_canister_types::CanisterInstallMode::Reinstall,
    })
    .unwrap()
}

/// The certified state, how often it changed, and what waits. What an install that failed has printed is kept, and in none of it.
fn without_logs(state: &State) -> ([Hash; 2], Vec<u64>, u64) {
    let versions = state.canisters.iter().map(|(_, canister)| canister.version);
    let hashes = [state.canisters.hash(), state.calls.hash()];
    (hashes, versions.collect(), state.draws)
}

/// What every step that sees a management call does with it.
fn manage(method: &str, arg: Vec<u8>) {
    let call = Call {
        caller: Principal::anonymous(),
        method: method.to_owned(),
        arg: arg.into(),
        time: 2,
    };
    let (state, _) = checkpoint();
    let _ = mgmt::target(method, &call.arg);
    let _ = mgmt::admit(state, &call, &Creators::Anyone, Mode::Dev);
    let _ = mgmt::module_to_install(state, &call);
    let _ = mgmt::query_target(method, &call.arg);
    let _ = mgmt::query(state, &call);
    let canister = Sender {
        origin: Origin::Canister {
            caller: call.caller,
            callback: 0,
            deadline: 0,
        },
        version: Some(0),
        cycles: 7,
    };
    for mut sender in [Sender::user([0; 32]), canister] {
        let mut machine = Machine::new(rig::executor(), state.clone());
        if mgmt::execute(&mut machine, &call, &mut sender).is_err() {
            assert_eq!(
                without_logs(machine.state()),
                without_logs(state),
                "a refused call changed the state"
            );
        }
    }
}

proptest! {
    #[test]
    fn a_damaged_module_is_refused_or_can_be_rewritten_into_a_valid_one(changes in changes()) {
        crate::fuzz::wasm(&damage(module(), &changes));
    }

    #[test]
    fn bytes_are_no_module(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut headed = b"\0asm\x01\0\0\0".to_vec();
        headed.extend_from_slice(&bytes);
        prop_assert!(inspect(&bytes).is_err());
        if let Ok(info) = inspect(&headed) {
            rewrite(&headed, &info).unwrap();
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_refused(changes in changes()) {
        let (_, whole) = checkpoint();
        let bytes = damage(whole, &changes);
        let _ = format::base(bytes.as_slice());
        prop_assert_eq!(format::read(bytes.as_slice()).is_ok(), bytes.starts_with(whole));
    }

    /// As if the sum had been made over the damage: nothing behind it relies on the sum.
    #[test]
    fn a_damaged_checkpoint_with_a_right_sum_is_refused_or_a_state(changes in changes()) {
        let (_, whole) = checkpoint();
        let mut bytes = damage(&whole[..whole.len() - 32], &changes);
        let sum = Sha256::digest(&bytes);
        bytes.extend_from_slice(&sum);
        if let Ok(contents) = format::read(bytes.as_slice())
            && let Ok(read) = contents.apply(&State::default(), &rig::executor().engine)
        {
            let mut again = Bytes::default();
            format::write(&mut again, &read, None, &State::default()).unwrap();
            Machine::new(rig::executor(), read);
        }
    }

    #[test]
    fn a_management_argument_is_refused_or_executed(
        method in prop::sample::select(METHODS.to_vec()),
        changes in changes(),
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        manage(method, damage(&management_argument(), &changes));
        manage(method, [b"DIDL".as_slice(), &bytes].concat());
        manage(method, bytes);
    }

    #[test]
    fn keys_are_read_as_they_were_written_or_refused(changes in changes(), bytes in any::<Vec<u8>>()) {
        static KEYS: OnceLock<Vec<u8>> = OnceLock::new();
        let whole = KEYS.get_or_init(|| Secrets::generate().unwrap().to_json().unwrap());
        prop_assert!(Secrets::from_json(&bytes).is_err());
        let damaged = damage(whole, &changes);
        if let Ok(keys) = Secrets::from_json(&damaged) {
            let again = keys.to_json().unwrap();
            // Hexadecimal digits may be large.
            prop_assert_eq!(again, damaged.to_ascii_lowercase());
        }
    }
}
