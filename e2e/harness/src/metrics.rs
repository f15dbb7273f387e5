//! What programs say of themselves to Prometheus.

use std::net::SocketAddr;

use anyhow::{Context, Result};

/// The sum of the series of a metric that have all these labels.
///
/// # Errors
/// When the address does not answer.
pub async fn metric(at: SocketAddr, name: &str, labels: &[(&str, &str)]) -> Result<f64> {
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{at}/metrics");
    let text = client.get(url).send().await?.error_for_status()?.text().await?;
    let labels: Vec<_> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{value}\""))
        .collect();
    let mut sum = 0.0;
    for line in text.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else {
            continue;
        };
        let ours = series
            .strip_prefix(name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('{'));
        if ours && labels.iter().all(|label| series.contains(label.as_str())) {
            let value: f64 = value.parse().with_context(|| line.to_owned())?;
            sum += value;
        }
    }
    Ok(sum)
}
