//! Whether a gateway has a split: it redirects a path that stands for it to a host that stands for it, several times in a row, each time over a
//! connection of its own, because a gateway has several replicas.

use std::time::Duration;

use dcanary_core::text::cut;
use dcanary_rollout::Verify;
use reqwest::{Client, StatusCode, Url, header, redirect};

use super::{CONNECT, ERROR_BYTES, Guard, cause, parse};

/// Answers that have to come in a row.
const TIMES: usize = 3;
/// Time for each.
const LIMIT: Duration = Duration::from_secs(3);
/// What it is asked about, in what is told.
const ABOUT: &str = "the check of the new weights";

/// Asks a gateway. It never fails: whatever goes wrong is an answer, as what the gateway does (`answers 404 …`), without anything of the body.
///
/// # Errors
/// Why it has not shown the split.
pub async fn verify(guard: Guard, verify: &Verify) -> Result<(), String> {
    let shown = async {
        let (http, url) = client(guard, verify).await?;
        for _ in 0..TIMES {
            tokio::time::timeout(LIMIT, ask(&http, &url, verify))
                .await
                .map_err(|_| format!("does not answer {ABOUT} in {}s", LIMIT.as_secs()))??;
        }
        Ok(())
    };
    shown.await.map_err(|problem: String| cut(&problem, ERROR_BYTES))
}

async fn ask(http: &Client, url: &Url, verify: &Verify) -> Result<(), String> {
    let mut request = http.get(url.clone());
    if let Some(host) = &verify.host {
        request = request.header(header::HOST, host);
    }
    let answer = request.send().await;
    let answer = answer.map_err(|error| format!("cannot be reached for {ABOUT}: {}", cause(&error)))?;
    let status = answer.status();
    if status != StatusCode::FOUND {
        return Err(format!("answers {} to {ABOUT}", status.as_u16()));
    }
    let location = answer
        .headers()
        .get(header::LOCATION)
        // it may leave out the scheme, which is then that of the request
        .and_then(|location| url.join(location.to_str().ok()?).ok());
    let leads_to = location.as_ref().and_then(Url::host_str);
    if leads_to == Some(verify.leads_to.as_str()) {
        Ok(())
    } else {
        Err(format!("redirects {ABOUT} to another place"))
    }
}

/// A client for one check, and the URL to ask. Where the gateway is asked under another name, that name leads to the addresses of the URL.
async fn client(guard: Guard, verify: &Verify) -> Result<(Client, Url), String> {
    let mut url = parse(&verify.url).map_err(away)?;
    url.set_path(&verify.path);
    guard.literal(&url).map_err(away)?;
    let mut builder = guard
        .watches(Client::builder())
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT)
        .pool_max_idle_per_host(0)
        // `Host` is the name alone, without the port of the URL
        .http1_only()
        // the gateway itself is asked
        .no_proxy()
        .user_agent(concat!("dcanary/", env!("CARGO_PKG_VERSION")));
    if let Some(host) = &verify.host {
        let found = tokio::time::timeout(LIMIT, guard.addresses(&url)).await;
        let found = found
            .map_err(|_| away("its name is not resolved"))?
            .map_err(away)?;
        url.set_host(Some(host)).map_err(away)?;
        if url.domain().is_none() {
            return Err(away("traffic.route.verify.host is an IP address"));
        }
        builder = builder.resolve_to_addrs(url.domain().unwrap_or_default(), &found);
    }
    if url.scheme() == "http" {
        // authorities take time to read, and may be missing
        builder = builder.tls_certs_only([]);
    }
    let http = builder.build().map_err(away)?;
    Ok((http, url))
}

fn away(problem: impl ToString) -> String {
    format!("cannot be asked: {}", problem.to_string())
}
