//! What was uploaded: a module as it is, or compressed.

use super::inspect::ModuleError;
use flate2::read::GzDecoder;
use std::io::{self, BufReader, Read};

/// Largest module after decompression.
pub const MAX_MODULE: u64 = 100 << 20;
/// Ids of the sections that are bytes and nothing else: custom ones and data. Source: WebAssembly core specification, "Modules".
const PLAIN: [u8; 2] = [0, 11];

/// How large a module is. A few bytes of a compressed one can be many, so this and not what was uploaded tells what it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the module, decompressed; one more than [`MAX_MODULE`] when it is larger than it may be.
    pub unpacked: u64,
    /// Those of them that nothing is compiled from: data and custom sections.
    pub plain: u64,
}

impl Size {
    /// That of an uploaded module, which is not held for it. Of one that is not valid it says no less than it would take to find out.
    pub fn of(uploaded: &[u8]) -> Self {
        let mut reader = Counted {
            inner: BufReader::new(contents(uploaded, MAX_MODULE)),
            bytes: 0,
        };
        let plain = plain(&mut reader);
        // What is left after a section that is none. An error is found again when it is compiled.
        let _ = io::copy(&mut reader, &mut io::sink());
        Self {
            unpacked: reader.bytes,
            plain,
        }
    }
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Bytes of the sections that are only held; reads up to what is no section.
fn plain(mut module: impl Read) -> u64 {
    let (mut header, mut id) = ([0; 8], [0; 1]);
    let mut plain = 0;
    if module.read_exact(&mut header).is_err() {
        return plain;
    }
    while module.read_exact(&mut id).is_ok()
        && let Ok(size) = leb128::read::unsigned(&mut module)
        && let Ok(read) = io::copy(&mut module.by_ref().take(size), &mut io::sink())
    {
        if PLAIN.contains(&id[0]) {
            plain += read;
        }
    }
    plain
}

/// The bytes of a module, up to one more than `limit`.
fn contents(uploaded: &[u8], limit: u64) -> io::Take<Box<dyn Read + '_>> {
    let all: Box<dyn Read + '_> = if uploaded.starts_with(&[0x1f, 0x8b, 0x08]) {
        Box::new(GzDecoder::new(uploaded))
    } else {
        Box::new(uploaded)
    };
    all.take(limit + 1)
}

/// What was uploaded as it is, or the contents of a gzip stream; never more than `limit` bytes of either.
///
/// # Errors
/// When it is larger, or a damaged stream.
pub fn unpack(uploaded: &[u8], limit: u64) -> Result<Vec<u8>, ModuleError> {
    let mut wasm = Vec::new();
    contents(uploaded, limit)
        .read_to_end(&mut wasm)
        .map_err(|error| ModuleError::Gzip(error.to_string()))?;
    if wasm.len() as u64 > limit {
        return Err(ModuleError::TooMany(
            "bytes",
            usize::try_from(limit).unwrap_or(usize::MAX),
        ));
    }
    Ok(wasm)
}

#[cfg(test)]
pub mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::io::Write;

    pub fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gzip.write_all(bytes).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn a_module_is_as_large_as_the_limit_and_not_larger_compressed_or_not() {
        for bytes in [vec![0; 1_000], vec![0; 1_001]] {
            for uploaded in [bytes.clone(), gzip(&bytes)] {
                let result = unpack(&uploaded, 1_000);
                assert_eq!(result.is_ok(), bytes.len() <= 1_000, "{result:?}");
            }
        }
    }

    #[test]
    fn what_grows_without_end_when_it_is_decompressed_is_not_held() {
        // Its end is missing, which who reads more than the limit would find.
        let mut bomb = gzip(&vec![0; 10_000_000]);
        bomb.truncate(bomb.len() / 2);
        let error = unpack(&bomb, 100).unwrap_err();
        assert_eq!(error.to_string(), "the module has too many bytes (at most 100)");
    }

    #[test]
    fn a_damaged_stream_is_refused() {
        let mut whole = gzip(b"(module)");
        whole.pop();
        assert!(matches!(unpack(&whole, 1_000), Err(ModuleError::Gzip(_))));
    }

    #[test]
    fn a_module_is_as_large_as_what_it_unpacks_to_and_its_data_is_told_apart() {
        let data = "x".repeat(5_000);
        let wasm = wat::parse_str(format!(
            r#"(module (func (export "canister_query q")) (data "{data}") (@custom "note" "{data}"))"#
        ))
        .unwrap();
        let packed = gzip(&wasm);
        assert!(packed.len() < wasm.len() / 2);
        let size = Size::of(&wasm);
        assert_eq!(Size::of(&packed), size);
        assert_eq!(size.unpacked, wasm.len() as u64);
        // the lengths in front, and the custom section's name
        let rest = size.plain - 2 * 5_000;
        assert!(rest < 20, "{rest}");
    }

    #[test]
    fn what_is_no_module_is_not_smaller_for_it() {
        for tail in [
            &[][..],
            &[11],
            &[11, 0xff],
            &[11, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 2],
        ] {
            let bytes = [b"\0asm\x01\0\0\0".as_slice(), tail].concat();
            assert_eq!(Size::of(&bytes).unpacked, bytes.len() as u64, "{tail:?}");
        }
        assert_eq!(
            Size::of(b"no"),
            Size {
                unpacked: 2,
                plain: 0
            }
        );
    }
}
