//! Samples of a metric that are outcomes of a stage.

use std::collections::BTreeMap;

use dcanary_crds::{Environment, Stage};

use super::{metadata, names, runs, runs::RunState};
use crate::{
    analysis::Vars,
    plan::Write,
    seen::{Key, Kind, Seen},
};

/// Characters of the Promotion's UID in a name.
const UID_DIGITS: usize = 8;

/// The run that is a sample. It has the name of exactly this sample, so that it is made once.
pub fn job(
    env: &Environment,
    promotion_uid: &str,
    analysis: &str,
    metric: &str,
    sample: i32,
    stage: &Stage,
    vars: &Vars,
) -> (Key, Write) {
    let uid: String = promotion_uid.chars().take(UID_DIGITS).collect();
    // names of analyses have capital letters, names of objects have none
    let name = format!(
        "{}-{}-{metric}-{sample}-{uid}",
        names::short(env),
        analysis.to_ascii_lowercase()
    );
    let key = Key::new(Kind::PipelineRun, name);
    // images that cannot be told apart as parameters are left out: a stage that uses one is refused with its name
    let params = runs::params(env, &vars.release, &vars.images)
        .or_else(|_| runs::params(env, &vars.release, &BTreeMap::new()))
        .unwrap_or_default();
    let write = runs::write(
        env,
        key.clone(),
        &metadata::of_workload(env, &vars.release),
        vec![stage.clone()],
        params,
    );
    (key, write)
}

/// How the run of a sample is going.
pub fn job_state(key: &Key, seen: &Seen) -> RunState {
    runs::state(key, seen)
}
