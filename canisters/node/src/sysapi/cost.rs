//! What things cost in cycles. This node charges nothing, but canisters ask before they call.
//!
//! Sources: IC documentation, "Cycles costs", for a subnet of 13 nodes; interface specification, "Cycle cost calculation", for what is
//! returned: 0, or 1 for a curve or an algorithm that is not known, or 2 for the name of a key that is not, and then nothing is written.

use super::access::{contract, define, read_text, write_u128};
use super::context::Contexts as C;
use super::{Execution, Index};
use wasmtime::Linker;

const CALL: u128 = 260_000;
const CALL_BYTE: u128 = 1_000;
const EXECUTION: u128 = 5_000_000;
/// What a canister pays for creating one.
pub const CREATE_CANISTER: u128 = 500_000_000_000;
const OUTCALL: u128 = 49_140_000;
const OUTCALL_REQUEST_BYTE: u128 = 5_200;
const OUTCALL_RESPONSE_BYTE: u128 = 10_400;
/// The keys of the mainnet, and what signing with one costs there. This node signs with none; canisters that are written for the mainnet ask.
const KEYS: [(&str, u128); 2] = [("key_1", 26_153_846_153), ("test_key_1", 10_000_000_000)];
/// Room for the largest response, which is paid for when the call is made.
const MAX_RESPONSE: u128 = 2 * 1024 * 1024;

pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    define!(linker, "cost_call", C::ALWAYS, |call,
                                             method: u64,
                                             payload: u64,
                                             to: I|
     -> () {
        let bytes = u128::from(method) + u128::from(payload) + MAX_RESPONSE;
        write_u128(&mut call, to.get(), CALL + EXECUTION + CALL_BYTE * bytes)
    });
    define!(linker, "cost_create_canister", C::ALWAYS, |call, to: I| -> () {
        write_u128(&mut call, to.get(), CREATE_CANISTER)
    });
    define!(linker, "cost_http_request", C::ALWAYS, |call,
                                                     request: u64,
                                                     response: u64,
                                                     to: I|
     -> () {
        let bytes = OUTCALL_REQUEST_BYTE * u128::from(request) + OUTCALL_RESPONSE_BYTE * u128::from(response);
        write_u128(&mut call, to.get(), OUTCALL + bytes)
    });
    define!(linker, "cost_http_request_v2", C::ALWAYS, |_call,
                                                        _from: I,
                                                        _size: I,
                                                        _to: I|
     -> () {
        Err(contract(
            "ic0.cost_http_request_v2 is not supported by this version of dcanary-node",
        ))
    });
    define!(linker, "cost_sign_with_ecdsa", C::ALWAYS, |call,
                                                        from: I,
                                                        size: I,
                                                        curve: i32,
                                                        to: I|
     -> i32 {
        signature(&mut call, from.get(), size.get(), curve == 0, to.get())
    });
    define!(linker, "cost_sign_with_schnorr", C::ALWAYS, |call,
                                                          from: I,
                                                          size: I,
                                                          algorithm: i32,
                                                          to: I|
     -> i32 {
        signature(
            &mut call,
            from.get(),
            size.get(),
            matches!(algorithm, 0 | 1),
            to.get(),
        )
    });
    define!(linker, "cost_vetkd_derive_key", C::ALWAYS, |call,
                                                         from: I,
                                                         size: I,
                                                         curve: i32,
                                                         to: I|
     -> i32 {
        signature(&mut call, from.get(), size.get(), curve == 0, to.get())
    });
    Ok(())
}

/// `known` says whether the curve or algorithm is one that the specification has.
fn signature(
    call: &mut super::access::Call<'_>,
    from: u64,
    size: u64,
    known: bool,
    to: u64,
) -> wasmtime::Result<i32> {
    let name = read_text(call, from, size)?;
    if !known {
        return Ok(1);
    }
    let Some((_, cost)) = KEYS.iter().find(|(key, _)| *key == name) else {
        return Ok(2);
    };
    write_u128(call, to, *cost)?;
    Ok(0)
}
