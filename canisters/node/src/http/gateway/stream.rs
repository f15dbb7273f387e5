//! Bodies that a canister gives out in parts.
//!
//! A part is asked for when the one before is sent, so a slow client holds one part and no more.

use super::answer::{Callback, decode_part};
use super::query;
use crate::http::Api;
use bytes::Bytes;
use hyper::body::{Body, Frame};
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

/// Most parts of one body. A canister may go on for ever.
const MAX_PARTS: u32 = 10_000;

/// A part on its way, and where the next one is.
type Part = Pin<Box<dyn Future<Output = io::Result<(Bytes, Option<Callback>)>> + Send>>;

/// The beginning of a body and what its callback gives. An error cuts the connection, because the head has been sent.
pub struct Parts {
    api: Arc<Api>,
    /// The beginning, not sent yet.
    first: Option<Bytes>,
    rest: Option<Callback>,
    asked: Option<Part>,
    count: u32,
}

impl Parts {
    /// Begins with this, and goes on with the callback.
    pub fn new(api: Arc<Api>, first: Vec<u8>, rest: Callback) -> Self {
        Self {
            api,
            first: Some(first.into()),
            rest: Some(rest),
            asked: None,
            count: 0,
        }
    }

    /// Asks for the next part.
    fn ask(&mut self, callback: Callback) -> Part {
        self.count += 1;
        let (api, late) = (self.api.clone(), self.count > MAX_PARTS);
        Box::pin(async move {
            let Callback {
                canister,
                method,
                token,
            } = callback;
            if late {
                return Err(broken(&canister, &format!("it has more than {MAX_PARTS} parts")));
            }
            let (bytes, next) = query(&api, canister, &method, token)
                .await
                .map_err(|error| broken(&canister, &error.to_string()))
                .and_then(|reply| {
                    decode_part(&reply).map_err(|error| broken(&canister, &error.to_string()))
                })?;
            let next = next.map(|token| Callback {
                canister,
                method,
                token,
            });
            Ok((bytes.into(), next))
        })
    }
}

impl Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        let mut asked = match (self.asked.take(), self.rest.take()) {
            (Some(asked), _) => asked,
            (None, Some(callback)) => self.ask(callback),
            (None, None) => return Poll::Ready(None),
        };
        let Poll::Ready(part) = asked.as_mut().poll(context) else {
            self.asked = Some(asked);
            return Poll::Pending;
        };
        Poll::Ready(Some(part.map(|(bytes, next)| {
            self.rest = next;
            Frame::data(bytes)
        })))
    }
}

fn broken(canister: &ic_principal::Principal, reason: &str) -> io::Error {
    tracing::warn!(%canister, reason, "a streamed body was cut off");
    io::Error::other(reason.to_owned())
}
