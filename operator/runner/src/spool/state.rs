//! What the spool holds: segments on disk or in memory, and the numbers of their frames.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use tokio::time::Instant;

/// Size at which a new segment is begun.
const SEGMENT_BYTES: u64 = 8 << 20;
/// What memory may hold when the disk takes nothing.
const MEMORY_BYTES: u64 = 16 << 20;

#[derive(Debug)]
pub(super) enum Store {
    File(File),
    Memory(Vec<u8>),
}

#[derive(Debug)]
pub(super) struct Segment {
    store: Store,
    /// Lengths of its frames that are not acknowledged.
    frames: VecDeque<u32>,
    /// Where the first of them begins.
    start: u64,
    end: u64,
}

#[derive(Debug, Default)]
pub(super) struct State {
    segments: VecDeque<Segment>,
    pub(super) acked: u64,
    pub(super) pushed: u64,
    /// Bytes that are not acknowledged.
    pub(super) bytes: u64,
    /// Those of them that are in memory.
    memory: u64,
    pub(super) oldest: Option<Instant>,
    pub(super) finished: bool,
    pub(super) closed: bool,
    pub(super) rejections: Vec<Rejection>,
}

/// A frame that the server does not take because of a limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// Its number.
    pub(crate) number: u64,
    /// What the server says.
    pub(crate) detail: String,
}

impl State {
    /// Keeps a frame; false when neither disk nor memory takes it now.
    pub(super) fn write(&mut self, json: &[u8], directory: &Path) -> bool {
        let Ok(length) = u32::try_from(json.len()) else {
            return false;
        };
        if self
            .segments
            .back()
            .is_none_or(|segment| segment.end >= SEGMENT_BYTES)
            || !self
                .segments
                .back_mut()
                .is_some_and(|segment| segment.append(json))
        {
            // The folder may have been removed by a step.
            let _ = std::fs::create_dir_all(directory);
            let mut segment = match tempfile::tempfile_in(directory) {
                Ok(file) => Segment::new(Store::File(file)),
                Err(_) => Segment::new(Store::Memory(Vec::new())),
            };
            if !segment.append(json) {
                segment = Segment::new(Store::Memory(Vec::new()));
                segment.append(json);
            }
            if matches!(segment.store, Store::Memory(_)) && self.memory > 0 && self.memory >= MEMORY_BYTES {
                return false;
            }
            self.segments.push_back(segment);
        }
        if let Some(segment) = self.segments.back_mut() {
            segment.frames.push_back(length);
            if matches!(segment.store, Store::Memory(_)) {
                self.memory += u64::from(length);
            }
        }
        true
    }

    /// Frames in order, at most `limit` bytes and `count` frames, but at least one if there is one.
    pub(super) fn read(&self, limit: usize, count: usize) -> std::io::Result<Vec<Vec<u8>>> {
        let mut frames = Vec::new();
        let mut total = 0;
        for segment in &self.segments {
            let mut at = segment.start;
            for &length in &segment.frames {
                // One more byte for the comma.
                total += length as usize + 1;
                if !frames.is_empty() && (total > limit || frames.len() >= count) {
                    return Ok(frames);
                }
                frames.push(segment.read(at, length)?);
                at += u64::from(length);
            }
        }
        Ok(frames)
    }

    /// Puts another frame in the place of the oldest one.
    pub(super) fn replace_first(&mut self, json: Vec<u8>) {
        let Ok(length) = u32::try_from(json.len()) else {
            return;
        };
        self.drop_first();
        let mut segment = Segment::new(Store::Memory(Vec::new()));
        segment.append(&json);
        segment.frames.push_back(length);
        self.memory += u64::from(length);
        self.bytes += u64::from(length);
        self.segments.push_front(segment);
    }

    /// The oldest frame is acknowledged.
    pub(super) fn forget_one(&mut self) {
        self.drop_first();
        self.acked += 1;
    }

    fn drop_first(&mut self) {
        while self
            .segments
            .front()
            .is_some_and(|segment| segment.frames.is_empty())
        {
            self.segments.pop_front();
        }
        if let Some(segment) = self.segments.front_mut() {
            let length = segment.frames.pop_front().map_or(0, u64::from);
            segment.start += length;
            self.bytes = self.bytes.saturating_sub(length);
            if matches!(segment.store, Store::Memory(_)) {
                self.memory = self.memory.saturating_sub(length);
            }
            if segment.frames.is_empty() {
                self.segments.pop_front();
            }
        }
    }
}

impl Segment {
    fn new(store: Store) -> Self {
        Self {
            store,
            frames: VecDeque::new(),
            start: 0,
            end: 0,
        }
    }

    fn append(&mut self, json: &[u8]) -> bool {
        match &mut self.store {
            Store::File(file) => {
                if file.write_all_at(json, self.end).is_err() {
                    return false;
                }
            }
            Store::Memory(bytes) => bytes.extend_from_slice(json),
        }
        self.end += json.len() as u64;
        true
    }

    fn read(&self, at: u64, length: u32) -> std::io::Result<Vec<u8>> {
        let mut json = vec![0; length as usize];
        match &self.store {
            Store::File(file) => file.read_exact_at(&mut json, at)?,
            Store::Memory(bytes) => {
                let at = usize::try_from(at).map_err(std::io::Error::other)?;
                let found = bytes.get(at..at + json.len());
                json.copy_from_slice(found.ok_or(std::io::ErrorKind::UnexpectedEof)?);
            }
        }
        Ok(json)
    }
}
