//! HTTP whose answers are waited for only as long as the step goes on. The library's client itself waits for a silent server until its
//! limit for silence.

use std::any::Any;
use std::io::{BufRead, Error, ErrorKind, Read, Result};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use gix::protocol::transport::client::blocking_io::http::reqwest::Remote;
use gix::protocol::transport::client::blocking_io::http::{
    GetResponse, Http, PostBodyDataKind, PostResponse,
};

use crate::interrupt::Interrupt;

/// How often a reader looks whether its step is given up.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// The library's client, of which nobody waits for an answer any more when the step is given up.
pub(super) struct Client {
    inner: Remote,
    interrupt: Interrupt,
}

impl Client {
    pub(super) fn new(interrupt: Interrupt) -> Self {
        Self {
            inner: Remote::default(),
            interrupt,
        }
    }

    fn answer(&self, part: impl BufRead + Send + 'static) -> std::result::Result<Answer, gix::Error> {
        Answer::of(part, self.interrupt.clone()).map_err(gix::Error::from_error)
    }
}

impl Http for Client {
    type Headers = Answer;
    type ResponseBody = Answer;
    type PostBody = <Remote as Http>::PostBody;

    fn get(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> std::result::Result<GetResponse<Answer, Answer>, gix::Error> {
        let response = self.inner.get(url, base_url, headers)?;
        Ok(GetResponse {
            headers: self.answer(response.headers)?,
            body: self.answer(response.body)?,
        })
    }

    fn post(
        &mut self,
        url: &str,
        base_url: &str,
        headers: impl IntoIterator<Item = impl AsRef<str>>,
        body: PostBodyDataKind,
    ) -> std::result::Result<PostResponse<Answer, Answer, Self::PostBody>, gix::Error> {
        let response = self.inner.post(url, base_url, headers, body)?;
        Ok(PostResponse {
            post_body: response.post_body,
            headers: self.answer(response.headers)?,
            body: self.answer(response.body)?,
        })
    }

    fn configure(&mut self, config: &dyn Any) -> std::result::Result<(), gix::Error> {
        self.inner.configure(config)
    }

    fn redirected_base_url(&self) -> Option<String> {
        self.inner.redirected_base_url()
    }
}

/// Headers or body of an answer. A thread that knows nothing of the workspace waits for them; it ends when they come after nobody wants
/// them any more.
pub(super) struct Answer {
    pieces: Receiver<Result<Vec<u8>>>,
    piece: Vec<u8>,
    used: usize,
    interrupt: Interrupt,
}

impl Answer {
    fn of(mut part: impl BufRead + Send + 'static, interrupt: Interrupt) -> Result<Self> {
        let (sender, pieces) = sync_channel(1);
        let reading = move || {
            loop {
                let piece = match part.fill_buf() {
                    Ok([]) => return,
                    Ok(bytes) => Ok(bytes.to_vec()),
                    Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let length = piece.as_ref().map_or(0, Vec::len);
                if sender.send(piece).is_err() || length == 0 {
                    return;
                }
                part.consume(length);
            }
        };
        std::thread::Builder::new()
            .name("git answer".into())
            .spawn(reading)?;
        Ok(Self {
            pieces,
            piece: Vec::new(),
            used: 0,
            interrupt,
        })
    }
}

impl BufRead for Answer {
    fn fill_buf(&mut self) -> Result<&[u8]> {
        self.interrupt.check().map_err(Error::other)?;
        while self.used >= self.piece.len() {
            match self.pieces.recv_timeout(LOOK) {
                Ok(piece) => {
                    self.piece = piece?;
                    self.used = 0;
                }
                Err(RecvTimeoutError::Timeout) => self.interrupt.check().map_err(Error::other)?,
                Err(RecvTimeoutError::Disconnected) => return Ok(&[]),
            }
        }
        Ok(&self.piece[self.used..])
    }

    fn consume(&mut self, count: usize) {
        self.used += count;
    }
}

impl Read for Answer {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        let read = self.fill_buf()?.read(buffer)?;
        self.consume(read);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Gives its bytes, then fails.
    struct Fails(&'static [u8]);

    impl Read for Fails {
        fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
            match self.0.read(buffer)? {
                0 => Err(ErrorKind::PermissionDenied.into()),
                read => Ok(read),
            }
        }
    }

    /// Never answers.
    struct Silent(Receiver<()>);

    impl Read for Silent {
        fn read(&mut self, _: &mut [u8]) -> Result<usize> {
            let _ = self.0.recv();
            Ok(0)
        }
    }

    #[test]
    fn an_answer_comes_through_to_the_byte_and_ends_where_it_ends() {
        let bytes: Vec<u8> = (0..100_000_u32).flat_map(u32::to_le_bytes).collect();
        let part = BufReader::new(std::io::Cursor::new(bytes.clone()));
        let mut read = Vec::new();
        Answer::of(part, Interrupt::default())
            .unwrap()
            .read_to_end(&mut read)
            .unwrap();
        assert!(read == bytes);
    }

    #[test]
    fn a_failure_keeps_its_kind_which_says_whether_credentials_are_asked_for() {
        let mut answer = Answer::of(BufReader::new(Fails(b"begin")), Interrupt::default()).unwrap();
        let mut begin = [0; 5];
        answer.read_exact(&mut begin).unwrap();
        assert_eq!(&begin, b"begin");
        let error = answer.read(&mut [0; 5]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    }

    #[test]
    fn waiting_for_an_answer_ends_with_the_step() {
        let (_sender, never) = std::sync::mpsc::channel();
        let interrupt = Interrupt::default();
        let mut answer = Answer::of(BufReader::new(Silent(never)), interrupt.clone()).unwrap();
        let giving_up = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(50));
            interrupt.set();
        });
        let error = answer.read(&mut [0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "interrupted");
        giving_up.join().unwrap();
    }
}
