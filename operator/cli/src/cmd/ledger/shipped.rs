//! The wasm of the ledger that this version ships: where it is, and its hash.

use std::{
    fs,
    path::{Path, PathBuf},
};

use dcanary_ledger::deploy::module;
use dcanary_types::{Hash, value::sha256};

use crate::exit::Failure;

/// Name of the file.
const FILE: &str = "orchestrator.wasm";

/// The wasm.
pub struct Shipped {
    /// Where it was found.
    pub path: PathBuf,
    /// Its bytes.
    pub wasm: Vec<u8>,
    /// Its SHA-256, which the network certifies as the module hash.
    pub hash: Hash,
}

/// Reads the named file, or the first that is there of those where it is put.
///
/// # Errors
/// When it cannot be read, is in none of these places, or is no ledger.
pub fn read(named: Option<&Path>) -> Result<Shipped, Failure> {
    let beside = std::env::current_exe().ok();
    let folder = std::env::var_os("DCANARY_CANISTERS").filter(|folder| !folder.is_empty());
    read_from(named, &places(folder.map(PathBuf::from), beside.as_deref()))
}

/// Where it is put: by a variable, by `make build` beside the programs, in the image.
fn places(variable: Option<PathBuf>, program: Option<&Path>) -> Vec<PathBuf> {
    let beside = program.and_then(|program| Some(program.parent()?.parent()?.join("canisters")));
    let folders = variable.into_iter().chain(beside);
    folders
        .chain([PathBuf::from("/canisters")])
        .map(|folder| folder.join(FILE))
        .collect()
}

fn read_from(named: Option<&Path>, places: &[PathBuf]) -> Result<Shipped, Failure> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => places.iter().find(|place| place.is_file()).cloned().ok_or_else(|| {
            let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
            Failure::usage(format!(
                "the ledger's wasm is in none of {}; name it with --wasm FILE (the image has it as /canisters/{FILE}, `make build` makes it)",
                places.join(", ")
            ))
        })?,
    };
    let wasm = fs::read(&path)
        .map_err(|source| Failure::usage(format!("cannot read the wasm {}: {source}", path.display())))?;
    module::check(&wasm).map_err(|source| {
        Failure::usage(format!(
            "{} cannot be the ledger: {source}; name the ledger's wasm, {FILE}, with --wasm FILE",
            path.display()
        ))
    })?;
    let hash = sha256(&wasm);
    Ok(Shipped { path, wasm, hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_wins_over_what_is_beside_the_program_and_that_over_the_image() {
        assert_eq!(
            places(Some("/v".into()), Some(Path::new("/opt/bin/dcanary"))),
            [
                "/v/orchestrator.wasm",
                "/opt/canisters/orchestrator.wasm",
                "/canisters/orchestrator.wasm"
            ]
            .map(PathBuf::from)
        );
        assert_eq!(places(None, None).len(), 1);
    }

    #[test]
    fn a_wasm_that_is_not_there_is_told_with_all_places_and_the_flag() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join(FILE);
        let missing = read_from(None, std::slice::from_ref(&place)).err().unwrap();
        assert!(
            missing.message.contains(&place.display().to_string()) && missing.message.contains("--wasm"),
            "{missing}"
        );
        let ledger = exporting(&module::EXPORTS);
        std::fs::write(&place, &ledger).unwrap();
        let found = read_from(None, std::slice::from_ref(&place)).unwrap();
        assert_eq!((found.path, found.hash), (place, sha256(&ledger)));
    }

    #[test]
    fn a_file_that_is_no_ledger_is_refused_by_its_name_with_what_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let other = folder.path().join("x.txt");
        std::fs::write(&other, "hello").unwrap();
        let told = |file: &Path| read_from(Some(file), &[]).err().unwrap();
        let text = told(&other);
        assert!(
            text.message
                .contains("x.txt cannot be the ledger: it is no wasm module"),
            "{text}"
        );
        let wrong = folder.path().join("wrong.wasm");
        std::fs::write(&wrong, exporting(&["canister_query hello"])).unwrap();
        let wrong = told(&wrong);
        assert_eq!(wrong.exit, crate::exit::Exit::Usage);
        for part in ["wrong.wasm", "`canister_query protocol`", "--wasm FILE"] {
            assert!(wrong.message.contains(part), "{wrong}");
        }
    }

    /// A module that exports one function under each of these names.
    fn exporting(names: &[&str]) -> Vec<u8> {
        let mut exports = vec![u8::try_from(names.len()).unwrap()];
        for name in names {
            exports.push(u8::try_from(name.len()).unwrap());
            exports.extend(name.as_bytes());
            exports.extend([0, 0]);
        }
        let mut module = b"\0asm\x01\0\0\0".to_vec();
        module.extend([1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0, 7]);
        // the sizes are LEB128 of at most two bytes
        let size = exports.len();
        module.push(u8::try_from(size & 0x7f).unwrap() | 0x80);
        module.push(u8::try_from(size >> 7).unwrap());
        module.extend(exports);
        module.extend([10, 4, 1, 2, 0, 0x0b]);
        module
    }
}
