//! Scripts in the containers of Pods.

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{Api, api::AttachParams};
use tokio::io::AsyncReadExt;

/// Runs a shell script in the first container of a Pod and returns what it printed.
///
/// # Errors
/// When it fails, with what it said.
pub async fn sh(pods: &Api<Pod>, pod: &str, script: &str) -> Result<String> {
    let params = AttachParams::default().stdin(false).stdout(true).stderr(true);
    let mut process = pods.exec(pod, ["sh", "-euc", script], &params).await?;
    let status = process.take_status().context("status of the script")?;
    let mut stdout = process.stdout().context("output of the script")?;
    let mut stderr = process.stderr().context("errors of the script")?;
    let (mut out, mut err) = (String::new(), String::new());
    tokio::try_join!(stdout.read_to_string(&mut out), stderr.read_to_string(&mut err))?;
    let status = status.await.context("the script has no end")?;
    ensure!(
        status.status.as_deref() == Some("Success"),
        "{script}: {err} {}",
        status.message.unwrap_or_default()
    );
    Ok(out)
}
