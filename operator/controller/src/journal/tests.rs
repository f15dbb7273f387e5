#![allow(clippy::unwrap_used, clippy::panic)]
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use dcanary_core::{Observed, Settings, journal::seal_hash, next};
use dcanary_crds::{Condition, ConditionType, PendingRecord, labels};
use dcanary_ledger::{Ledger as _, MemoryLedger, Record, Recorder, RecorderOptions, Segment};
use dcanary_types::record::{self, Transition};
use kube::runtime::{reflector, watcher::Event};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{super::hand_over, *};
use crate::{
    run::observe::observe,
    testing::{self, Answer, ApiServer, Asked},
};

#[path = "tests_refused.rs"]
mod refused;

const MAP: &str = "dcanary-journal-run-1-0";

fn pending(n: i64, note: &str) -> PendingRecord {
    pending_of("run-1", n, note)
}

fn pending_of(uid: &str, n: i64, note: &str) -> PendingRecord {
    let typed = record::Record {
        run: uid.to_owned(),
        n: n.unsigned_abs(),
        claimed_ts: n.unsigned_abs(),
        transition: Transition::StageStarted {
            stage: "a".to_owned(),
            attempt: 1,
            image: note.to_owned(),
        },
    };
    dcanary_core::journal::pending(&typed)
}

fn written(records: &[PendingRecord]) -> Vec<Record> {
    super::records(records)
}

/// A run that has begun, with four records: the first two are sealed, the others in its status.
fn run() -> PipelineRun {
    let sealed = [pending(0, "a"), pending(1, "b")];
    let mut run = testing::run("run-1");
    run.metadata.finalizers = Some(vec![labels::RECORDED.to_owned()]);
    let seen = Observed {
        settings: Arc::new(Settings::default()),
        ..Observed::default()
    };
    let mut status = next(&run, &seen, Timestamp::now()).status;
    status.project = Some("default".to_owned());
    let journal = json!({
        "next": 4, "recorded": 0,
        "graph": BASE64_STANDARD.encode(b"graph"),
        "pending": [pending(2, "c"), pending(3, "d")],
        "sealed": [{"first": 0, "last": 1, "hash": seal_hash(&sealed), "configMap": MAP}],
    });
    status.journal = serde_json::from_value(journal).unwrap();
    run.status = Some(status);
    run
}

/// A ConfigMap with these records.
fn map(records: &[PendingRecord]) -> Value {
    json!({
        "metadata": {"name": MAP, "namespace": "dcanary-system", "labels": {"dcanary.dev/run-uid": "run-1"}},
        "data": {"records.json": serde_json::to_string(records).unwrap()},
    })
}

struct Desk {
    ctx: Arc<Context>,
    ledger: Arc<MemoryLedger>,
    woken: tokio::sync::mpsc::UnboundedReceiver<reflector::ObjectRef<PipelineRun>>,
    /// Keeps the cache.
    _writer: reflector::store::Writer<PipelineRun>,
}

impl Desk {
    /// The follower with a run in the cache, whose outbox was handed over.
    fn open(api: &ApiServer, ledger: Arc<MemoryLedger>, run: &PipelineRun) -> Self {
        let (ctx, woken) = testing::context_with(api.client(), testing::server("http://127.0.0.1:9"));
        let (runs, mut writer) = reflector::store();
        writer.apply_watcher_event(&Event::Apply(run.clone()));
        ctx.memory.freshest(run);
        let options = RecorderOptions {
            min_pause: Duration::from_millis(2),
            max_pause: Duration::from_millis(20),
            ..RecorderOptions::default()
        };
        let (recorder, outcomes) = Recorder::start(ledger.clone(), options);
        assert!(ctx.recorder.set(recorder).is_ok());
        hand_over(&ctx, run);
        tokio::spawn(follow(ctx.clone(), runs, outcomes));
        Self {
            ctx,
            ledger,
            woken,
            _writer: writer,
        }
    }

    /// Waits until the memory of the run says so.
    async fn seen(&mut self, wanted: impl Fn(&JournalSeen) -> bool) -> JournalSeen {
        let wait = async {
            loop {
                let seen = self.ctx.memory.with("run-1", |memory| memory.journal.clone());
                if wanted(&seen) {
                    return seen;
                }
                self.woken.recv().await.unwrap();
            }
        };
        timeout(Duration::from_secs(20), wait).await.unwrap()
    }

    /// What `Recorded` says with what is known now.
    fn recorded(&self, run: &PipelineRun) -> Condition {
        let now = Timestamp::now();
        let plan = next(run, &observe(&self.ctx, run, now), now);
        let mut conditions = plan.status.conditions.into_iter();
        conditions
            .find(|condition| condition.kind == ConditionType::Recorded)
            .unwrap()
    }
}

#[tokio::test]
async fn sealed_records_are_recorded_although_the_api_server_failed_when_they_were_asked_for() {
    let failures = AtomicUsize::new(0);
    let api = ApiServer::start(move |request: &Asked| {
        if request.path.ends_with(MAP) {
            if failures.fetch_add(1, Ordering::Relaxed) < 2 {
                return Answer::error(500, "InternalError", "not now");
            }
            return Answer::ok(&map(&[pending(0, "a"), pending(1, "b")]));
        }
        Answer::ok(&json!({"items": [], "metadata": {}}))
    });
    let mut desk = Desk::open(&api, Arc::new(MemoryLedger::new()), &run());
    desk.seen(|seen| seen.recorded == 4).await;
    let key = RunKey::new("default", "local", "run-1");
    let all = [pending(0, "a"), pending(1, "b"), pending(2, "c"), pending(3, "d")];
    assert_eq!(desk.ledger.records(&key), written(&all));
}

#[tokio::test]
async fn a_swapped_config_map_of_sealed_records_is_named_and_nothing_of_it_is_recorded() {
    let api = ApiServer::start(|request: &Asked| {
        if request.path.ends_with(MAP) {
            return Answer::ok(&map(&[pending(0, "a"), pending(1, "forged")]));
        }
        Answer::ok(&json!({"items": [], "metadata": {}}))
    });
    let run = run();
    let mut desk = Desk::open(&api, Arc::new(MemoryLedger::new()), &run);
    desk.seen(|seen| !seen.sealings.is_empty()).await;
    // asked for a few times more: still told once, still nothing recorded
    let reads = || {
        let gets = api.all("GET");
        gets.iter().filter(|get| get.path.ends_with(MAP)).count()
    };
    timeout(Duration::from_secs(20), async {
        let mut n = 1;
        while reads() < 3 {
            api.nth("GET", n).await;
            n += 1;
        }
    })
    .await
    .unwrap();
    let seen = desk.seen(|_| true).await;
    let swapped = Sealing::Swapped {
        config_map: MAP.to_owned(),
    };
    assert_eq!(seen.sealings, [swapped]);
    assert_eq!(desk.ledger.records(&RunKey::new("default", "local", "run-1")), []);
    let condition = desk.recorded(&run);
    assert_eq!(condition.reason, "SealedRecordsSwapped");
    assert!(condition.message.contains(MAP), "{}", condition.message);
}

#[tokio::test]
async fn records_that_were_acknowledged_and_that_the_chain_has_no_more_are_told_with_a_way_on() {
    let api = ApiServer::start(|_: &Asked| Answer::ok(&json!({"items": [], "metadata": {}})));
    let mut run = run();
    let status = run.status.as_mut().unwrap();
    let journal = json!({
        "next": 4, "recorded": 2, "block": 7,
        "graph": BASE64_STANDARD.encode(b"graph"),
        "pending": [pending(2, "c"), pending(3, "d")],
    });
    status.journal = serde_json::from_value(journal).unwrap();
    // an older state of the chain, which does not have the run at all
    let mut desk = Desk::open(&api, Arc::new(MemoryLedger::new()), &run);
    desk.seen(|seen| seen.waiting.is_some()).await;
    let condition = desk.recorded(&run);
    assert_eq!(condition.reason, "RecordsMissing");
    for said in ["has 0 records", "had 2", "created anew"] {
        assert!(condition.message.contains(said), "{}", condition.message);
    }
    assert_eq!(desk.ledger.records(&RunKey::new("default", "local", "run-1")), []);
}

#[tokio::test]
async fn a_record_with_the_number_and_other_content_of_one_on_the_chain_is_a_conflict_by_name() {
    let ledger = Arc::new(MemoryLedger::new());
    let key = RunKey::new("default", "local", "run-1");
    let other = [
        pending(0, "a"),
        pending(1, "b"),
        pending(2, "another"),
        pending(3, "d"),
    ];
    let segment = Segment {
        key: key.clone(),
        graph: Some(b"graph".to_vec()),
        records: written(&other),
    };
    ledger.append(&[segment]).await.unwrap();
    let api = ApiServer::start(|_| Answer::ok(&json!({"items": [], "metadata": {}})));
    let run = run();
    let mut desk = Desk::open(&api, ledger, &run);
    let seen = desk.seen(|seen| seen.conflict.is_some()).await;
    assert_eq!(seen.conflict, Some(Conflict { n: 2, have: 2 }));
    let condition = desk.recorded(&run);
    assert_eq!(condition.reason, "LedgerConflict");
    assert_eq!(
        desk.ledger.records(&key),
        written(&other),
        "the chain keeps what it has"
    );
}

#[tokio::test]
async fn what_a_stuck_run_held_back_does_not_count_any_more_when_the_run_is_gone() {
    let ledger = Arc::new(MemoryLedger::new());
    let key = RunKey::new("default", "local", "run-1");
    ledger.refuse(&key, 0, "malformed");
    let api = ApiServer::start(|_| Answer::ok(&json!({"items": [], "metadata": {}})));
    let mut run = run();
    let journal = run.status.as_mut().unwrap().journal.as_mut().unwrap();
    journal.pending = vec![pending(0, "a"), pending(1, "b")];
    journal.sealed = Vec::new();
    let mut desk = Desk::open(&api, ledger, &run);
    desk.seen(|seen| !seen.refused.is_empty()).await;
    let mut depths = desk.ctx.recorder.get().unwrap().depths();
    timeout(Duration::from_secs(20), depths.wait_for(|depth| *depth == 2))
        .await
        .unwrap()
        .unwrap();
    let (gone, _writer) = reflector::store();
    forget_gone(&desk.ctx, &gone, &LeftBehind::default());
    timeout(Duration::from_secs(20), depths.wait_for(|depth| *depth == 0))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn the_outbox_of_an_environment_goes_the_same_way_and_the_environment_is_told() {
    let records = [pending_of("env-1", 0, "a"), pending_of("env-1", 1, "b")];
    let mut environment = testing::environment("env-1");
    environment.status = serde_json::from_value(json!({
        "project": "default", "journal": {"next": 2, "recorded": 0, "graph": BASE64_STANDARD.encode(b"graph"), "pending": records},
    }))
    .unwrap();
    let (environments, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(environment.clone()));
    let stores = crate::environment::Stores {
        environments,
        ..crate::environment::Stores::empty()
    };
    let api = ApiServer::start(|_| Answer::ok(&json!({"items": [], "metadata": {}})));
    let ctx = testing::context_of(api.client(), stores);
    let mut woken = ctx.environments.woken().unwrap();
    ctx.environments.memory.freshest(&environment);
    let ledger = Arc::new(MemoryLedger::new());
    let (recorder, outcomes) = Recorder::start(ledger.clone(), RecorderOptions::default());
    assert!(ctx.recorder.set(recorder).is_ok());
    let (runs, _writer) = reflector::store();
    assert!(
        live(&ctx, &runs).contains("env-1"),
        "its records are not left behind"
    );
    hand_over(&ctx, &environment);
    tokio::spawn(follow(ctx.clone(), runs, outcomes));
    let told = async {
        while ctx.journal_of("env-1", |journal| journal.recorded) < 2 {
            assert_eq!(woken.recv().await.unwrap().name, "prod");
        }
    };
    timeout(Duration::from_secs(20), told).await.unwrap();
    let key = RunKey::new("default", "local", "env-1");
    assert_eq!(ledger.records(&key), written(&records));
    assert!(ctx.memory.object("env-1").is_none(), "it is no run");
}

#[tokio::test]
async fn a_config_map_whose_records_are_all_on_the_chain_is_dropped_although_its_run_or_environment_goes_on()
{
    let journal = |recorded: i64| json!({"next": 9, "recorded": recorded, "pending": []});
    let mut run = testing::run("run-1");
    run.status = Some(serde_json::from_value(json!({"journal": journal(2)})).unwrap());
    let mut environment = testing::environment("env-1");
    environment.status = Some(serde_json::from_value(json!({"journal": journal(1)})).unwrap());
    let map = |uid: &str, n: i64| {
        let records = serde_json::to_string(&[pending_of(uid, n, "a")]).unwrap();
        json!({
            "metadata": {"name": format!("{uid}-{n}"), "namespace": "dcanary-system", "labels": {labels::RUN_UID: uid}},
            "data": {"records.json": records},
        })
    };
    let maps = [map("run-1", 1), map("run-1", 2), map("env-1", 0), map("env-1", 1)];
    let api = ApiServer::start(move |request: &Asked| match request.method.as_str() {
        "GET" => Answer::ok(&json!({"items": maps, "metadata": {}})),
        _ => Answer::ok(&json!({"kind": "Status", "status": "Success"})),
    });
    let (environments, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(environment));
    let stores = crate::environment::Stores {
        environments,
        ..crate::environment::Stores::empty()
    };
    let ctx = testing::context_of(api.client(), stores);
    let (runs, mut writer) = reflector::store();
    writer.apply_watcher_event(&Event::Apply(run));
    LeftBehind::default().look(&ctx, &runs).await;
    let dropped: Vec<String> = api.all("DELETE").into_iter().map(|asked| asked.path).collect();
    let place = "/api/v1/namespaces/dcanary-system/configmaps";
    assert_eq!(dropped, [format!("{place}/run-1-1"), format!("{place}/env-1-0")]);
}

#[tokio::test]
async fn a_run_that_is_still_there_with_nothing_but_sealed_records_is_recorded_by_an_operator_that_never_had_its_outbox()
 {
    let api = ApiServer::start(|request: &Asked| {
        if request.path.ends_with(MAP) {
            return Answer::ok(&map(&[pending(0, "a"), pending(1, "b")]));
        }
        Answer::ok(&json!({"items": [], "metadata": {}}))
    });
    // somebody else's finalizer holds it, and ours is off
    let mut run = run();
    run.metadata.finalizers = Some(vec!["somebody/else".to_owned()]);
    let journal = run.status.as_mut().unwrap().journal.as_mut().unwrap();
    (journal.pending, journal.next) = (Vec::new(), 2);
    let mut desk = Desk::open(&api, Arc::new(MemoryLedger::new()), &run);
    desk.seen(|seen| seen.recorded == 2).await;
    let key = RunKey::new("default", "local", "run-1");
    assert_eq!(
        desk.ledger.records(&key),
        written(&[pending(0, "a"), pending(1, "b")])
    );
}
