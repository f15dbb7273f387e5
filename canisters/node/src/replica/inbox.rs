//! Where calls wait to be ordered, and the orderer for something to do.

use super::{INBOX_BYTES, Pending, Refused};
use crate::exec::schedule::{Agenda, Backlog};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Calls waiting to be ordered; more are refused.
const INBOX: usize = 4_096;
/// How many bytes of them those of one queue may have: a quarter, so that one that is held because earlier ones wait keeps no others out.
const QUEUE_BYTES: usize = INBOX_BYTES / 4;
/// How many of them those of one queue may be.
const QUEUE: usize = INBOX / 4;
/// How long at least between two batches that nothing but a timer, a timeout or randomness asks for. A canister whose timer is always due,
/// or that asks for one random number after the other, would otherwise keep the disk busy with nothing.
const PACE: Duration = Duration::from_millis(50);

/// How long after a batch without calls that found no room on the disk the next one is tried.
const HOLD: Duration = Duration::from_secs(1);
/// How long to wait when nothing is due.
const LONG: Duration = Duration::from_secs(3_600);
/// How far certified time may be ahead of the last batch, in nanoseconds. A crash loses no more of it.
const AHEAD: u64 = 3_600 * 1_000_000_000;

#[derive(Debug, Default)]
struct State {
    pending: VecDeque<Pending>,
    agenda: Agenda,
    closed: bool,
}

impl State {
    /// Whether the queue of a call has as many waiting as one may have. The first may be as large as it likes.
    fn is_full(&self, pending: &Pending) -> bool {
        let queue = pending.message.queue();
        let same = self.pending.iter().filter(|other| other.message.queue() == queue);
        let (calls, bytes) = same.fold((0, 0), |(calls, bytes), other| (calls + 1, bytes + other.size()));
        calls > 0 && (calls >= QUEUE || bytes + pending.size() > QUEUE_BYTES)
    }
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    bell: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The side of those who have something to be ordered.
#[derive(Debug, Clone, Default)]
pub struct Inbox(Arc<Shared>);

/// What the orderer has to do.
#[derive(Debug)]
pub enum Work {
    /// Order these calls. There are none when a batch is due without any.
    Batch(Vec<Pending>),
    /// Nothing any more.
    End,
}

impl Inbox {
    /// A new one, whose machine still has this to do.
    pub fn new(agenda: Agenda) -> Self {
        let inbox = Self::default();
        inbox.0.lock().agenda = agenda;
        inbox
    }

    /// Hands a call in.
    pub fn submit(&self, pending: Pending) -> Result<(), Refused> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(Refused::Stopping);
        }
        if state.pending.len() >= INBOX || state.is_full(&pending) {
            return Err(Refused::Busy);
        }
        state.pending.push_back(pending);
        self.0.bell.notify_one();
        Ok(())
    }

    /// Tells what is left to do after a batch.
    pub fn report(&self, agenda: Agenda) {
        self.0.lock().agenda = agenda;
        self.0.bell.notify_one();
    }

    /// Takes no more calls. Those that wait are still ordered; what is under way goes on after the next start.
    pub fn close(&self) {
        self.0.lock().closed = true;
        self.0.bell.notify_one();
    }

    /// The orderer's side. There may be one only.
    pub fn orders(&self) -> Orders {
        Orders {
            shared: self.0.clone(),
            last_idle: None,
            held_until: None,
        }
    }
}

/// The orderer's side. When it is dropped nobody waits in vain.
#[derive(Debug)]
pub struct Orders {
    shared: Arc<Shared>,
    /// When the last batch was made that had no calls.
    last_idle: Option<Instant>,
    /// Until when no such batch is made.
    held_until: Option<Instant>,
}

impl Drop for Orders {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        state.closed = true;
        state.pending.clear();
    }
}

impl Orders {
    /// Waits for something to do after the batch `round`. Takes calls up to a number, and up to a number of bytes beyond the first,
    /// and none of a queue of which earlier ones wait for their turn. When no more are handed in it takes all at once: one batch
    /// executes no more of them than another, so that stopping takes no longer the more there are, and the rest waits in the state for
    /// the next start. `ahead` is by how much certified time is ahead of the batch: an idle node that is read from makes one without calls
    /// once an hour, which notes the time.
    pub fn wait(
        &mut self,
        round: u64,
        calls: usize,
        bytes: usize,
        now: impl Fn() -> u64,
        ahead: impl Fn() -> u64,
    ) -> Work {
        let shared = self.shared.clone();
        let mut state = shared.lock();
        loop {
            if state.closed {
                return match gather(&mut state.pending, &Backlog::default(), usize::MAX, usize::MAX) {
                    rest if rest.is_empty() => Work::End,
                    rest => Work::Batch(rest),
                };
            }
            let State { pending, agenda, .. } = &mut *state;
            let taken = gather(pending, &agenda.backlog, calls, bytes);
            if !taken.is_empty() {
                return Work::Batch(taken);
            }
            let pause = match self.due(agenda, round, now(), ahead()) {
                Some(Duration::ZERO) => {
                    self.last_idle = Some(Instant::now());
                    return Work::Batch(Vec::new());
                }
                Some(pause) => pause,
                None => LONG,
            };
            let waited = shared.bell.wait_timeout(state, pause);
            (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// How long until a batch is due without calls; `None` when nobody asks for one.
    fn due(&self, agenda: &Agenda, round: u64, now: u64, ahead: u64) -> Option<Duration> {
        if agenda.round < round {
            // Before the last batch is executed nobody knows what is left after it.
            return None;
        }
        let held = self.held_until.map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        });
        if agenda.busy && !agenda.only_draws || ahead >= AHEAD {
            return Some(held);
        }
        let wake = if agenda.only_draws { now } else { agenda.wake? };
        let wake = Duration::from_nanos(wake.saturating_sub(now));
        let pace = self
            .last_idle
            .map_or(Duration::ZERO, |last| PACE.saturating_sub(last.elapsed()));
        Some(wake.max(pace).max(held))
    }

    /// Makes no batch without calls for a while, because the last one found no room on the disk.
    pub fn hold(&mut self) {
        self.held_until = Some(Instant::now() + HOLD);
    }
}

/// Takes the first messages that are to be ordered; the others keep their places.
fn gather(waiting: &mut VecDeque<Pending>, backlog: &Backlog, calls: usize, most: usize) -> Vec<Pending> {
    let mut bytes = 0;
    let mut taken = Vec::new();
    let mut left = VecDeque::new();
    while (taken.is_empty() || bytes < most)
        && taken.len() < calls
        && let Some(next) = waiting.pop_front()
    {
        if backlog.holds(&next.message.queue()) {
            left.push_back(next);
            continue;
        }
        // the first one may be as large as it likes
        if !taken.is_empty() {
            bytes += next.message.arg.len();
        }
        taken.push(next);
    }
    while let Some(next) = left.pop_back() {
        waiting.push_front(next);
    }
    taken
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::log::crash::rig;
    use crate::replica::Waiting;
    use ic_principal::Principal;
    use tokio::sync::{Semaphore, oneshot};

    fn pending(number: u64) -> Pending {
        of(number, rig::canister())
    }

    fn of(number: u64, canister: Principal) -> Pending {
        Pending {
            message: rig::message(number, canister, "inc", vec![]),
            room: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
            waiting: Waiting {
                done: oneshot::channel().0,
                held: None,
            },
        }
    }

    /// How many calls are taken.
    fn taken(work: Work) -> usize {
        match work {
            Work::Batch(calls) => calls.len(),
            Work::End => panic!("it ended"),
        }
    }

    #[test]
    fn no_calls_are_taken_while_some_wait_in_the_state_and_all_at_once_when_no_more_come() {
        let inbox = Inbox::new(Agenda::default());
        let mut orders = inbox.orders();
        let agenda = |round, received| Agenda {
            round,
            busy: received,
            backlog: if received {
                Backlog::All
            } else {
                Backlog::default()
            },
            ..Agenda::default()
        };
        for number in 0..3 {
            inbox.submit(pending(number)).unwrap();
        }
        inbox.report(agenda(1, true));
        assert_eq!(taken(orders.wait(1, 2, 1_000, || 0, || 0)), 0);
        inbox.report(agenda(2, false));
        assert_eq!(taken(orders.wait(2, 2, 1_000, || 0, || 0)), 2);
        for number in 3..6 {
            inbox.submit(pending(number)).unwrap();
        }
        inbox.report(agenda(3, true));
        inbox.close();
        assert_eq!(taken(orders.wait(3, 2, 1_000, || 0, || 0)), 4);
        assert!(matches!(orders.wait(4, 2, 1_000, || 0, || 0), Work::End));
    }

    #[test]
    fn calls_of_a_canister_of_which_some_wait_are_passed_over_and_keep_their_order() {
        let [slow, quick] = [rig::canister(), Principal::from_slice(&[7])];
        let mut waiting: VecDeque<Pending> = [slow, quick, slow, quick, quick]
            .into_iter()
            .zip(0..)
            .map(|(canister, number)| of(number, canister))
            .collect();
        let number = |pending: &Pending| pending.message.id;
        let ids: Vec<_> = waiting.iter().map(number).collect();
        let backlog = Backlog::Of(Arc::new([slow].into()));
        let taken = gather(&mut waiting, &backlog, 2, 1_000);
        assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [ids[1], ids[3]]);
        assert_eq!(
            waiting.iter().map(number).collect::<Vec<_>>(),
            [ids[0], ids[2], ids[4]]
        );
        assert_eq!(gather(&mut waiting, &Backlog::All, 2, 1_000).len(), 0);
        let taken = gather(&mut waiting, &Backlog::default(), 2, 1_000);
        assert_eq!(taken.iter().map(number).collect::<Vec<_>>(), [ids[0], ids[2]]);
    }

    #[test]
    fn who_has_much_waiting_keeps_no_other_out() {
        let inbox = Inbox::new(Agenda::default());
        let [one, other] = [rig::canister(), Principal::from_slice(&[7])];
        let large = |number, canister| {
            let mut pending = of(number, canister);
            pending.message.arg = vec![0; 4 << 20].into();
            pending
        };
        let taken = (0..16).filter(|number| inbox.submit(large(*number, one)).is_ok());
        assert_eq!(
            taken.count(),
            3,
            "with its name the fourth would be above a quarter"
        );
        inbox.submit(of(16, other)).unwrap();
        // a call about the first, of somebody else
        let mut managed = of(17, one);
        managed.message.canister = Principal::management_canister();
        managed.message.sender = Principal::from_slice(&[8]);
        inbox.submit(managed).unwrap();
    }

    #[test]
    fn who_asks_for_one_random_number_after_the_other_gets_them_at_the_pace_of_timers() {
        let mut orders = Inbox::new(Agenda::default()).orders();
        let agenda = |only_draws| Agenda {
            busy: true,
            only_draws,
            ..Agenda::default()
        };
        assert_eq!(orders.due(&agenda(true), 0, 9, 0), Some(Duration::ZERO));
        orders.last_idle = Some(Instant::now());
        let pause = orders.due(&agenda(true), 0, 9, 0).unwrap();
        assert!(pause > Duration::ZERO && pause <= PACE, "{pause:?}");
        assert_eq!(orders.due(&agenda(false), 0, 9, 0), Some(Duration::ZERO));
    }

    #[test]
    fn a_node_that_is_only_read_from_notes_its_time_once_an_hour() {
        let orders = Inbox::new(Agenda::default()).orders();
        for (ahead, due) in [(AHEAD - 1, None), (AHEAD, Some(Duration::ZERO))] {
            assert_eq!(orders.due(&Agenda::default(), 0, 0, ahead), due);
        }
        // not before the last one has been executed
        assert_eq!(orders.due(&Agenda::default(), 1, 0, AHEAD), None);
    }
}
