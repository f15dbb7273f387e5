//! One verb, one file.

mod cancel;
mod completion;
mod get;
mod ledger;
mod lint;
mod logs;
mod run;
mod trust;
mod verify;
mod version;
mod watch;

use crate::{
    args::{Cli, Command},
    exit::{Exit, Failure},
};

/// Runs the command.
///
/// # Errors
/// With one sentence and the exit code.
pub async fn run(cli: Cli, called: &'static str) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    match command {
        Command::Run(args) => run::run(&global, &args).await,
        Command::Get(args) => get::run(&global, args).await,
        Command::Logs(args) => logs::run(&global, &args).await,
        Command::Cancel(args) => cancel::run(&global, &args).await,
        Command::Lint(args) => lint::run(&global, &args),
        Command::Verify(args) => verify::run(&global, args).await,
        Command::Ledger(args) => ledger::run(&global, args).await,
        Command::Trust(args) => trust::run(&global, args).await,
        Command::Completion { shell } => {
            global.form("dcanary completion", &[])?;
            completion::run(shell, called)
        }
        Command::Version => Ok(version::run(&global)?),
    }
}
