//! Requests around each change of traffic: how many are lost, and which release answers the others.

use std::time::Instant;

use anyhow::{Context, Result, bail};
use dcanary_crds::Verb;
use dcanary_harness::{
    Namespace,
    fixtures::LIMIT,
    load::{Load, Shape, Tally},
    person::Person,
};
use serde_json::{Value, json};

use super::{
    all_on,
    part::{Part, say},
    prepared,
    split::{LOOK, WINDOW, Window},
};
use crate::report::{Row, grouped};

/// Percent of the requests that the candidate gets, step by step.
pub const WEIGHTS: [u32; 3] = [20, 50, 100];
/// The only Environment.
const WEB: &str = "web";
const PROMOTED: &str = "canary, promoted and the old Pods gone";
const SWITCH: &str = "blue/green, switch";
const UNDO: &str = "blue/green, undo";
const AIM: &str = "0 of 10,000";
/// Points that tell one weight from another.
const ABOUT: f64 = 8.0;
/// As many as the cores of a small machine serve beside the cluster.
const SHAPE: Shape = Shape {
    kept: 6,
    fresh: 2,
    per_second: 400,
};

/// Requests around all changes of one kind.
#[derive(Debug, Clone, Default)]
struct Around {
    changes: u32,
    requests: u32,
    lost: u32,
    losses: Vec<String>,
}

/// What was counted.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// By what changed.
    around: Vec<(String, Around)>,
    /// Consecutive windows at each weight, once the gateway acts on it.
    pub windows: Vec<Window>,
    /// Seconds until it does, after the status says so.
    pub late: Vec<f64>,
}

impl Found {
    fn count(&mut self, change: &str, tally: &Tally) {
        say(format!(
            "{change}: {} requests, {} lost, 99 of 100 answered within {} ms",
            tally.requests(),
            tally.lost,
            tally.percentile(99).as_millis()
        ));
        for loss in &tally.losses {
            say(format!("  lost {loss}"));
        }
        let place = self.around.iter().position(|(known, _)| known == change);
        let place = place.unwrap_or_else(|| {
            self.around.push((change.to_owned(), Around::default()));
            self.around.len() - 1
        });
        if let Some((_, around)) = self.around.get_mut(place) {
            around.changes += 1;
            around.requests += tally.requests();
            around.lost += tally.lost;
            around.losses.extend(tally.losses.iter().cloned());
        }
    }

    fn row(&self, change: &str, problem: Option<&str>) -> Row {
        let what = format!("requests lost: {change}");
        let Some((_, around)) = self.around.iter().find(|(known, _)| known == change) else {
            return Row::missing(&what, problem.unwrap_or("no such change"), AIM);
        };
        let mut detail = format!("{} times", around.changes);
        if let Some(loss) = around.losses.first() {
            detail.push_str(&format!("; the first one {loss}"));
        }
        Row {
            what,
            figure: format!("{} of {}", grouped(around.lost), grouped(around.requests)),
            detail,
            aim: AIM.to_owned(),
            met: Some(around.lost == 0),
        }
        .cut_short(problem)
    }
}

fn step(weight: u32) -> String {
    format!("canary, step to {weight} %")
}

/// The rows of both strategies.
pub fn rows(canary: &Part<Found>, blue_green: &Part<Found>) -> Vec<Row> {
    let steps = WEIGHTS.map(step);
    let steps = steps.iter().map(String::as_str).chain([PROMOTED]);
    let of = |part: &Part<Found>, change: &str| part.found.row(change, part.problem.as_deref());
    steps
        .map(|change| of(canary, change))
        .chain([SWITCH, UNDO].map(|change| of(blue_green, change)))
        .collect()
}

/// Canaries one after another, each from one image of the example application to the next.
///
/// # Errors
/// When one goes another way than it should; what was counted before is in `found`.
pub async fn canary(ns: &Namespace, found: &mut Found, repetitions: u32, requests: u32) -> Result<()> {
    let steps: Vec<_> = WEIGHTS
        .iter()
        .flat_map(|weight| [json!({"weight": weight}), json!({"pause": {}})])
        .collect();
    let strategy = json!({"canary": {"steps": steps, "scaleDownDelay": "3s"}});
    repeat(ns, &strategy, "canary", repetitions, async |me, number| {
        one_canary(ns, me, found, number, requests).await
    })
    .await
}

/// The first release under a strategy, and then one repetition after another.
async fn repeat(
    ns: &Namespace,
    strategy: &Value,
    what: &str,
    repetitions: u32,
    mut one: impl AsyncFnMut(&Person, u32) -> Result<()>,
) -> Result<()> {
    let me = prepared(ns).await?;
    ns.apply(&ns.environment(WEB, strategy).to_string()).await?;
    ns.deployed(WEB, &release(0), tag(0)).await?;
    for number in 1..=repetitions {
        say(format!("{what} {number} of {repetitions}"));
        one(&me, number)
            .await
            .with_context(|| format!("{what} {number}"))?;
    }
    Ok(())
}

async fn one_canary(
    ns: &Namespace,
    me: &Person,
    found: &mut Found,
    number: u32,
    requests: u32,
) -> Result<()> {
    let before = ns.serves(WEB, &release(number - 1)).await?;
    let old = before.status()["stable"]["workload"]
        .as_str()
        .context("workload")?;
    let load = Load::start(&ns.through_gateway(WEB).await?, SHAPE).await?;
    all_on(&load, tag(number - 1)).await?;
    ns.release(&release(number), tag(number)).await?;
    let mut from = load.tally();
    let promotion = ns.promote(&release(number), WEB).await?;
    for weight in WEIGHTS {
        ns.pauses_at(WEB, weight.into()).await?;
        let late = acts(&load, tag(number), weight).await?;
        say(format!(
            "canary {number}, {weight} %: the gateway acts after {late:.2} s"
        ));
        found.late.push(late);
        let until = passed(&load, requests, |window| {
            // a shorter one at the end says less
            if window.requests() >= WINDOW {
                let off = (window.percent(tag(number)) - f64::from(weight)).abs();
                found.windows.push(Window { weight, off });
            }
        })
        .await?;
        // from before it was asked for: what the change itself loses counts too
        found.count(&step(weight), &until.since(&from));
        from = until;
        me.decides(Verb::Resume, &promotion, None, None).await?;
    }
    ns.promotion_succeeds(&promotion).await?;
    ns.scaled_to_zero(old).await?;
    passed(&load, requests, |_| {}).await?;
    all_on(&load, tag(number)).await?;
    found.count(PROMOTED, &load.stop().await.since(&from));
    Ok(())
}

/// Switches to another release and back, one after another.
///
/// # Errors
/// As [`canary`].
pub async fn blue_green(ns: &Namespace, found: &mut Found, repetitions: u32, requests: u32) -> Result<()> {
    let strategy = json!({"blueGreen": {"autoPromote": false, "scaleDownDelay": "10m"}});
    repeat(ns, &strategy, "blue/green", repetitions, async |me, number| {
        one_switch(ns, me, found, number, requests).await
    })
    .await
}

async fn one_switch(
    ns: &Namespace,
    me: &Person,
    found: &mut Found,
    number: u32,
    requests: u32,
) -> Result<()> {
    // each comes back to the first one
    let new = if number % 2 == 1 { tag(1) } else { tag(2) };
    ns.serves(WEB, &release(0)).await?;
    let load = Load::start(&ns.through_gateway(WEB).await?, SHAPE).await?;
    all_on(&load, tag(0)).await?;
    ns.release(&release(number), new).await?;
    let promotion = ns.promote(&release(number), WEB).await?;
    ns.pauses_at(WEB, 0).await?;
    let half = requests.div_ceil(2);

    let from = load.tally();
    passed(&load, half, |_| {}).await?;
    me.decides(Verb::Resume, &promotion, None, None).await?;
    ns.promotion_succeeds(&promotion).await?;
    all_on(&load, new).await?;
    let until = passed(&load, half, |_| {}).await?;
    found.count(SWITCH, &until.since(&from));

    let view = ns.serves(WEB, &release(number)).await?;
    passed(&load, half, |_| {}).await?;
    me.decides(Verb::Undo, &view, None, None).await?;
    ns.environment_until(WEB, LIMIT, |view| {
        view.stable() == Some(&release(0)) && view.state("Ready").0 == "True"
    })
    .await?;
    all_on(&load, tag(0)).await?;
    passed(&load, half, |_| {}).await?;
    found.count(UNDO, &load.stop().await.since(&until));
    Ok(())
}

/// Seconds until the gateway acts on a weight that the status calls in force: none when the next requests are split like that already.
async fn acts(load: &Load, version: &str, weight: u32) -> Result<f64> {
    const LOOKS: u32 = 100;
    let began = Instant::now();
    let mut late = 0.0;
    for _ in 0..LOOKS {
        if load.next(LOOK).await?.splits(version, weight, ABOUT).is_ok() {
            return Ok(late);
        }
        late = began.elapsed().as_secs_f64();
    }
    bail!("the gateway does not act on {weight} % within {LOOKS} times {LOOK} requests")
}

/// Waits until so many requests have passed from now on, and shows each window of them.
async fn passed(load: &Load, requests: u32, mut each: impl FnMut(&Tally)) -> Result<Tally> {
    let mut last = load.tally();
    let begin = last.requests();
    let mut done = 0;
    while done < requests {
        done = (done + WINDOW).min(requests);
        let enough = |tally: &Tally| tally.requests() >= begin + done;
        let now = load.until("the next requests", enough).await?;
        each(&now.since(&last));
        last = now;
    }
    Ok(last)
}

/// Name of the release of a repetition; the first one is there before.
fn release(number: u32) -> String {
    format!("r{number}")
}

/// Image of the example application of a repetition, never that of the one before.
fn tag(number: u32) -> &'static str {
    match number % 3 {
        0 => "1",
        1 => "2",
        _ => "3",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use dcanary_harness::load::Answers;

    use super::*;

    fn tally(good: u32, lost: u32) -> Tally {
        let mut tally = Tally::default();
        tally.answers.insert("1".to_owned(), Answers { good, bad: 0 });
        tally.lost = lost;
        tally.losses = vec!["at 1.0 s: 503".to_owned(); usize::try_from(lost).unwrap()];
        tally
    }

    #[test]
    fn every_change_has_a_row_with_what_it_lost_or_why_that_is_not_known() {
        let mut found = Found::default();
        found.count(&step(20), &tally(10_000, 0));
        found.count(&step(20), &tally(10_500, 0));
        found.count(&step(50), &tally(9_999, 2));
        let canary = Part {
            found,
            problem: Some("no Pods".to_owned()),
        };
        let rows = rows(&canary, &Part::skipped());
        let figures: Vec<(&str, Option<bool>)> =
            rows.iter().map(|row| (row.figure.as_str(), row.met)).collect();
        assert_eq!(
            figures,
            [
                ("0 of 20,500", None),
                ("2 of 10,001", Some(false)),
                ("not measured", None),
                ("not measured", None),
                ("not measured", None),
                ("not measured", None),
            ]
        );
        let details: Vec<&str> = rows.iter().map(|row| row.detail.as_str()).collect();
        assert_eq!(
            details.get(..3).unwrap(),
            [
                "2 times; cut short: no Pods",
                "1 times; the first one at 1.0 s: 503; cut short: no Pods",
                "no Pods"
            ]
        );
        assert_eq!(details.last().unwrap(), &"not asked for");
    }

    #[test]
    fn no_release_has_the_image_of_the_one_before() {
        for number in 1..10 {
            assert_ne!(tag(number), tag(number - 1));
        }
    }

    #[test]
    fn weights_only_grow_and_end_with_everything() {
        assert_eq!(WEIGHTS.last(), Some(&100));
        assert!(WEIGHTS.is_sorted());
    }
}
