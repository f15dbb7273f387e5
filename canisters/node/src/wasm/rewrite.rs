//! Makes an instance of a module something that can be put back to any state.
//!
//! Each message runs in a fresh instance, so nothing may happen at instantiation, and everything that is kept between
//! messages must be reachable:
//!
//! * active data segments become empty passive ones (their bytes are in the initial heap; `memory.init` of a segment
//!   that instantiation has used up behaves the same as of an empty one),
//! * the start function becomes an export that is called once, at install,
//! * memory, first table and all mutable globals are exported under reserved names,
//! * functions count the depth of calls ([`super::depth`]).
//!
//! Indices do not move: what is added comes last. Every other section is copied byte for byte.

use super::depth::{Depth, LEFT, again};
use super::inspect::{ModuleError, ModuleInfo, RESERVED};
use wasm_encoder::{
    CodeSection, DataSection, ExportKind, ExportSection, GlobalSection, Module, RawSection, SectionId,
    TypeSection,
    reencode::{Reencode, RoundtripReencoder},
};
use wasmparser::{DataKind, Export, ExternalKind, FuncType, GlobalSectionReader, Parser, Payload};

/// Export of the memory.
pub const MEMORY: &str = "dcanary:memory";
/// Export of the table that callbacks index.
pub const TABLE: &str = "dcanary:table";
/// Export of the start function.
pub const START: &str = "dcanary:start";

/// Export of a mutable global.
pub fn global_export(index: u32) -> String {
    format!("{RESERVED}global:{index}")
}

/// What has to be known of a module before its first section is written.
#[derive(Default)]
struct Original<'a> {
    types: Vec<FuncType>,
    /// The types of its functions.
    functions: Vec<u32>,
    globals: Option<GlobalSectionReader<'a>>,
    exports: Vec<Export<'a>>,
}

impl<'a> Original<'a> {
    fn read(wasm: &'a [u8]) -> Result<Self, ModuleError> {
        let mut original = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(section) => {
                    original.types = section.into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
                }
                Payload::FunctionSection(section) => {
                    original.functions = section.into_iter().collect::<Result<_, _>>()?;
                }
                Payload::GlobalSection(section) => original.globals = Some(section),
                Payload::ExportSection(section) => {
                    original.exports = section.into_iter().collect::<Result<_, _>>()?;
                }
                _ => {}
            }
        }
        Ok(original)
    }
}

/// Rewrites a module that was inspected before.
pub fn rewrite(wasm: &[u8], info: &ModuleInfo) -> Result<Vec<u8>, ModuleError> {
    let mut module = Module::new();
    let original = Original::read(wasm)?;
    let globals = original.globals.as_ref().map_or(0, GlobalSectionReader::count);
    let depth = Depth::plan(&info.frames, &original.types, &original.functions, globals);
    let mut added = Some(globals_and_exports(&original, info, depth.as_ref())?);
    let mut code = CodeSection::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        if let (Payload::CodeSectionEntry(body), Some(depth)) = (&payload, &depth) {
            depth.function(wasm, body, &mut code)?;
            if code.len() as usize == original.functions.len() {
                module.section(&code);
            }
            continue;
        }
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        let are_due = id >= SectionId::Export as u8 && id != SectionId::Tag as u8;
        if let Some((globals, exports)) = added.take_if(|_| are_due) {
            section_of(&globals, &mut module);
            module.section(&exports);
        }
        match payload {
            Payload::GlobalSection(_)
            | Payload::ExportSection(_)
            | Payload::StartSection { .. }
            | Payload::CustomSection(_) => {}
            Payload::CodeSectionStart { .. } if depth.is_some() => {}
            Payload::DataSection(section) => {
                let mut data = DataSection::new();
                for segment in section {
                    let segment = segment?;
                    match segment.kind {
                        DataKind::Active { .. } => data.passive([]),
                        DataKind::Passive => data.passive(segment.data.iter().copied()),
                    };
                }
                module.section(&data);
            }
            Payload::TypeSection(section) => {
                let mut types = TypeSection::new();
                RoundtripReencoder
                    .parse_type_section(&mut types, section)
                    .map_err(again)?;
                if let Some(depth) = &depth {
                    depth.types(&mut types)?;
                }
                module.section(&types);
            }
            _ => {
                let data = wasm
                    .get(range)
                    .ok_or_else(|| ModuleError::Compile("a section ends early".to_owned()))?;
                module.section(&RawSection { id, data });
            }
        }
    }
    if let Some((globals, exports)) = added {
        section_of(&globals, &mut module);
        module.section(&exports);
    }
    Ok(module.finish())
}

fn section_of(globals: &GlobalSection, module: &mut Module) {
    if !globals.is_empty() {
        module.section(globals);
    }
}

fn globals_and_exports(
    original: &Original<'_>,
    info: &ModuleInfo,
    depth: Option<&Depth<'_>>,
) -> Result<(GlobalSection, ExportSection), ModuleError> {
    let mut globals = GlobalSection::new();
    if let Some(section) = &original.globals {
        RoundtripReencoder
            .parse_global_section(&mut globals, section.clone())
            .map_err(again)?;
    }
    let mut exports = export_section(&original.exports, info);
    if let Some(depth) = depth {
        exports.export(LEFT, ExportKind::Global, depth.global(&mut globals));
    }
    Ok((globals, exports))
}

fn export_section(original: &[Export<'_>], info: &ModuleInfo) -> ExportSection {
    let mut section = ExportSection::new();
    for export in original {
        let kind = match export.kind {
            ExternalKind::Func | ExternalKind::FuncExact => ExportKind::Func,
            ExternalKind::Table => ExportKind::Table,
            ExternalKind::Memory => ExportKind::Memory,
            ExternalKind::Global => ExportKind::Global,
            ExternalKind::Tag => ExportKind::Tag,
        };
        section.export(export.name, kind, export.index);
    }
    if info.has_memory {
        section.export(MEMORY, ExportKind::Memory, 0);
    }
    if info.has_table {
        section.export(TABLE, ExportKind::Table, 0);
    }
    if let Some(start) = info.start {
        section.export(START, ExportKind::Func, start);
    }
    for (index, _) in &info.globals {
        section.export(&global_export(*index), ExportKind::Global, *index);
    }
    section
}
