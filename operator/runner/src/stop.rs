//! Why a stage ends before its last step.

use std::sync::Arc;

use tokio::sync::watch;

/// What ends a stage early.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// SIGTERM from outside the Pod.
    Cancelled,
    /// The stage's time is over.
    StageTimeout,
    /// The server takes nothing more from this attempt; there is nobody to report to.
    Refused(String),
}

#[derive(Debug, Default)]
struct State {
    reason: Option<StopReason>,
    /// Somebody asked to cancel, whatever came first.
    cancelled: bool,
}

/// One flag for all tasks. The first reason stays, except that a refusal outranks the others.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    sender: Arc<watch::Sender<State>>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self {
            sender: Arc::new(watch::Sender::new(State::default())),
        }
    }

    pub(crate) fn request(&self, reason: StopReason) {
        self.sender.send_modify(|state| {
            state.cancelled |= reason == StopReason::Cancelled;
            let take = match (&state.reason, &reason) {
                (None, _) => true,
                (Some(StopReason::Refused(_)), _) => false,
                (Some(_), next) => matches!(next, StopReason::Refused(_)),
            };
            if take {
                state.reason = Some(reason);
            }
        });
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.sender.borrow().reason.clone()
    }

    /// Waits until somebody asks to stop.
    pub(crate) async fn requested(&self) -> StopReason {
        self.first(|state| state.reason.clone()).await
    }

    /// Waits for a cancellation, also of a stage whose time is over already.
    pub(crate) async fn cancelled(&self) {
        self.first(|state| state.cancelled.then_some(())).await;
    }

    async fn first<T>(&self, of: impl Fn(&State) -> Option<T>) -> T {
        let mut receiver = self.sender.subscribe();
        loop {
            let found = of(&receiver.borrow_and_update());
            if let Some(found) = found {
                return found;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_cancellation_is_heard_also_after_the_time_of_the_stage_is_over() {
        let stop = Stop::new();
        stop.request(StopReason::StageTimeout);
        assert_eq!(stop.requested().await, StopReason::StageTimeout);
        let other = stop.clone();
        let waiting = tokio::spawn(async move { other.cancelled().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        stop.request(StopReason::Cancelled);
        waiting.await.unwrap();
        assert_eq!(stop.reason(), Some(StopReason::StageTimeout));
    }

    #[test]
    fn a_refusal_outranks_what_came_before_it_and_nothing_outranks_a_refusal() {
        let stop = Stop::new();
        for reason in [
            StopReason::Cancelled,
            StopReason::StageTimeout,
            StopReason::Refused("first".into()),
            StopReason::Refused("second".into()),
            StopReason::Cancelled,
        ] {
            stop.request(reason);
        }
        assert_eq!(stop.reason(), Some(StopReason::Refused("first".into())));
    }
}
