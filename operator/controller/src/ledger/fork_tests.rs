#![allow(clippy::unwrap_used, clippy::panic)]
use std::{collections::BTreeMap, sync::Mutex};

use dcanary_ledger::{Checkpoint, Fork};
use serde_json::Value;

use super::*;
use crate::testing::{Answer, ApiServer, Asked, context};

fn head(size: u64, certificate: u8) -> Checkpoint {
    Checkpoint {
        ledger: vec![1],
        size,
        root: [size.to_le_bytes()[0]; 32],
        time: size,
        certificate: vec![certificate; 40],
        hash_tree: vec![2; 40],
    }
}

fn forked(shown: u64, certificate: u8) -> Reachability {
    Reachability::Forked(Arc::new(ForkEvidence {
        why: Fork::Smaller,
        seen: head(9, 1),
        shown: head(shown, certificate),
        prefix: None,
    }))
}

/// An API server that keeps ConfigMaps as the real one does, and takes Events.
fn api_server(mut refuse: usize) -> ApiServer {
    let maps: Mutex<BTreeMap<String, Value>> = Mutex::default();
    ApiServer::start(move |request: &Asked| {
        let mut maps = maps.lock().unwrap();
        let name = request.path.rsplit('/').next().unwrap().to_owned();
        match request.method.as_str() {
            "POST" if name == "configmaps" => {
                if refuse > 0 {
                    refuse -= 1;
                    return Answer::error(500, "InternalError", "not now");
                }
                let map = request.json();
                let name = map["metadata"]["name"].as_str().unwrap().to_owned();
                if maps.contains_key(&name) {
                    return Answer::error(409, "AlreadyExists", "it is there");
                }
                maps.insert(name, map.clone());
                Answer::ok(&map)
            }
            "GET" => maps
                .get(&name)
                .map_or_else(|| Answer::error(404, "NotFound", "no such map"), Answer::ok),
            _ => Answer::ok(&request.json()),
        }
    })
}

fn posts(api: &ApiServer, kind: &str) -> Vec<Value> {
    let all = api.all("POST");
    let of_kind = all.iter().filter(|request| request.path.ends_with(kind));
    of_kind.map(Asked::json).collect()
}

/// Runs the task over these states, one after the other, to its end.
async fn over(api: &ApiServer, states: Vec<Reachability>) -> Arc<Context> {
    let ctx = context(api.client());
    let (tell, told) = watch::channel(Reachability::Unknown);
    let task = tokio::spawn(follow(ctx.clone(), told));
    for state in states {
        tell.send_replace(state);
        // the task has looked at it when it waits for the next one
        let looked = async {
            for _ in 0..200 {
                tokio::task::yield_now().await;
            }
        };
        looked.await;
    }
    drop(tell);
    task.await.unwrap();
    ctx
}

#[tokio::test]
async fn a_fork_is_kept_with_both_certificates_and_raised_as_an_event_and_counted() {
    let api = api_server(0);
    let ctx = over(&api, vec![forked(3, 7)]).await;
    let maps = posts(&api, "/configmaps");
    assert_eq!(maps.len(), 1);
    let map = &maps[0];
    assert_eq!(map["immutable"], true);
    assert_eq!(map["metadata"]["namespace"], ctx.config.namespace.as_str());
    let name = map["metadata"]["name"].as_str().unwrap();
    assert!(name.starts_with("dcanary-fork-"), "{name}");
    let kept: ForkEvidence = serde_json::from_str(map["data"][EVIDENCE].as_str().unwrap()).unwrap();
    assert_eq!((kept.seen, kept.shown), (head(9, 1), head(3, 7)));
    assert!(map["binaryData"]["seen.certificate"].is_string());
    assert_ne!(
        map["binaryData"]["seen.certificate"],
        map["binaryData"]["shown.certificate"]
    );
    let events = posts(&api, "/events");
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(
        (&event["type"], &event["reason"]),
        (&"Warning".into(), &"LedgerForked".into())
    );
    assert_eq!(event["regarding"]["name"], publish::NAME);
    assert_eq!(event["related"]["name"], name);
    assert!(
        event["note"].as_str().unwrap().contains("blocks are gone"),
        "{event}"
    );
    assert_eq!(ctx.metrics.ledger_forks.get(), 1);
}

#[tokio::test]
async fn the_same_fork_at_a_later_time_is_kept_once_and_another_one_besides_it() {
    let api = api_server(0);
    let states = vec![forked(3, 7), Reachability::Reachable, forked(3, 8), forked(4, 9)];
    let ctx = over(&api, states).await;
    assert_eq!(posts(&api, "/configmaps").len(), 2);
    assert_eq!(ctx.metrics.ledger_forks.get(), 2);
    // Another process meets the first one again: it is kept already, and people are told again.
    let ctx = over(&api, vec![forked(3, 10)]).await;
    let note = posts(&api, "/events").pop().unwrap()["note"].clone();
    assert!(note.as_str().unwrap().contains("are kept in ConfigMap"), "{note}");
    assert_eq!(ctx.metrics.ledger_forks.get(), 1);
}

#[tokio::test]
async fn evidence_that_could_not_be_kept_is_kept_when_the_fork_is_met_again() {
    let api = api_server(1);
    let ctx = over(&api, vec![forked(3, 7), forked(3, 8)]).await;
    assert_eq!(posts(&api, "/configmaps").len(), 2, "the first was refused");
    assert_eq!(posts(&api, "/events").len(), 1);
    assert_eq!(ctx.metrics.ledger_forks.get(), 1);
}

#[tokio::test]
async fn a_config_map_that_holds_other_evidence_under_that_name_is_named() {
    let api = ApiServer::start(|request: &Asked| match request.method.as_str() {
        "POST" if request.path.ends_with("/configmaps") => Answer::error(409, "AlreadyExists", "it is there"),
        "GET" => Answer::ok(&json!({
            "metadata": {"name": "x", "namespace": "n", "uid": "u"}, "data": {"evidence.json": "{}"},
        })),
        _ => Answer::ok(&request.json()),
    });
    over(&api, vec![forked(3, 7)]).await;
    let note = posts(&api, "/events").pop().unwrap()["note"].clone();
    assert!(
        note.as_str().unwrap().contains("was changed by somebody"),
        "{note}"
    );
}
