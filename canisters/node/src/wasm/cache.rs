//! Compiled modules, kept with the data, so that a start need not compile them again.
//!
//! What is loaded here runs as code of the node. So a file counts only with a tag that needs the node's keys: where these are not
//! in the data folder (`--keys`), who can write into it can delete files, and then they are made again. Files of another version of the engine,
//! another rewriting or another processor are not accepted either. Nothing here is needed: whatever goes wrong, the module is compiled.
#![allow(unsafe_code)]

use super::engine::SEMANTICS;
use crate::log::disk::{Disk, TEMPORARY, read_all};
use crate::wire::hash::Hash;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::collections::BTreeSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use wasmtime::{Engine, Module};

/// Prefix of the files' names; the hash of the rewritten module follows.
const PREFIX: &str = "module-";
/// Length of the tag before the code.
const TAG: usize = 32;
/// What is larger is not kept, in bytes.
const LARGEST: usize = 64 << 20;
/// Most that is written between two starts, in bytes: the disk is the log's, and whoever installs modules all day must not fill it.
const MOST: usize = 256 << 20;

/// See the module documentation.
pub struct Cache {
    disk: Arc<dyn Disk>,
    key: [u8; 32],
    /// What was asked for since the start.
    wanted: Mutex<BTreeSet<Hash>>,
    /// How many bytes were written since the start. Held while a file is written: two would write the same.
    written: Mutex<usize>,
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // the key is a secret
        formatter
            .debug_struct("Cache")
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

impl Cache {
    /// Files of this folder, with tags under this key.
    pub fn new(disk: Arc<dyn Disk>, key: [u8; 32]) -> Self {
        Self {
            disk,
            key,
            wanted: Mutex::default(),
            written: Mutex::default(),
        }
    }

    /// A module that was compiled before, by the hash of what was compiled.
    pub fn load(&self, engine: &Engine, source: &Hash) -> Option<Module> {
        self.wanted().insert(*source);
        let file = read_all(self.disk.as_ref(), &name(source)).ok()??;
        let (tag, code) = file.split_at_checked(TAG)?;
        self.tag(source, code)?.verify_slice(tag).ok()?;
        // SAFETY: the tag shows that `keep` wrote these bytes, which `Module::serialize` of this version of the engine had made from a
        // module with this source; whether they are of its settings is checked by wasmtime.
        unsafe { Module::deserialize(engine, code) }.ok()
    }

    /// Keeps what was compiled.
    pub fn keep(&self, source: &Hash, module: &Module) {
        let image = module.image_range();
        if image.end.addr().saturating_sub(image.start.addr()) > LARGEST {
            return;
        }
        let Ok(code) = module.serialize() else { return };
        if let Err(error) = self.write(source, &code) {
            tracing::debug!(%error, "a compiled module is not kept");
        }
    }

    /// Removes what nobody has asked for since the start: what no canister needs that was restored.
    pub fn forget_unused(&self) {
        let wanted: BTreeSet<String> = self.wanted().iter().map(name).collect();
        let files = self.disk.list().unwrap_or_default();
        for file in files
            .iter()
            .filter(|file| file.starts_with(PREFIX) && !wanted.contains(*file))
        {
            if let Err(error) = self.disk.remove(file) {
                tracing::debug!(%error, file, "a compiled module stays");
            }
        }
    }

    /// Not synced: what a crash tears has no tag.
    fn write(&self, source: &Hash, code: &[u8]) -> io::Result<()> {
        let Some(tag) = self.tag(source, code) else {
            return Ok(());
        };
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if code.len() > MOST.saturating_sub(*written) {
            return Ok(());
        }
        *written += code.len();
        let temporary = format!("{TEMPORARY}{}", name(source));
        let outcome = self.disk.create(&temporary).and_then(|mut file| {
            file.write(&tag.finalize().into_bytes())?;
            file.write(code)?;
            self.disk.rename(&temporary, &name(source))
        });
        if outcome.is_err() {
            // a full disk is needed for the log
            let _ = self.disk.remove(&temporary);
        }
        outcome
    }

    fn tag(&self, source: &Hash, code: &[u8]) -> Option<Hmac<Sha256>> {
        let mut tag = Hmac::<Sha256>::new_from_slice(&self.key).ok()?;
        // wasmtime itself compares the first number of its version only
        for part in [SEMANTICS, std::env::consts::ARCH] {
            tag.update(&[u8::try_from(part.len()).ok()?]);
            tag.update(part.as_bytes());
        }
        tag.update(source);
        tag.update(code);
        Some(tag)
    }

    fn wanted(&self) -> MutexGuard<'_, BTreeSet<Hash>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn name(source: &Hash) -> String {
    format!("{PREFIX}{}", hex::encode(source))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::log::disk::Folder;
    use crate::wasm::engine::Engine as Canisters;
    use std::path::{Path, PathBuf};

    const KEY: [u8; 32] = [1; 32];

    fn cache(folder: &Path, key: [u8; 32]) -> Cache {
        Cache::new(Arc::new(Folder::open(folder).unwrap().unwrap()), key)
    }

    /// The files of modules in a folder.
    fn modules(folder: &Path) -> Vec<PathBuf> {
        let files = std::fs::read_dir(folder)
            .unwrap()
            .map(|file| file.unwrap().path());
        files
            .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(PREFIX))
            .collect()
    }

    /// The file of the one module that an engine compiled into a folder.
    fn compiled(folder: &Path) -> PathBuf {
        let engine = Canisters::new().unwrap().keeping(cache(folder, KEY));
        engine
            .compile(&wat::parse_str(r#"(module (func (export "canister_query q")))"#).unwrap())
            .unwrap();
        let [only] = <[PathBuf; 1]>::try_from(modules(folder)).unwrap();
        only
    }

    /// The hash that the name of a module's file tells.
    fn source(file: &Path) -> Hash {
        let mut source = Hash::default();
        let name = file.file_name().unwrap().to_str().unwrap();
        hex::decode_to_slice(name.strip_prefix(PREFIX).unwrap(), &mut source).unwrap();
        source
    }

    fn loads(folder: &Path, key: [u8; 32], file: &Path) -> bool {
        let engine = Canisters::new().unwrap();
        cache(folder, key).load(engine.inner(), &source(file)).is_some()
    }

    #[test]
    fn a_module_that_was_compiled_is_loaded_by_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let file = compiled(folder.path());
        assert!(loads(folder.path(), KEY, &file));
    }

    #[test]
    fn code_that_was_not_written_with_the_nodes_keys_is_never_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = compiled(folder.path());
        assert!(!loads(folder.path(), [2; 32], &file));
        let whole = std::fs::read(&file).unwrap();
        for at in [0, TAG, whole.len() - 1] {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            std::fs::write(&file, changed).unwrap();
            assert!(!loads(folder.path(), KEY, &file), "byte {at}");
        }
        for length in [0, TAG - 1, TAG, whole.len() - 1] {
            std::fs::write(&file, &whole[..length]).unwrap();
            assert!(!loads(folder.path(), KEY, &file), "{length} bytes");
        }
        // code of ours under the name of another module
        let other = file.with_file_name(format!("{PREFIX}{}", "00".repeat(32)));
        std::fs::write(&other, &whole).unwrap();
        assert!(!loads(folder.path(), KEY, &other));
    }

    #[test]
    fn code_of_another_version_of_the_engine_is_never_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let file = compiled(folder.path());
        let whole = std::fs::read(&file).unwrap();
        // as a version would write that does not name itself
        let mut tag = Hmac::<Sha256>::new_from_slice(&KEY).unwrap();
        tag.update(&source(&file));
        tag.update(&whole[TAG..]);
        let other = [&tag.finalize().into_bytes()[..], &whole[TAG..]].concat();
        std::fs::write(&file, other).unwrap();
        assert!(!loads(folder.path(), KEY, &file));
    }

    #[test]
    fn between_two_starts_no_more_is_written_than_there_is_room_for() {
        let folder = tempfile::tempdir().unwrap();
        let cache = cache(folder.path(), KEY);
        *cache.written.lock().unwrap() = MOST - 10;
        cache.write(&[1; 32], &[0; 11]).unwrap();
        assert!(modules(folder.path()).is_empty());
        cache.write(&[1; 32], &[0; 10]).unwrap();
        assert!(folder.path().join(name(&[1; 32])).exists());
    }

    #[test]
    fn the_key_is_in_no_debug_text() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{:?}", cache(folder.path(), [77; 32]));
        assert!(!text.contains("77"), "{text}");
    }

    #[test]
    fn what_is_damaged_is_compiled_again_and_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let file = compiled(folder.path());
        let whole = std::fs::read(&file).unwrap();
        std::fs::write(&file, &whole[..100]).unwrap();
        assert_eq!(compiled(folder.path()), file);
        assert!(loads(folder.path(), KEY, &file));
    }

    #[test]
    fn what_no_canister_needs_any_more_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let file = compiled(folder.path());
        let kept = cache(folder.path(), KEY);
        kept.wanted().insert([7; 32]);
        kept.forget_unused();
        assert!(!file.exists());
    }
}
