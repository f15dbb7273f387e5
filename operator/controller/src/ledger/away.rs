//! A ledger that cannot be recorded in: a figure by reason, and an Event where only a person can put it right.

use std::sync::Arc;

use dcanary_ledger::{Reachability, error::OPERATOR_IS_CONTROLLER};
use kube::runtime::events::{Event, EventType};
use tokio::sync::watch;
use tracing::warn;

use super::publish;
use crate::{context::Context, metrics::Why};

/// Bytes that the API server takes for the note of an Event.
const NOTE_BYTES: usize = 1024;

/// Follows the recorder until it is gone. An Event is raised once for each time that the state begins.
pub async fn follow(ctx: Arc<Context>, mut reachability: watch::Receiver<Reachability>) {
    let mut shown: Option<&'static str> = None;
    loop {
        let now = reason(&reachability.borrow_and_update());
        let reason = now.as_ref().map(|(reason, _)| *reason);
        if reason != shown {
            if let Some(reason) = shown {
                ctx.metrics.ledger_away.get_or_create(&Why { reason }).set(0);
            }
            if let Some((reason, message)) = now {
                ctx.metrics.ledger_away.get_or_create(&Why { reason }).set(1);
                if reason == OPERATOR_IS_CONTROLLER {
                    raise(&ctx, message).await;
                }
            }
            shown = reason;
        }
        if reachability.changed().await.is_err() {
            return;
        }
    }
}

/// Why nothing can be recorded, and the sentence for people.
fn reason(state: &Reachability) -> Option<(&'static str, String)> {
    match state {
        Reachability::Unknown | Reachability::Reachable => None,
        Reachability::Away { reason, message, .. } => Some((reason, message.clone())),
        Reachability::Forked(evidence) => Some(("LedgerForked", evidence.to_string())),
    }
}

async fn raise(ctx: &Context, message: String) {
    let event = Event {
        type_: EventType::Warning,
        reason: OPERATOR_IS_CONTROLLER.to_owned(),
        note: Some(dcanary_core::text::cut(&message, NOTE_BYTES)),
        action: "Record".to_owned(),
        secondary: None,
    };
    if let Err(failure) = ctx.events.publish(&event, &publish::reference(ctx).await).await {
        // the status of every run that waits says it too
        warn!(
            error = &failure as &dyn std::error::Error,
            "the Event that the operator controls the ledger could not be published"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::SystemTime;

    use serde_json::Value;

    use super::*;
    use crate::testing::{Answer, ApiServer, Asked, context};

    fn away(reason: &'static str) -> Reachability {
        Reachability::Away {
            since: SystemTime::now(),
            reason,
            message: format!("{reason}: a person runs `icp canister settings update x`"),
        }
    }

    /// Runs the task over these states, one after the other, to its end: its Events, and what the figures say then.
    async fn over(states: Vec<Reachability>) -> (Vec<Value>, String) {
        let api = ApiServer::start(|request: &Asked| match request.method.as_str() {
            "GET" => Answer::error(404, "NotFound", "no such map"),
            _ => Answer::ok(&request.json()),
        });
        let ctx = context(api.client());
        let (tell, told) = watch::channel(Reachability::Unknown);
        let task = tokio::spawn(follow(ctx.clone(), told));
        for state in states {
            tell.send_replace(state);
            // the task has looked at it when it waits for the next one
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        }
        drop(tell);
        task.await.unwrap();
        // one that is raised again is a patch of the first
        let all = ["POST", "PATCH"].map(|method| api.all(method)).concat();
        let events = all.iter().filter(|request| request.path.contains("/events"));
        (events.map(Asked::json).collect(), ctx.metrics.text())
    }

    #[tokio::test]
    async fn an_operator_that_controls_the_ledger_is_an_event_and_a_figure_once() {
        let state = || away(OPERATOR_IS_CONTROLLER);
        let (events, figures) = over(vec![state(), state(), state()]).await;
        assert_eq!(events.len(), 1, "{events:?}");
        let event = &events[0];
        assert_eq!(
            (&event["type"], &event["reason"]),
            (&"Warning".into(), &OPERATOR_IS_CONTROLLER.into())
        );
        assert_eq!(event["regarding"]["name"], publish::NAME);
        assert!(
            event["note"].as_str().unwrap().contains("icp canister settings"),
            "{event}"
        );
        assert!(
            figures.contains("dcanary_ledger_away{reason=\"OperatorIsController\"} 1"),
            "{figures}"
        );
    }

    #[tokio::test]
    async fn when_it_is_over_the_figure_is_zero_and_a_second_time_is_told_again() {
        let state = || away(OPERATOR_IS_CONTROLLER);
        let (_, figures) = over(vec![state(), Reachability::Reachable]).await;
        assert!(
            figures.contains("dcanary_ledger_away{reason=\"OperatorIsController\"} 0"),
            "{figures}"
        );
        let (events, _) = over(vec![state(), Reachability::Reachable, state()]).await;
        assert_eq!(events.len(), 2, "{events:?}");
    }

    #[tokio::test]
    async fn a_ledger_that_is_away_is_a_figure_and_no_event() {
        let (events, figures) = over(vec![away("LedgerUnreachable")]).await;
        assert_eq!(events, Vec::<Value>::new());
        assert!(
            figures.contains("dcanary_ledger_away{reason=\"LedgerUnreachable\"} 1"),
            "{figures}"
        );
    }

    #[test]
    fn the_reason_is_the_one_that_stalls_a_run() {
        assert_eq!(
            OPERATOR_IS_CONTROLLER,
            dcanary_core::recorded::OPERATOR_IS_CONTROLLER
        );
    }
}
