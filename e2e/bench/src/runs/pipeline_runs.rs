//! The product's side: `PipelineRun`s with an inline definition.

use std::{cell::RefCell, time::Instant};

use anyhow::{Context, Result};
use dcanary_harness::RunView;
use futures::future::try_join_all;
use jiff::Timestamp;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, PostParams},
};
use serde_json::{Value, json};

use super::IMAGE;
use crate::{
    audit::Window,
    board::{Board, Sight},
    usage::{Process, Sample},
};

/// Runs of the bench's namespace, and what was noted about them.
pub struct Runs<'a> {
    /// Where they are created.
    pub api: Api<DynamicObject>,
    /// The watch over them.
    pub board: &'a Board,
    /// The watch over Pods: theirs have to be gone too before the next measurement.
    pub pods: &'a Board,
    /// The operator's process, where it can be seen.
    pub operator: Option<&'a Process>,
    /// One entry for each measurement, in order.
    pub lives: RefCell<Vec<Life>>,
}

/// Runs that were created together, from before their creation until nothing of them was left.
#[derive(Debug, Clone)]
pub struct Life {
    /// How many.
    pub runs: u32,
    /// From when to when.
    pub window: Window,
    /// The operator's process before and after.
    pub operator: Option<(Sample, Sample)>,
    /// Records that the journal took.
    pub records: u64,
    /// Seconds between the first and the last receipt of the journal that a run's status showed.
    pub recording: f64,
}

impl Runs<'_> {
    /// Seconds for `count` runs of `stages` stages in a chain, created together, until all are finished. Then waits until the
    /// journal holds all of their records and the operator is done with them, and deletes them, which does not count.
    ///
    /// # Errors
    /// When a run cannot be created, fails, or does not end in time.
    pub async fn at_once(&self, stem: &str, count: u32, stages: u32) -> Result<f64> {
        let names: Vec<String> = (1..=count).map(|number| format!("{stem}-{number}")).collect();
        let (before, from) = (self.sample()?, Timestamp::now());
        let start = Instant::now();
        try_join_all(names.iter().map(|name| self.create(name, stages))).await?;
        let finished = self.board.finished(&names).await?;
        let end = finished.iter().filter_map(|progress| progress.finished).max();
        let settled = self.board.settled(&names).await?;
        let asked = Timestamp::now();
        let params = DeleteParams::background();
        try_join_all(names.iter().map(|name| self.api.delete(name, &params))).await?;
        self.board.empty().await?;
        self.pods.empty().await?;
        let window = Window {
            from,
            asked,
            to: Timestamp::now(),
        };
        let first = settled.iter().filter_map(|progress| progress.first_record).min();
        let last = settled.iter().filter_map(|progress| progress.settled).max();
        self.lives.borrow_mut().push(Life {
            runs: count,
            window,
            operator: before.zip(self.sample()?),
            records: settled.iter().map(|progress| progress.records).sum(),
            recording: first
                .zip(last)
                .map_or(0.0, |(first, last)| (last - first).as_secs_f64()),
        });
        Ok((end.unwrap_or(start) - start).as_secs_f64())
    }

    fn sample(&self) -> Result<Option<Sample>> {
        self.operator.map(Process::sample).transpose()
    }

    async fn create(&self, name: &str, stages: u32) -> Result<()> {
        let run = serde_json::from_value(run(name, stages))?;
        self.api
            .create(&PostParams::default(), &run)
            .await
            .with_context(|| format!("create PipelineRun {name}"))?;
        Ok(())
    }
}

/// What a version of a run says.
pub fn look(run: &DynamicObject) -> Sight {
    let view = RunView(serde_json::to_value(run).unwrap_or_default());
    let ended = view.state("Finished").0 == "True";
    let (succeeded, reason) = view.state("Succeeded");
    let journal = &view.status()["journal"];
    Sight {
        finished: ended && succeeded == "True",
        exited: ended,
        // without a journal there is nothing to wait for; the operator's finalizer goes last, and a deletion before that would
        // cost it a conflict that no ordinary run has
        settled: ended
            && journal["next"] == journal["recorded"]
            && run.metadata.finalizers.as_ref().is_none_or(Vec::is_empty),
        records: journal["recorded"].as_u64().unwrap_or_default(),
        problem: (ended && succeeded != "True").then(|| {
            let message = view.condition("Succeeded").map(|condition| &condition["message"]);
            format!(
                "{reason}: {}",
                message.and_then(Value::as_str).unwrap_or_default()
            )
        }),
    }
}

fn run(name: &str, stages: u32) -> Value {
    let stages: Vec<Value> = (1..=stages)
        .map(|number| {
            let mut stage = json!({"name": format!("s{number}"), "image": IMAGE, "steps": [{"run": "true"}]});
            if number > 1 {
                stage["dependsOn"] = json!([format!("s{}", number - 1)]);
            }
            stage
        })
        .collect();
    json!({
        "apiVersion": "dcanary.dev/v1alpha1", "kind": "PipelineRun",
        "metadata": {"name": name},
        "spec": {"pipelineSpec": {"stages": stages}},
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(status: &Value) -> Sight {
        let mut object = run("r", 1);
        object["status"] = status.clone();
        look(&serde_json::from_value(object).unwrap())
    }

    fn ended(succeeded: &str) -> Value {
        json!([{"type": "Finished", "status": "True"}, {"type": "Succeeded", "status": succeeded, "reason": "R", "message": "m"}])
    }

    #[test]
    fn stages_are_a_chain() {
        let stages = run("r", 3)["spec"]["pipelineSpec"]["stages"].clone();
        assert_eq!(stages[0]["dependsOn"], Value::Null);
        assert_eq!(stages[2]["dependsOn"], json!(["s2"]));
    }

    #[test]
    fn a_run_is_settled_when_the_journal_holds_everything() {
        assert_eq!(seen(&json!({})), Sight::default());
        let open = seen(&json!({"conditions": ended("True"), "journal": {"next": 4, "recorded": 2}}));
        assert!(open.finished && !open.settled && open.records == 2);
        assert!(seen(&json!({"conditions": ended("True"), "journal": {"next": 4, "recorded": 4}})).settled);
        assert!(seen(&json!({"conditions": ended("True")})).settled);
        let mut held = run("r", 1);
        held["metadata"]["finalizers"] = json!(["dcanary.dev/recorded"]);
        held["status"] = json!({"conditions": ended("True")});
        assert!(!look(&serde_json::from_value(held).unwrap()).settled);
    }

    #[test]
    fn a_failed_run_says_why() {
        let failed = seen(&json!({"conditions": ended("False")}));
        assert!(!failed.finished);
        assert_eq!(failed.problem.as_deref(), Some("R: m"));
    }
}
