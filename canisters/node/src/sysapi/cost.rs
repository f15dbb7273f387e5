//! What things cost in cycles. This node charges nothing, but canisters ask before they call.
//!
//! Source: IC documentation, "Cycles costs", for a subnet of 13 nodes.

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
const SIGNATURE: u128 = 26_153_846_153;
const SIGNATURE_TEST: u128 = 10_000_000_000;
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
                                                        _curve: i32,
                                                        to: I|
     -> i32 {
        signature(&mut call, from.get(), size.get(), to.get())
    });
    define!(linker, "cost_sign_with_schnorr", C::ALWAYS, |call,
                                                          from: I,
                                                          size: I,
                                                          _algorithm: i32,
                                                          to: I|
     -> i32 {
        signature(&mut call, from.get(), size.get(), to.get())
    });
    define!(linker, "cost_vetkd_derive_key", C::ALWAYS, |call,
                                                         from: I,
                                                         size: I,
                                                         _curve: i32,
                                                         to: I|
     -> i32 {
        signature(&mut call, from.get(), size.get(), to.get())
    });
    Ok(())
}

fn signature(call: &mut super::access::Call<'_>, from: u64, size: u64, to: u64) -> wasmtime::Result<i32> {
    let key = read_text(call, from, size)?;
    let cost = if key.starts_with("test") {
        SIGNATURE_TEST
    } else {
        SIGNATURE
    };
    write_u128(call, to, cost)?;
    Ok(0)
}
