//! Sends frames from the spool until the stream is over and everything is acknowledged.

use std::sync::Arc;
use std::time::Duration;

use dcanary_protocol::FRAMES_BYTES;
use dcanary_protocol::frame::{Acked, Frame, Stream};
use dcanary_protocol::limits::MESSAGE_BYTES;
use reqwest::header::CONTENT_TYPE;
use reqwest::{Method, Url};
use thiserror::Error;
use tokio::time::{Instant, sleep_until};

use super::waiting::Later;
use super::{Once, Refusal, Server, TRADES, broken};
use crate::journal::now;
use crate::spool::{Batch, Spool, SpoolError};
use crate::text::cut;

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
    let mut pause = server.pause();
    let before = spool.acked();
    let mut trades = 0;
    let mut count = usize::MAX;
    while spool.acked() == before {
        let Some(batch) = spool.batch(FRAMES_BYTES - ENVELOPE, count)? else {
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
        let later = match answer {
            Once::Answer(response) => match response.json().await {
                Ok(Acked { acked }) => {
                    spool.acknowledge(acked)?;
                    // It took nothing of the request, which no server does.
                    Later::because("nothing acknowledged")
                }
                Err(_) => broken(),
            },
            Once::Later(later) => later,
            // The server has another number than we thought: go on from there, or learn that it lost synced frames.
            Once::No(Refusal {
                status: 409,
                acked: Some(acked),
                ..
            }) => {
                spool.acknowledge(acked)?;
                Later::because("gap")
            }
            Once::No(refusal) if refusal.status == 401 && trades < TRADES => {
                trades += 1;
                server.trade_again().await?;
                refusal.later()
            }
            Once::No(refusal) if is_about_a_frame(&refusal) => {
                // Which frame it is shows only when it is sent alone.
                if let [frame] = batch.frames.as_slice() {
                    if spool
                        .rejections()
                        .last()
                        .is_some_and(|last| last.number == batch.first)
                    {
                        return Err(refusal.into());
                    }
                    spool.reject_first(&substitute(frame, &refusal), &said(&refusal))?;
                }
                count = (batch.frames.len() / 2).max(1);
                continue;
            }
            Once::No(refusal) => return Err(refusal.into()),
        };
        if spool.acked() == before {
            pause.wait(&later).await;
        }
    }
    Ok(())
}

/// A limit of the server, or a frame that it does not allow: nothing that repeating changes, and nothing that other frames have to suffer for.
fn is_about_a_frame(refusal: &Refusal) -> bool {
    matches!(refusal.status, 413 | 422)
}

fn said(refusal: &Refusal) -> String {
    cut(&refusal.said(), MESSAGE_BYTES).to_owned()
}

/// A line of output in the place of a frame that is not taken, because numbers have no gaps.
fn substitute(json: &[u8], refusal: &Refusal) -> Frame {
    let what = match serde_json::from_slice(json) {
        Ok(Frame::Result { name, .. }) => format!("the result `{name}`"),
        Ok(Frame::StepStarted { name, .. } | Frame::StepFinished { name, .. }) => {
            format!("news of step {name}")
        }
        _ => "a line".to_owned(),
    };
    Frame::Log {
        step: 0,
        stream: Stream::Stderr,
        time: now(),
        line: format!("dcanary: the server does not take {what}: {}", said(refusal)),
        partial: false,
    }
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
