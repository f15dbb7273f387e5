//! Tasks that the operator cannot do without.

use anyhow::{Context as _, Result, bail};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Tasks that run until the end. One that ends before leaves the operator blind for something, so it ends all of it, and the kubelet
/// starts it again.
#[derive(Default)]
pub struct Tasks(JoinSet<(&'static str, Result<()>)>);

impl Tasks {
    /// Starts one.
    pub fn start<E: Into<anyhow::Error>>(
        &mut self,
        name: &'static str,
        task: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        self.0
            .spawn(async move { (name, task.await.map_err(Into::into)) });
    }

    /// Starts one that has nothing to tell when it ends.
    pub fn start_quiet(&mut self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        self.start(name, async move {
            task.await;
            anyhow::Ok(())
        });
    }

    /// Runs something to its end, unless a task ends before it although nobody told it to.
    ///
    /// # Errors
    /// When a task ended or panicked, or that something failed.
    pub async fn guard<T>(
        &mut self,
        stop: &CancellationToken,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        tokio::pin!(work);
        loop {
            tokio::select! {
                biased;
                result = &mut work => return result,
                Some(joined) = self.0.join_next() => {
                    if stop.is_cancelled() {
                        continue;
                    }
                    let (name, result) = joined.context("a task panicked")?;
                    result.with_context(|| format!("the task `{name}` failed"))?;
                    bail!("the task `{name}` ended before the operator did");
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::future::pending;

    use super::*;

    async fn outcome(
        task: impl Future<Output = Result<()>> + Send + 'static,
        stop: &CancellationToken,
    ) -> String {
        let mut tasks = Tasks::default();
        tasks.start("watch", task);
        tasks.start_quiet("other", pending());
        let ended = tasks.guard(stop, pending::<Result<()>>());
        format!("{:#}", ended.await.unwrap_err())
    }

    #[tokio::test]
    async fn a_task_that_ends_fails_or_panics_ends_the_operator_with_an_error() {
        let stop = CancellationToken::new();
        let ended = outcome(async { Ok(()) }, &stop).await;
        assert_eq!(ended, "the task `watch` ended before the operator did");
        let failed = outcome(async { bail!("no more") }, &stop).await;
        assert_eq!(failed, "the task `watch` failed: no more");
        let panicked = outcome(async { panic!("oh") }, &stop).await;
        assert!(panicked.starts_with("a task panicked"), "{panicked}");
    }

    #[tokio::test]
    async fn tasks_that_end_because_the_operator_is_told_to_stop_are_no_error() {
        let stop = CancellationToken::new();
        stop.cancel();
        let mut tasks = Tasks::default();
        tasks.start_quiet("watch", async {});
        let work = async {
            tokio::task::yield_now().await;
            Ok(1)
        };
        assert_eq!(tasks.guard(&stop, work).await.unwrap(), 1);
    }
}
