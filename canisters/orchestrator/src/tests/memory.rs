//! A stable memory that takes room only for pages that were written, so that a test may have hundreds of them.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use ic_stable_structures::Memory;

const PAGE: u64 = 65_536;

#[derive(Clone, Default)]
pub struct SparseMemory(Rc<RefCell<Pages>>);

#[derive(Default)]
struct Pages {
    size: u64,
    written: BTreeMap<u64, Vec<u8>>,
}

impl SparseMemory {
    fn each_page(offset: u64, length: usize, mut part: impl FnMut(u64, usize, std::ops::Range<usize>)) {
        let mut done = 0;
        while done < length {
            let at = offset + done as u64;
            let from = usize::try_from(at % PAGE).unwrap();
            let here = (usize::try_from(PAGE).unwrap() - from).min(length - done);
            part(at / PAGE, from, done..done + here);
            done += here;
        }
    }
}

impl Memory for SparseMemory {
    fn size(&self) -> u64 {
        self.0.borrow().size
    }

    fn grow(&self, pages: u64) -> i64 {
        let mut inner = self.0.borrow_mut();
        let before = inner.size;
        inner.size += pages;
        i64::try_from(before).unwrap()
    }

    fn read(&self, offset: u64, into: &mut [u8]) {
        let inner = self.0.borrow();
        assert!(offset + into.len() as u64 <= inner.size * PAGE);
        Self::each_page(offset, into.len(), |page, from, range| {
            match inner.written.get(&page) {
                Some(bytes) => into[range.clone()].copy_from_slice(&bytes[from..from + range.len()]),
                None => into[range].fill(0),
            }
        });
    }

    fn write(&self, offset: u64, bytes: &[u8]) {
        let mut inner = self.0.borrow_mut();
        assert!(offset + bytes.len() as u64 <= inner.size * PAGE);
        Self::each_page(offset, bytes.len(), |page, from, range| {
            let kept = inner
                .written
                .entry(page)
                .or_insert_with(|| vec![0; usize::try_from(PAGE).unwrap()]);
            kept[from..from + range.len()].copy_from_slice(&bytes[range]);
        });
    }
}

/// A repeated byte is worth a run of its own from this length on.
const RUN: usize = 16;

/// A small file for a memory: its size, then runs of one byte and pieces of other bytes, each after place and length. Zeros
/// are left out.
impl SparseMemory {
    pub fn to_image(&self) -> Vec<u8> {
        let inner = self.0.borrow();
        let mut image = inner.size.to_le_bytes().to_vec();
        let mut piece = |at: u64, bytes: &[u8], repeat: usize| {
            image.extend_from_slice(&at.to_le_bytes());
            image.extend_from_slice(&u32::try_from(repeat).unwrap().to_le_bytes());
            image.extend_from_slice(&u32::try_from(bytes.len()).unwrap().to_le_bytes());
            image.extend_from_slice(bytes);
        };
        for (page, bytes) in &inner.written {
            let (base, mut at, mut begun) = (page * PAGE, 0, 0);
            while at < bytes.len() {
                let same = bytes[at..].iter().take_while(|byte| **byte == bytes[at]).count();
                if same < RUN {
                    at += same;
                    continue;
                }
                if at > begun {
                    piece(base + begun as u64, &bytes[begun..at], 1);
                }
                if bytes[at] != 0 {
                    piece(base + at as u64, &bytes[at..=at], same);
                }
                at += same;
                begun = at;
            }
            if at > begun {
                piece(base + begun as u64, &bytes[begun..at], 1);
            }
        }
        image
    }

    pub fn from_image(image: &[u8]) -> Self {
        let memory = Self::default();
        let (size, mut rest) = image.split_first_chunk::<8>().unwrap();
        memory.grow(u64::from_le_bytes(*size));
        while let Some((at, tail)) = rest.split_first_chunk::<8>() {
            let (repeat, tail) = tail.split_first_chunk::<4>().unwrap();
            let (len, tail) = tail.split_first_chunk::<4>().unwrap();
            let (bytes, tail) = tail.split_at(usize::try_from(u32::from_le_bytes(*len)).unwrap());
            let repeat = usize::try_from(u32::from_le_bytes(*repeat)).unwrap();
            memory.write(u64::from_le_bytes(*at), &bytes.repeat(repeat));
            rest = tail;
        }
        memory
    }
}
