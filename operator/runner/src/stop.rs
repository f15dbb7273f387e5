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

/// One flag for all tasks. The first reason stays, except that a refusal outranks the others.
#[derive(Debug, Clone)]
pub(crate) struct Stop {
    sender: Arc<watch::Sender<Option<StopReason>>>,
}

impl Stop {
    pub(crate) fn new() -> Self {
        Self {
            sender: Arc::new(watch::channel(None).0),
        }
    }

    pub(crate) fn request(&self, reason: StopReason) {
        self.sender.send_if_modified(|present| {
            let take = match (&present, &reason) {
                (None, _) => true,
                (Some(StopReason::Refused(_)), _) => false,
                (Some(_), next) => matches!(next, StopReason::Refused(_)),
            };
            if take {
                *present = Some(reason);
            }
            take
        });
    }

    pub(crate) fn reason(&self) -> Option<StopReason> {
        self.sender.borrow().clone()
    }

    /// Waits until somebody asks to stop.
    pub(crate) async fn requested(&self) -> StopReason {
        let mut receiver = self.sender.subscribe();
        loop {
            let present = receiver.borrow_and_update().clone();
            if let Some(reason) = present {
                return reason;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}
