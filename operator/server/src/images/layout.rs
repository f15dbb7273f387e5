//! Reads an OCI layout in a stored tar: one pass that checks every blob and notes where it lies.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use futures::TryStreamExt;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::ImageError;
use crate::digest::Digest;
use crate::store::blobs::{Blobs, PIECE};
use crate::store::fault::StoreFault;

/// Annotation that names the base.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// Annotation that names the manifest of the base.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// Largest index, manifest or config.
const JSON_BYTES: u64 = 4 << 20;
const ENTRIES: usize = 4_096;

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
pub async fn read(blobs: &Arc<dyn Blobs>, tar: &Digest, size: u64) -> Result<Layout, ImageError> {
    let stream = blobs.get(tar, 0..size).await.map_err(StoreFault::from)?;
    let reader = StreamReader::new(stream.map_err(std::io::Error::other));
    let bridge = SyncIoBridge::new(reader);
    tokio::task::spawn_blocking(move || scan(bridge))
        .await
        .map_err(|error| StoreFault::Failed(Box::new(error)))?
}

#[derive(Default)]
struct Scan {
    blobs: BTreeMap<Digest, Range<u64>>,
    small: BTreeMap<Digest, Vec<u8>>,
    index: Option<Vec<u8>>,
    version: bool,
}

fn scan(tar: impl Read) -> Result<Layout, ImageError> {
    let mut scan = Scan::default();
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().map_err(|error| bad(error.to_string()))?;
    for (number, entry) in entries.enumerate() {
        if number >= ENTRIES {
            return Err(bad(format!("more than {ENTRIES} entries")));
        }
        let mut entry = entry.map_err(|error| bad(error.to_string()))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        let path =
            String::from_utf8(entry.path_bytes().into_owned()).map_err(|_| bad("a name is not UTF-8"))?;
        if !kind.is_file() {
            return Err(bad(format!("{path} is no plain file")));
        }
        let start = entry.raw_file_position();
        let end = start
            .checked_add(entry.size())
            .ok_or_else(|| bad(format!("{path} is too long")))?;
        let range = start..end;
        let name = path.strip_prefix("./").unwrap_or(&path);
        match name {
            "oci-layout" => scan.version = true,
            "index.json" => scan.index = Some(whole(&mut entry)?),
            _ => {
                if let Some(hex) = name.strip_prefix("blobs/sha256/") {
                    let named = Digest::from_hex(hex).map_err(|_| bad(format!("{path} is no digest")))?;
                    scan.blob(named, range, &mut entry)?;
                }
            }
        }
    }
    scan.finish()
}

fn whole(entry: &mut impl Read) -> Result<Vec<u8>, ImageError> {
    let mut bytes = Vec::new();
    entry
        .take(JSON_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| bad(error.to_string()))?;
    if bytes.len() as u64 > JSON_BYTES {
        return Err(bad(format!(
            "an index, manifest or config is larger than {JSON_BYTES} bytes"
        )));
    }
    Ok(bytes)
}

impl Scan {
    fn blob(&mut self, named: Digest, range: Range<u64>, entry: &mut impl Read) -> Result<(), ImageError> {
        let stored = if range.end - range.start <= JSON_BYTES {
            let bytes = whole(entry)?;
            let digest = Digest::of(&bytes);
            // Only what can be a manifest or config is kept.
            if bytes.first() == Some(&b'{') {
                self.small.insert(named, bytes);
            }
            digest
        } else {
            let mut hasher = Sha256::new();
            let mut piece = vec![0; PIECE];
            loop {
                match entry.read(&mut piece).map_err(|error| bad(error.to_string()))? {
                    0 => break Digest::finish(hasher),
                    n => hasher.update(&piece[..n]),
                }
            }
        };
        if stored != named {
            return Err(ImageError::Blob { named, stored });
        }
        self.blobs.insert(named, range);
        Ok(())
    }

    fn json(&self, descriptor: &Value, what: &str) -> Result<(Digest, &Vec<u8>, Value), ImageError> {
        let digest = digest_of(descriptor).map_err(|_| bad(format!("the {what} has no usable digest")))?;
        let bytes = self
            .small
            .get(&digest)
            .ok_or_else(|| bad(format!("{what} {digest} is not in the layout")))?;
        let value = serde_json::from_slice(bytes).map_err(|error| bad(format!("{what}: {error}")))?;
        Ok((digest, bytes, value))
    }

    fn finish(self) -> Result<Layout, ImageError> {
        if !self.version {
            return Err(bad("no oci-layout file"));
        }
        let index = self.index.as_ref().ok_or_else(|| bad("no index.json"))?;
        let index: Value =
            serde_json::from_slice(index).map_err(|error| bad(format!("index.json: {error}")))?;
        let manifests = index["manifests"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let [descriptor] = manifests else {
            return Err(bad("index.json must name exactly one manifest"));
        };
        let (_, bytes, manifest) = self.json(descriptor, "manifest")?;
        if manifest["mediaType"]
            .as_str()
            .is_some_and(|kind| kind != MANIFEST)
        {
            return Err(bad("the manifest is not an OCI image manifest"));
        }
        let manifest_bytes = bytes.clone();
        let (_, _, config) = self.json(&manifest["config"], "config")?;
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
        Ok(Layout {
            manifest_bytes,
            manifest,
            config,
            blobs: self.blobs,
        })
    }
}

/// Digest in a descriptor.
///
/// # Errors
/// When there is none of the form `sha256:…`.
pub fn digest_of(descriptor: &Value) -> Result<Digest, crate::digest::NotADigest> {
    descriptor["digest"].as_str().unwrap_or_default().parse()
}
