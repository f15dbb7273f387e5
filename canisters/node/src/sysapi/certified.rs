//! Certified data and its certificate.
//!
//! Source: IC interface specification, "Certified data".

use super::access::{contract, copy, define, read};
use super::context::Contexts as C;
use super::{Execution, Index};
use crate::faults::{Fault, broken};
use wasmtime::Linker;

/// Longest certified data.
pub const MAX_CERTIFIED_DATA: u64 = 32;

pub fn link<I: Index>(linker: &mut Linker<Execution>) -> wasmtime::Result<()> {
    let setting = C::I.or(C::G).or(C::U).or(C::RY).or(C::RT).or(C::T);
    define!(linker, "certified_data_set", setting, |call,
                                                    from: I,
                                                    size: I|
     -> () {
        if size.get() > MAX_CERTIFIED_DATA && !broken(Fault::LongCertifiedData) {
            return Err(contract(format!(
                "certified data of {} bytes is longer than {MAX_CERTIFIED_DATA}",
                size.get()
            )));
        }
        let data = read(&mut call, from.get(), size.get())?;
        call.data_mut().certified = Some(data);
        Ok(())
    });
    let reading = C::NRQ.or(C::CQ);
    define!(linker, "data_certificate_present", C::ANY, |call| -> i32 {
        // a callback of a composite query may not read it, so for it there is none
        let execution = call.data();
        let present = execution.view.certificate.is_some() && reading.allows(execution.kind);
        Ok(i32::from(present || broken(Fault::CertificateForAll)))
    });
    define!(linker, "data_certificate_size", reading, |call| -> I {
        Ok(I::of(certificate(call.data())?.len()))
    });
    define!(linker, "data_certificate_copy", reading, |call,
                                                       to: I,
                                                       offset: I,
                                                       size: I|
     -> () {
        copy(&mut call, to.get(), offset.get(), size.get(), certificate)
    });
    Ok(())
}

fn certificate(execution: &Execution) -> wasmtime::Result<&[u8]> {
    execution
        .view
        .certificate
        .as_deref()
        .ok_or_else(|| contract("no data certificate is present"))
}
