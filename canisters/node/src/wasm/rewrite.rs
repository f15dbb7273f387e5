//! Makes an instance of a module something that can be put back to any state.
//!
//! Each message runs in a fresh instance, so nothing may happen at instantiation, and everything that is kept between
//! messages must be reachable:
//!
//! * active data segments become empty passive ones (their bytes are in the initial heap; `memory.init` of a segment
//!   that instantiation has used up behaves the same as of an empty one),
//! * the start function becomes an export that is called once, at install,
//! * memory, first table and all mutable globals are exported under reserved names.
//!
//! Indices do not move, so every other section is copied byte for byte.

use super::inspect::{ModuleError, ModuleInfo, RESERVED};
use wasm_encoder::{DataSection, ExportKind, ExportSection, Module, RawSection, SectionId};
use wasmparser::{DataKind, Export, ExternalKind, Parser, Payload};

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

/// Rewrites a module that was inspected before.
pub fn rewrite(wasm: &[u8], info: &ModuleInfo) -> Result<Vec<u8>, ModuleError> {
    let mut module = Module::new();
    let mut original = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(section) = payload? {
            original = section.into_iter().collect::<Result<Vec<_>, _>>()?;
        }
    }
    let mut exports = Some(export_section(&original, info));
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload?;
        let Some((id, range)) = payload.as_section() else {
            continue;
        };
        let exports_are_due = id >= SectionId::Export as u8 && id != SectionId::Tag as u8;
        if let Some(exports) = exports.take_if(|_| exports_are_due) {
            module.section(&exports);
        }
        match payload {
            Payload::ExportSection(_) | Payload::StartSection { .. } | Payload::CustomSection(_) => {}
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
            _ => {
                let data = wasm
                    .get(range)
                    .ok_or_else(|| ModuleError::Compile("a section ends early".to_owned()))?;
                module.section(&RawSection { id, data });
            }
        }
    }
    if let Some(exports) = exports {
        module.section(&exports);
    }
    Ok(module.finish())
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
