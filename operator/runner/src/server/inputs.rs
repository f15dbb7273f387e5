//! Fetches what earlier stages stored.

use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use dcanary_protocol::plan::Input;
use futures::StreamExt;
use reqwest::{Method, Response};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::waiting::Later;
use super::{Refusal, Server};
use crate::workspace::{PathError, Workspace};

/// How often an answer may break off before the step fails.
const ATTEMPTS: u32 = 20;

/// Why something cannot be fetched.
#[derive(Debug, Error)]
pub(crate) enum FetchError {
    #[error("{}", .0.said())]
    Refused(#[from] Refusal),
    #[error("it is larger than {0} bytes")]
    TooLarge(u64),
    #[error("it has the digest {found} instead of {wanted}")]
    Digest { found: String, wanted: String },
    #[error("the download broke off {ATTEMPTS} times")]
    BrokeOff,
    #[error("it cannot be written: {0}")]
    Write(#[source] std::io::Error),
    #[error(transparent)]
    Path(#[from] PathError),
}

impl Server {
    /// Writes what has this digest into `file`, whole and checked.
    pub(crate) async fn fetch(
        &self,
        digest: &str,
        limit: u64,
        file: &mut std::fs::File,
    ) -> Result<(), FetchError> {
        let url = self.address(&["inputs", digest]);
        let mut pause = self.pause();
        for _ in 0..ATTEMPTS {
            file.seek(SeekFrom::Start(0))
                .and_then(|_| file.set_len(0))
                .map_err(FetchError::Write)?;
            let response = self.call(Method::GET, &url, |request| request).await?;
            match receive(response, limit, file).await? {
                Some(found) if found == digest => {
                    file.seek(SeekFrom::Start(0)).map_err(FetchError::Write)?;
                    return Ok(());
                }
                Some(found) => {
                    return Err(FetchError::Digest {
                        found,
                        wanted: digest.to_owned(),
                    });
                }
                None => pause.wait(&Later::because("the download broke off")).await,
            }
        }
        Err(FetchError::BrokeOff)
    }
}

/// Answers the digest of what came, or nothing when it broke off.
async fn receive(
    response: Response,
    limit: u64,
    file: &mut std::fs::File,
) -> Result<Option<String>, FetchError> {
    let mut hash = Sha256::new();
    let mut size = 0;
    let mut pieces = response.bytes_stream();
    while let Some(piece) = pieces.next().await {
        let Ok(piece) = piece else { return Ok(None) };
        size += piece.len() as u64;
        if size > limit {
            return Err(FetchError::TooLarge(limit));
        }
        hash.update(&piece);
        file.write_all(&piece).map_err(FetchError::Write)?;
    }
    Ok(Some(format!("sha256:{}", hex::encode(hash.finalize()))))
}

/// Puts the large results of earlier stages where steps find them.
pub(crate) async fn provide(
    server: &Server,
    workspace: &Workspace,
    inputs: &[Input],
    limit: u64,
) -> Result<(), String> {
    for input in inputs {
        let failed = |error: FetchError| format!("result {} of stage {}: {error}", input.name, input.stage);
        provide_one(server, workspace, input, limit)
            .await
            .map_err(failed)?;
    }
    Ok(())
}

async fn provide_one(
    server: &Server,
    workspace: &Workspace,
    input: &Input,
    limit: u64,
) -> Result<(), FetchError> {
    for name in [&input.stage, &input.name] {
        if name.is_empty() || name.contains('/') || name == "." || name == ".." {
            return Err(PathError::Outside(name.clone()).into());
        }
    }
    let folder = workspace.own("inputs").join(&input.stage);
    std::fs::create_dir_all(&folder).map_err(FetchError::Write)?;
    let mut file = tempfile::NamedTempFile::new_in(&folder).map_err(FetchError::Write)?;
    server.fetch(&input.digest, limit, file.as_file_mut()).await?;
    publish(file, &folder.join(&input.name)).map_err(FetchError::Write)
}

/// Gives a complete file its name and the usual mode.
pub(crate) fn publish(file: tempfile::NamedTempFile, path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.persist(path).map(drop).map_err(|error| error.error)
}
