//! The server's stream of lines, opened again when it breaks off while it is followed.

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use tokio::time::{Instant, sleep, timeout};

use super::printed::Printed;
use crate::{exit::Failure, output::note, render::logs::Line};

/// How a broken stream is opened again.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// First pause; it doubles.
    pub pause: Duration,
    /// Longest pause.
    pub longest: Duration,
    /// No longer than this without a stream that shows something new or stands for that long.
    pub in_vain: Duration,
}

/// A server that is rolled is back within seconds; a node that is drained gives its volume to another one within a minute.
pub const PATIENCE: Patience = Patience {
    pause: Duration::from_millis(500),
    longest: Duration::from_secs(5),
    in_vain: Duration::from_secs(60),
};

/// Shows the lines of a stream to its end. One that breaks off is opened again where there is patience.
///
/// # Errors
/// Why it broke off, or could not be opened.
pub async fn show<S>(
    mut open: impl AsyncFnMut() -> Result<S, Failure>,
    patience: Option<Patience>,
    printed: &mut Printed,
    mut show: impl FnMut(&Line),
) -> Result<(), Failure>
where
    S: Stream<Item = Result<Vec<u8>, Failure>> + Unpin,
{
    let mut stream = open().await?;
    let mut broken: Option<(Instant, Duration)> = None;
    loop {
        let (began, before) = (Instant::now(), printed.lines());
        let Err(mut failure) = drain(stream, printed, &mut show).await else {
            return Ok(());
        };
        let Some(patience) = patience else {
            return Err(failure);
        };
        if printed.lines() > before || began.elapsed() >= patience.in_vain {
            broken = None;
        }
        if broken.is_none() {
            note(&format!("{failure}; opening it again"));
        }
        let (since, mut pause) = broken.unwrap_or_else(|| (Instant::now(), patience.pause));
        stream = loop {
            let left = patience.in_vain.saturating_sub(since.elapsed());
            if left.is_zero() {
                return Err(Failure::cannot_tell(format!(
                    "{failure}; tried for {} s to open it again",
                    patience.in_vain.as_secs()
                )));
            }
            sleep(pause.min(left)).await;
            pause = (pause * 2).min(patience.longest);
            match timeout(left, open()).await {
                Ok(Ok(stream)) => break stream,
                Ok(Err(source)) => failure = source,
                Err(_) => {}
            }
        };
        broken = Some((since, pause));
        printed.begin_again();
    }
}

async fn drain(
    mut stream: impl Stream<Item = Result<Vec<u8>, Failure>> + Unpin,
    printed: &mut Printed,
    show: &mut impl FnMut(&Line),
) -> Result<(), Failure> {
    while let Some(bytes) = stream.next().await {
        match serde_json::from_slice::<Line>(&bytes?) {
            Ok(line) => printed.take(line).iter().for_each(&mut *show),
            Err(source) => note(&format!("the server sent a line that is none: {source}")),
        }
    }
    printed.rest().iter().for_each(show);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use futures::stream;

    use super::*;

    const SHORT: Patience = Patience {
        pause: Duration::from_millis(1),
        longest: Duration::from_millis(2),
        in_vain: Duration::from_millis(200),
    };

    fn broke() -> Failure {
        Failure::cannot_tell("the connection to the server broke")
    }

    type Sent = Vec<Result<Vec<u8>, Failure>>;

    /// Lines of one stage; `None` is where the connection breaks.
    fn sent(texts: &[Option<&str>]) -> Sent {
        let line = |text: Option<&str>| match text {
            Some(text) => Ok(
                serde_json::json!({"stage": "a", "attempt": 1, "stream": "stdout", "line": text})
                    .to_string()
                    .into_bytes(),
            ),
            None => Err(broke()),
        };
        texts.iter().copied().map(line).collect()
    }

    /// What is shown of what each opening gives, after which none can be opened; and how it ends.
    async fn shown(
        openings: Vec<Result<Sent, Failure>>,
        patience: Option<Patience>,
    ) -> (Vec<String>, Result<(), Failure>) {
        let mut openings = VecDeque::from(openings);
        let mut lines = Vec::new();
        let open = async || match openings.pop_front() {
            Some(opening) => opening.map(stream::iter),
            None => Err(broke()),
        };
        let ended = show(open, patience, &mut Printed::default(), |line| {
            lines.push(line.line.clone());
        })
        .await;
        (lines, ended)
    }

    #[tokio::test]
    async fn a_followed_stream_that_breaks_off_goes_on_without_loss_and_without_doubles() {
        let (lines, ended) = shown(
            vec![
                Ok(sent(&[Some("1"), Some("2"), None])),
                Err(broke()),
                Ok(sent(&[Some("1"), None])),
                Ok(sent(&[Some("1"), Some("2"), Some("3"), None])),
                Ok(sent(&[Some("1"), Some("2"), Some("3"), Some("4")])),
            ],
            Some(SHORT),
        )
        .await;
        assert_eq!(lines, ["1", "2", "3", "4"]);
        assert_eq!(ended, Ok(()));
    }

    #[tokio::test]
    async fn a_followed_stream_that_stays_broken_ends_with_exit_code_5() {
        let (lines, ended) = shown(vec![Ok(sent(&[Some("1"), None]))], Some(SHORT)).await;
        assert_eq!(lines, ["1"]);
        let failure = ended.unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::CannotTell);
        assert!(failure.message.contains("broke") && failure.message.contains("to open it again"));
    }

    #[tokio::test]
    async fn a_server_that_answers_and_breaks_off_again_and_again_is_given_up() {
        let opened = std::cell::Cell::new(0_u32);
        let open = async || {
            opened.set(opened.get() + 1);
            Ok(stream::iter(sent(&[Some("1"), None])))
        };
        let mut printed = Printed::default();
        let all = show(open, Some(SHORT), &mut printed, |_| {});
        let ended = timeout(Duration::from_secs(20), all)
            .await
            .expect("it is given up");
        assert!(ended.is_err());
        assert!(opened.get() > 2);
    }

    #[tokio::test]
    async fn a_stream_that_is_not_followed_is_not_opened_again() {
        let whole = sent(&[Some("1"), Some("2")]);
        let (lines, ended) = shown(vec![Ok(sent(&[Some("1"), None])), Ok(whole.clone())], None).await;
        assert_eq!((lines, ended), (vec!["1".to_owned()], Err(broke())));
        let (lines, ended) = shown(vec![Ok(whole)], None).await;
        assert_eq!((lines.len(), ended), (2, Ok(())));
    }
}
