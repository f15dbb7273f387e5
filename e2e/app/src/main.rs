//! The HTTP application that the delivery examples and tests release. Its images differ in their environment variables: good
//! versions, and bad ones that fail by error rate, by latency, by crash or by never becoming ready.

mod app;
mod grpc;
mod metrics;
mod settings;

use std::{
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};

use app::App;
use settings::Settings;

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let settings = Settings::read(|name| std::env::var(name).ok())?;
    println!("{settings:?}");
    let crash = settings.crash_after;
    if crash == Some(Duration::ZERO) {
        // before a probe can find it ready
        eprintln!("crashing at the start, as CRASH_AFTER says");
        return Ok(ExitCode::FAILURE);
    }
    tokio::select! {
        served = serve(settings) => served.map(|()| ExitCode::SUCCESS),
        () = async {
            match crash {
                Some(after) => tokio::time::sleep(after).await,
                None => std::future::pending().await,
            }
        } => {
            eprintln!("crashing, as CRASH_AFTER says");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Serves until SIGTERM, then drains, then lets open requests end.
async fn serve(settings: Settings) -> Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("listen for SIGTERM")?;
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, settings.port));
    let drain = settings.drain;
    let app = Arc::new(App::new(settings));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))?;
    let ended = {
        let app = app.clone();
        async move {
            terminated.recv().await;
            println!("draining for {drain:?}");
            app.drain();
            // whoever sends requests here needs this time to learn that it is not ready any more
            tokio::time::sleep(drain).await;
        }
    };
    axum::serve(listener, app::router(app))
        .with_graceful_shutdown(ended)
        .await
        .context("serve")
}
