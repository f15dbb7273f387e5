//! The code of the ledger: module hash and controllers, from a `read_state` certificate.

use ic_principal::Principal;

use crate::cbor::{CborError, Reader};
use crate::certificate::{Certificate, CertificateError, RootKey, Verified};
use crate::head::check_age;
use crate::report::{Check, Report, Status};
use crate::tree::{Hash, HashTree};
use crate::trust::TrustFile;

/// What a certificate says of a canister's code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Code {
    /// SHA-256 of the installed wasm.
    pub module_hash: Hash,
    /// Who may change the code.
    pub controllers: Vec<Principal>,
    /// The network's time, nanoseconds since 1970.
    pub time: u64,
}

/// Checks a `read_state` certificate, whose paths can then be looked up.
///
/// # Errors
/// The first thing that does not hold.
pub fn check_read_state(
    certificate: &[u8],
    root_key: &RootKey,
    canister: &[u8],
) -> Result<Verified, CertificateError> {
    Certificate::decode(certificate)?.verify(root_key, canister)
}

fn read(tree: &HashTree, time: u64, ledger: &[u8]) -> Result<Code, &'static str> {
    let module_hash = tree.lookup(&[b"canister", ledger, b"module_hash"]).found();
    let module_hash = module_hash.ok_or("the certificate does not reveal the module hash")?;
    let module_hash = Hash::try_from(module_hash).map_err(|_| "the module hash is not 32 bytes")?;
    let controllers = tree.lookup(&[b"canister", ledger, b"controllers"]).found();
    let controllers = controllers.ok_or("the certificate does not reveal the controllers")?;
    let controllers = principals(controllers).map_err(|_| "the controllers cannot be read")?;
    Ok(Code {
        module_hash,
        controllers,
        time,
    })
}

fn principals(bytes: &[u8]) -> Result<Vec<Principal>, CborError> {
    const WHAT: &str = "an array of principals";
    let mut reader = Reader::tagged(bytes);
    let mut found = Vec::new();
    for _ in 0..reader.array(WHAT)? {
        found.push(Principal::try_from_slice(reader.bytes(WHAT)?).map_err(|_| CborError::Expected(WHAT))?);
    }
    reader.end()?;
    Ok(found)
}

/// Fills the check `code` and returns what is certified, or claimed when there is no trust file.
pub(crate) fn check(
    report: &mut Report,
    bytes: Option<&[u8]>,
    trust: Option<&TrustFile>,
    ledger: &[u8],
    now: Option<u64>,
) -> Option<Code> {
    let demanded = trust.is_some_and(|t| !t.module_hashes.is_empty() || t.controllers.is_some());
    let Some(bytes) = bytes else {
        let status = match trust {
            Some(_) if demanded => Status::Failed,
            Some(_) => Status::NotApplicable,
            None => Status::Unchecked,
        };
        report.record(Check::Code, status, "there is no certificate of the code");
        return None;
    };
    match examine(bytes, trust, ledger, now) {
        Ok((code, status, detail)) => {
            report.record(Check::Code, status, detail);
            Some(code)
        }
        Err(detail) => {
            report.fail(Check::Code, detail);
            None
        }
    }
}

fn examine(
    bytes: &[u8],
    trust: Option<&TrustFile>,
    ledger: &[u8],
    now: Option<u64>,
) -> Result<(Code, Status, String), String> {
    let certificate = Certificate::decode(bytes).map_err(|e| e.to_string())?;
    let time = certificate.unverified_time().map_err(|e| e.to_string())?;
    let code = read(certificate.unverified_tree(), time, ledger)?;
    if let Some(now) = now {
        check_age(time, now).map_err(|e| e.to_string())?;
    }
    let Some(trust) = trust else {
        return Ok((
            code,
            Status::Unchecked,
            "no trust file to compare with".to_owned(),
        ));
    };
    certificate
        .verify(&trust.root_key, ledger)
        .map_err(|e| e.to_string())?;
    let mut said = Vec::new();
    if trust.module_hashes.is_empty() {
        said.push("module hash not checked: the trust file accepts none by name".to_owned());
    } else {
        let shown = hex::encode(code.module_hash);
        if !trust.module_hashes.contains(&code.module_hash) {
            return Err(format!("module {shown} is not among the accepted ones"));
        }
        said.push(format!("module {shown}"));
    }
    if let Some(required) = &trust.controllers {
        let sorted = |ids: &[Principal]| {
            let mut ids = ids.to_vec();
            ids.sort_unstable();
            ids.dedup();
            ids
        };
        if sorted(required) != sorted(&code.controllers) {
            return Err(format!("the controllers are {}", list(&code.controllers)));
        }
        said.push(format!("controllers {}", list(&code.controllers)));
    } else {
        said.push("controllers not checked: the trust file names none".to_owned());
    }
    let checked = !trust.module_hashes.is_empty() || trust.controllers.is_some();
    let status = if checked {
        Status::Passed
    } else {
        Status::NotApplicable
    };
    Ok((code, status, said.join("; ")))
}

pub(crate) fn list(ids: &[Principal]) -> String {
    if ids.is_empty() {
        return "nobody".to_owned();
    }
    ids.iter().map(Principal::to_text).collect::<Vec<_>>().join(", ")
}
