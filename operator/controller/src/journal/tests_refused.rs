//! Sealed records that the journal refused: notes stand in their place, also for an operator that starts anew.

use super::*;

/// The note in the place of `record`.
fn note(record: &PendingRecord) -> PendingRecord {
    let refused: record::Record<Transition> = dcanary_core::journal::read(record).unwrap();
    let refusal = Refusal {
        n: refused.n,
        hash: refused.content_hash(),
        reason: "malformed".to_owned(),
    };
    dcanary_core::journal::refused(&refusal, &refused.run, Timestamp::now())
}

/// A chain that holds these records of the run.
async fn chain(records: &[PendingRecord]) -> Arc<MemoryLedger> {
    let ledger = Arc::new(MemoryLedger::new());
    let segment = Segment {
        key: RunKey::new("default", "local", "run-1"),
        graph: Some(b"graph".to_vec()),
        records: written(records),
    };
    ledger.append(&[segment]).await.unwrap();
    ledger
}

/// An operator that starts anew with a run whose first records are `sealed`, of which its status calls two recorded: the second was refused,
/// and its note is on the chain. Returns when the chain is known to hold everything.
async fn starts_anew(sealed: &[PendingRecord], waiting: &[PendingRecord]) {
    let all = [sealed, waiting].concat();
    let kept = map(sealed);
    let api = ApiServer::start(move |request: &Asked| {
        if request.path.ends_with(MAP) {
            return Answer::ok(&kept);
        }
        Answer::ok(&json!({"items": [], "metadata": {}}))
    });
    let mut run = run();
    let journal = json!({
        "next": all.len(), "recorded": 2,
        "graph": BASE64_STANDARD.encode(b"graph"),
        "pending": waiting,
        "sealed": [{"first": 0, "last": sealed.len() - 1, "hash": seal_hash(sealed), "configMap": MAP}],
    });
    run.status.as_mut().unwrap().journal = serde_json::from_value(journal).unwrap();
    let noted = [sealed[0].clone(), note(&sealed[1])];
    let ledger = chain(&noted).await;
    let mut desk = Desk::open(&api, ledger, &run);
    let end = u64::try_from(all.len()).unwrap();
    let seen = desk
        .seen(|seen| seen.recorded == end || seen.conflict.is_some())
        .await;
    assert_eq!(seen.conflict, None);
    let expected = [&noted[..], &all[2..]].concat();
    let key = RunKey::new("default", "local", "run-1");
    assert_eq!(desk.ledger.records(&key), written(&expected));
}

#[tokio::test]
async fn an_operator_that_starts_anew_hands_back_only_sealed_records_that_the_chain_lacks() {
    let sealed = [pending(0, "a"), pending(1, "b"), pending(2, "c")];
    starts_anew(&sealed, &[pending(3, "d")]).await;
}

#[tokio::test]
async fn an_operator_that_starts_anew_hands_over_of_what_is_all_sealed_only_what_the_status_does_not_call_recorded()
 {
    let sealed = [pending(0, "a"), pending(1, "b"), pending(2, "c")];
    starts_anew(&sealed, &[]).await;
}

#[tokio::test]
async fn an_operator_that_starts_anew_goes_on_behind_the_note_in_what_a_deleted_run_left_behind() {
    let all = [pending(0, "a"), pending(1, "b"), pending(2, "c"), pending(3, "d")];
    let left = map(&all);
    let api = ApiServer::start(move |request: &Asked| match request.method.as_str() {
        "GET" => Answer::ok(&json!({"items": [left], "metadata": {}})),
        _ => Answer::ok(&json!({"kind": "Status", "status": "Success"})),
    });
    let noted = [all[0].clone(), note(&all[1])];
    let ledger = chain(&noted).await;
    let (ctx, _woken) = testing::context_with(api.client(), testing::server("http://127.0.0.1:9"));
    let (recorder, outcomes) = Recorder::start(ledger.clone(), RecorderOptions::default());
    assert!(ctx.recorder.set(recorder).is_ok());
    let (gone, _writer) = reflector::store();
    tokio::spawn(follow(ctx.clone(), gone, outcomes));
    let dropped = api.nth("DELETE", 1).await;
    assert!(dropped.path.ends_with(MAP), "{}", dropped.path);
    let expected = [&noted[..], &all[2..]].concat();
    let key = RunKey::new("default", "local", "run-1");
    assert_eq!(ledger.records(&key), written(&expected));
}

#[tokio::test]
async fn a_refused_record_that_a_deleted_run_left_behind_is_replaced_by_its_note_and_those_after_it_are_recorded()
 {
    let all = [pending(0, "a"), pending(1, "b"), pending(2, "c")];
    let mut left = map(&all);
    left["data"][seal::GRAPH] = json!(BASE64_STANDARD.encode(b"graph"));
    let api = ApiServer::start(move |request: &Asked| match request.method.as_str() {
        "GET" => Answer::ok(&json!({"items": [left], "metadata": {}})),
        _ => Answer::ok(&json!({"kind": "Status", "status": "Success"})),
    });
    let ledger = Arc::new(MemoryLedger::new());
    let key = RunKey::new("default", "local", "run-1");
    ledger.refuse(&key, 1, "malformed");
    let (ctx, _woken) = testing::context_with(api.client(), testing::server("http://127.0.0.1:9"));
    let options = RecorderOptions {
        min_pause: Duration::from_millis(2),
        max_pause: Duration::from_millis(20),
        ..RecorderOptions::default()
    };
    let (recorder, outcomes) = Recorder::start(ledger.clone(), options);
    assert!(ctx.recorder.set(recorder).is_ok());
    let (gone, _writer) = reflector::store();
    tokio::spawn(follow(ctx.clone(), gone, outcomes));
    // its ConfigMap goes when the chain holds everything
    let dropped = api.nth("DELETE", 1).await;
    assert!(dropped.path.ends_with(MAP), "{}", dropped.path);
    let kept = ledger.records(&key);
    assert_eq!((&kept[0], &kept[2]), (&written(&all)[0], &written(&all)[2]));
    assert_eq!(
        (kept.len(), kept[1].btype.as_str()),
        (3, "dcanary_record_refused")
    );
    let refused: record::Record<Transition> = dcanary_core::journal::read(&all[1]).unwrap();
    let note =
        record::Record::<Transition>::decode(&kept[1].btype, kept[1].claimed_ts, &kept[1].body).unwrap();
    let expected = Transition::RecordRefused {
        hash: refused.content_hash(),
        reason: "malformed".to_owned(),
    };
    assert_eq!(note.transition, expected);
    assert_eq!(
        note.claimed_ts, refused.claimed_ts,
        "every operator writes the same note"
    );
}
