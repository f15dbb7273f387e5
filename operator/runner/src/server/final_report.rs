//! The last word of an attempt.

use dcanary_protocol::report::{FinalAnswer, FinalReport};
use reqwest::Method;

use super::{Refusal, Server, broken};

/// Delivers the report; waits as long as the server is away.
pub(crate) async fn deliver(server: &Server, report: &FinalReport) -> Result<FinalAnswer, Refusal> {
    let url = server.address(&["final"]);
    let mut pause = server.pause();
    loop {
        let answer = server
            .call(Method::POST, &url, |request| request.json(report))
            .await?;
        // The same report again gets the same answer.
        if let Ok(answer) = answer.json().await {
            return Ok(answer);
        }
        pause.wait(&broken()).await;
    }
}
