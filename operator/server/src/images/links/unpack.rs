//! The bytes of a layer: what they unpack to, whatever they are compressed with. How much that may be is bounded, and reading
//! ends when nobody waits for it any more.

use std::io::{BufReader, Cursor, Error, Read};

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;

use super::Bad;
use crate::digest::Digest;

/// Largest window of zstd that is taken, as a power of two: those of programs that make images have 2^23, old ones 2^25.
pub const WINDOW_LOG: u32 = 25;

/// The bytes as they are stored.
pub struct Stored<R> {
    inner: R,
    hasher: Sha256,
    stop: CancellationToken,
}

impl<R: Read> Stored<R> {
    /// Until nobody waits.
    pub fn new(inner: R, stop: CancellationToken) -> Self {
        let hasher = Sha256::new();
        Self { inner, hasher, stop }
    }

    /// Reads what is left and compares everything with a digest.
    ///
    /// # Errors
    /// When it has another, or reading fails.
    pub fn finish(mut self, named: &Digest) -> Result<(), Bad> {
        std::io::copy(&mut self, &mut std::io::sink())?;
        let stored = Digest::finish(self.hasher);
        if stored == *named {
            return Ok(());
        }
        Err(Bad(format!("what the registry sent has digest {stored}")))
    }
}

impl<R: Read> Read for Stored<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(Error::other("nobody waits for it"));
        }
        let read = self.inner.read(to)?;
        self.hasher.update(&to[..read]);
        Ok(read)
    }
}

/// Unpacked bytes, up to a number.
pub struct Unpacked<'a> {
    inner: Box<dyn Read + 'a>,
    left: &'a mut u64,
    window: usize,
    stop: CancellationToken,
}

impl<'a> Unpacked<'a> {
    /// Unpacks gzip, zstd or nothing, by the first bytes: not every media type is right.
    ///
    /// # Errors
    /// When reading fails.
    pub fn new<R: Read>(stored: &'a mut Stored<R>, left: &'a mut u64) -> std::io::Result<Self> {
        let stop = stored.stop.clone();
        let mut first = Vec::new();
        stored.by_ref().take(4).read_to_end(&mut first)?;
        let kind: [u8; 4] = first.as_slice().try_into().unwrap_or([0; 4]);
        let whole = BufReader::with_capacity(64 << 10, Cursor::new(first).chain(stored));
        let mut window = 0;
        let inner: Box<dyn Read + 'a> = match kind {
            [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(whole)),
            [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(whole)?;
                decoder.window_log_max(WINDOW_LOG)?;
                window = 1 << WINDOW_LOG;
                Box::new(decoder)
            }
            _ => Box::new(whole),
        };
        Ok(Self {
            inner,
            left,
            window,
            stop,
        })
    }

    /// Bytes that unpacking may take.
    pub fn window(&self) -> usize {
        self.window
    }
}

impl Read for Unpacked<'_> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        if self.stop.is_cancelled() {
            return Err(Error::other("nobody waits for it"));
        }
        let read = self.inner.read(to)?;
        let left = self.left.checked_sub(read as u64);
        *self.left =
            left.ok_or_else(|| Error::other("unpacked, the layers are larger than this server looks at"))?;
        Ok(read)
    }
}

#[cfg(test)]
#[path = "unpack_tests.rs"]
mod tests;
