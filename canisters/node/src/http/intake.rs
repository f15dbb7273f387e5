//! Bodies of requests: how long they may take, how large they may be, and how much of them is held at once.

use super::MAX_BODY;
use super::serve::ConnectionLimits;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

/// Bodies up to this need no room: so many for each connection are little, and who fills the room with large ones keeps no
/// small one out.
const SMALL: usize = 64 << 10;

/// See the module documentation.
#[derive(Debug, Clone)]
pub struct Intake {
    patience: Duration,
    /// Bytes that there is still room for.
    room: Arc<Semaphore>,
}

impl Intake {
    /// With all of its room.
    pub fn new(limits: &ConnectionLimits) -> Self {
        // With less than this the largest would wait in vain.
        let room = limits.bodies.clamp(MAX_BODY, Semaphore::MAX_PERMITS);
        Self {
            patience: limits.body,
            room: Arc::new(Semaphore::new(room)),
        }
    }
}

/// A body and its room, which is free again when nobody holds the bytes any more.
struct Held {
    bytes: Vec<u8>,
    _room: Option<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a body is not taken.
enum Refusal {
    Late,
    NoRoom,
    TooLarge,
    /// Or the client is gone, and nobody reads this.
    Malformed,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
            Self::NoRoom => (
                StatusCode::SERVICE_UNAVAILABLE,
                "the node holds as many bytes of other requests as it has room for; try again later",
            ),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than 4 MiB"),
            Self::Malformed => (StatusCode::BAD_REQUEST, "the body cannot be read"),
        }
        .into_response()
    }
}

/// Reads the body within its time and size before anything else looks at the request.
pub async fn take_body(State(intake): State<Intake>, request: Request, next: Next) -> Response {
    let (head, mut body) = request.into_parts();
    match intake.take(&mut body).await {
        Ok(bytes) => next.run(Request::from_parts(head, Body::from(bytes))).await,
        Err(refusal) => refusal.into_response(),
    }
}

impl Intake {
    async fn take(&self, body: &mut Body) -> Result<Bytes, Refusal> {
        if body.is_end_stream() {
            return Ok(Bytes::new());
        }
        let deadline = Instant::now() + self.patience;
        let announced = body.size_hint().exact();
        let most = match announced.map(usize::try_from) {
            // In parts: nobody knows.
            None => MAX_BODY,
            Some(Ok(len)) if len <= MAX_BODY => len,
            Some(_) => {
                // Clients that still write would not see an answer that the end of the connection overtakes.
                let _ = timeout_at(deadline, skip(body, MAX_BODY)).await;
                return Err(Refusal::TooLarge);
            }
        };
        // Who announces much and sends nothing keeps no room from others.
        let mut begun = Vec::new();
        let room = if most <= SMALL
            || !timeout_at(deadline, begin(body, &mut begun))
                .await
                .map_err(|_| Refusal::Late)??
        {
            None
        } else {
            // It is MAX_BODY at most.
            let bytes = u32::try_from(most).map_err(|_| Refusal::TooLarge)?;
            let room = timeout_at(deadline, self.room.clone().acquire_many_owned(bytes)).await;
            Some(room.map_err(|_| Refusal::NoRoom)?.map_err(|_| Refusal::NoRoom)?)
        };
        // All at once when its length is known, so that it is never copied to grow.
        let capacity = if announced.is_some() { most } else { SMALL };
        let bytes = timeout_at(deadline, read(body, begun, capacity))
            .await
            .map_err(|_| Refusal::Late)??;
        Ok(Bytes::from_owner(Held { bytes, _room: room }))
    }
}

async fn part(body: &mut Body) -> Result<Option<Bytes>, Refusal> {
    loop {
        match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            None => return Ok(None),
            Some(Err(_)) => return Err(Refusal::Malformed),
            Some(Ok(frame)) => {
                // Trailers say nothing.
                if let Ok(bytes) = frame.into_data() {
                    return Ok(Some(bytes));
                }
            }
        }
    }
}

/// Reads until there is more than every body may have; `false` when there is no more.
async fn begin(body: &mut Body, bytes: &mut Vec<u8>) -> Result<bool, Refusal> {
    while bytes.len() <= SMALL {
        let Some(part) = part(body).await? else {
            return Ok(false);
        };
        bytes.extend_from_slice(&part);
    }
    Ok(true)
}

/// Reads the rest.
async fn read(body: &mut Body, mut bytes: Vec<u8>, capacity: usize) -> Result<Vec<u8>, Refusal> {
    bytes.reserve(capacity.saturating_sub(bytes.len()));
    while let Some(part) = part(body).await? {
        if bytes.len() + part.len() > MAX_BODY {
            return Err(Refusal::TooLarge);
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes)
}

async fn skip(body: &mut Body, most: usize) {
    let mut skipped = 0;
    while skipped < most {
        match part(body).await {
            Ok(Some(part)) => skipped += part.len(),
            _ => return,
        }
    }
}
