//! Writes what happens to the spool and to the container's own output.

use std::sync::Arc;

use dcanary_protocol::frame::{Frame, StepEnd, Stream};
use tokio::sync::{mpsc, oneshot};

use crate::mask::{Line, Masks};
use crate::spool::{Rejection, Spool, SpoolError};

/// Lines that may wait for a slow container log.
const CONSOLE_LINES: usize = 4096;

enum Console {
    Text(String),
    Flush(oneshot::Sender<()>),
}

/// The stream of an attempt. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Journal {
    spool: Arc<Spool>,
    masks: Masks,
    console: mpsc::Sender<Console>,
}

/// The present time as the protocol writes it.
pub(crate) fn now() -> String {
    format!("{:.9}", jiff::Timestamp::now())
}

impl Journal {
    pub(crate) fn new(spool: Arc<Spool>, masks: Masks) -> std::io::Result<Self> {
        let (console, mut texts) = mpsc::channel(CONSOLE_LINES);
        // A thread of its own: the container log may block, the tasks of the runtime may not.
        std::thread::Builder::new()
            .name("console".into())
            .spawn(move || {
                use std::io::Write;
                let mut output = std::io::BufWriter::new(std::io::stdout());
                while let Some(text) = texts.blocking_recv() {
                    match text {
                        // Nobody may be reading; the stream to the server counts.
                        Console::Text(text) => drop(output.write_all(text.as_bytes())),
                        Console::Flush(done) => {
                            let _ = output.flush();
                            let _ = done.send(());
                        }
                    }
                    if texts.is_empty() {
                        let _ = output.flush();
                    }
                }
            })?;
        Ok(Self {
            spool,
            masks,
            console,
        })
    }

    pub(crate) fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Frames that the server did not take so far.
    pub(crate) fn rejections(&self) -> Vec<Rejection> {
        self.spool.rejections()
    }

    /// Lines of a step's output, masked already.
    pub(crate) async fn lines(&self, step: u32, stream: Stream, lines: Vec<Line>) -> Result<(), SpoolError> {
        if lines.is_empty() {
            return Ok(());
        }
        let time = now();
        let mut console = String::new();
        for line in lines {
            console.push_str(&line.text);
            if !line.partial {
                console.push('\n');
            }
            let Line { text, partial } = line;
            self.spool
                .push(&Frame::Log {
                    step,
                    stream,
                    time: time.clone(),
                    line: text,
                    partial,
                })
                .await?;
        }
        self.print(console).await;
        Ok(())
    }

    /// A remark that must not wait: it goes to the container's log, and to the stream if that has room.
    pub(crate) fn remark(&self, step: u32, text: &str) {
        let line = self.masks.text(&format!("dcanary: {text}")).replace('\n', " ");
        let _ = self.console.try_send(Console::Text(format!("{line}\n")));
        self.spool.offer(&Frame::Log {
            step,
            stream: Stream::Stderr,
            time: now(),
            line,
            partial: false,
        });
    }

    /// A remark of the runner.
    pub(crate) async fn note(&self, step: u32, text: &str) -> Result<(), SpoolError> {
        let text = self.masks.text(&format!("dcanary: {text}"));
        let lines = text
            .lines()
            .map(|line| Line {
                text: line.to_owned(),
                partial: false,
            })
            .collect();
        self.lines(step, Stream::Stderr, lines).await
    }

    pub(crate) async fn started(&self, step: u32, name: &str, time: &str) -> Result<(), SpoolError> {
        self.print(format!("dcanary: step {name}\n")).await;
        self.spool
            .push(&Frame::StepStarted {
                step,
                name: name.to_owned(),
                time: time.to_owned(),
            })
            .await
            .map(drop)
    }

    pub(crate) async fn finished(
        &self,
        step: u32,
        name: &str,
        time: &str,
        end: StepEnd,
    ) -> Result<(), SpoolError> {
        if let Some(message) = &end.message {
            self.print(format!("dcanary: step {name}: {message}\n")).await;
        }
        let (name, time) = (name.to_owned(), time.to_owned());
        self.spool
            .push(&Frame::StepFinished {
                step,
                name,
                time,
                end,
            })
            .await
            .map(drop)
    }

    /// A result; answers the number of its frame.
    pub(crate) async fn result(&self, name: &str, value: &str) -> Result<u64, SpoolError> {
        self.spool
            .push(&Frame::Result {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .await
    }

    async fn print(&self, text: String) {
        // The thread lives as long as the journal.
        let _ = self.console.send(Console::Text(text)).await;
    }

    /// Waits until the container log has everything.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        if self.console.send(Console::Flush(done)).await.is_ok() {
            let _ = tokio::time::timeout(std::time::Duration::from_secs(2), flushed).await;
        }
    }
}
