//! Uploads that go on where the server has them, whatever happens to it meanwhile.

use bytes::Bytes;
use dcanary_protocol::report::{ArtifactKind, Stored, UploadComplete};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{Once, Refusal, Server, broken};
use crate::tarball::archive::{Body, Reader};

/// Bytes of one request.
const PART: usize = 8 << 20;
/// How often the server may have lost a finished upload.
const COMPLETIONS: u32 = 100;
/// Header with the number of bytes that the server has.
const OFFSET: &str = "upload-offset";

/// Why an artifact is not stored.
#[derive(Debug, Error)]
pub(crate) enum UploadError {
    #[error("it has {size} bytes; the limit is {limit}")]
    TooLarge { size: u64, limit: u64 },
    #[error("it cannot be read: {0}")]
    Read(#[source] std::io::Error),
    #[error("{}", .0.said())]
    Refused(#[from] Refusal),
    #[error("the server has {offset} bytes of it, but only {sent} were sent: the name is taken")]
    Foreign { offset: u64, sent: u64 },
    #[error("the server stored {stored}, but {sent} was sent")]
    Digest { stored: String, sent: String },
    #[error("the server lost it {COMPLETIONS} times")]
    Lost,
}

/// What is uploaded.
#[derive(Debug, Clone)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kind: ArtifactKind,
    pub(crate) media_type: &'static str,
    pub(crate) file_name: Option<String>,
    pub(crate) reference: Option<String>,
    pub(crate) body: Body,
}

/// Bytes that were read, with the digest of everything up to the farthest one.
struct Progress {
    reader: Reader,
    hash: Sha256,
    hashed: u64,
}

impl Progress {
    /// Reads the part at `offset`. Bytes that are sent a second time are not hashed a second time.
    fn part(&mut self, offset: u64) -> std::io::Result<Bytes> {
        let mut buffer = vec![0; PART];
        let read = self.reader.read_at(offset, &mut buffer)?;
        buffer.truncate(read);
        let known = usize::try_from(self.hashed.saturating_sub(offset)).unwrap_or(usize::MAX);
        if let Some(fresh) = buffer.get(known..) {
            self.hash.update(fresh);
            self.hashed += fresh.len() as u64;
        }
        Ok(buffer.into())
    }
}

impl Server {
    /// Stores an artifact; waits as long as the server is away.
    pub(crate) async fn upload(&self, item: Item, limit: u64) -> Result<Stored, UploadError> {
        let size = item.body.length();
        if size > limit {
            return Err(UploadError::TooLarge { size, limit });
        }
        let url = self.address(&["uploads", &item.name]);
        let complete_url = self.address(&["uploads", &item.name, "complete"]);
        let mut progress = Progress {
            reader: Reader::new(item.body.clone()),
            hash: Sha256::new(),
            hashed: 0,
        };
        let mut offset = 0;
        let mut pause = self.pause();
        for _ in 0..COMPLETIONS {
            progress = self.send_from(&url, progress, offset, size).await?;
            let digest = format!("sha256:{}", hex::encode(progress.hash.clone().finalize()));
            let complete = UploadComplete {
                kind: item.kind,
                size,
                digest: digest.clone(),
                media_type: item.media_type.to_owned(),
                file_name: item.file_name.clone(),
                reference: item.reference.clone(),
            };
            match self.complete(&complete_url, &complete).await {
                Ok(stored) if stored.digest == digest => return Ok(stored),
                Ok(stored) => {
                    return Err(UploadError::Digest {
                        stored: stored.digest,
                        sent: digest,
                    });
                }
                Err(refusal) if matches!(refusal.status, 404 | 409) => {
                    // A server that died may have lost the end of what it had taken, or, when it knows nothing of it, all of it.
                    offset = self.offset(&url).await?;
                    if offset >= size && !(size == 0 && refusal.status == 404) {
                        return Err(refusal.into());
                    }
                    pause.wait(&refusal.later()).await;
                }
                Err(refusal) => return Err(refusal.into()),
            }
        }
        Err(UploadError::Lost)
    }

    async fn send_from(
        &self,
        url: &Url,
        mut progress: Progress,
        mut offset: u64,
        size: u64,
    ) -> Result<Progress, UploadError> {
        let mut pause = self.pause();
        loop {
            if offset > progress.hashed {
                return Err(UploadError::Foreign {
                    offset,
                    sent: progress.hashed,
                });
            }
            // Reading may be slow, the other tasks must go on.
            let reading =
                tokio::task::spawn_blocking(move || progress.part(offset).map(|part| (progress, part)));
            let read = reading
                .await
                .unwrap_or_else(|error| Err(std::io::Error::other(error)));
            let (back, part) = read.map_err(UploadError::Read)?;
            progress = back;
            let length = part.len() as u64;
            let mut at = url.clone();
            at.query_pairs_mut().append_pair("offset", &offset.to_string());
            let answer = self
                .once(Method::PUT, &at, |request| {
                    request
                        .header(CONTENT_TYPE, "application/octet-stream")
                        .body(part.clone())
                })
                .await;
            let later = match answer {
                Once::Answer(_) => {
                    offset += length;
                    if offset >= size {
                        return Ok(progress);
                    }
                    pause = self.pause();
                    continue;
                }
                Once::Later(later) => later,
                Once::No(refusal) if refusal.status == 401 => {
                    self.trade_again().await?;
                    refusal.later()
                }
                Once::No(refusal) if refusal.status == 409 && refusal.reason == "offset" => refusal.later(),
                Once::No(refusal) => return Err(refusal.into()),
            };
            pause.wait(&later).await;
            offset = self.offset(url).await?;
            if offset >= size && size > 0 {
                return Ok(progress);
            }
        }
    }

    /// How much the server has.
    async fn offset(&self, url: &Url) -> Result<u64, Refusal> {
        match self.call(Method::HEAD, url, |request| request).await {
            Ok(answer) => {
                let value = answer.headers().get(OFFSET).and_then(|value| value.to_str().ok());
                Ok(value.and_then(|value| value.parse().ok()).unwrap_or_default())
            }
            Err(refusal) if refusal.status == 404 => Ok(0),
            Err(refusal) => Err(refusal),
        }
    }

    async fn complete(&self, url: &Url, complete: &UploadComplete) -> Result<Stored, Refusal> {
        let mut pause = self.pause();
        loop {
            let answer = self
                .call(Method::POST, url, |request| request.json(complete))
                .await?;
            if let Ok(stored) = answer.json().await {
                return Ok(stored);
            }
            pause.wait(&broken()).await;
        }
    }
}
