//! Reads the log of one attempt from where the last reading ended.

use std::io;

use dcanary_protocol::frame::Stream;

use super::LogLine;
use crate::attempts::log::{Line, segments};
use crate::attempts::record::Record;
use crate::store::blobs::PIECE;
use crate::store::disk::Disk;

/// Where a reader is.
#[derive(Debug, Clone)]
pub struct Tail {
    dir: String,
    stage: String,
    attempt: u32,
    segment: u64,
    offset: u64,
    last: u64,
    step: u32,
    time: String,
}

impl Tail {
    /// At the beginning of an attempt's log.
    pub fn new(record: &Record) -> Self {
        let run = record.run.as_ref();
        Self {
            dir: record.dir(),
            stage: run.map(|run| run.stage.clone()).unwrap_or_default(),
            attempt: run.map_or(0, |run| run.number),
            segment: 0,
            offset: 0,
            last: 0,
            step: 0,
            time: String::new(),
        }
    }

    /// Sends on some lines up to frame `acked`; empty when there are none left. Blocking.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn read(&mut self, disk: &dyn Disk, acked: u64, limit: u64) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        while out.len() < PIECE && self.last < acked {
            let segments = segments(disk, &self.dir)?;
            let Some(segment) = segments
                .iter()
                .find(|segment| segment.index >= self.segment.max(1))
            else {
                break;
            };
            if segment.index != self.segment {
                if self.segment > 0 && segment.index > self.segment + 1
                    || segment.index > self.segment.max(1) + 1
                {
                    self.mark(segment.first, limit, &mut out);
                }
                self.segment = segment.index;
                self.offset = 0;
            }
            let path = segment.path(&self.dir);
            let mut len = PIECE;
            let piece = loop {
                let piece = match disk.read_at(&path, self.offset, len) {
                    Ok(piece) => piece,
                    // Dropped just now; the next one is found with a gap before it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
                    Err(error) => return Err(error),
                };
                if piece.len() < len || piece.contains(&b'\n') {
                    break piece;
                }
                len *= 4;
            };
            let taken = self.lines(&piece, acked, &mut out);
            self.offset += taken;
            if taken == 0 {
                let later = segments.iter().find(|later| later.index > segment.index);
                if later.is_none_or(|later| later.first > acked) {
                    break;
                }
                self.skip_to_next(&segments, &mut out, limit);
            }
        }
        Ok(out)
    }

    fn skip_to_next(&mut self, segments: &[crate::attempts::log::Segment], out: &mut Vec<u8>, limit: u64) {
        if let Some(next) = segments.iter().find(|next| next.index > self.segment) {
            if next.index > self.segment + 1 {
                self.mark(next.first, limit, out);
            }
            self.segment = next.index;
            self.offset = 0;
        }
    }

    fn lines(&mut self, piece: &[u8], acked: u64, out: &mut Vec<u8>) -> u64 {
        let mut taken = 0;
        for text in piece.split_inclusive(|&b| b == b'\n') {
            if text.last() != Some(&b'\n') {
                break;
            }
            if let Ok(line) = serde_json::from_slice::<Line>(text) {
                if line.n > acked {
                    break;
                }
                self.last = line.n;
                self.step = line.step;
                if self.time != line.time {
                    line.time.as_ref().clone_into(&mut self.time);
                }
                self.send(line.stream, &line.line, line.partial, out);
            }
            taken += text.len() as u64;
        }
        taken
    }

    fn send(&self, stream: Stream, line: &str, partial: bool, out: &mut Vec<u8>) {
        let line = LogLine {
            stage: &self.stage,
            attempt: self.attempt,
            step: self.step,
            stream,
            time: &self.time,
            line,
            partial,
        };
        if serde_json::to_writer(&mut *out, &line).is_ok() {
            out.push(b'\n');
        }
    }

    /// Says how much is missing before frame `next`.
    fn mark(&self, next: u64, limit: u64, out: &mut Vec<u8>) {
        let frames = next.saturating_sub(self.last + 1);
        let text = format!(
            "[dcanary: {frames} lines were dropped here; the kept log of an attempt is limited to {limit} bytes]"
        );
        self.send(Stream::Stderr, &text, false, out);
    }
}
