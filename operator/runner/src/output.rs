//! Reads one output stream of a step until its end.

use std::os::fd::OwnedFd;
use std::time::Duration;

use dcanary_protocol::frame::Stream;
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::time::{Instant, sleep_until};

use crate::journal::Journal;
use crate::spool::SpoolError;

/// How long a complete line waits for a decision whether its end is the beginning of a secret.
const HOLD: Duration = Duration::from_millis(100);
const BUFFER: usize = 64 << 10;

/// Copies everything that arrives into the journal.
pub(crate) async fn forward(
    pipe: OwnedFd,
    journal: Journal,
    step: u32,
    stream: Stream,
) -> Result<(), SpoolError> {
    let Ok(mut pipe) = Receiver::from_owned_fd(pipe) else {
        return Ok(());
    };
    let mut masker = journal.masks().stream();
    let mut buffer = vec![0; BUFFER];
    let mut deadline: Option<Instant> = None;
    loop {
        let mut lines = Vec::new();
        let wait = async {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = wait => masker.flush_lines(&mut lines),
            read = pipe.read(&mut buffer) => match read {
                Ok(0) | Err(_) => break,
                Ok(length) => masker.feed(&buffer[..length], &mut lines),
            },
        }
        deadline = masker
            .holds_line()
            .then(|| deadline.filter(|at| *at > Instant::now()))
            .map(|at| at.unwrap_or_else(|| Instant::now() + HOLD));
        journal.lines(step, stream, lines).await?;
    }
    let mut lines = Vec::new();
    masker.finish(&mut lines);
    journal.lines(step, stream, lines).await
}
