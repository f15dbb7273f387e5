//! Reading a checkpoint.

use super::blobs::blobs;
use super::{Description, FormatError, MAGIC, OLD_MAGICS, PageChange, decode_global};
use crate::heap::pages::PageMap;
use crate::heap::stable::{MAX_STABLE_PAGES, Stable};
use crate::heap::wasm_memory::{Heap, MAX_HEAP_PAGES};
use crate::state::canister::{Canister, Code};
use crate::state::{Deleted, State};
use crate::wasm::engine::Engine;
use crate::wire::hash::Hash;
use ic_management_canister_types::DefiniteCanisterSettings;
use ic_principal::Principal;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;

/// A checkpoint as read; [`Self::apply`] makes the state of it.
#[derive(Debug)]
pub struct Contents {
    /// The round of the checkpoint that this one is a difference to.
    pub base: Option<u64>,
    /// How long the file is.
    pub bytes: u64,
    description: Vec<u8>,
    modules: BTreeMap<Hash, Arc<[u8]>>,
    /// Per canister: changes of the heap, of stable memory.
    pages: Vec<[Vec<PageChange>; 2]>,
    #[cfg(test)]
    _held: super::held::Held,
}

struct Reader<R> {
    input: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Reader<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            hasher: Sha256::new(),
            bytes: 0,
        }
    }

    fn description(&mut self) -> Result<Vec<u8>, FormatError> {
        let magic = self.take::<8>()?;
        if magic != *MAGIC && !OLD_MAGICS.contains(&&magic) {
            return Err(FormatError::Magic);
        }
        Ok(self.blob()?)
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        self.input.read_exact(&mut bytes)?;
        self.hasher.update(bytes);
        self.bytes += N as u64;
        Ok(bytes)
    }

    fn number(&mut self) -> io::Result<u64> {
        self.take().map(u64::from_le_bytes)
    }

    /// Reads a length and that many bytes, without trusting the length before the bytes are there.
    fn blob(&mut self) -> io::Result<Vec<u8>> {
        let len = self.number()?;
        let mut bytes = Vec::new();
        (&mut self.input).take(len).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.hasher.update(&bytes);
        self.bytes += len;
        Ok(bytes)
    }

    fn pages(&mut self) -> io::Result<Vec<PageChange>> {
        let count = self.number()?;
        let mut pages = Vec::new();
        for _ in 0..count {
            let index = self.number()?;
            let page = match self.take::<1>()? {
                [0] => None,
                _ => Some(Arc::new(self.take()?)),
            };
            pages.push((index, page));
        }
        Ok(pages)
    }
}

/// Reads only which round a checkpoint is a difference to. Its sum is not checked yet.
pub fn base(input: impl Read) -> Result<Option<u64>, FormatError> {
    let mut reader = Reader::new(input);
    Ok(decode(&reader.description()?)?.base)
}

/// Reads a checkpoint and checks its sum.
pub fn read(input: impl Read) -> Result<Contents, FormatError> {
    let mut reader = Reader::new(input);
    let description = reader.description()?;
    let decoded = decode(&description)?;
    let mut modules = BTreeMap::new();
    for _ in 0..reader.number()? {
        let hash = reader.take()?;
        modules.insert(hash, reader.blob()?.into());
    }
    let mut pages = Vec::new();
    for _ in &decoded.canisters {
        pages.push([reader.pages()?, reader.pages()?]);
    }
    let expected: Hash = reader.hasher.clone().finalize().into();
    if reader.take::<32>()? != expected {
        return Err(FormatError::Checksum);
    }
    Ok(Contents {
        base: decoded.base,
        bytes: reader.bytes,
        description,
        modules,
        pages,
        #[cfg(test)]
        _held: super::held::Held::new(),
    })
}

fn decode(description: &[u8]) -> Result<Description, FormatError> {
    ciborium::from_reader(description).map_err(|error| FormatError::Description(error.to_string()))
}

impl Contents {
    /// The state that the checkpoint describes; `base` is the one that it is a difference to.
    pub fn apply(self, base: &State, engine: &Engine) -> Result<State, FormatError> {
        let description = decode(&self.description)?;
        let mut state = State {
            round: description.round,
            time: description.time,
            next_number: description.next_number,
            effects: description.effects,
            calls: description.calls.restore()?,
            seed: description.seed,
            draws: description.draws,
            ..State::default()
        };
        let known = blobs(base);
        let blob = |hash: &Hash| {
            let held = self.modules.get(hash).or_else(|| known.get(hash).copied());
            held.cloned()
        };
        for (described, [heap, stable]) in description.canisters.into_iter().zip(self.pages) {
            if described.heap_size > MAX_HEAP_PAGES || described.stable_size > MAX_STABLE_PAGES {
                return Err(FormatError::MemorySize(described.id));
            }
            let before = base.canister(&described.id);
            let code = match described.module {
                None => None,
                Some(hash) => Some(find_code(&blob, base, &hash, described.id, engine)?),
            };
            let pages = |before: Option<&PageMap>, changes: Vec<PageChange>| {
                let mut pages = before.cloned().unwrap_or_default();
                for (index, page) in changes {
                    pages.set(index, page);
                }
                pages
            };
            let globals = described.globals.iter().map(decode_global).collect::<Option<_>>();
            let cycles = described.cycles.as_slice().try_into().map(u128::from_le_bytes);
            let settings: DefiniteCanisterSettings = candid::decode_one(&described.settings)
                .map_err(|error| FormatError::Description(error.to_string()))?;
            let mut canister = Canister {
                status: described.status,
                version: described.version,
                cycles: cycles.map_err(|_| FormatError::Missing("cycles"))?,
                timer: described.timer,
                certified: described.certified.into_vec(),
                code,
                heap: Heap {
                    pages: pages(before.map(|before| &before.heap.pages), heap),
                    size: described.heap_size,
                    globals: globals.ok_or(FormatError::Missing("a global"))?,
                    image: Arc::default(),
                },
                stable: Stable {
                    pages: pages(before.map(|before| &before.stable.pages), stable),
                    size: described.stable_size,
                },
                ..Canister::new(described.id, settings, 0)
            };
            described.kept.apply(&mut canister, blob)?;
            state
                .canisters
                .insert(described.id.as_slice(), Arc::new(canister));
        }
        for id in description.deleted {
            state.deleted.insert(&id, Deleted);
        }
        for (id, record) in description.requests {
            state.requests.insert(&id, Arc::new(record));
        }
        Ok(state)
    }
}

fn find_code(
    blob: &impl Fn(&Hash) -> Option<Arc<[u8]>>,
    base: &State,
    hash: &Hash,
    canister: Principal,
    engine: &Engine,
) -> Result<Arc<Code>, FormatError> {
    let in_base = base
        .canisters
        .iter()
        .filter_map(|(_, canister)| canister.code.as_ref())
        .find(|code| code.hash == *hash);
    if let Some(code) = in_base {
        return Ok(code.clone());
    }
    let wasm = blob(hash).ok_or(FormatError::Missing("a module"))?;
    Code::new(wasm, engine)
        .map(Arc::new)
        .map_err(|error| FormatError::Module(canister, error))
}
