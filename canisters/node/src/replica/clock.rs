//! The clock, and when it is not believed.
//!
//! Certified time never goes back. So a clock that is ahead for a moment, and one batch in that moment, would stop the ledger
//! until the real time has caught up: every call would be expired, every certificate from the future. Therefore nothing is
//! logged or signed under a clock that leaps.
//!
//! ```text
//! wall clock ─┐
//!             ├─▶ do they advance alike? ─ yes ─▶ the wall clock's time
//! time running┘                          └ no ──▶ refused, until the clock is back, or has stood for a while
//! ```
//!
//! What it is compared with counts while the machine is suspended (`/proc/uptime`), so a laptop that wakes up is no leap. A
//! machine that was stopped from outside is one, if its clock is set afterwards: the node cannot tell it from a clock that is
//! set wrong. So a leap is believed when it has stood for a hundredth of its length: a night after six minutes, a year
//! after four days.
//!
//! What was certified is in a batch when the node stops, also when it was only read from, and once an hour before. So a node that starts
//! does not certify what is before it.
//!
//! Not covered: a clock that is wrong already when the node starts, or is believed because it stayed wrong for so long. At the
//! start nothing is there to compare with but the last batch, and a node may have been off for any time; whoever restarts the
//! node says by it that the clock is right.

use std::sync::{Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use thiserror::Error;

const SECOND: u64 = 1_000_000_000;
/// Steps of the wall clock that are followed without asking. Clients allow certificates from the future, and requests that were
/// signed some minutes ago, by more than this.
const TOLERANCE: u64 = 30 * SECOND;
/// A clock that is adjusted runs slower or faster: a thousandth covers what time daemons do in the long run.
const SLEW: u64 = 1_000;
/// A leap is believed when it has stood for its length divided by this,
const PATIENCE: u64 = 100;
/// and for at least so long.
const LEAST_PATIENCE: u64 = 60 * SECOND;
/// A last batch so old is worth a word when the node starts.
const LONG_STOP: u64 = 30 * 24 * 3_600 * SECOND;

/// Why the clock is not believed. All times in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ClockError {
    /// It did not advance as time did.
    #[error(
        "the node's clock leapt by {by:+} s; nothing is accepted or signed before it is set right, has stood for {wait} s more, or the \
         node is restarted"
    )]
    Leapt {
        /// How far, negative when back.
        by: i64,
        /// Until it is believed.
        wait: u64,
    },
    /// It is behind what was certified.
    #[error(
        "the node's clock is {by} s behind the time that the node has certified; nothing is accepted or signed before it has caught up"
    )]
    Behind {
        /// How far.
        by: u64,
    },
}

/// Both clocks at one moment, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// Since 1970.
    pub wall: u64,
    /// Since the machine started, suspension included.
    pub running: u64,
}

/// Where readings come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Clocks {
    /// The machine.
    #[default]
    System,
    /// A test.
    #[cfg(test)]
    Set(SetClocks),
}

impl Clocks {
    /// Reads both.
    pub fn read(&self) -> Reading {
        match self {
            Self::System => Reading {
                wall: wall(),
                running: uptime().unwrap_or(0),
            },
            #[cfg(test)]
            Self::Set(clocks) => clocks.read(),
        }
    }
}

/// The wall clock, in nanoseconds since 1970.
fn wall() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

/// The time since the machine started, suspension included, as the kernel tells it in seconds with two decimals.
fn uptime() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/uptime").ok()?;
    let (seconds, hundredths) = text.split_whitespace().next()?.split_once('.')?;
    let [seconds, hundredths]: [u64; 2] = [seconds.parse().ok()?, hundredths.get(..2)?.parse().ok()?];
    Some(
        seconds
            .saturating_mul(SECOND)
            .saturating_add(hundredths * (SECOND / 100)),
    )
}

/// The last reading of the machine's clocks, and the monotonic clock at it, which is cheap to read but stops while the machine is
/// suspended. As long as it and the wall clock agree there was neither a suspension nor a leap.
#[derive(Debug)]
struct Base {
    reading: Reading,
    at: Instant,
}

impl Base {
    fn read(clocks: &Clocks) -> Self {
        Self {
            reading: clocks.read(),
            at: Instant::now(),
        }
    }

    /// Both clocks now.
    fn advance(&mut self, clocks: &Clocks) -> Reading {
        let wall = wall();
        let elapsed = u64::try_from(self.at.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let expected = self.reading.wall.saturating_add(elapsed);
        if *clocks != Clocks::System || wall.abs_diff(expected) > SECOND {
            *self = Self::read(clocks);
            return self.reading;
        }
        Reading {
            wall,
            running: self.reading.running.saturating_add(elapsed),
        }
    }
}

/// See the module documentation.
#[derive(Debug)]
pub struct Clock {
    clocks: Clocks,
    watch: Mutex<(Base, Watch)>,
}

impl Clock {
    /// Begins with a state whose last batch had this time; zero when there is none.
    pub fn new(clocks: Clocks, last: u64) -> Self {
        let base = Base::read(&clocks);
        let reading = base.reading;
        if reading.wall.saturating_add(TOLERANCE) < last {
            let behind = (last - reading.wall) / SECOND;
            tracing::error!(behind, "the clock is behind the last batch");
        } else if last > 0 && reading.wall - last.min(reading.wall) > LONG_STOP {
            let ahead = (reading.wall - last) / SECOND;
            tracing::warn!(ahead, "the last batch is long ago, or the clock is wrong");
        }
        Self {
            clocks,
            watch: Mutex::new((base, Watch::new(reading, last))),
        }
    }

    /// The time in nanoseconds since 1970, when the clock is believed. `certified` is the latest time that was certified.
    pub fn now(&self, certified: u64) -> Result<u64, ClockError> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that readings are in order.
        let (base, watch) = &mut *watch;
        watch.look(base.advance(&self.clocks), certified)
    }
}

/// The difference between the wall clock and the running time.
type Offset = i128;

#[derive(Debug, Clone, Copy)]
struct Leap {
    offset: Offset,
    since: u64,
}

#[derive(Debug)]
struct Watch {
    /// The difference that is believed; `None` while the clock is known to be wrong since the start.
    believed: Option<Offset>,
    /// The last reading of the running time.
    last: u64,
    leap: Option<Leap>,
}

fn offset(reading: Reading) -> Offset {
    Offset::from(reading.wall) - Offset::from(reading.running)
}

impl Watch {
    fn new(reading: Reading, last: u64) -> Self {
        let plausible = reading.wall.saturating_add(TOLERANCE) >= last;
        Self {
            believed: plausible.then(|| offset(reading)),
            last: reading.running,
            leap: None,
        }
    }

    fn look(&mut self, reading: Reading, certified: u64) -> Result<u64, ClockError> {
        let behind = certified.saturating_sub(reading.wall);
        let elapsed = reading.running.saturating_sub(self.last);
        self.last = reading.running;
        if let Some(believed) = self.believed {
            self.compare(reading, believed, TOLERANCE.saturating_add(elapsed / SLEW))?;
        }
        if behind > TOLERANCE {
            return Err(ClockError::Behind { by: behind / SECOND });
        }
        // A clock that was wrong at the start is set right by a leap.
        self.believed = Some(offset(reading));
        Ok(reading.wall)
    }

    /// Whether the clock advanced as the time did, or has stood long enough since it did not.
    fn compare(&mut self, reading: Reading, believed: Offset, allowed: u64) -> Result<(), ClockError> {
        let now = offset(reading);
        let by = now - believed;
        if by.unsigned_abs() <= u128::from(allowed) {
            if self.leap.take().is_some() {
                tracing::info!("the clock is back");
            }
            return Ok(());
        }
        let length = u64::try_from(by.unsigned_abs()).unwrap_or(u64::MAX);
        let since = match self.leap {
            Some(leap) if (now - leap.offset).unsigned_abs() <= u128::from(allowed) => leap.since,
            _ => {
                tracing::error!(seconds = seconds(by), "the clock leapt");
                reading.running
            }
        };
        let stood = reading.running.saturating_sub(since);
        let needed = (length / PATIENCE).max(LEAST_PATIENCE);
        if stood >= needed {
            tracing::warn!(seconds = seconds(by), "the clock is believed after a leap");
            self.leap = None;
            self.believed = Some(now);
            return Ok(());
        }
        self.leap = Some(Leap { offset: now, since });
        Err(ClockError::Leapt {
            by: seconds(by),
            wait: (needed - stood).div_ceil(SECOND),
        })
    }
}

fn seconds(offset: Offset) -> i64 {
    i64::try_from(offset / Offset::from(SECOND)).unwrap_or(i64::MAX)
}

/// Clocks that a test moves.
#[cfg(test)]
#[derive(Debug, Clone)]
pub struct SetClocks(std::sync::Arc<Mutex<Reading>>);

#[cfg(test)]
impl SetClocks {
    /// Clocks that show this.
    pub fn at(wall: u64, running: u64) -> Self {
        Self(std::sync::Arc::new(Mutex::new(Reading { wall, running })))
    }

    fn read(&self) -> Reading {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time goes by, on both clocks.
    pub fn pass(&self, nanos: u64) {
        let mut reading = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        reading.wall += nanos;
        reading.running += nanos;
    }

    /// Somebody sets the wall clock.
    pub fn set(&self, wall: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wall = wall;
    }
}

#[cfg(test)]
impl PartialEq for SetClocks {
    fn eq(&self, other: &Self) -> bool {
        std::sync::Arc::ptr_eq(&self.0, &other.0)
    }
}

#[cfg(test)]
impl Eq for SetClocks {}

#[cfg(test)]
mod tests;
