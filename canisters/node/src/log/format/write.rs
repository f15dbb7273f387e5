//! Writing a checkpoint.

use super::blobs::blobs;
use super::calls::CallsDescription;
use super::kept::Kept;
use super::{CanisterDescription, Description, MAGIC, encode_global};
use crate::heap::pages::{PAGE, PageMap};
use crate::log::disk::DiskFile;
use crate::state::State;
use crate::state::canister::Canister;
use crate::wire::hash::Hash;
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use std::io;
use std::sync::Arc;

/// Written at once.
const BUFFER: usize = 1 << 20;

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
        if self.buffer.len() >= BUFFER {
            self.flush()
        } else {
            Ok(())
        }
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
        deleted: state.deleted.iter().map(|(id, _)| ByteBuf::from(id)).collect(),
        effects: state.effects,
        seed: state.seed,
        draws: state.draws,
        canisters: canisters
            .iter()
            .map(|canister| describe(canister))
            .collect::<io::Result<_>>()?,
        requests: state
            .requests
            .iter()
            .map(|(id, record)| (ByteBuf::from(id), (**record).clone()))
            .collect(),
        calls: CallsDescription::of(&state.calls),
    };
    let mut encoded = Vec::new();
    ciborium::into_writer(&description, &mut encoded).map_err(io::Error::other)?;
    let mut writer = Writer {
        file,
        hasher: Sha256::new(),
        buffer: Vec::with_capacity(BUFFER + PAGE),
        bytes: 0,
    };
    writer.put(MAGIC)?;
    writer.number(encoded.len() as u64)?;
    writer.put(&encoded)?;
    let known = blobs(old);
    let mut modules = blobs(state);
    modules.retain(|hash, _| !known.contains_key(hash));
    writer.number(modules.len() as u64)?;
    for (hash, wasm) in modules {
        writer.put(&hash)?;
        writer.number(wasm.len() as u64)?;
        writer.put(wasm)?;
    }
    let nothing = PageMap::default();
    for canister in canisters {
        let before = old.canister(&canister.id);
        writer.pages(
            &canister.heap.pages,
            before.map_or(&nothing, |before| &before.heap.pages),
        )?;
        writer.pages(
            &canister.stable.pages,
            before.map_or(&nothing, |before| &before.stable.pages),
        )?;
    }
    let sum: Hash = writer.hasher.clone().finalize().into();
    writer.put(&sum)?;
    writer.flush()?;
    Ok(writer.bytes)
}

fn describe(canister: &Canister) -> io::Result<CanisterDescription> {
    Ok(CanisterDescription {
        id: canister.id,
        settings: candid::encode_one(&canister.settings)
            .map_err(io::Error::other)?
            .into(),
        status: canister.status,
        version: canister.version,
        cycles: canister.cycles.to_le_bytes().to_vec().into(),
        timer: canister.timer,
        certified: canister.certified.clone().into(),
        module: canister.code.as_ref().map(|code| code.hash),
        heap_size: canister.heap.size,
        globals: canister
            .heap
            .globals
            .iter()
            .map(|global| encode_global(*global))
            .collect(),
        stable_size: canister.stable.size,
        kept: Kept::of(canister)?,
    })
}
