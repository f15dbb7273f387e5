//! The follower against a server that answers step by step.
#![allow(clippy::unwrap_used)]

use std::{sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use dcanary_crds::PipelineRun;
use dcanary_protocol::report::{AckRequest, ReportEntry, Reports};
use jiff::Timestamp;
use kube::runtime::{
    reflector::{self, ObjectRef, store::Writer},
    watcher,
};
use serde::Deserialize;
use tokio::{
    net::TcpListener,
    sync::{mpsc, oneshot},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::follow;
use crate::{
    context::Context,
    testing::{Answer, ApiServer, context_with, entry, run, server},
};

#[derive(Debug, Clone, Copy, Deserialize, PartialEq, Eq)]
struct Poll {
    after: u64,
    wait: u64,
}

/// A poll, and where its answer goes.
type Asked = (Poll, oneshot::Sender<Option<Reports>>);

#[derive(Clone)]
struct Double {
    asked: mpsc::UnboundedSender<Asked>,
    acked: mpsc::UnboundedSender<u64>,
}

async fn reports(
    State(double): State<Double>,
    Query(poll): Query<Poll>,
) -> Result<Json<Reports>, StatusCode> {
    let (answer, answered) = oneshot::channel();
    double.asked.send((poll, answer)).unwrap();
    let reports = answered.await.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    reports.map(Json).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn acknowledge(State(double): State<Double>, Json(ack): Json<AckRequest>) {
    double.acked.send(ack.cursor).unwrap();
}

/// The follower, and the server's side of its requests.
struct Following {
    ctx: Arc<Context>,
    woken: mpsc::UnboundedReceiver<ObjectRef<PipelineRun>>,
    asked: mpsc::UnboundedReceiver<Asked>,
    acked: mpsc::UnboundedReceiver<u64>,
    cache: Writer<PipelineRun>,
    task: JoinHandle<()>,
}

impl Drop for Following {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Following {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (asking, asked) = mpsc::unbounded_channel();
        let (acking, acked) = mpsc::unbounded_channel();
        let router = Router::new()
            .route("/v1/reports", get(reports))
            .route("/v1/reports/ack", post(acknowledge))
            .with_state(Double {
                asked: asking,
                acked: acking,
            });
        tokio::spawn(async move { axum::serve(listener, router).await });
        let api = ApiServer::start(|_| Answer::error(500, "InternalError", "not asked"));
        let (ctx, woken) = context_with(api.client(), server(&format!("http://{address}")));
        let (store, cache) = reflector::store();
        let task = tokio::spawn(follow(ctx.clone(), store, CancellationToken::new()));
        Self {
            ctx,
            woken,
            asked,
            acked,
            cache,
            task,
        }
    }

    async fn poll(&mut self) -> Asked {
        let next = tokio::time::timeout(Duration::from_secs(20), self.asked.recv());
        next.await.unwrap().unwrap()
    }

    /// Answers the next poll, which must be this one.
    async fn answer(&mut self, poll: Poll, entries: Vec<ReportEntry>) {
        let (asked, answer) = self.poll().await;
        assert_eq!(asked, poll);
        let next = entries.last().map_or(poll.after, |entry| entry.cursor);
        answer.send(Some(page(entries, next))).unwrap();
    }

    fn in_memory(&self, uid: &str) -> usize {
        self.ctx.memory.with(uid, |memory| memory.reports.len())
    }
}

const fn page(reports: Vec<ReportEntry>, next: u64) -> Reports {
    Reports {
        reports,
        next,
        store_full_since: None,
    }
}

const fn now(after: u64) -> Poll {
    Poll { after, wait: 0 }
}

#[tokio::test]
async fn the_server_counts_as_away_until_its_list_was_read_to_the_end_and_everything_is_in_memory() {
    let mut it = Following::start().await;
    it.cache.apply_watcher_event(&watcher::Event::Apply(run("run-1")));
    let before = Timestamp::now();
    it.answer(now(0), vec![entry(1, "run-1"), entry(2, "run-1")])
        .await;
    let (second, answer) = it.poll().await;
    assert_eq!(second, now(2), "a page says nothing about what comes after it");
    assert_eq!(it.in_memory("run-1"), 2);
    assert!(it.ctx.server_away.borrow().is_some(), "more may be at the server");
    assert_eq!(*it.ctx.reports_as_of.borrow(), None);
    let mut back = it.ctx.server_away.subscribe();
    let sent = Timestamp::now();
    answer.send(Some(page(Vec::new(), 2))).unwrap();
    back.wait_for(Option::is_none).await.unwrap();
    let as_of = it.ctx.reports_as_of.borrow().unwrap();
    assert!(
        before <= as_of && as_of <= sent,
        "the time of the request, not of the answer"
    );
    assert_eq!(it.woken.recv().await.unwrap().name, "run-1");
}

#[tokio::test]
async fn a_long_poll_that_hangs_does_not_look_fresh_and_who_needs_to_know_does_not_wait_for_it() {
    let mut it = Following::start().await;
    it.ctx.memory.freshest(&run("run-1"));
    it.answer(now(0), Vec::new()).await;
    let (long, hanging) = it.poll().await;
    assert!(long.wait > 0);
    let before = *it.ctx.reports_as_of.borrow();
    it.ctx.wanted.ask("run-1");
    it.answer(now(0), Vec::new()).await;
    assert_eq!(it.woken.recv().await.unwrap().name, "run-1");
    assert!(*it.ctx.reports_as_of.borrow() > before, "it was read again");
    let (again, _) = it.poll().await;
    assert!(again.wait > 0, "and then waited for as before");
    assert!(hanging.is_closed() || hanging.send(None).is_ok());
}

#[tokio::test]
async fn a_server_that_goes_away_is_away_until_its_list_was_read_to_the_end_again() {
    let mut it = Following::start().await;
    it.answer(now(0), Vec::new()).await;
    let mut away = it.ctx.server_away.subscribe();
    away.wait_for(Option::is_none).await.unwrap();
    let fresh = *it.ctx.reports_as_of.borrow();
    let (_, answer) = it.poll().await;
    answer.send(None).unwrap();
    away.wait_for(Option::is_some).await.unwrap();
    it.answer(now(0), vec![entry(7, "run-1")]).await;
    let (last, answer) = it.poll().await;
    assert_eq!(last, now(7));
    assert!(
        away.borrow().is_some(),
        "an answer alone is not the end of the list"
    );
    assert_eq!(*it.ctx.reports_as_of.borrow(), fresh);
    answer.send(Some(page(Vec::new(), 7))).unwrap();
    away.wait_for(Option::is_none).await.unwrap();
}

#[tokio::test]
async fn a_report_whose_run_the_cache_does_not_have_is_kept_and_not_acknowledged() {
    let mut it = Following::start().await;
    it.answer(now(0), vec![entry(1, "unknown")]).await;
    it.answer(now(1), Vec::new()).await;
    tokio::time::timeout(Duration::from_secs(20), it.ctx.orphaned.notified())
        .await
        .unwrap();
    assert_eq!(it.in_memory("unknown"), 1);
    assert!(it.acked.try_recv().is_err());
    it.ctx.acknowledgements.done(&[1]);
    assert_eq!(it.acked.recv().await, Some(1));
}

#[tokio::test]
async fn reports_that_come_again_are_in_memory_once() {
    let mut it = Following::start().await;
    it.answer(now(0), vec![entry(1, "run-1")]).await;
    it.answer(now(1), vec![entry(1, "run-1")]).await;
    it.poll().await;
    assert_eq!(it.in_memory("run-1"), 1);
}

#[tokio::test]
async fn what_the_server_says_about_its_space_is_known_until_it_says_otherwise() {
    let mut it = Following::start().await;
    let mut full = it.ctx.store_full.subscribe();
    let (_, answer) = it.poll().await;
    let reports = Reports {
        store_full_since: Some("2026-01-01T00:00:00Z".into()),
        ..page(Vec::new(), 0)
    };
    answer.send(Some(reports)).unwrap();
    let since = *full.wait_for(Option::is_some).await.unwrap();
    assert_eq!(since, Some("2026-01-01T00:00:00Z".parse().unwrap()));
    let (_, answer) = it.poll().await;
    answer.send(Some(page(Vec::new(), 0))).unwrap();
    full.wait_for(Option::is_none).await.unwrap();
}
