//! Reads an uploaded module and checks it against what the IC accepts.
//!
//! The engine would run more than the IC allows, and a canister that installs here must also install there. Sources: IC
//! interface specification, "Canister module format" and "Entry points"; limits from the IC's resource limits page.

use super::frames::{Frame, validate};
use crate::faults::{Fault, broken};
use crate::heap::pages::{PAGE, PageMap, ZEROS};
use crate::heap::wasm_memory::{WASM_PAGE, most_pages};
use crate::sysapi::names::is_known_import;
use std::collections::BTreeMap;
use std::sync::Arc;
use thiserror::Error;
use wasmparser::{
    BinaryReaderError, DataKind, ExternalKind, Operator, Parser, Payload, TypeRef, ValType, WasmFeatures,
};

#[cfg(test)]
mod tests;

const MAX_FUNCTIONS: u32 = 50_000;
const MAX_GLOBALS: u32 = 1_000;
const MAX_METHODS: usize = 1_000;
const MAX_METHOD_NAMES: usize = 20_000;
const MAX_CUSTOM_SECTIONS: usize = 16;
const MAX_CUSTOM_BYTES: usize = 1 << 20;
const MAX_CODE_BYTES: usize = 10 << 20;
/// Most pages that hold initial data, besides those that the data would fill without gaps. A module is small, and what its data takes when
/// it is far apart is not.
const MAX_SCATTERED: usize = 1_024;
/// Names that the rewriting adds; no canister may use them.
pub const RESERVED: &str = "dcanary:";

/// Why a module is refused.
#[derive(Debug, Error)]
pub enum ModuleError {
    /// Not valid WebAssembly within the enabled features.
    #[error("the module is not valid: {0}")]
    Invalid(#[from] BinaryReaderError),
    /// An import that the system API does not have.
    #[error("the module imports `{0}`, which is not part of the system API")]
    UnknownImport(String),
    /// An import that is not a function.
    #[error("the module imports `{0}`, which is not a function")]
    ImportNotFunction(String),
    /// A `canister_…` export without a meaning.
    #[error("the module exports `{0}`, which is reserved")]
    ReservedExport(String),
    /// An entry point that this node never calls.
    #[error("the entry point `{0}` is not supported by this version of dcanary-node")]
    UnsupportedEntryPoint(String),
    /// An entry point that is not a function without parameters and results.
    #[error("the entry point `{0}` is not a function of type () -> ()")]
    EntryPointType(String),
    /// A method exported in two ways.
    #[error("the method `{0}` is exported more than once")]
    RepeatedMethod(String),
    /// More of something than allowed.
    #[error("the module has too many {0} (at most {1})")]
    TooMany(&'static str, usize),
    /// A memory that begins larger than one may become.
    #[error("the memory of the module begins with {pages} pages of 64 KiB, and may have {most}")]
    LargeMemory {
        /// Pages that it begins with.
        pages: u64,
        /// Most pages of a memory of its kind.
        most: u64,
    },
    /// A function that would take too long to compile.
    #[error("the function {function} has more than {limit} instructions")]
    LongFunction {
        /// Its number among the functions of the module, imports included.
        function: u32,
        /// The limit.
        limit: usize,
    },
    /// A function, or a module, of which compiling would take too long and too much memory.
    #[error(
        "the function {function} is too intricate: its blocks times its locals may be {most}, and those of all functions together \
         {most_of_all}. Split it"
    )]
    Intricate {
        /// Its number among the functions of the module, imports included.
        function: u32,
        /// The limit of a function.
        most: u64,
        /// The limit of a module.
        most_of_all: u64,
    },
    /// A data segment whose place is not a constant, or outside the memory.
    #[error("a data segment does not fit into the memory")]
    DataSegment,
    /// A mutable global of a reference type.
    #[error("the module has a mutable global of a reference type")]
    ReferenceGlobal,
    /// A custom section named `icp:` without visibility, or twice the same.
    #[error("the custom section `{0}` is not allowed")]
    CustomSection(String),
    /// The engine refuses it.
    #[error("the module cannot be compiled: {0}")]
    Compile(String),
    /// Not a gzip stream, or too large.
    #[error("the module cannot be decompressed: {0}")]
    Gzip(String),
}

/// How a method runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MethodKind {
    /// `canister_update`.
    Update,
    /// `canister_query`.
    Query,
    /// `canister_composite_query`.
    CompositeQuery,
}

impl MethodKind {
    /// The export that holds a method of this kind.
    pub fn export(self, name: &str) -> String {
        match self {
            Self::Update => format!("canister_update {name}"),
            Self::Query => format!("canister_query {name}"),
            Self::CompositeQuery => format!("canister_composite_query {name}"),
        }
    }
}

/// A custom section that the state tree shows.
#[derive(Debug, Clone)]
pub struct Metadata {
    /// Whether everybody may read it.
    pub public: bool,
    /// The contents.
    pub content: Arc<[u8]>,
}

/// A mutable global: its index and type.
pub type MutableGlobal = (u32, ValType);

/// What the node knows of a module.
#[derive(Debug, Default)]
pub struct ModuleInfo {
    /// All methods by name.
    pub methods: BTreeMap<String, MethodKind>,
    /// Exported system entry points, such as `canister_init`.
    pub entry_points: Vec<String>,
    /// `icp:public` and `icp:private` custom sections by name.
    pub metadata: BTreeMap<String, Metadata>,
    /// Whether the memory is 64-bit.
    pub memory64: bool,
    /// Whether there is a memory at all.
    pub has_memory: bool,
    /// Initial size in wasm pages.
    pub min_pages: u64,
    /// Contents of the memory after the active data segments.
    pub initial: PageMap,
    /// Mutable globals, to be kept between messages.
    pub globals: Vec<MutableGlobal>,
    /// The start function.
    pub start: Option<u32>,
    /// Whether there is a table.
    pub has_table: bool,
    /// What each function takes of the call stack, without those that are imported.
    pub frames: Vec<Frame>,
    /// Whether it can ask for the certificate of its certified data.
    pub uses_certificate: bool,
}

/// The features that the IC enables.
fn features() -> WasmFeatures {
    WasmFeatures::WASM2
        .union(WasmFeatures::TAIL_CALL)
        .union(WasmFeatures::MEMORY64)
        .difference(WasmFeatures::RELAXED_SIMD)
}

/// Validates a module and collects what the node needs.
pub fn inspect(wasm: &[u8]) -> Result<ModuleInfo, ModuleError> {
    let (types, frames) = validate(wasm, features())?;
    let mut info = ModuleInfo {
        frames,
        ..ModuleInfo::default()
    };
    let mut custom_bytes = 0;
    let mut data = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    let import = import?;
                    let name = format!("{}.{}", import.module, import.name);
                    match import.ty {
                        TypeRef::Func(_) if import.module == "ic0" && is_known_import(import.name) => {
                            info.uses_certificate |= import.name.starts_with("data_certificate_");
                        }
                        TypeRef::Func(_) => return Err(ModuleError::UnknownImport(name)),
                        _ => return Err(ModuleError::ImportNotFunction(name)),
                    }
                }
            }
            Payload::FunctionSection(section)
                if section.count() > MAX_FUNCTIONS && !broken(Fault::LaxModules) =>
            {
                return Err(ModuleError::TooMany("functions", MAX_FUNCTIONS as usize));
            }
            Payload::TableSection(section) => info.has_table = section.count() > 0,
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let most = most_pages(memory.memory64);
                    if memory.initial > most {
                        return Err(ModuleError::LargeMemory {
                            pages: memory.initial,
                            most,
                        });
                    }
                    (info.has_memory, info.memory64, info.min_pages) =
                        (true, memory.memory64, memory.initial);
                }
            }
            Payload::GlobalSection(section) => {
                if section.count() > MAX_GLOBALS && !broken(Fault::LaxModules) {
                    return Err(ModuleError::TooMany("globals", MAX_GLOBALS as usize));
                }
                for (index, global) in (0u32..).zip(section) {
                    let kind = global?.ty;
                    match kind.content_type {
                        ValType::Ref(_) if kind.mutable => return Err(ModuleError::ReferenceGlobal),
                        content if kind.mutable => info.globals.push((index, content)),
                        _ => {}
                    }
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export?;
                    let plain = export.kind == ExternalKind::Func
                        && types
                            .as_ref()
                            .core_function_at(export.index)
                            .pipe(|id| types[id].unwrap_func())
                            .pipe(|kind| kind.params().is_empty() && kind.results().is_empty());
                    info.export(export.name, plain)?;
                }
            }
            Payload::StartSection { func, .. } => info.start = Some(func),
            Payload::CodeSectionStart { range, .. } if range.len() > MAX_CODE_BYTES => {
                return Err(ModuleError::TooMany("bytes of code", MAX_CODE_BYTES));
            }
            Payload::DataSection(section) => {
                for segment in section {
                    let segment = segment?;
                    if let DataKind::Active { offset_expr, .. } = segment.kind {
                        let offset = match offset_expr.get_operators_reader().read()? {
                            #[allow(clippy::cast_sign_loss)]
                            // Offsets are unsigned in the memory's index type.
                            Operator::I32Const { value } => u64::from(value as u32),
                            #[allow(clippy::cast_sign_loss)]
                            Operator::I64Const { value } => value as u64,
                            _ => return Err(ModuleError::DataSegment),
                        };
                        data.push((offset, segment.data));
                    }
                }
            }
            Payload::CustomSection(section) => {
                custom_bytes += info.custom(section.name(), section.data())?;
            }
            _ => {}
        }
    }
    if custom_bytes > MAX_CUSTOM_BYTES {
        return Err(ModuleError::TooMany(
            "bytes of icp: custom sections",
            MAX_CUSTOM_BYTES,
        ));
    }
    info.place(&data)?;
    Ok(info)
}

/// Lets a value flow through a function, so that a chain reads from left to right.
trait Pipe: Sized {
    fn pipe<R>(self, function: impl FnOnce(Self) -> R) -> R {
        function(self)
    }
}
impl<T> Pipe for T {}

impl ModuleInfo {
    fn export(&mut self, name: &str, plain: bool) -> Result<(), ModuleError> {
        const ENTRY_POINTS: [&str; 5] = [
            "canister_init",
            "canister_inspect_message",
            "canister_global_timer",
            "canister_pre_upgrade",
            "canister_post_upgrade",
        ];
        /// The IC calls them; this node does not, and a canister that waits for it would wait in silence.
        const UNSUPPORTED: [&str; 2] = ["canister_heartbeat", "canister_on_low_wasm_memory"];
        if name.starts_with(RESERVED) {
            return Err(ModuleError::ReservedExport(name.to_owned()));
        }
        if !name.starts_with("canister_") {
            return Ok(());
        }
        if UNSUPPORTED.contains(&name) {
            return Err(ModuleError::UnsupportedEntryPoint(name.to_owned()));
        }
        // Method names may contain spaces, so only the first one separates.
        let method = name.split_once(' ').and_then(|(kind, method)| match kind {
            "canister_update" => Some((MethodKind::Update, method)),
            "canister_query" => Some((MethodKind::Query, method)),
            "canister_composite_query" => Some((MethodKind::CompositeQuery, method)),
            _ => None,
        });
        let reserved = method.is_none() && !ENTRY_POINTS.contains(&name);
        if reserved && broken(Fault::LaxModules) {
            return Ok(());
        }
        if reserved {
            return Err(ModuleError::ReservedExport(name.to_owned()));
        }
        if !plain && !broken(Fault::LaxModules) {
            return Err(ModuleError::EntryPointType(name.to_owned()));
        }
        let Some((kind, method)) = method else {
            self.entry_points.push(name.to_owned());
            return Ok(());
        };
        if self.methods.insert(method.to_owned(), kind).is_some() && !broken(Fault::LaxModules) {
            return Err(ModuleError::RepeatedMethod(method.to_owned()));
        }
        if self.methods.len() > MAX_METHODS && !broken(Fault::LaxModules) {
            return Err(ModuleError::TooMany("methods", MAX_METHODS));
        }
        if self.methods.keys().map(String::len).sum::<usize>() > MAX_METHOD_NAMES {
            return Err(ModuleError::TooMany(
                "characters in names of methods",
                MAX_METHOD_NAMES,
            ));
        }
        Ok(())
    }

    fn custom(&mut self, name: &str, content: &[u8]) -> Result<usize, ModuleError> {
        let Some(rest) = name.strip_prefix("icp:") else {
            return Ok(0);
        };
        let (public, key) = match rest.split_once(' ') {
            Some(("public", key)) => (true, key),
            Some(("private", key)) => (false, key),
            _ if broken(Fault::LaxModules) => return Ok(0),
            _ => return Err(ModuleError::CustomSection(name.to_owned())),
        };
        let metadata = Metadata {
            public,
            content: content.into(),
        };
        if self.metadata.insert(key.to_owned(), metadata).is_some() {
            return Err(ModuleError::CustomSection(name.to_owned()));
        }
        if self.metadata.len() > MAX_CUSTOM_SECTIONS && !broken(Fault::LaxModules) {
            return Err(ModuleError::TooMany("icp: custom sections", MAX_CUSTOM_SECTIONS));
        }
        // What the specification calls the name is what comes after the visibility.
        Ok(key.len() + content.len())
    }

    /// Applies the active data segments to the initial memory.
    fn place(&mut self, segments: &[(u64, &[u8])]) -> Result<(), ModuleError> {
        let size = self
            .min_pages
            .checked_mul(WASM_PAGE)
            .ok_or(ModuleError::DataSegment)?;
        let bytes: usize = segments.iter().map(|(_, data)| data.len()).sum();
        let most = bytes / PAGE + MAX_SCATTERED;
        let mut pages: BTreeMap<u64, Box<[u8; PAGE]>> = BTreeMap::new();
        for (offset, data) in segments {
            if offset.checked_add(data.len() as u64).is_none_or(|end| end > size) {
                return Err(ModuleError::DataSegment);
            }
            let mut rest = *data;
            let mut at = *offset;
            while !rest.is_empty() {
                #[allow(clippy::cast_possible_truncation)] // The remainder is below the page size.
                let within = (at % PAGE as u64) as usize;
                let (now, later) = rest.split_at((PAGE - within).min(rest.len()));
                let page = pages.entry(at / PAGE as u64).or_insert_with(|| Box::new(ZEROS));
                page[within..within + now.len()].copy_from_slice(now);
                at += now.len() as u64;
                rest = later;
            }
            if pages.len() > most {
                return Err(ModuleError::TooMany("pages with a little data each", most));
            }
        }
        for (index, page) in pages {
            self.initial.set(index, (*page != ZEROS).then(|| Arc::from(page)));
        }
        Ok(())
    }
}
