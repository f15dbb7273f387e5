//! Content under its digest, and what keeps it from being deleted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use super::super::blobs::{BlobError, Pin};
use super::super::disk::sync_names;
use super::{FsBlobs, failed, lost};
use crate::digest::Digest;

pub(super) type Pins = Arc<Mutex<HashMap<Digest, u32>>>;

struct Held {
    pins: Pins,
    digest: Digest,
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(mut pins) = self.pins.lock()
            && let Some(count) = pins.get_mut(&self.digest)
        {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.digest);
            }
        }
    }
}

pub(super) fn blob_path(digest: &Digest) -> String {
    let hex = digest.hex();
    format!("blobs/{}/{hex}", &hex[..2])
}

impl FsBlobs {
    pub(super) fn pin(&self, digest: Digest) -> Result<Pin, BlobError> {
        let mut pins = self.pins.lock().map_err(|_| lost("pin content"))?;
        *pins.entry(digest).or_default() += 1;
        Ok(Box::new(Held {
            pins: Arc::clone(&self.pins),
            digest,
        }))
    }

    /// Gives a file the name of its digest, which the caller has computed. Pins first: whoever deletes looks at the pins under the
    /// same lock.
    ///
    /// A copy of another length that is there gives way, or it would keep out the right one for ever: servers before this one could name
    /// an upload that had got bytes behind those of its digest. Copies of one length need no second reading: each file gets its name only
    /// after its digest was compared and its content synced, and no file is written to once it has one.
    pub(super) fn place(&self, from: &str, digest: &Digest) -> Result<Pin, BlobError> {
        let pin = self.pin(*digest)?;
        let to = blob_path(digest);
        let len = |path: &str| {
            let stat = self.disk.stat(path).map_err(failed("look for content"))?;
            Ok::<_, BlobError>(stat.map(|stat| stat.len))
        };
        let there = len(&to)?;
        if there.is_some() && there == len(from)? {
            self.disk.touch(&to).map_err(failed("keep content"))?;
            self.disk.remove_file(from).map_err(failed("remove a copy"))?;
        } else {
            // Its last bytes may have arrived long ago: it is young from now on, so that a sweep that has read its references before this
            // one was recorded leaves it alone.
            self.disk.touch(from).map_err(failed("keep content"))?;
            self.disk.sync_file(from).map_err(failed("sync content"))?;
            self.disk.rename(from, &to).map_err(failed("name content"))?;
        }
        // Also when it was there: its name may be younger than the last sync.
        sync_names(self.disk.as_ref(), &to).map_err(failed("sync a name"))?;
        Ok(pin)
    }

    /// Pins what is there. It is young from now on, for a sweep that has read its references before this one was recorded.
    pub(super) fn keep_there(&self, digest: &Digest) -> Result<Option<Pin>, BlobError> {
        let pin = self.pin(*digest)?;
        let path = blob_path(digest);
        // Looked for with the pin: whoever deletes has done it before, or leaves it alone.
        let stat = self.disk.stat(&path).map_err(failed("look for content"))?;
        if stat.is_none() {
            return Ok(None);
        }
        self.disk.touch(&path).map_err(failed("keep content"))?;
        Ok(Some(pin))
    }

    pub(super) fn delete_unpinned(&self, digest: &Digest, before: SystemTime) -> Result<bool, BlobError> {
        let path = blob_path(digest);
        let pins = self.pins.lock().map_err(|_| lost("delete content"))?;
        let Some(stat) = self.disk.stat(&path).map_err(failed("look for content"))? else {
            return Ok(false);
        };
        if pins.contains_key(digest) || stat.modified >= before {
            return Ok(false);
        }
        self.disk.remove_file(&path).map_err(failed("delete content"))?;
        Ok(true)
    }
}
