//! Sends frames from the spool until the stream is over and everything is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use dcanary_protocol::FRAMES_BYTES;
use dcanary_protocol::frame::Acked;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use super::{Once, Pause, Refusal, Server, TRADES};
use crate::spool::{Batch, Spool, SpoolError};

/// A batch goes out at the latest this long after its first frame …
const AGE: Duration = Duration::from_millis(100);
/// … or as soon as it has this size.
const FULL: u64 = 256 << 10;
/// What `{"first":…,"frames":[]}` may take of a request.
const ENVELOPE: usize = 64;

/// Why the stream cannot go on.
#[derive(Debug, Error)]
pub(crate) enum SendError {
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Spool(#[from] SpoolError),
}

/// Runs until the spool is finished and empty.
pub(crate) async fn run(server: Server, spool: Arc<Spool>) -> Result<(), SendError> {
    let url = server.address(&["frames"]);
    loop {
        let waiting = spool.waiting();
        match waiting.since {
            None if waiting.finished => return Ok(()),
            None => {
                spool.changed().await;
                continue;
            }
            Some(since) if waiting.bytes < FULL && !waiting.finished && Instant::now() < since + AGE => {
                tokio::select! {
                    () = sleep_until(since + AGE) => {}
                    () = spool.changed() => {}
                }
                continue;
            }
            Some(_) => {}
        }
        send(&server, &url, &spool).await?;
    }
}

/// Sends the oldest frames until the server has acknowledged some of them.
async fn send(server: &Server, url: &Url, spool: &Spool) -> Result<(), SendError> {
    let mut pause = Pause::new();
    let before = spool.acked();
    let mut trades = 0;
    while spool.acked() == before {
        let Some(batch) = spool.batch(FRAMES_BYTES - ENVELOPE)? else {
            return Ok(());
        };
        let body = bytes::Bytes::from(request(&batch));
        let answer = server
            .once(Method::POST, url, |request| {
                request
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.clone())
            })
            .await;
        let mut asked = None;
        match answer {
            Once::Answer(response) => {
                if let Ok(Acked { acked }) = response.json().await {
                    spool.acknowledge(acked)?;
                }
            }
            Once::Later(later) => asked = later,
            // The server has another number than we thought: go on from there, or learn that it lost synced frames.
            Once::No(Refusal {
                status: 409,
                acked: Some(acked),
                ..
            }) => spool.acknowledge(acked)?,
            Once::No(refusal) if refusal.status == 401 && trades < TRADES => {
                trades += 1;
                server.trade_again().await?;
            }
            Once::No(refusal) => return Err(refusal.into()),
        }
        if spool.acked() == before {
            pause.wait(asked).await;
        }
    }
    Ok(())
}

fn request(batch: &Batch) -> Vec<u8> {
    let size: usize = batch.frames.iter().map(|frame| frame.len() + 1).sum();
    let mut body = Vec::with_capacity(size + ENVELOPE);
    body.extend_from_slice(format!("{{\"first\":{},\"frames\":[", batch.first).as_bytes());
    for (number, frame) in batch.frames.iter().enumerate() {
        if number > 0 {
            body.push(b',');
        }
        body.extend_from_slice(frame);
    }
    body.extend_from_slice(b"]}");
    body
}
