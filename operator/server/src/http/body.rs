//! Bodies: limited in size and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures::{Stream, StreamExt};
use http_body_util::BodyExt;
use serde::de::DeserializeOwned;

use super::problem::Refusal;

/// After a refusal, this much of the body is read and dropped, so that the client gets to read the answer.
const DRAIN_BYTES: usize = 16 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(2);

/// Reads a JSON body.
///
/// # Errors
/// Too large, too slow, broken, or not the expected JSON.
pub async fn json<T: DeserializeOwned>(body: Body, limit: usize, time: Duration) -> Result<T, Refusal> {
    let bytes = whole(body, limit, time).await?;
    serde_json::from_slice(&bytes).map_err(|error| Refusal::new(400, "bad-json", error.to_string()))
}

/// Reads a whole body.
///
/// # Errors
/// Too large, too slow or broken.
pub async fn whole(mut body: Body, limit: usize, time: Duration) -> Result<Bytes, Refusal> {
    let read = async {
        let mut bytes = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::new(400, "broken", "the connection broke"))?;
            if let Ok(data) = frame.into_data() {
                if bytes.len() + data.len() > limit {
                    return Ok(None);
                }
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<_, Refusal>(Some(bytes))
    };
    match tokio::time::timeout(time, read).await {
        Ok(Ok(Some(bytes))) => Ok(bytes.into()),
        Ok(Ok(None)) => {
            drain(&mut body.into_data_stream()).await;
            Err(Refusal::new(
                413,
                "too-large",
                format!("the body is limited to {limit} bytes"),
            ))
        }
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::new(
            408,
            "slow",
            format!("the body did not arrive in {} s", time.as_secs()),
        )),
    }
}

/// Drops the rest of a body.
pub async fn drain<E>(bytes: &mut (impl Stream<Item = Result<Bytes, E>> + Unpin)) {
    let mut dropped = 0;
    let read = async {
        while let Some(Ok(piece)) = bytes.next().await {
            dropped += piece.len();
            if dropped > DRAIN_BYTES {
                break;
            }
        }
    };
    drop(tokio::time::timeout(DRAIN_TIME, read).await);
}
