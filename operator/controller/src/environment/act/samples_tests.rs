#![allow(clippy::unwrap_used)]
use std::time::Duration as Pause;

use dcanary_rollout::plan::Source;
use tokio::{net::TcpListener, time::timeout};

use super::*;
use crate::testing::{Answer as Said, ApiServer, context, environment};

const LONG: Pause = Pause::from_secs(20);

fn measure_of(metric: usize, port: u16, timeout: u64) -> Measure {
    Measure {
        key: MeasureKey {
            promotion: "p".to_owned(),
            analysis: "background".to_owned(),
            metric: format!("metric-{metric}"),
            sample: 0,
            baseline: false,
        },
        timeout,
        token: None,
        source: Source::Web {
            url: format!("http://127.0.0.1:{port}"),
            json_path: None,
        },
    }
}

struct Desk {
    ctx: Arc<Context>,
    woken: tokio::sync::mpsc::UnboundedReceiver<kube::runtime::reflector::ObjectRef<Environment>>,
    /// A source that takes questions and never answers.
    silent: TcpListener,
    port: u16,
    api: ApiServer,
}

impl Desk {
    async fn open() -> Self {
        let api = ApiServer::start(|_| Said::error(404, "NotFound", "not asked"));
        let ctx = context(api.client());
        let woken = ctx.environments.woken().unwrap();
        for uid in ["env-1", "env-2"] {
            ctx.environments.memory.freshest(&environment(uid));
        }
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = silent.local_addr().unwrap().port();
        Self {
            ctx,
            woken,
            silent,
            port,
            api,
        }
    }

    /// The one answer that an Environment gets.
    async fn answer(&mut self, uid: &str) -> Answer {
        let wait = async {
            loop {
                let answers = self
                    .ctx
                    .environments
                    .memory
                    .with(uid, |memory| memory.measurements());
                if let Some(found) = answers.into_values().next() {
                    return found.answer;
                }
                self.woken.recv().await.unwrap();
            }
        };
        timeout(LONG, wait).await.unwrap()
    }
}

#[tokio::test]
async fn an_environment_whose_sources_do_not_answer_holds_up_no_other() {
    let mut desk = Desk::open().await;
    for metric in 0..80 {
        take(
            &desk.ctx,
            &environment("env-1"),
            &measure_of(metric, desk.port, 300),
        );
    }
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(timeout(LONG, desk.silent.accept()).await.unwrap().unwrap());
    }
    // nobody listens there, and that is an answer
    take(&desk.ctx, &environment("env-2"), &measure_of(0, 9, 300));
    assert!(matches!(desk.answer("env-2").await, Answer::Error(_)));
    assert_eq!(desk.ctx.environments.samples.free(), 64 - 8);
    assert!(desk.api.all("GET").is_empty());
}

#[tokio::test]
async fn the_time_of_a_sample_begins_when_it_is_due_and_not_when_its_turn_comes() {
    let mut desk = Desk::open().await;
    for metric in 0..8 {
        take(
            &desk.ctx,
            &environment("env-1"),
            &measure_of(metric, desk.port, 300),
        );
    }
    let mut open = Vec::new();
    for _ in 0..8 {
        open.push(timeout(LONG, desk.silent.accept()).await.unwrap().unwrap());
    }
    take(&desk.ctx, &environment("env-1"), &measure_of(8, desk.port, 1));
    let Answer::Error(problem) = desk.answer("env-1").await else {
        unreachable!()
    };
    assert!(
        problem.contains("it could not be asked for in 1s: too many samples"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_namespace_whose_sources_do_not_answer_holds_up_no_other() {
    let mut desk = Desk::open().await;
    let mut stranger = environment("env-2");
    stranger.metadata.namespace = Some("strangers".to_owned());
    desk.ctx.environments.memory.freshest(&stranger);
    for number in 0..9 {
        for metric in 0..8 {
            let slow = environment(&format!("slow-{number}"));
            take(&desk.ctx, &slow, &measure_of(metric, desk.port, 300));
        }
    }
    let mut open = Vec::new();
    for _ in 0..32 {
        open.push(timeout(LONG, desk.silent.accept()).await.unwrap().unwrap());
    }
    assert_eq!(desk.ctx.environments.samples.free(), 32, "half of all");
    take(&desk.ctx, &stranger, &measure_of(0, 9, 300));
    let Answer::Error(problem) = desk.answer("env-2").await else {
        unreachable!()
    };
    assert!(!problem.contains("too many samples"), "{problem}");
}
