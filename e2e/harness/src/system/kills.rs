//! The operator, killed at failpoints while something goes on.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use futures::{
    AsyncBufReadExt, TryStreamExt,
    future::{Either, select},
};
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::{
    ResourceExt,
    api::LogParams,
    runtime::{WatchStreamExt, watcher},
};

use super::{FAILPOINT, System};

/// The failpoints at which the operator is to be killed yet.
struct Left<'p>(Mutex<BTreeSet<&'p str>>);

impl Left<'_> {
    fn told(&self, line: &str) {
        let mut left = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        left.retain(|point| !line.contains(point));
    }

    fn none(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}

impl System {
    /// Awaits what arms the operator with these failpoints and goes on with it, until the operator was killed at each of them, which it says with
    /// `killed` in its log, and serves again.
    ///
    /// The log is read while it is written: the kubelet keeps that of a container that has ended only for as long as it likes.
    ///
    /// # Errors
    /// Those of `telling`; or the operator was not killed at all of them within `limit` after it, which names the others.
    pub async fn killed_meanwhile<T>(
        &self,
        points: &[String],
        killed: &str,
        limit: Duration,
        telling: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let left = Left(Mutex::new(points.iter().map(String::as_str).collect()));
        let not_reached = || format!("not reached: {:?}", left.0);
        let kills = pin!(self.kills(points, killed, &left));
        let (told, kills) = // on the heap: a whole story is too much for the stack of a test
        match select(kills, Box::pin(telling)).await {
            Either::Left((ended, telling)) => {
                ended.with_context(not_reached)?;
                return telling.await;
            }
            Either::Right((told, kills)) => (told?, kills),
        };
        match tokio::time::timeout(limit, kills).await {
            Ok(ended) => ended.with_context(not_reached)?,
            Err(_) => bail!("after {limit:?}, {}", not_reached()),
        }
        Ok(told)
    }

    async fn kills(&self, points: &[String], killed: &str, left: &Left<'_>) -> Result<()> {
        let armed = points.join(",");
        // of several it begins again by itself
        let restarts = i32::from(points.len() == 1);
        let is_armed = |pod: &Pod, container: &ContainerStatus| {
            let began = container.restart_count > 0
                || container
                    .state
                    .as_ref()
                    .is_some_and(|state| state.running.is_some());
            began && variable(pod, FAILPOINT) == Some(&armed)
        };
        let pod = self.operator_until(is_armed).await?;
        self.listen(&pod, killed, left, false).await?;
        if !left.none() {
            // It ended before anybody listened.
            let again = |_: &Pod, container: &ContainerStatus| container.restart_count >= restarts;
            let pod = self.operator_until(again).await?;
            self.listen(&pod, killed, left, true).await?;
        }
        if !left.none() {
            bail!("the log ends");
        }
        let serves =
            |_: &Pod, container: &ContainerStatus| container.ready && container.restart_count >= restarts;
        self.operator_until(serves).await.map(drop)
    }

    /// Reads the log of the operator's container, or of the one before, until it ends or nothing is left.
    async fn listen(&self, pod: &str, killed: &str, left: &Left<'_>, previous: bool) -> Result<()> {
        let params = LogParams {
            previous,
            follow: !previous,
            ..LogParams::default()
        };
        let mut lines = self.pods().log_stream(pod, &params).await?.lines();
        while !left.none() {
            let Some(line) = lines.try_next().await? else {
                break;
            };
            if line.contains(killed) {
                left.told(&line);
            }
        }
        Ok(())
    }

    /// Waits for a Pod of the operator with a container like this, and names it.
    async fn operator_until(&self, like: impl Fn(&Pod, &ContainerStatus) -> bool) -> Result<String> {
        let config = watcher::Config::default().labels("app.kubernetes.io/component=operator");
        let mut pods = pin!(watcher(self.pods(), config).default_backoff().applied_objects());
        while let Some(pod) = pods.try_next().await? {
            let containers = pod
                .status
                .as_ref()
                .and_then(|status| status.container_statuses.as_ref());
            if containers
                .into_iter()
                .flatten()
                .any(|container| like(&pod, container))
            {
                return Ok(pod.name_any());
            }
        }
        bail!("the watch ended")
    }
}

/// What a Pod's first container is given as this variable.
fn variable<'p>(pod: &'p Pod, name: &str) -> Option<&'p str> {
    let mut variables = pod.spec.as_ref()?.containers.first()?.env.as_ref()?.iter();
    variables.find(|variable| variable.name == name)?.value.as_deref()
}
