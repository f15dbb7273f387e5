//! `dcanary-node`: the embedded Internet Computer node as a program.

use anyhow::Context;
use clap::{ArgGroup, Parser, Subcommand};
use dcanary_node::{Config, Creators, Mode, Node, Quota, Quotas, backup, memory_of_canisters};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;
use tracing_subscriber::EnvFilter;

/// Says what is logged.
const LOG: &str = "DCANARY_LOG";

/// A small, durable Internet Computer node. `DCANARY_LOG` says what it logs: a level (`error`, `warn`, `info`, `debug`), or `dcanary_node=debug`.
#[derive(Debug, Parser)]
#[command(
    version,
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    group(ArgGroup::new("storage").required(true).args(["data", "ephemeral"]))
)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    /// The address to serve at; port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// The folder that holds the state and the keys.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Keep the state in memory only.
    #[arg(long)]
    ephemeral: bool,
    /// A file with the keys to sign with (`{"root", "subnet", "node"}`, secrets in hexadecimal), instead of keys made in the data folder.
    #[arg(long, conflicts_with = "ephemeral")]
    keys: Option<PathBuf>,
    /// What it is for. `dev`: canisters and cycles can be made from nothing (`provisional_…`). `production`: they cannot, and anonymous
    /// updates are refused.
    #[arg(long, value_name = "dev|production", default_value = "dev")]
    mode: Mode,
    /// Who may create canisters: `anyone`, `signed` (everybody but the anonymous principal), or principals with commas between.
    /// [default: `anyone`, in production nobody; nobody else where there is a file of them]
    #[arg(long, value_name = "LIST")]
    creators: Option<Creators>,
    /// Further ones in a file, of which each line is a principal.
    #[arg(long, value_name = "FILE")]
    creators_file: Option<PathBuf>,
    /// Memory that the node may use, in bytes. Canisters may keep three quarters of what is left of it after 192 MiB; what would need more is
    /// refused. At least 469762048.
    #[arg(long, value_name = "BYTES", env = "DCANARY_MEMORY_LIMIT", value_parser = bytes)]
    memory_limit: Option<u64>,
    /// Bytes that one canister may hold: heap, stable memory, module and uploaded chunks. What would need more is refused.
    /// [default: `unlimited`, in production 4 GiB]
    #[arg(long, value_name = "BYTES|unlimited")]
    quota_disk: Option<Quota>,
    /// Calls to one canister that are accepted within a minute, and as many about it. [default: `unlimited`, in production 60000]
    #[arg(long, value_name = "NUMBER|unlimited")]
    quota_messages: Option<Quota>,
    /// Calls to one canister that are not answered yet, as many about it, and as many queries. [default: `unlimited`, in
    /// production 64]
    #[arg(long, value_name = "NUMBER|unlimited")]
    quota_pending: Option<Quota>,
    /// A file to write `{"url", "root_key"}` to when the node serves.
    #[arg(long)]
    ready_file: Option<PathBuf>,
    /// The rule to break on purpose.
    #[cfg(feature = "faults")]
    #[arg(long)]
    fault: Option<dcanary_node::Fault>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write a copy of the data to standard output, as tar, also while a node works on it.
    Backup {
        /// The folder that holds the state.
        #[arg(long)]
        data: PathBuf,
        /// With the keys, when they are in the folder. Whoever has them can sign as this network.
        #[arg(long)]
        with_keys: bool,
    },
    /// Put a copy from standard input into an empty folder, or with `--replace` in the place of what is there.
    Restore {
        /// The folder.
        #[arg(long)]
        data: PathBuf,
        /// Take the folder also when something is in it, and keep that beside it as `<folder>.before-<n>`.
        #[arg(long)]
        replace: bool,
        /// What its incarnation is to be at least [default: one more than that of the copy]
        #[arg(long, value_name = "NUMBER", default_value_t = 0, hide_default_value = true)]
        incarnation: u64,
    },
}

fn bytes(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .map_err(|_| "write a number of bytes, such as 1073741824 for 1 GiB")
}

fn copy(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Backup { data, with_keys } => {
            let output = std::io::stdout();
            if output.is_terminal() {
                anyhow::bail!("a backup is no text for a terminal: write it to a file with `> backup.tar`");
            }
            let taken = backup::take(data, *with_keys, output.lock())?;
            eprintln!("files: {}, bytes: {}", taken.files, taken.bytes);
        }
        Command::Restore {
            data,
            replace,
            incarnation,
        } => {
            let input = std::io::stdin();
            if input.is_terminal() {
                anyhow::bail!("a backup is read from standard input: give its file with `< backup.tar`");
            }
            let input = input.lock();
            let restored = if *replace {
                let (restored, before) = backup::replace(data, *incarnation, input)?;
                eprintln!("what was there is in {}", before.display());
                restored
            } else {
                backup::restore(data, *incarnation, input)?
            };
            eprintln!("files: {}, incarnation: {}", restored.files, restored.incarnation);
            if !restored.keys {
                eprintln!(
                    "without keys: start the node with `--keys FILE`, which has those of the root key {}",
                    hex::encode(restored.root_key)
                );
            }
        }
    }
    Ok(())
}

#[tokio::main]
pub(crate) async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(command) = &arguments.command {
        return copy(command);
    }
    let filter = EnvFilter::try_from_env(LOG);
    let ignored = filter
        .as_ref()
        .err()
        .filter(|_| std::env::var_os(LOG).is_some())
        .map(ToString::to_string);
    tracing_subscriber::fmt()
        .with_env_filter(filter.unwrap_or_else(|_| EnvFilter::new("info")))
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    if let Some(error) = ignored {
        tracing::warn!(
            "{LOG} is not understood and has no effect ({error}): write a level, such as `debug` or `dcanary_node=debug`"
        );
    }
    allow_open_files();
    #[cfg(feature = "faults")]
    if let Some(fault) = arguments.fault {
        dcanary_node::break_rule(fault);
    }
    let mut config = match arguments.data {
        Some(folder) => Config::durable(folder),
        None => Config::ephemeral(),
    };
    if let Some(file) = arguments.keys {
        config = config.keys(file);
    }
    let filed = match &arguments.creators_file {
        None => None,
        Some(file) => Some(creators_in(file)?),
    };
    let creators = match (arguments.creators, filed) {
        (Some(listed), Some(filed)) => listed.and(filed),
        (Some(some), None) | (None, Some(some)) => some,
        // who makes canisters where records count is to be said
        (None, None) if arguments.mode == Mode::Production => Creators::Only(BTreeSet::new()),
        (None, None) => Creators::Anyone,
    };
    config = config.mode(arguments.mode).creators(creators);
    let usual = Quotas::of(arguments.mode);
    config = config.quotas(Quotas {
        disk: arguments.quota_disk.unwrap_or(usual.disk),
        messages: arguments.quota_messages.unwrap_or(usual.messages),
        pending: arguments.quota_pending.unwrap_or(usual.pending),
    });
    if let Some(bytes) = arguments.memory_limit {
        config = config.memory_limit(memory_of_canisters(bytes)?);
    }
    // Before starting, so that a signal during a long replay is not lost.
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    // Who waits for the file waits for this start, not for an earlier one. That of a node which has the folder stays.
    let (told, mut withdrawn) = oneshot::channel();
    let earlier = arguments.ready_file.clone();
    let starting = Node::start_telling(config.listen(arguments.listen), move || {
        let _ = told.send(withdraw(earlier.as_deref()));
    });
    tokio::pin!(starting);
    let mut asked = false;
    let node = loop {
        tokio::select! {
            started = &mut starting => break started.context("the node does not start")?,
            _ = terminate.recv(), if !asked => asked = true,
            _ = interrupt.recv(), if !asked => asked = true,
        }
        tracing::info!(
            "asked to stop: what the log has is executed first, and a checkpoint written, so that any version can go on"
        );
    };
    // it has been told before the node has started
    if let Ok(result) = withdrawn.try_recv() {
        result?;
    }
    if asked {
        node.shutdown().await?;
        return Ok(());
    }
    if let Some(file) = &arguments.ready_file {
        announce(file, &node).with_context(|| format!("cannot write {}", file.display()))?;
    }
    // last, so that whoever reads it finds the file
    tracing::info!(url = node.url(), "serving");
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        failure = node.failed() => Some(failure),
    };
    // whichever way it ends, and while nobody else can have the folder; what cannot be removed keeps no state from being written
    let withdrawn = withdraw(arguments.ready_file.as_deref());
    if let Some(failure) = failure {
        if let Err(error) = withdrawn {
            tracing::warn!("{error:#}");
        }
        return Err(failure.into());
    }
    tracing::info!("stopping");
    node.shutdown().await?;
    withdrawn
}

/// Lets the process have as many open files as the system allows it: each canister has one, and the usual limit is meant for
/// programs that select among them.
fn allow_open_files() {
    let allowed = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: allowed.maximum,
        maximum: allowed.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => tracing::debug!(before = allowed.current, now = raised.current, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

fn creators_in(file: &Path) -> anyhow::Result<Creators> {
    std::fs::read_to_string(file)
        .with_context(|| format!("cannot read {}", file.display()))?
        .parse()
        .with_context(|| format!("{} names no creators", file.display()))
}

/// Removes the ready file: whoever reads it would take this node for one that serves.
fn withdraw(file: Option<&Path>) -> anyhow::Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Written beside and renamed, so that a reader never sees half of it.
fn announce(path: &Path, node: &Node) -> anyhow::Result<()> {
    let ready = serde_json::json!({ "url": node.url(), "root_key": hex::encode(node.root_key()) });
    let mut name = path.file_name().context("the ready file has no name")?.to_owned();
    name.push(".tmp");
    let temporary = path.with_file_name(name);
    let mut file = std::fs::File::create(&temporary)?;
    file.write_all(ready.to_string().as_bytes())?;
    file.sync_all()?;
    std::fs::rename(temporary, path)?;
    Ok(())
}
