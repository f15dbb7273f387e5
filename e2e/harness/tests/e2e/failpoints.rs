//! The operator is killed before and after each of its effects and status writes: same final status, same journal.
//!
//! Disturbs the whole installation, so nothing else runs at the same time.

mod environments;
mod runs;

use std::{
    collections::BTreeMap,
    fmt::Debug,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use dcanary_controller::failpoint::{KILLED, Side};
use dcanary_harness::{
    Cluster, Namespace, scenario,
    system::{LEDGER, System},
};
use futures::future::try_join_all;
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

/// A place, and the stories that come by it.
type Case<S> = (&'static str, S);

/// Tells each story once undisturbed, beside each other but for those that stop the ledger (`away`), then with kills on both sides of each
/// boundary of it. All must come to the same. The kills of a story follow each other, those before and those after in a telling each; with
/// `DCANARY_FAILPOINTS=alone` (`make soak`) each has a telling of its own. `tell` arms the failpoints (`None`: none) when its story has come to
/// where they count.
async fn same_after_kills<S, T>(cases: impl IntoIterator<Item = Case<S>>, away: S, tell: T) -> Result<()>
where
    S: Copy + Debug + Ord,
    T: AsyncFn(&Namespace, &System, S, Option<&str>) -> Result<Essence>,
{
    let system = &System::of(&Cluster::connect().await?);
    let tell = &tell;
    let mut wrong = Vec::new();
    let mut told = 0;
    let stories = by_story(cases);
    system.arm(None).await?;
    let undisturbed = async |story: S| {
        let name = format!("undisturbed-{story:?}");
        let wanted = scenario(&name, |ns| async move { tell(&ns, system, story, None).await }).await?;
        anyhow::Ok((story, wanted))
    };
    let beside = stories.keys().filter(|story| **story != away);
    let mut undisturbed: BTreeMap<S, Essence> = {
        let mut all = try_join_all(beside.map(|story| undisturbed(*story))).await?;
        all.push(undisturbed(away).await?);
        system.start(LEDGER).await?;
        all.into_iter().collect()
    };
    for (story, points) in stories {
        let wanted = undisturbed
            .remove(&story)
            .context("each story was told undisturbed")?;
        for (number, points) in tellings(points).into_iter().enumerate() {
            let began = Instant::now();
            let name = format!("kill-{story:?}-{number}");
            let outcome = match disturbed(system, &name, &points, story, tell).await {
                Ok(found) if found == wanted => "same status, same journal".to_owned(),
                Ok(found) => {
                    wrong.push(format!("{story:?} {points:?}: {found:#?} instead of {wanted:#?}"));
                    "DIFFERENT".to_owned()
                }
                Err(error) => {
                    wrong.push(format!("{story:?} {points:?}: {error:?}"));
                    format!("FAILED: {error}")
                }
            };
            told += points.len();
            for point in &points {
                println!("{point:<32} {:<12} {outcome}", format!("{story:?}"));
            }
            println!(
                "{story:?} killed {} times: {} s",
                points.len(),
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

/// The failpoints of each story.
fn by_story<S: Ord>(cases: impl IntoIterator<Item = Case<S>>) -> BTreeMap<S, Vec<String>> {
    let mut stories: BTreeMap<S, Vec<String>> = BTreeMap::new();
    for (boundary, story) in cases {
        let sides = [Side::Before, Side::After].map(|side| format!("{}:{boundary}", word(side)));
        stories.entry(story).or_default().extend(sides);
    }
    stories
}

/// Which kills follow each other in one telling.
fn tellings(points: Vec<String>) -> Vec<Vec<String>> {
    if std::env::var("DCANARY_FAILPOINTS").is_ok_and(|how| how == "alone") {
        points.into_iter().map(|point| vec![point]).collect()
    } else {
        // what was killed before an effect may find another way to it, and never come to behind it
        let before = |point: &String| point.starts_with(word(Side::Before));
        let (before, after) = points.into_iter().partition(before);
        vec![before, after]
    }
}

async fn disturbed<S, T>(
    system: &System,
    name: &str,
    points: &[String],
    story: S,
    tell: &T,
) -> Result<Essence>
where
    S: Copy + Debug,
    T: AsyncFn(&Namespace, &System, S, Option<&str>) -> Result<Essence>,
{
    let armed = &points.join(",");
    scenario(name, |ns| async move {
        let told = tell(&ns, system, story, Some(armed)).await?;
        system.operator_was_killed(points, KILLED, LIMIT).await?;
        Ok(told)
    })
    .await
}
