//! What indexes, manifests and configs take in memory: each of them is bounded, and all of them together. Build Pods and
//! registries write them, and the server is there for everybody.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ImageError;

/// Largest index, manifest or config.
pub const DOCUMENT_BYTES: u64 = 4 << 20;
/// Most values in one.
const VALUES: u64 = 65_536;
/// What a value may need once it is read: an object with one field is a node of a tree.
const VALUE_BYTES: u64 = 384;
/// What all images that are looked at or pushed have at once, in KiB.
const ALL_KIB: usize = 256 << 10;

/// The memory for documents.
#[derive(Debug, Clone)]
pub struct Documents(Arc<Semaphore>);

impl Default for Documents {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ALL_KIB)))
    }
}

/// What one image has of it, until it is dropped.
#[derive(Debug)]
pub struct Held {
    all: Arc<Semaphore>,
    held: Option<OwnedSemaphorePermit>,
}

impl Documents {
    /// Nothing yet.
    pub fn hold(&self) -> Held {
        Held {
            all: Arc::clone(&self.0),
            held: None,
        }
    }
}

impl Held {
    /// Takes room for some bytes.
    ///
    /// # Errors
    /// When other images have it all.
    pub fn take(&mut self, bytes: u64) -> Result<(), ImageError> {
        let kib = u32::try_from(bytes.div_ceil(1 << 10)).map_err(|_| ImageError::Busy)?;
        let more = Arc::clone(&self.all)
            .try_acquire_many_owned(kib)
            .map_err(|_| ImageError::Busy)?;
        match &mut self.held {
            Some(held) => held.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }

    /// Gives back all of it.
    pub fn give_back(&mut self) {
        self.held = None;
    }

    /// Reads a document.
    ///
    /// # Errors
    /// When it is no JSON or has too many values (`bad` makes the error), or other images have all the memory.
    pub fn parse(&mut self, bytes: &[u8], bad: impl Fn(String) -> ImageError) -> Result<Value, ImageError> {
        let values = values(bytes);
        if values > VALUES {
            return Err(bad(format!("more than {VALUES} values")));
        }
        self.take(values * VALUE_BYTES)?;
        serde_json::from_slice(bytes).map_err(|error| bad(error.to_string()))
    }
}

/// At least the number of values of a JSON text.
fn values(text: &[u8]) -> u64 {
    let (mut values, mut quoted, mut escaped) = (1, false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' | b',' if !quoted => values += 1,
            _ => {}
        }
    }
    values
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parse(held: &mut Held, text: &str) -> Result<Value, ImageError> {
        held.parse(text.as_bytes(), ImageError::Layout)
    }

    #[test]
    fn what_small_text_would_make_large_values_is_refused_and_long_strings_are_not() {
        let mut held = Documents::default().hold();
        let many = format!("[{}0]", r#"{"":0},"#.repeat(40_000));
        let refused = parse(&mut held, &many).unwrap_err();
        assert!(
            refused.to_string().contains("more than 65536 values"),
            "{refused}"
        );
        let long = format!(r#"{{"a": "\"{}"}}"#, "[{,".repeat(100_000));
        assert!(parse(&mut held, &long).is_ok());
    }

    #[test]
    fn images_together_have_so_much_memory_and_no_more() {
        let all = Documents::default();
        let (mut first, mut second) = (all.hold(), all.hold());
        first.take((ALL_KIB as u64 - 1) << 10).unwrap();
        assert!(matches!(second.take(2 << 10), Err(ImageError::Busy)));
        assert!(second.take(1 << 10).is_ok());
        drop(first);
        assert!(second.take(2 << 10).is_ok(), "given back");
    }
}
