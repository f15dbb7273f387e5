//! Sealed records of runs and Environments that are gone: one of them, or its whole namespace, may be deleted while the chain is away, and
//! its records wait in ConfigMaps of the operator's namespace. They are recorded when the chain is back, by this operator or the next one.
//! The same goes for one that is still there (somebody else's finalizer holds it, say) and has nothing but sealed records.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::{Duration, Instant},
};

use dcanary_core::{journal::refused, observed::Refusal};
use dcanary_crds::{PendingRecord, PipelineRun, labels};
use dcanary_ledger::{Outbox, Outcome, Record, RunKey};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, ResourceExt, api::ListParams, runtime::reflector::Store};
use tracing::{debug, error, info, warn};

use super::{Journaled, decode_graph, outbox, outcomes, records, seal};
use crate::context::Context;

/// First pause before records are handed over again, and the longest.
const FIRST: Duration = Duration::from_secs(10);
const LONGEST: Duration = Duration::from_secs(3600);

/// What waits for a run that is gone.
#[derive(Debug)]
struct Waiting {
    config_maps: Vec<String>,
    /// Number of the last record; `None` when they cannot be read.
    last: Option<u64>,
    tries: u32,
    again: Instant,
    /// People were told that the journal refuses one of them.
    shown: bool,
    /// What the ConfigMaps hold: the recorder asks for what the chain lacks.
    records: Vec<PendingRecord>,
    /// Notes in the place of records that the journal refused. An operator that starts anew goes on from the chain's own position, so
    /// those that are recorded are not needed again.
    notes: BTreeMap<i64, PendingRecord>,
}

/// Everything that was left behind.
#[derive(Debug, Default)]
pub struct LeftBehind {
    /// By UID of the run.
    gone: HashMap<String, Waiting>,
    /// The last sealed record that was handed over of those that are still there and have nothing but sealed records.
    handed: HashMap<String, i64>,
    /// Something could not be read.
    failed: bool,
}

impl LeftBehind {
    /// Whether anything still waits, or could not be read.
    pub fn has_to_look(&self) -> bool {
        self.failed || !self.gone.is_empty()
    }

    /// UIDs of the runs.
    pub fn runs(&self) -> impl Iterator<Item = String> {
        self.gone.keys().cloned()
    }

    /// Looks for ConfigMaps whose run is gone, and hands the last of their records to the recorder, which asks for those before it: at once
    /// when they are new, else after a pause that grows. The recorder keeps what it was given; a repetition helps only when a ConfigMap
    /// could not be deleted.
    pub async fn look(&mut self, ctx: &Context, runs: &Store<PipelineRun>) {
        self.failed = false;
        self.hand_back(ctx, outcomes::only_sealed(ctx, runs)).await;
        let maps: Api<ConfigMap> = Api::namespaced(ctx.client.clone(), &ctx.config.namespace);
        let found = match maps.list(&ListParams::default().labels(labels::RUN_UID)).await {
            Ok(found) => found.items,
            Err(source) => {
                warn!(
                    error = &source as &dyn std::error::Error,
                    "sealed records cannot be listed now; will look again"
                );
                self.failed = true;
                return;
            }
        };
        let live = outcomes::live(ctx, runs);
        let mut gone: HashMap<String, Vec<ConfigMap>> = HashMap::new();
        for map in found {
            match map.labels().get(labels::RUN_UID) {
                Some(uid) if !live.contains(uid) => gone.entry(uid.clone()).or_default().push(map),
                Some(uid) => drop_recorded(ctx, runs, uid, &map).await,
                None => {}
            }
        }
        self.gone.retain(|uid, _| gone.contains_key(uid));
        for (uid, maps) in gone {
            self.hand_over(ctx, uid, &maps);
        }
    }

    /// Hands over what is sealed of those that have nothing else: the recorder, which got nothing of them, asks for nothing. It keeps what
    /// it was given, so once is enough.
    async fn hand_back(&mut self, ctx: &Context, subjects: Vec<Arc<dyn Journaled + Send>>) {
        let mut handed = HashMap::new();
        for subject in subjects {
            let sealed = subject.journal().and_then(|journal| journal.sealed.last());
            let (Some(outbox), Some(sealed)) = (outbox(&ctx.config.domain, subject.as_ref()), sealed) else {
                continue;
            };
            let uid = subject.uid();
            let known = self.handed.get(&uid) == Some(&sealed.last);
            // a note in the place of a sealed record stays in the outbox until the status says that it is recorded
            let recorded = subject.journal().map_or(0, |journal| journal.recorded);
            let from = u64::try_from(recorded).unwrap_or(0);
            if known || outcomes::hand_back_of(ctx, subject.as_ref(), &outbox.key, from, u64::MAX).await {
                handed.insert(uid, sealed.last);
            } else {
                self.failed = true;
            }
        }
        self.handed = handed;
    }

    fn hand_over(&mut self, ctx: &Context, uid: String, maps: &[ConfigMap]) {
        let Some(recorder) = ctx.recorder.get() else {
            return;
        };
        let mut config_maps: Vec<String> = maps.iter().map(ResourceExt::name_any).collect();
        config_maps.sort();
        if !self.is_due(&uid, &config_maps, Instant::now()) {
            return;
        }
        let named = maps.iter().find_map(|map| map.annotations().get(seal::PROJECT));
        let project = named.unwrap_or(&ctx.config.project);
        let mut pending: Vec<PendingRecord> = maps.iter().flat_map(kept).collect();
        pending.sort_by_key(|record| record.n);
        let count = pending.len();
        let last = records(&pending).last().map(|record| record.n);
        let first_time = self.noted(&uid, config_maps, last, Instant::now());
        if let Some(waiting) = self.gone.get_mut(&uid) {
            waiting.records = pending;
        }
        let Some(last) = last else {
            if first_time {
                warn!(
                    run = uid,
                    "a ConfigMap of sealed records cannot be read; it is kept"
                );
            }
            return;
        };
        if first_time {
            info!(
                run = uid,
                records = count,
                "recording what a deleted run left behind"
            );
        } else {
            debug!(run = uid, "handing over again what a deleted run left behind");
        }
        // The last one alone: with it the recorder asks for those before it that the chain lacks. What the chain has is not offered again,
        // as an operator before this one may have put a note in the place of a record that was refused.
        recorder.submit(Outbox {
            records: self.waiting_records(&uid, last, last),
            key: RunKey::new(project.clone(), ctx.config.domain.clone(), uid),
            graph: maps.iter().find_map(|map| decode_graph(text(map, seal::GRAPH)?)),
        });
    }

    /// The records `from..=to` of a run, with the notes in the place of those that were refused.
    fn waiting_records(&self, uid: &str, from: u64, to: u64) -> Vec<Record> {
        let Some(waiting) = self.gone.get(uid) else {
            return Vec::new();
        };
        let asked = waiting
            .records
            .iter()
            .filter(|record| u64::try_from(record.n).is_ok_and(|n| (from..=to).contains(&n)))
            .map(|record| waiting.notes.get(&record.n).unwrap_or(record).clone());
        records(&asked.collect::<Vec<_>>())
    }

    /// Whether a run's records are to be handed over now.
    fn is_due(&self, uid: &str, config_maps: &[String], now: Instant) -> bool {
        let waiting = self.gone.get(uid);
        waiting.is_none_or(|waiting| waiting.again <= now || waiting.config_maps != config_maps)
    }

    /// Notes that they are handed over; whether they are new.
    fn noted(&mut self, uid: &str, config_maps: Vec<String>, last: Option<u64>, now: Instant) -> bool {
        let (same, notes) = self.gone.remove(uid).map_or_else(Default::default, |waiting| {
            let same = (waiting.config_maps == config_maps).then_some((waiting.tries + 1, waiting.shown));
            (same, waiting.notes)
        });
        let (tries, shown) = same.unwrap_or((0, false));
        let waiting = Waiting {
            config_maps,
            last,
            tries,
            again: now + FIRST.saturating_mul(1 << tries.min(16)).min(LONGEST),
            shown,
            records: Vec::new(),
            notes,
        };
        self.gone.insert(uid.to_owned(), waiting);
        tries == 0
    }

    /// Notes a refusal; whether people have to be told.
    fn refused(&mut self, uid: &str) -> bool {
        let waiting = self.gone.get_mut(uid);
        waiting.is_some_and(|waiting| !std::mem::replace(&mut waiting.shown, true))
    }

    /// Puts a note in the place of a record that the journal refused, so that those after it can be recorded. Returns whether it did.
    fn replace(&mut self, ctx: &Context, key: &RunKey, refusal: &Refusal) -> bool {
        let (Some(waiting), Some(recorder)) = (self.gone.get_mut(&key.run), ctx.recorder.get()) else {
            return false;
        };
        let Ok(n) = i64::try_from(refusal.n) else {
            return false;
        };
        // nothing begins with a note: it would be refused as well, and so would a note's own note
        if n == 0 || waiting.notes.contains_key(&n) {
            return false;
        }
        // At the time of what it stands for: every operator that replaces it writes the same note, and the second one repeats the first.
        let claimed = waiting.records.iter().find(|record| record.n == n);
        let claimed =
            claimed.and_then(|record| Timestamp::from_nanosecond(i128::from(record.claimed_ts)).ok());
        let note = refused(refusal, &key.run, claimed.unwrap_or_else(Timestamp::now));
        recorder.submit(Outbox {
            key: key.clone(),
            records: records(std::slice::from_ref(&note)),
            graph: None,
        });
        waiting.notes.insert(n, note);
        true
    }

    /// Takes an outcome that is about a run that is gone. Returns whether it was.
    pub async fn take(&mut self, ctx: &Context, outcome: &Outcome) -> bool {
        let key = outcomes::key(outcome);
        let end = match outcome {
            Outcome::Recorded { first, blocks, .. } => first + u64::try_from(blocks.len()).unwrap_or(0),
            Outcome::Refused { n, hash, reason, .. } => {
                let noted = hash.is_some_and(|hash| {
                    let refusal = Refusal {
                        n: *n,
                        hash,
                        reason: reason.clone(),
                    };
                    self.replace(ctx, key, &refusal)
                });
                if noted {
                    error!(
                        run = key.run,
                        n, reason, "JournalRefused: a note takes the place of a record of a deleted run"
                    );
                } else if self.refused(&key.run) {
                    error!(
                        run = key.run,
                        n, reason, "the journal refuses a record of a deleted run; its ConfigMap is kept"
                    );
                }
                0
            }
            Outcome::Conflict { n, have, .. } => {
                if self.refused(&key.run) {
                    error!(
                        run = key.run,
                        n,
                        have,
                        "LedgerConflict: the chain holds another record of a deleted run; its ConfigMap is kept"
                    );
                }
                0
            }
            Outcome::Missing { from, to, .. } => {
                let records = self.waiting_records(&key.run, *from, *to);
                if let Some(recorder) = ctx.recorder.get()
                    && !records.is_empty()
                {
                    recorder.submit(Outbox {
                        key: key.clone(),
                        records,
                        // the recorder has it with the last record
                        graph: None,
                    });
                }
                0
            }
            _ => 0,
        };
        let Some(waiting) = self.gone.get(&key.run) else {
            return false;
        };
        if waiting.last.is_some_and(|last| end > last) {
            for config_map in &waiting.config_maps {
                if let Err(source) = seal::drop_sealed(ctx, config_map).await {
                    // a later look finds it again, and the chain says again that it has the records
                    warn!(
                        error = &source as &dyn std::error::Error,
                        config_map, "will try again"
                    );
                    return true;
                }
            }
            self.gone.remove(&key.run);
        }
        true
    }
}

fn text<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a str> {
    Some(map.data.as_ref()?.get(key)?.as_str())
}

/// The records that a ConfigMap holds; none when they cannot be read.
fn kept(map: &ConfigMap) -> Vec<PendingRecord> {
    let records = text(map, seal::RECORDS).map(serde_json::from_str);
    records.and_then(Result::ok).unwrap_or_default()
}

/// Deletes the ConfigMap of a run or an Environment that goes on, when the chain holds all of it: an operator that died between the status
/// that says so and the deletion left it behind.
async fn drop_recorded(ctx: &Context, runs: &Store<PipelineRun>, uid: &str, map: &ConfigMap) {
    let Some(last) = kept(map).into_iter().map(|record| record.n).max() else {
        return;
    };
    if outcomes::recorded(ctx, runs, uid).is_none_or(|recorded| recorded <= last) {
        return;
    }
    let config_map = map.name_any();
    if let Err(source) = seal::drop_sealed(ctx, &config_map).await {
        warn!(
            error = &source as &dyn std::error::Error,
            config_map, "a later look tries again"
        );
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_refused_is_shown_once_and_handed_over_ever_more_rarely() {
        let mut left = LeftBehind::default();
        let maps = vec!["a".to_owned()];
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for round in 0..12 {
            assert!(left.is_due("uid", &maps, now));
            assert_eq!(left.noted("uid", maps.clone(), Some(3), now), round == 0);
            assert!(!left.is_due("uid", &maps, now), "not at the next look");
            assert_eq!(left.refused("uid"), round == 0, "told once");
            let again = left.gone["uid"].again;
            pauses.push((again - now).as_secs());
            now = again;
        }
        assert_eq!(pauses[..4], [10, 20, 40, 80]);
        assert_eq!(pauses[11], 3600);
        // Another ConfigMap of the run: what is new goes at once.
        let more = vec!["a".to_owned(), "b".to_owned()];
        assert!(left.is_due("uid", &more, Instant::now()));
        assert!(left.noted("uid", more, Some(5), now));
    }
}
