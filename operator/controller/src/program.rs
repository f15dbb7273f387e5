//! The program of the operator.

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use crate::{config::Config, start};

/// Runs the operator as its arguments and environment say, until it is told to end. Here and not in `main.rs`: a program compiles again what it
/// awaits of a library, which was as much as four minutes for this one.
///
/// # Errors
/// When it cannot start or has to give up; what it says is for the log.
///
/// # Panics
/// When the system gives it no threads.
#[tokio::main]
pub async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    let filter = EnvFilter::try_from_env("DCANARY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    // the process has one provider; nobody else installs one
    let _ = rustls::crypto::ring::default_provider().install_default();
    let stop = CancellationToken::new();
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::spawn({
        let stop = stop.clone();
        async move {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
            stop.cancel();
        }
    });
    start::run(config, stop).await
}
