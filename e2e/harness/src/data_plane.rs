//! The Gateways and the Prometheus of the cluster under test, started when a test asks for them.
//!
//! On a cluster of your own, `DCANARY_GATEWAY`, `DCANARY_CONTOUR` and `DCANARY_PROMETHEUS` name their addresses (`10.0.0.1:80`): a Gateway
//! `dcanary-test` in namespace `gateway` that takes routes of every namespace, one of Contour there that does so, named [`CONTOUR`] and of a
//! class of that name as `e2e/cluster/contour.sh` makes it, and a Prometheus that Pods reach at [`PROMETHEUS`].

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::{process::Command, sync::OnceCell};

use crate::{Namespace, cluster::repository, load::Target};

/// Where Pods reach Prometheus.
pub const PROMETHEUS: &str = "http://prometheus.monitoring:9090";
/// Name of the Gateway of Contour, in namespace `gateway`.
pub const CONTOUR: &str = "contour-test";

static GATEWAY: OnceCell<SocketAddr> = OnceCell::const_new();
static SECOND: OnceCell<SocketAddr> = OnceCell::const_new();
static METRICS: OnceCell<SocketAddr> = OnceCell::const_new();

/// Where the Gateway `gateway/dcanary-test` listens.
///
/// # Errors
/// When it cannot be started.
pub async fn gateway() -> Result<SocketAddr> {
    GATEWAY
        .get_or_try_init(|| started("DCANARY_GATEWAY", "gateway.sh"))
        .await
        .copied()
}

/// Where the Gateway of Contour listens.
///
/// # Errors
/// When it cannot be started.
pub async fn contour() -> Result<SocketAddr> {
    SECOND
        .get_or_try_init(|| started("DCANARY_CONTOUR", "contour.sh"))
        .await
        .copied()
}

/// Where Prometheus listens.
///
/// # Errors
/// When it cannot be started.
pub async fn prometheus() -> Result<SocketAddr> {
    METRICS
        .get_or_try_init(|| started("DCANARY_PROMETHEUS", "prometheus.sh"))
        .await
        .copied()
}

pub(crate) async fn started(variable: &str, script: &str) -> Result<SocketAddr> {
    let address = match std::env::var(variable) {
        Ok(address) => address,
        Err(_) => {
            let script = repository().join("e2e/cluster").join(script);
            let output = Command::new(&script).arg("up").output().await;
            let output = output.with_context(|| format!("start {}", script.display()))?;
            ensure!(
                output.status.success(),
                "{}: {}",
                script.display(),
                String::from_utf8_lossy(&output.stderr)
            );
            String::from_utf8(output.stdout)?
        }
    };
    let address = address.trim();
    address
        .parse()
        .with_context(|| format!("`{address}` is no address and port"))
}

/// The value of a query that gives one number.
///
/// # Errors
/// When it gives none.
pub async fn query(promql: &str) -> Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut url = reqwest::Url::parse(&format!("http://{}/api/v1/query", prometheus().await?))?;
    url.query_pairs_mut().append_pair("query", promql);
    let answer: serde_json::Value = client.get(url).send().await?.error_for_status()?.json().await?;
    let value = answer["data"]["result"][0]["value"][1].as_str();
    value
        .with_context(|| format!("{promql}: {answer}"))?
        .parse()
        .with_context(|| promql.to_owned())
}

impl Namespace {
    /// Has the operator ask the Gateway whether it follows the route of an Environment of [`Namespace::environment`].
    ///
    /// # Errors
    /// When there is no Gateway.
    pub async fn verify(&self, environment: &mut Value) -> Result<()> {
        let name = environment["metadata"]["name"].as_str().context("no name")?;
        let verify = json!({"url": format!("http://{}", gateway().await?), "host": self.host(name)});
        environment["spec"]["traffic"]["route"]["verify"] = verify;
        Ok(())
    }

    /// Name under which an application of this namespace is asked for through the Gateway.
    pub fn host(&self, name: &str) -> String {
        format!("{name}.{}.test", self.name)
    }

    /// An application of this namespace, through the Gateway.
    ///
    /// # Errors
    /// When there is no Gateway.
    pub async fn through_gateway(&self, name: &str) -> Result<Target> {
        Ok(Target::new(gateway().await?, self.host(name)))
    }
}
