//! The kept log of an attempt: segments of whole lines, of which the middle goes when there are too many.
//!
//! ```text
//! log/000001-000000000001.ndjson   index, number of its first frame
//! {"n":1,"step":0,"stream":"stdout","time":"…","line":"…"}
//! ```

use std::borrow::Cow;
use std::io;

use dcanary_protocol::frame::Stream;
use serde::{Deserialize, Serialize};

use crate::store::disk::Disk;
use crate::store::op::Op;

/// Segments of a full log.
const SEGMENTS: u64 = 64;

/// A stored line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line<'a> {
    /// Number of its frame.
    pub n: u64,
    /// Index of the step.
    pub step: u32,
    /// Where it was written.
    pub stream: Stream,
    /// When.
    #[serde(borrow)]
    pub time: Cow<'a, str>,
    /// The text.
    #[serde(borrow)]
    pub line: Cow<'a, str>,
    /// It goes on in the next line.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
}

/// A segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Its number.
    pub index: u64,
    /// Number of its first frame.
    pub first: u64,
    /// Its length in bytes.
    pub len: u64,
}

impl Segment {
    /// Its file in the directory of an attempt.
    pub fn path(&self, dir: &str) -> String {
        format!("{dir}/log/{:06}-{:012}.ndjson", self.index, self.first)
    }

    fn parse(name: &str) -> Option<Self> {
        let (index, first) = name.strip_suffix(".ndjson")?.split_once('-')?;
        Some(Self {
            index: index.parse().ok()?,
            first: first.parse().ok()?,
            len: 0,
        })
    }
}

/// The segments of a log, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogTail {
    /// The segments.
    pub segments: Vec<Segment>,
    /// Highest frame with a line.
    pub last: u64,
}

/// What an addition drops.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Segments of a log on disk, without looking into them.
///
/// # Errors
/// When the volume fails.
pub fn segments(disk: &dyn Disk, dir: &str) -> io::Result<Vec<Segment>> {
    let mut found = Vec::new();
    for name in disk.list(&format!("{dir}/log"))? {
        let Some(mut segment) = Segment::parse(&name) else {
            continue;
        };
        let Some(stat) = disk.stat(&segment.path(dir))? else {
            continue;
        };
        segment.len = stat.len;
        found.push(segment);
    }
    found.sort_unstable_by_key(|segment| segment.index);
    Ok(found)
}

impl LogTail {
    /// Reads where a log ends.
    ///
    /// # Errors
    /// When the volume fails.
    pub fn load(disk: &dyn Disk, dir: &str) -> io::Result<Self> {
        let segments = segments(disk, dir)?;
        let mut last = 0;
        if let Some(segment) = segments.last() {
            let content = disk.read(&segment.path(dir))?;
            let end = content
                .trim_ascii_end()
                .rsplit(|&b| b == b'\n')
                .next()
                .unwrap_or_default();
            last = serde_json::from_slice::<Line>(end).map_or(segment.first, |line| line.n);
        }
        Ok(Self { segments, last })
    }

    /// Adds lines; returns the changes of files and what is dropped for them.
    pub fn append(&mut self, dir: &str, lines: &[Line<'_>], limit: u64) -> (Vec<Op>, Dropped) {
        let segment_bytes = (limit / SEGMENTS).max(1);
        let mut ops = Vec::new();
        let mut open: Option<(Segment, Vec<u8>)> = None;
        for line in lines {
            let mut text = serde_json::to_vec(line).unwrap_or_default();
            text.push(b'\n');
            let at = open
                .as_ref()
                .map(|(segment, bytes)| segment.len + bytes.len() as u64);
            let at = at.or_else(|| self.segments.last().map(|segment| segment.len));
            let fits = at.is_some_and(|len| len + text.len() as u64 <= segment_bytes);
            if !fits {
                self.close(dir, open.take(), &mut ops);
                let index = self.segments.last().map_or(1, |segment| segment.index + 1);
                self.segments.push(Segment {
                    index,
                    first: line.n,
                    len: 0,
                });
            }
            match (&mut open, self.segments.last()) {
                (Some((_, bytes)), _) => bytes.extend_from_slice(&text),
                (None, Some(segment)) => open = Some((*segment, text)),
                (None, None) => {}
            }
            self.last = line.n;
        }
        self.close(dir, open, &mut ops);
        let dropped = self.shorten(dir, &mut ops);
        (ops, dropped)
    }

    fn close(&mut self, dir: &str, open: Option<(Segment, Vec<u8>)>, ops: &mut Vec<Op>) {
        let Some((segment, bytes)) = open else { return };
        if let Some(last) = self.segments.last_mut() {
            last.len = segment.len + bytes.len() as u64;
        }
        ops.push(Op::Write {
            path: segment.path(dir),
            offset: segment.len,
            bytes,
        });
    }

    /// Keeps the first quarter and the last three.
    fn shorten(&mut self, dir: &str, ops: &mut Vec<Op>) -> Dropped {
        let mut dropped = Dropped::default();
        let head = usize::try_from(SEGMENTS / 4).unwrap_or(1);
        while self.segments.len() as u64 > SEGMENTS {
            let gone = self.segments.remove(head);
            let next = self
                .segments
                .get(head)
                .map_or(gone.first, |segment| segment.first);
            dropped.frames += next.saturating_sub(gone.first);
            dropped.bytes += gone.len;
            ops.push(Op::Remove { path: gone.path(dir) });
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(n: u64) -> Line<'static> {
        Line {
            n,
            step: 0,
            stream: Stream::Stdout,
            time: "t".into(),
            line: format!("line {n}").into(),
            partial: false,
        }
    }

    #[test]
    fn a_long_log_keeps_its_first_quarter_and_its_end() {
        let limit = 64 * 512;
        let mut log = LogTail::default();
        let mut dropped = 0;
        for n in 1..=4_000 {
            dropped += log.append("d", &[line(n)], limit).1.frames;
        }
        assert_eq!(log.segments.len(), 64);
        assert_eq!(log.segments[0].first, 1);
        assert_eq!(log.segments[15].index, 16);
        let gap = log.segments[16].first - log.segments[15].first;
        assert!(log.segments[16].index > 17);
        assert!(gap > dropped && dropped > 0, "{gap} {dropped}");
        assert!(log.segments.iter().map(|s| s.len).sum::<u64>() <= limit);
        assert_eq!(log.last, 4_000);
    }

    #[test]
    fn one_large_addition_makes_the_same_segments_as_many_small_ones() {
        let lines: Vec<_> = (1..=500).map(line).collect();
        let (mut one, mut many) = (LogTail::default(), LogTail::default());
        one.append("d", &lines, 64 * 512);
        for line in lines {
            many.append("d", &[line], 64 * 512);
        }
        assert_eq!(one, many);
    }
}
