//! Uploads: files that grow, and their digests on the way.

use sha2::{Digest as _, Sha256};

use super::super::blobs::{BlobError, PIECE, Pin, UploadKey};
use super::super::disk::sync_names;
use super::content::blob_path;
use super::{FsBlobs, failed, lost};
use crate::digest::Digest;

/// Running digest of an upload, so that its end needs no second reading.
#[derive(Clone)]
pub(super) struct Running {
    hasher: Sha256,
    len: u64,
}

pub(super) fn upload_path(key: &UploadKey) -> String {
    format!("uploads/{}/{}", key.attempt, key.name)
}

impl FsBlobs {
    fn hash(&self, path: &str) -> Result<Running, BlobError> {
        let mut hasher = Sha256::new();
        let mut len = 0;
        loop {
            let piece = self
                .disk
                .read_at(path, len, PIECE)
                .map_err(failed("read an upload"))?;
            if piece.is_empty() {
                return Ok(Running { hasher, len });
            }
            hasher.update(&piece);
            len += piece.len() as u64;
        }
    }

    pub(super) fn len(&self, key: &UploadKey) -> Result<u64, BlobError> {
        let stat = self
            .disk
            .stat(&upload_path(key))
            .map_err(failed("look for an upload"))?;
        Ok(stat.map_or(0, |stat| stat.len))
    }

    pub(super) fn append(&self, key: &UploadKey, offset: u64, bytes: &[u8]) -> Result<u64, BlobError> {
        let running = self
            .running
            .lock()
            .map_err(|_| lost("add to an upload"))?
            .remove(key);
        let have = self.len(key)?;
        if have != offset {
            if let (Some(running), Ok(mut all)) = (running, self.running.lock()) {
                all.insert(key.clone(), running);
            }
            return Err(BlobError::Offset { have });
        }
        let path = upload_path(key);
        if let Err(error) = self.disk.write_at(&path, offset, bytes) {
            // A part may have been written; only whole pieces count.
            self.disk
                .set_len(&path, offset)
                .map_err(failed("cut an upload"))?;
            return Err(failed("add to an upload")(error));
        }
        let end = offset + bytes.len() as u64;
        let running = match running {
            Some(running) if running.len == offset => Some(running),
            _ if offset == 0 => Some(Running {
                hasher: Sha256::new(),
                len: 0,
            }),
            _ => None,
        };
        if let Some(mut running) = running {
            running.hasher.update(bytes);
            running.len = end;
            self.running
                .lock()
                .map_err(|_| lost("add to an upload"))?
                .insert(key.clone(), running);
        }
        Ok(end)
    }

    pub(super) fn digest(&self, key: &UploadKey) -> Result<(Digest, u64), BlobError> {
        let path = upload_path(key);
        let have = self.len(key)?;
        if have == 0 {
            // An empty artifact: perhaps no bytes were sent.
            self.disk
                .write_at(&path, 0, &[])
                .map_err(failed("store an upload"))?;
        }
        let found = self.known(key, &path, have)?;
        self.sync(key)?;
        Ok(found)
    }

    /// Digest and size of an upload with `have` bytes, read only where nobody has followed it up to there.
    fn known(&self, key: &UploadKey, path: &str, have: u64) -> Result<(Digest, u64), BlobError> {
        let followed = {
            let running = self.running.lock().map_err(|_| lost("end an upload"))?;
            running.get(key).filter(|running| running.len == have).cloned()
        };
        let running = match followed {
            Some(running) => running,
            None => {
                let read = self.hash(path)?;
                self.running
                    .lock()
                    .map_err(|_| lost("end an upload"))?
                    .insert(key.clone(), read.clone());
                read
            }
        };
        Ok((Digest::finish(running.hasher), running.len))
    }

    /// After a failed sync nobody knows what is on disk, and the next sync would not tell: the upload begins anew.
    pub(super) fn sync(&self, key: &UploadKey) -> Result<(), BlobError> {
        let path = upload_path(key);
        if let Err(error) = self.disk.sync_file(&path) {
            self.drop_upload(key)?;
            return Err(failed("sync an upload")(error));
        }
        sync_names(self.disk.as_ref(), &path).map_err(failed("sync an upload"))
    }

    /// Looks at the digest once more: whoever computed it may have been another server, and everybody reads what gets this name.
    pub(super) fn finish(&self, key: &UploadKey, digest: &Digest) -> Result<Pin, BlobError> {
        let path = upload_path(key);
        if let Some(stat) = self.disk.stat(&path).map_err(failed("look for an upload"))? {
            let (stored, size) = self.known(key, &path, stat.len)?;
            if stored != *digest {
                self.drop_upload(key)?;
                return Err(BlobError::Differs { stored, size });
            }
            let pin = self.place(&path, digest)?;
            self.forget(key)?;
            return Ok(pin);
        }
        self.forget(key)?;
        let pin = self.pin(*digest)?;
        match self
            .disk
            .stat(&blob_path(digest))
            .map_err(failed("look for content"))?
        {
            Some(_) => Ok(pin),
            None => Err(BlobError::Absent),
        }
    }

    fn forget(&self, key: &UploadKey) -> Result<(), BlobError> {
        let mut running = self.running.lock().map_err(|_| lost("end an upload"))?;
        running.remove(key);
        Ok(())
    }

    pub(super) fn drop_upload(&self, key: &UploadKey) -> Result<(), BlobError> {
        self.forget(key)?;
        self.disk
            .remove_file(&upload_path(key))
            .map_err(failed("drop an upload"))
    }
}
