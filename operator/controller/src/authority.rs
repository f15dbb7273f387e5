//! The certificate authority of the server, which may be replaced while the operator runs: the server takes a new certificate up at once.

use std::{path::PathBuf, time::Duration};

use reqwest::Certificate;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// Pause between two looks at the file.
pub const LOOK_EVERY: Duration = Duration::from_secs(10);

/// Stops the operator when the file holds another authority than `known`, so that the kubelet starts it again with the new one: its client
/// and every build Pod are made with the authority that it read at the start.
pub async fn follow(file: PathBuf, known: String, every: Duration, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        match tokio::fs::read(&file).await {
            Ok(found) if found == known.as_bytes() => {}
            Ok(found) if is_usable(&found) => {
                info!(
                    "the server has another certificate authority: the operator stops, to be started with it"
                );
                stop.cancel();
                return;
            }
            // with this one the operator would not start again
            Ok(_) => warn!(
                file = %file.display(),
                "the server's certificate authority was changed and is no PEM; the earlier one stays"
            ),
            Err(error) => warn!(
                error = &error as &dyn std::error::Error,
                file = %file.display(),
                "the server's certificate authority cannot be read now"
            ),
        }
    }
}

fn is_usable(pem: &[u8]) -> bool {
    std::str::from_utf8(pem).is_ok() && Certificate::from_pem_bundle(pem).is_ok_and(|found| !found.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const QUICK: Duration = Duration::from_millis(5);

    fn pem(content: &str) -> String {
        format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n")
    }

    #[tokio::test]
    async fn another_authority_stops_the_operator_and_the_same_or_a_broken_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.crt");
        std::fs::write(&file, pem("AAAA")).unwrap();
        let stop = CancellationToken::new();
        let following = tokio::spawn(follow(file.clone(), pem("AAAA"), QUICK, stop.clone()));
        tokio::time::sleep(QUICK * 10).await;
        assert!(!stop.is_cancelled(), "it is the same");
        for broken in ["", "half of a file"] {
            std::fs::write(&file, broken).unwrap();
            tokio::time::sleep(QUICK * 10).await;
            assert!(!stop.is_cancelled(), "{broken:?}");
        }
        std::fs::remove_file(&file).unwrap();
        tokio::time::sleep(QUICK * 10).await;
        assert!(!stop.is_cancelled(), "it is not there for a moment");
        std::fs::write(&file, pem("BBBB")).unwrap();
        let stopped = tokio::time::timeout(Duration::from_secs(20), stop.cancelled());
        stopped.await.unwrap();
        following.await.unwrap();
    }

    #[tokio::test]
    async fn it_ends_with_the_operator() {
        let stop = CancellationToken::new();
        stop.cancel();
        follow(PathBuf::from("/dev/null"), String::new(), LOOK_EVERY, stop).await;
    }
}
