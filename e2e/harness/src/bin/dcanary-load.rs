//! Sends requests to an application through a gateway and prints, once a second, which version answers. Ends with how many were lost.

use std::{net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Result;
use clap::Parser;
use dcanary_harness::load::{Load, Shape, Tally, Target};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::interval,
};

/// Sends requests and prints which version answers.
#[derive(Debug, Parser)]
struct Args {
    /// Where connections are made to, for instance 10.255.0.1:10080
    address: SocketAddr,
    /// Name that is asked for
    host: String,
    /// Method of gRPC to call instead, for instance /package.Service/Method
    #[arg(long, value_name = "METHOD")]
    grpc: Option<String>,
    /// Requests a second
    #[arg(long, default_value_t = 100)]
    per_second: u32,
    /// Ends after so many seconds [default: when it is told to]
    #[arg(long)]
    seconds: Option<u64>,
}

/// One second: a bar and a percentage for each version.
fn line(tally: &Tally) -> String {
    let mut line = String::from("   requests");
    for (version, answers) in &tally.answers {
        let percent = tally.percent(version);
        let bar: String = (0..20)
            .map(|tick| {
                if f64::from(tick) * 5.0 < percent {
                    '█'
                } else {
                    '░'
                }
            })
            .collect();
        line.push_str(&format!("   {version} {bar} {percent:3.0} %"));
        if answers.bad > 0 {
            line.push_str(&format!(" ({} errors)", answers.bad));
        }
    }
    if tally.lost > 0 {
        line.push_str(&format!("   {} LOST", tally.lost));
    }
    line
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let args = Args::parse();
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let target = match &args.grpc {
        Some(method) => Target::grpc(args.address, args.host, method),
        None => Target::new(args.address, args.host),
    };
    let shape = Shape {
        per_second: args.per_second,
        ..Shape::default()
    };
    let load = Load::start(&target, shape).await?;
    let mut second = interval(Duration::from_secs(1));
    second.tick().await;
    let (mut before, mut passed) = (load.tally(), 0);
    while args.seconds.is_none_or(|seconds| passed < seconds) {
        tokio::select! {
            _ = terminated.recv() => break,
            _ = interrupted.recv() => break,
            _ = second.tick() => {
                let now = load.tally();
                println!("{}", line(&now.since(&before)));
                before = now;
                passed += 1;
            }
        }
    }
    let tally = load.stop().await;
    println!("   {} requests, {} lost", tally.requests(), tally.lost);
    for loss in &tally.losses {
        println!("   {loss}");
    }
    Ok(if tally.lost == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
