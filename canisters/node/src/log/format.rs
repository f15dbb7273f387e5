//! The bytes of a checkpoint: description (CBOR), modules, pages; a SHA-256 over everything at the end.

use super::disk::DiskFile;
use crate::heap::pages::{PAGE, PageMap};
use crate::heap::stable::Stable;
use crate::heap::wasm_memory::{GlobalValue, Heap};
use crate::state::State;
use crate::state::canister::{Canister, Code, Status};
use crate::state::request::Record;
use crate::wasm::engine::Engine;
use crate::wasm::inspect::ModuleError;
use crate::wire::hash::Hash;
use candid::Principal;
use ic_management_canister_types::DefiniteCanisterSettings;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::Arc;
use thiserror::Error;

const MAGIC: &[u8; 8] = b"DCNCKP1\n";
/// Written at once.
const BUFFER: usize = 1 << 20;

/// Why the bytes of a checkpoint are not usable.
#[derive(Debug, Error)]
pub enum FormatError {
    /// The file ends early or cannot be read.
    #[error("it cannot be read: {0}")]
    Read(#[from] io::Error),
    /// Not a checkpoint of this version.
    #[error("it is not a checkpoint of this format")]
    Magic,
    /// The check sum is wrong.
    #[error("its check sum is wrong")]
    Checksum,
    /// The description cannot be decoded.
    #[error("its description is malformed: {0}")]
    Description(String),
    /// It refers to something that is missing.
    #[error("it refers to {0}, which is missing")]
    Missing(&'static str),
    /// A module that was accepted once is refused now.
    #[error("the module of canister {0} is refused: {1}")]
    Module(Principal, #[source] ModuleError),
}

#[derive(Serialize, Deserialize)]
struct Description {
    base: Option<u64>,
    round: u64,
    time: u64,
    next_number: u64,
    effects: Hash,
    canisters: Vec<CanisterDescription>,
    requests: Vec<(ByteBuf, Record)>,
}

#[derive(Serialize, Deserialize)]
struct CanisterDescription {
    id: Principal,
    /// Candid, because its types are made for it.
    settings: ByteBuf,
    status: Status,
    version: u64,
    cycles: ByteBuf,
    certified: ByteBuf,
    module: Option<Hash>,
    heap_size: u64,
    globals: Vec<(u8, ByteBuf)>,
    stable_size: u64,
}

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
}

type PageChange = (u64, Option<Arc<[u8; PAGE]>>);

struct Writer<'a> {
    file: &'a mut dyn DiskFile,
    hasher: Sha256,
    buffer: Vec<u8>,
    bytes: u64,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.put(&number.to_le_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn pages(&mut self, new: &PageMap, old: &PageMap) -> io::Result<()> {
        self.number(new.changes_since(old).count() as u64)?;
        for (index, page) in new.changes_since(old) {
            self.number(index)?;
            match page {
                None => self.put(&[0])?,
                Some(page) => {
                    self.put(&[1])?;
                    self.put(page.as_slice())?;
                }
            }
        }
        Ok(())
    }
}

/// Writes a state as a difference to an older one. Returns the length.
pub fn write(file: &mut dyn DiskFile, state: &State, base: Option<u64>, old: &State) -> io::Result<u64> {
    let canisters: Vec<&Arc<Canister>> = state.canisters.iter().map(|(_, canister)| canister).collect();
    let description = Description {
        base,
        round: state.round,
        time: state.time,
        next_number: state.next_number,
        effects: state.effects,
        canisters: canisters.iter().map(|canister| describe(canister)).collect::<io::Result<_>>()?,
        requests: state.requests.iter().map(|(id, record)| (ByteBuf::from(id), (**record).clone())).collect(),
    };
    let mut encoded = Vec::new();
    ciborium::into_writer(&description, &mut encoded).map_err(io::Error::other)?;
    let mut writer = Writer { file, hasher: Sha256::new(), buffer: Vec::with_capacity(BUFFER + PAGE), bytes: 0 };
    writer.put(MAGIC)?;
    writer.number(encoded.len() as u64)?;
    writer.put(&encoded)?;
    let known: std::collections::BTreeSet<Hash> =
        old.canisters.iter().filter_map(|(_, canister)| Some(canister.code.as_ref()?.hash)).collect();
    let modules: BTreeMap<Hash, &Arc<[u8]>> = canisters
        .iter()
        .filter_map(|canister| canister.code.as_ref())
        .filter(|code| !known.contains(&code.hash))
        .map(|code| (code.hash, &code.wasm))
        .collect();
    writer.number(modules.len() as u64)?;
    for (hash, wasm) in modules {
        writer.put(&hash)?;
        writer.number(wasm.len() as u64)?;
        writer.put(wasm)?;
    }
    let nothing = PageMap::default();
    for canister in canisters {
        let before = old.canister(&canister.id);
        writer.pages(&canister.heap.pages, before.map_or(&nothing, |before| &before.heap.pages))?;
        writer.pages(&canister.stable.pages, before.map_or(&nothing, |before| &before.stable.pages))?;
    }
    let sum: Hash = writer.hasher.clone().finalize().into();
    writer.put(&sum)?;
    writer.flush()?;
    Ok(writer.bytes)
}

fn describe(canister: &Canister) -> io::Result<CanisterDescription> {
    Ok(CanisterDescription {
        id: canister.id,
        settings: candid::encode_one(&canister.settings).map_err(io::Error::other)?.into(),
        status: canister.status,
        version: canister.version,
        cycles: canister.cycles.to_le_bytes().to_vec().into(),
        certified: canister.certified.clone().into(),
        module: canister.code.as_ref().map(|code| code.hash),
        heap_size: canister.heap.size,
        globals: canister.heap.globals.iter().map(|global| encode_global(*global)).collect(),
        stable_size: canister.stable.size,
    })
}

fn encode_global(global: GlobalValue) -> (u8, ByteBuf) {
    let (tag, bytes) = match global {
        GlobalValue::I32(value) => (0, value.to_le_bytes().to_vec()),
        GlobalValue::I64(value) => (1, value.to_le_bytes().to_vec()),
        GlobalValue::F32(bits) => (2, bits.to_le_bytes().to_vec()),
        GlobalValue::F64(bits) => (3, bits.to_le_bytes().to_vec()),
        GlobalValue::V128(value) => (4, value.to_le_bytes().to_vec()),
    };
    (tag, ByteBuf::from(bytes))
}

fn decode_global((tag, bytes): &(u8, ByteBuf)) -> Option<GlobalValue> {
    Some(match tag {
        0 => GlobalValue::I32(i32::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        1 => GlobalValue::I64(i64::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        2 => GlobalValue::F32(u32::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        3 => GlobalValue::F64(u64::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        4 => GlobalValue::V128(u128::from_le_bytes(bytes.as_slice().try_into().ok()?)),
        _ => return None,
    })
}

struct Reader<R> {
    input: R,
    hasher: Sha256,
    bytes: u64,
}

impl<R: Read> Reader<R> {
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

/// Reads a checkpoint and checks its sum.
pub fn read(input: impl Read) -> Result<Contents, FormatError> {
    let mut reader = Reader { input, hasher: Sha256::new(), bytes: 0 };
    if reader.take::<8>()? != *MAGIC {
        return Err(FormatError::Magic);
    }
    let description = reader.blob()?;
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
    Ok(Contents { base: decoded.base, bytes: reader.bytes, description, modules, pages })
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
            ..State::default()
        };
        for (described, [heap, stable]) in description.canisters.into_iter().zip(self.pages) {
            let before = base.canister(&described.id);
            let code = match described.module {
                None => None,
                Some(hash) => Some(find_code(&self.modules, base, &hash, described.id, engine)?),
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
            let settings: DefiniteCanisterSettings =
                candid::decode_one(&described.settings).map_err(|error| FormatError::Description(error.to_string()))?;
            let canister = Canister {
                id: described.id,
                settings,
                status: described.status,
                version: described.version,
                cycles: cycles.map_err(|_| FormatError::Missing("cycles"))?,
                certified: described.certified.into_vec(),
                code,
                heap: Heap {
                    pages: pages(before.map(|before| &before.heap.pages), heap),
                    size: described.heap_size,
                    globals: globals.ok_or(FormatError::Missing("a global"))?,
                },
                stable: Stable {
                    pages: pages(before.map(|before| &before.stable.pages), stable),
                    size: described.stable_size,
                },
            };
            state.canisters.insert(described.id.as_slice(), Arc::new(canister));
        }
        for (id, record) in description.requests {
            state.requests.insert(&id, Arc::new(record));
        }
        Ok(state)
    }
}

fn find_code(
    modules: &BTreeMap<Hash, Arc<[u8]>>,
    base: &State,
    hash: &Hash,
    canister: Principal,
    engine: &Engine,
) -> Result<Arc<Code>, FormatError> {
    let in_base = base.canisters.iter().filter_map(|(_, canister)| canister.code.as_ref()).find(|code| code.hash == *hash);
    if let Some(code) = in_base {
        return Ok(code.clone());
    }
    let wasm = modules.get(hash).ok_or(FormatError::Missing("a module"))?;
    Code::new(wasm.clone(), engine).map(Arc::new).map_err(|error| FormatError::Module(canister, error))
}
