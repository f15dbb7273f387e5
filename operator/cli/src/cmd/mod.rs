//! One verb, one file.

mod analysis;
mod ask;
mod cancel;
mod completion;
mod decide;
mod get;
mod ledger;
mod lint;
mod logs;
mod promote;
mod root_key;
mod run;
mod trust;
mod verify;
mod version;
mod watch;

use dcanary_crds::Verb;

use crate::{
    args::{Cli, Command, Get},
    exit::{Exit, Failure},
};

/// Runs the command.
///
/// # Errors
/// With one sentence and the exit code.
pub async fn run(cli: Cli, called: &'static str) -> Result<Exit, Failure> {
    let Cli { global, command } = cli;
    if !lists(&command) {
        global.one_namespace()?;
    }
    match command {
        Command::Run(args) => run::run(&global, &args).await,
        Command::Get(args) => get::run(&global, args).await,
        Command::Logs(args) => logs::run(&global, &args).await,
        Command::Cancel(args) => cancel::run(&global, &args).await,
        Command::Promote(args) => promote::run(&global, &args).await,
        Command::Approve(args) => decide::approve(&global, &args).await,
        Command::Reject(args) => decide::reasoned(&global, Verb::Reject, &args).await,
        Command::Abort(args) => decide::step(&global, Verb::Abort, &args).await,
        Command::Pause(args) => decide::step(&global, Verb::Pause, &args).await,
        Command::Resume(args) => decide::step(&global, Verb::Resume, &args).await,
        Command::Skip(args) => decide::step(&global, Verb::Skip, &args).await,
        Command::Retry(args) => decide::step(&global, Verb::Retry, &args).await,
        Command::Override(args) => decide::reasoned(&global, Verb::Override, &args).await,
        Command::Undo(args) => decide::undo(&global, &args).await,
        Command::Hold(args) => decide::hold(&global, &args).await,
        Command::Unhold(args) => decide::unhold(&global, &args).await,
        Command::Lint(args) => lint::run(&global, &args),
        Command::Analysis(args) => analysis::run(&global, &args),
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

/// Whether the command lists objects, which it does of every namespace too.
fn lists(command: &Command) -> bool {
    matches!(
        command,
        Command::Get(
            Get::Runs { .. }
                | Get::Env { name: None, .. }
                | Get::Releases { name: None, .. }
                | Get::Promotions { name: None, .. }
        )
    )
}
