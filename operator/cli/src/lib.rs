//! The `dcanary` command.
//!
//! ```text
//! args ─▶ cmd/<verb> ─ fetch ─▶ cluster (Kubernetes), dcanary-ledger (journal)
//!                    ─ decide ▶ pure functions
//!                    ─ show ──▶ render (text from values), output (colours, tables, JSON)
//! ```
//! Fetching and rendering never meet, so that every output is pinned by a golden test without a cluster.

pub mod args;
pub mod cluster;
pub mod cmd;
pub mod exit;
pub mod journal;
pub mod lint;
pub mod output;
pub mod render;
pub mod server;
pub mod trust_file;
pub mod whole_file;

use std::{
    ffi::{OsStr, OsString},
    path::Path,
    process::ExitCode,
};

use clap::{
    Command, CommandFactory as _, FromArgMatches as _,
    error::{ContextKind, ContextValue, ErrorKind},
};

use args::Cli;
use exit::{Exit, Failure};

/// Runs the command line and answers the exit code.
pub fn main(arguments: Vec<OsString>) -> ExitCode {
    let called = called(arguments.first().map(OsString::as_os_str));
    let arguments = helped(arguments);
    let mut command = Cli::command().name(called).bin_name(called);
    let matches = match command.try_get_matches_from_mut(&arguments) {
        Ok(matches) => matches,
        Err(shown) => {
            let shown = waited(&command, &arguments, shown);
            let code = u8::try_from(shown.exit_code()).unwrap_or(2);
            let _ = shown.print();
            let words = words(&command, &arguments);
            if shown.kind() == ErrorKind::InvalidSubcommand
                && shown.get(ContextKind::SuggestedSubcommand).is_none()
                && !words.is_empty()
            {
                output::note(&format!("there are {}", words.join(", ")));
            }
            return ExitCode::from(code);
        }
    };
    let done = Cli::from_arg_matches(&matches)
        .map_err(|source| Failure::usage(source.to_string()))
        .and_then(|cli| run(cli, called));
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::note(&format!("{called}: {failure}"));
            failure.exit.into()
        }
    }
}

/// `help get run` as `get run --help`.
fn helped(mut arguments: Vec<OsString>) -> Vec<OsString> {
    if arguments.get(1).is_some_and(|first| first == "help") {
        arguments.remove(1);
        arguments.push("--help".into());
    }
    arguments
}

/// `-w`, which watches in `get`, is answered with `--wait` by a command that has that.
fn waited(command: &Command, arguments: &[OsString], mut shown: clap::Error) -> clap::Error {
    let tried =
        matches!(shown.get(ContextKind::InvalidArg), Some(ContextValue::String(tried)) if tried == "-w");
    let verb = arguments
        .iter()
        .skip(1)
        .find_map(|word| command.find_subcommand(word));
    let waits = verb.is_some_and(|verb| verb.get_arguments().any(|one| one.get_long() == Some("wait")));
    if shown.kind() == ErrorKind::UnknownArgument && tried && waits {
        shown.remove(ContextKind::Suggested);
        shown.insert(
            ContextKind::SuggestedArg,
            ContextValue::String("--wait".to_owned()),
        );
    }
    shown
}

/// Words that may follow those that are known.
fn words<'c>(command: &'c Command, arguments: &[OsString]) -> Vec<&'c str> {
    // the value of an option may be called as a command is, and has none behind it
    let known = |at: &'c Command, word: &OsString| {
        let next = at.find_subcommand(word).filter(|next| next.has_subcommands());
        next.unwrap_or(at)
    };
    let at = arguments.iter().skip(1).fold(command, known);
    at.get_subcommands().map(Command::get_name).collect()
}

/// The name in usage and messages: by what the program was called.
fn called(program: Option<&OsStr>) -> &'static str {
    let stem = program
        .and_then(|path| Path::new(path).file_stem())
        .and_then(OsStr::to_str);
    match stem {
        Some("kubectl-dcanary" | "kubectl_dcanary") => "kubectl dcanary",
        Some("mody") => "mody",
        _ => "dcanary",
    }
}

fn run(cli: Cli, called: &'static str) -> Result<Exit, Failure> {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("DCANARY_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("off")),
        )
        .with_writer(std::io::stderr)
        .init();
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|source| Failure::cannot_tell(format!("cannot start: {source}")))?
        .block_on(cmd::run(cli, called))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(words: &str) -> Vec<OsString> {
        words.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn help_is_a_command_too() {
        assert_eq!(
            helped(line("dcanary help get run")),
            line("dcanary get run --help")
        );
        assert_eq!(helped(line("dcanary help")), line("dcanary --help"));
        assert_eq!(helped(line("dcanary run help")), line("dcanary run help"));
    }

    #[test]
    fn a_word_that_is_not_known_is_answered_with_those_that_are() {
        let command = Cli::command();
        assert!(words(&command, &line("dcanary deploy")).contains(&"promote"));
        assert_eq!(
            words(&command, &line("dcanary -n run get pods")),
            ["runs", "env", "releases", "promotions", "run"]
        );
    }

    #[test]
    fn who_watches_a_command_that_can_only_be_waited_for_is_told_of_wait() {
        let told = |words: &str| {
            let refused = Cli::command().try_get_matches_from(line(words)).unwrap_err();
            waited(&Cli::command(), &line(words), refused).to_string()
        };
        for words in ["dcanary run hello -w", "dcanary promote production web-42 -w"] {
            let said = told(words);
            assert!(said.contains("'--wait'") && !said.contains("-- -w"), "{said}");
        }
        for words in ["dcanary cancel hello-1 -w", "dcanary run hello -x"] {
            assert!(!told(words).contains("'--wait'"), "{words}");
        }
    }

    #[test]
    fn usage_names_the_program_as_it_was_called() {
        let cases = [
            ("/usr/bin/dcanary", "dcanary"),
            ("kubectl-dcanary", "kubectl dcanary"),
            ("./mody", "mody"),
            ("something-else", "dcanary"),
        ];
        for (program, name) in cases {
            assert_eq!(called(Some(OsStr::new(program))), name);
        }
        let mut command = Cli::command().name("kubectl dcanary").bin_name("kubectl dcanary");
        assert!(
            command
                .render_usage()
                .to_string()
                .contains("kubectl dcanary [OPTIONS] <COMMAND>")
        );
    }
}
