//! The wasm heap of a canister between messages: memory contents, size and mutable globals.
//!
//! Each message runs in a fresh instance whose memory begins as the heap, and a successful one is compared and copied back.
//! Rolling back is dropping the instance.
//!
//! Where it is possible the memory is a copy-on-write mapping of an image of the heap ([`super::mapping`]): pages that changed
//! since the image was made are copied in, and only pages that are private afterwards are compared. Many messages share an
//! image; when too much has changed since, the next version makes one of its own. Otherwise everything is copied and compared.

use super::mapping::{self, Image};
use super::pages::{PAGE, PageMap, ZEROS};
use std::sync::{Arc, OnceLock};

/// Bytes in a wasm page.
pub const WASM_PAGE: u64 = 65_536;
/// Most pages of any heap: 6 GiB.
pub const MAX_HEAP_PAGES: u64 = (6 << 30) / WASM_PAGE;

/// Most pages of a heap, by its kind of addresses: 4 GiB, or half as much again (IC resource limits).
pub fn most_pages(memory64: bool) -> u64 {
    if memory64 {
        MAX_HEAP_PAGES
    } else {
        (4 << 30) / WASM_PAGE
    }
}

/// The value of a mutable global, by its bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GlobalValue {
    /// i32.
    I32(i32),
    /// i64.
    I64(i64),
    /// f32, its bits.
    F32(u32),
    /// f64, its bits.
    F64(u64),
    /// v128.
    V128(u128),
}

/// See the module documentation.
#[derive(Debug, Clone, Default)]
pub struct Heap {
    /// The contents.
    pub pages: PageMap,
    /// The size in wasm pages; zero before the first instantiation.
    pub size: u64,
    /// Values of the mutable globals in the order of the module; empty means their initial values.
    pub globals: Vec<GlobalValue>,
    /// An image of this version or of an earlier one, made when it is first needed; `None` inside when that failed.
    pub image: Arc<OnceLock<Option<Arc<Image>>>>,
}

impl Heap {
    /// The image that memories of this version begin with.
    pub fn image(&self) -> Option<Arc<Image>> {
        if !mapping::supported() {
            return None;
        }
        self.image
            .get_or_init(|| match Image::new(&self.pages, self.bytes()) {
                Ok(image) => Some(Arc::new(image)),
                Err(error) => {
                    tracing::warn!(%error, "no image of a heap could be made; it is copied instead");
                    None
                }
            })
            .clone()
    }

    /// Brings a fresh memory that is at least as large, and that began with the image or with zeros, to these contents.
    pub fn load(&self, memory: &mut [u8], image: Option<&Image>) {
        let nothing = PageMap::default();
        let before = image.map_or(&nothing, |image| &image.pages);
        for (index, page) in self.pages.changes_since(before) {
            if let Some(target) = slot(memory, index) {
                target.copy_from_slice(page.map_or(ZEROS.as_slice(), |page| page.as_slice()));
            }
        }
    }

    /// The version after an execution: equal pages are shared with this one. Also returns the indices that changed. `image` is
    /// what the memory began with.
    pub fn capture(
        &self,
        memory: &[u8],
        globals: Vec<GlobalValue>,
        image: Option<&Image>,
    ) -> (Self, Vec<u64>) {
        let mut pages = self.pages.clone();
        let mut changed = Vec::new();
        let written = image.and_then(|_| mapping::private_pages(memory).ok());
        let candidates: Box<dyn Iterator<Item = u64>> = match written {
            Some(written) => Box::new(written.into_iter()),
            None => Box::new(0..(memory.len() / PAGE) as u64),
        };
        for index in candidates {
            let Some(now) = part(memory, index) else {
                continue;
            };
            let before = self
                .pages
                .get(index)
                .map_or(ZEROS.as_slice(), |page| page.as_slice());
            if now == before {
                continue;
            }
            changed.push(index);
            let page = <&[u8; PAGE]>::try_from(now)
                .ok()
                .filter(|page| **page != ZEROS)
                .map(|page| Arc::new(*page));
            pages.set(index, page);
        }
        let image = match image {
            Some(image) if is_near(&pages, image) => self.image.clone(),
            _ => Arc::default(),
        };
        (
            Self {
                pages,
                size: memory.len() as u64 / WASM_PAGE,
                globals,
                image,
            },
            changed,
        )
    }

    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        self.size * WASM_PAGE
    }
}

/// Whether loading by an image is still cheaper than making another one.
fn is_near(pages: &PageMap, image: &Image) -> bool {
    const FEW: usize = 128;
    // One page in this many.
    const PART: usize = 32;
    let most = FEW.max(image.filled / PART);
    pages.changes_since(&image.pages).take(most + 1).count() <= most
}

fn part(memory: &[u8], index: u64) -> Option<&[u8]> {
    let start = usize::try_from(index).ok()?.checked_mul(PAGE)?;
    memory.get(start..start.checked_add(PAGE)?)
}

fn slot(memory: &mut [u8], index: u64) -> Option<&mut [u8]> {
    let start = usize::try_from(index).ok()?.checked_mul(PAGE)?;
    memory.get_mut(start..start.checked_add(PAGE)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_captured_is_loaded_again_and_untouched_pages_are_shared() {
        let mut memory = vec![0u8; 65_536];
        memory[5] = 7;
        memory[9_000] = 8;
        let (one, changed) = Heap::default().capture(&memory, vec![], None);
        assert_eq!(changed, [0, 2]);
        memory[5] = 0;
        let (two, changed) = one.capture(&memory, vec![], None);
        assert_eq!(changed, [0]);
        assert!(two.pages.get(0).is_none(), "a page of zeros is not stored");
        assert_eq!(two.pages.changes_since(&one.pages).count(), 1);
        let mut loaded = vec![0u8; 65_536];
        two.load(&mut loaded, None);
        assert_eq!(loaded, memory);
    }
}
