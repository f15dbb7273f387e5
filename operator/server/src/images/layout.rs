//! Reads an OCI layout in a stored tar: one pass that checks every blob and notes where it lies, then the documents, of
//! which only those that lead to the image are read. What a tar makes the server keep in memory is bounded.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::ImageError;
use super::documents::{DOCUMENT_BYTES, Held};
use super::text::short;
use crate::digest::Digest;
use crate::store::blobs::{Blobs, PIECE};
use crate::store::fault::StoreFault;

/// Annotation that names the base.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation that names the manifest of the base.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const ENTRIES: usize = 4_096;
/// Bytes between two files: headers with names and extensions, which the reader of the tar keeps.
const HEADER_BYTES: u64 = 64 << 10;

/// A checked layout.
#[derive(Debug)]
pub struct Layout {
    /// Where each blob lies in the tar.
    pub blobs: BTreeMap<Digest, Range<u64>>,
    /// The manifest as it is.
    pub manifest_bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Value,
    /// The config.
    pub config: Value,
}

fn bad(what: impl Into<String>) -> ImageError {
    ImageError::Layout(what.into())
}

/// Reads and checks a layout.
///
/// # Errors
/// When it is none, or a blob is not what its name says.
pub async fn read(
    blobs: &Arc<dyn Blobs>,
    tar: &Digest,
    size: u64,
    held: &mut Held,
) -> Result<Layout, ImageError> {
    let stream = blobs.get(tar, 0..size).await.map_err(StoreFault::from)?;
    let reader = StreamReader::new(stream.map_err(std::io::Error::other));
    let bridge = SyncIoBridge::new(reader);
    let scan = super::on_thread(&super::READERS, move || scan(bridge)).await??;
    if !scan.version {
        return Err(bad("no oci-layout file"));
    }
    let index = scan.index.clone().ok_or_else(|| bad("no index.json"))?;
    let mut documents = Documents { blobs, tar, held };
    let (_, index) = documents.at(index, "index.json").await?;
    let manifests = index["manifests"].as_array().map(Vec::as_slice);
    let [descriptor] = manifests.unwrap_or_default() else {
        return Err(bad("index.json must name exactly one manifest"));
    };
    let (manifest_bytes, manifest) = documents.named(&scan, descriptor, "manifest").await?;
    if manifest["mediaType"]
        .as_str()
        .is_some_and(|kind| kind != MANIFEST)
    {
        return Err(bad("the manifest is not an OCI image manifest"));
    }
    let (_, config) = documents.named(&scan, &manifest["config"], "config").await?;
    scan.has_layers(&manifest)?;
    Ok(Layout {
        blobs: scan.blobs,
        manifest_bytes,
        manifest,
        config,
    })
}

/// Documents in the tar.
struct Documents<'a> {
    blobs: &'a Arc<dyn Blobs>,
    tar: &'a Digest,
    held: &'a mut Held,
}

impl Documents<'_> {
    async fn named(
        &mut self,
        scan: &Scan,
        descriptor: &Value,
        what: &str,
    ) -> Result<(Vec<u8>, Value), ImageError> {
        let digest = digest_of(descriptor).map_err(|_| bad(format!("the {what} has no usable digest")))?;
        let range = scan.blobs.get(&digest);
        let range = range.ok_or_else(|| bad(format!("{what} {digest} is not in the layout")))?;
        self.at(range.clone(), what).await
    }

    async fn at(&mut self, range: Range<u64>, what: &str) -> Result<(Vec<u8>, Value), ImageError> {
        let size = range.end - range.start;
        if size > DOCUMENT_BYTES {
            return Err(bad(format!("{what} is larger than {DOCUMENT_BYTES} bytes")));
        }
        self.held.take(size)?;
        let pieces = self.blobs.get(self.tar, range).await.map_err(StoreFault::from)?;
        let gathered = pieces.try_fold(Vec::new(), |mut bytes, piece| async move {
            bytes.extend_from_slice(&piece);
            Ok(bytes)
        });
        let bytes = gathered.await.map_err(StoreFault::from)?;
        let value = self.held.parse(&bytes, |why| bad(format!("{what}: {why}")))?;
        Ok((bytes, value))
    }
}

/// Where things are.
#[derive(Default)]
struct Scan {
    blobs: BTreeMap<Digest, Range<u64>>,
    index: Option<Range<u64>>,
    version: bool,
}

/// Lets so many bytes through.
struct Metered<R> {
    inner: R,
    left: Rc<Cell<u64>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        let left = usize::try_from(self.left.get()).unwrap_or(usize::MAX);
        if left == 0 && !to.is_empty() {
            let what = format!("a header is longer than {HEADER_BYTES} bytes");
            return Err(std::io::Error::other(what));
        }
        let most = to.len().min(left);
        let read = self.inner.read(&mut to[..most])?;
        self.left.set(self.left.get() - read as u64);
        Ok(read)
    }
}

fn scan(tar: impl Read) -> Result<Scan, ImageError> {
    let mut scan = Scan::default();
    let left = Rc::new(Cell::new(HEADER_BYTES));
    let mut archive = tar::Archive::new(Metered {
        inner: tar,
        left: Rc::clone(&left),
    });
    let mut piece = vec![0; PIECE];
    let mut entries = archive.entries().map_err(|error| bad(error.to_string()))?;
    for number in 0.. {
        left.set(HEADER_BYTES);
        let Some(entry) = entries.next() else { break };
        if number >= ENTRIES {
            return Err(bad(format!("more than {ENTRIES} entries")));
        }
        let mut entry = entry.map_err(|error| bad(error.to_string()))?;
        left.set(u64::MAX);
        let kind = entry.header().entry_type();
        let path =
            String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| bad("a name is not UTF-8"))?;
        if !kind.is_dir() && !kind.is_file() {
            return Err(bad(format!("{} is no plain file", short(&path))));
        }
        let start = entry.raw_file_position();
        let end = start
            .checked_add(entry.size())
            .ok_or_else(|| bad(format!("{} is too long", short(&path))))?;
        let mut hasher = Sha256::new();
        loop {
            match entry.read(&mut piece).map_err(|error| bad(error.to_string()))? {
                0 => break,
                n => hasher.update(&piece[..n]),
            }
        }
        if kind.is_dir() {
            continue;
        }
        match path.strip_prefix("./").unwrap_or(&path) {
            "oci-layout" => scan.version = true,
            "index.json" => scan.index = Some(start..end),
            name => {
                if let Some(hex) = name.strip_prefix("blobs/sha256/") {
                    let named =
                        Digest::from_hex(hex).map_err(|_| bad(format!("{} is no digest", short(&path))))?;
                    let stored = Digest::finish(hasher);
                    if stored != named {
                        return Err(ImageError::Blob { named, stored });
                    }
                    scan.blobs.insert(named, start..end);
                }
            }
        }
    }
    Ok(scan)
}

impl Scan {
    fn has_layers(&self, manifest: &Value) -> Result<(), ImageError> {
        for layer in manifest["layers"].as_array().into_iter().flatten() {
            let digest = digest_of(layer).map_err(|_| bad("a layer has no usable digest"))?;
            let range = self
                .blobs
                .get(&digest)
                .ok_or_else(|| bad(format!("layer {digest} is not in the layout")))?;
            if layer["size"].as_u64() != Some(range.end - range.start) {
                return Err(bad(format!("layer {digest} has another size")));
            }
        }
        Ok(())
    }
}

/// Digest in a descriptor.
///
/// # Errors
/// When there is none of the form `sha256:…`.
pub fn digest_of(descriptor: &Value) -> Result<Digest, crate::digest::NotADigest> {
    descriptor["digest"].as_str().unwrap_or_default().parse()
}
