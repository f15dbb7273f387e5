//! The operator is killed before and after each of its effects and status writes: same final status, same journal.
//!
//! Disturbs the whole installation, so nothing else runs at the same time.

mod environments;
mod runs;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    fmt::Debug,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dcanary_controller::failpoint::Side;
use dcanary_harness::{
    Cluster, Namespace, scenario,
    system::{LEDGER, System},
};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(120);
/// So many records that the older ones are put aside while the chain is away.
const SKIPPED: usize = 52;

/// What has to be the same whatever was killed.
#[derive(Debug, Clone, PartialEq)]
struct Essence {
    status: Value,
    journal: Vec<String>,
}

const fn word(side: Side) -> &'static str {
    match side {
        Side::Before => "before",
        Side::After => "after",
    }
}

/// Tells the story of each case: once undisturbed, then with a kill on each side of the boundary of that name. All must come to the same.
/// `tell` arms the failpoint (`None`: none) when its story has come to where it counts.
async fn same_after_kills<S, T>(cases: impl IntoIterator<Item = (&'static str, S)>, tell: T) -> Result<()>
where
    S: Copy + Debug + Ord,
    T: AsyncFn(&Namespace, &System, S, Option<&str>) -> Result<Essence>,
{
    let system = &System::of(&Cluster::connect().await?);
    let tell = &tell;
    let mut undisturbed: BTreeMap<S, Essence> = BTreeMap::new();
    let mut wrong = Vec::new();
    let mut told = 0;
    for (boundary, story) in cases {
        if let Entry::Vacant(first) = undisturbed.entry(story) {
            let name = format!("undisturbed-{story:?}");
            let reference = scenario(&name, |ns| async move { tell(&ns, system, story, None).await });
            first.insert(reference.await?);
        }
        for side in [Side::Before, Side::After] {
            let began = Instant::now();
            let found = disturbed(system, &format!("{}:{boundary}", word(side)), story, tell).await;
            let outcome = match found {
                Ok(found) if found == undisturbed[&story] => "same status, same journal".to_owned(),
                Ok(found) => {
                    let wanted = &undisturbed[&story];
                    wrong.push(format!(
                        "{side:?} {boundary} {story:?}: {found:#?} instead of {wanted:#?}"
                    ));
                    "DIFFERENT".to_owned()
                }
                Err(error) => {
                    wrong.push(format!("{side:?} {boundary} {story:?}: {error:?}"));
                    format!("FAILED: {error}")
                }
            };
            told += 1;
            println!(
                "{side:<8?} {boundary:<24} {:<12} {:>3} s  {outcome}",
                format!("{story:?}"),
                began.elapsed().as_secs()
            );
            // whatever happened, the next case finds the chain there
            system.start(LEDGER).await?;
        }
    }
    system.arm(None).await?;
    ensure!(
        wrong.is_empty(),
        "{} of {told} cases:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    Ok(())
}

async fn disturbed<S, T>(system: &System, point: &str, story: S, tell: &T) -> Result<Essence>
where
    S: Copy + Debug,
    T: AsyncFn(&Namespace, &System, S, Option<&str>) -> Result<Essence>,
{
    let name = format!("kill-{}-{story:?}", point.replace(':', "-"));
    scenario(&name, |ns| async move {
        let told = tell(&ns, system, story, Some(point)).await?;
        system.operator_was_killed(LIMIT).await?;
        Ok(told)
    })
    .await
    .with_context(|| point.to_owned())
}
