//! Whether a module is a ledger, before it takes the place of one: by what it exports. The network installs any module.

use std::io::Read as _;

use flate2::read::GzDecoder;
use thiserror::Error;
use wasmparser::{Parser, Payload};

/// First bytes of a module, and of a packed one, which the network unpacks.
const WASM: &[u8] = b"\0asm";
const GZIP: &[u8] = &[0x1f, 0x8b];

/// Largest module that the Internet Computer unpacks.
const UNPACKED_BYTES: u64 = 100 * 1024 * 1024;

/// What every version of the ledger exports. Not the whole interface: a version with less of it, or with more, is one too.
pub const EXPORTS: [&str; 7] = [
    "canister_init",
    "canister_post_upgrade",
    "canister_update append",
    "canister_query protocol",
    "canister_query policy",
    "canister_query blocks",
    "canister_query consistency",
];

/// Why a module is no ledger.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ModuleError {
    /// It does not begin as a module does.
    #[error("it is no wasm module")]
    NoModule,
    /// It is packed, and cannot be unpacked.
    #[error("it is a packed module that cannot be unpacked ({reason})")]
    Packed {
        /// What is wrong.
        reason: String,
    },
    /// It is a module that is damaged or not whole.
    #[error("it is a wasm module that cannot be read ({reason})")]
    Damaged {
        /// What is wrong.
        reason: String,
    },
    /// It is something else.
    #[error("it is no ledger of DCanary: it does not export {missing}")]
    NoLedger {
        /// What every ledger exports and it does not.
        missing: String,
    },
}

/// Checks that a module is a ledger of DCanary: pure.
///
/// # Errors
/// When it is none, with what is missing.
pub fn check(wasm: &[u8]) -> Result<(), ModuleError> {
    if wasm.starts_with(GZIP) {
        return check_plain(&unpacked(wasm)?);
    }
    check_plain(wasm)
}

fn unpacked(packed: &[u8]) -> Result<Vec<u8>, ModuleError> {
    let broken = |reason: String| ModuleError::Packed { reason };
    let mut plain = Vec::new();
    // a small file may unpack to what no memory holds
    GzDecoder::new(packed)
        .take(UNPACKED_BYTES + 1)
        .read_to_end(&mut plain)
        .map_err(|source| broken(source.to_string()))?;
    if plain.len() as u64 > UNPACKED_BYTES {
        return Err(broken(format!("it has more than {UNPACKED_BYTES} bytes")));
    }
    Ok(plain)
}

fn check_plain(wasm: &[u8]) -> Result<(), ModuleError> {
    if !wasm.starts_with(WASM) {
        return Err(ModuleError::NoModule);
    }
    let found = exports(wasm).map_err(|source| ModuleError::Damaged {
        reason: source.to_string(),
    })?;
    let missing: Vec<String> = EXPORTS
        .iter()
        .filter(|name| !found.contains(name))
        .map(|name| format!("`{name}`"))
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(ModuleError::NoLedger {
        missing: missing.join(", "),
    })
}

/// Names of all that a module exports. It is read to its end, so that half a file is no module.
fn exports(wasm: &[u8]) -> Result<Vec<&str>, wasmparser::BinaryReaderError> {
    let mut names = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(section) = payload? {
            for export in section {
                names.push(export?.name);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A module that exports these.
    fn module(exports: &[&str]) -> Vec<u8> {
        let functions: String = exports
            .iter()
            .map(|name| format!("(func (export \"{name}\"))"))
            .collect();
        wat::parse_str(format!("(module {functions})")).unwrap()
    }

    fn packed(plain: &[u8]) -> Vec<u8> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        packer.write_all(plain).unwrap();
        packer.finish().unwrap()
    }

    #[test]
    fn a_module_is_a_ledger_when_it_exports_what_every_ledger_does_packed_or_not() {
        let ledger = module(&EXPORTS);
        assert_eq!(check(&ledger), Ok(()));
        assert_eq!(check(&packed(&ledger)), Ok(()));
        let mut newer = EXPORTS.to_vec();
        newer.push("canister_query what_comes_later");
        assert_eq!(check(&module(&newer)), Ok(()));
    }

    #[test]
    fn a_module_that_is_no_ledger_is_refused_with_what_is_missing() {
        for missing in EXPORTS {
            let others: Vec<&str> = EXPORTS.into_iter().filter(|name| *name != missing).collect();
            let other = module(&others);
            for wasm in [packed(&other), other] {
                let told = check(&wasm).unwrap_err().to_string();
                assert_eq!(
                    told,
                    format!("it is no ledger of DCanary: it does not export `{missing}`")
                );
            }
        }
    }

    #[test]
    fn what_is_no_module_and_half_of_one_are_refused() {
        assert_eq!(check(b"hello"), Err(ModuleError::NoModule));
        assert_eq!(check(b""), Err(ModuleError::NoModule));
        assert_eq!(check(&packed(b"hello")), Err(ModuleError::NoModule));
        let ledger = module(&EXPORTS);
        let half = &ledger[..ledger.len() - 2];
        assert!(matches!(check(half), Err(ModuleError::Damaged { .. })));
        let packed = packed(&ledger);
        let half = &packed[..packed.len() / 2];
        assert!(matches!(check(half), Err(ModuleError::Packed { .. })));
    }
}
