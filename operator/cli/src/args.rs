//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use crate::exit::Failure;

mod analysis;
mod delivery;
mod ledger;

pub use analysis::AnalysisCommand;
pub use delivery::{
    ApproveArgs, HoldArgs, PromoteArgs, ReasonedArgs, StepArgs, UndoArgs, UnholdArgs, Why, WhyFirst,
};
pub use ledger::{
    DeployArgs, LedgerAt, LedgerCommand, PersonArgs, PinArgs, RestoreArgs, Trust, TrustArgs, UpgradeArgs,
    Verify,
};

/// Runs, watches and verifies pipelines on Kubernetes, and delivers what they built.
#[derive(Debug, Parser)]
#[command(
    name = "dcanary",
    version,
    propagate_version = true,
    disable_help_subcommand = true,
    after_help = "Examples:\n  dcanary lint pipeline.yaml\n  dcanary run hello\n  dcanary get run hello-1 -w\n  dcanary verify run hello-1\n  \
                  dcanary promote production web-42\n  dcanary get env production -w\n\n\
                  Exit codes: 0 succeeded, 1 failed, 2 wrong usage, 3 cancelled, 4 timed out, 5 cannot tell.\n\
                  `verify` has its own: 0 verified, 1 something is false, 2 could not be checked or nothing is pinned."
)]
pub struct Cli {
    /// Flags of every command.
    #[command(flatten)]
    pub global: Global,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Heading of the flags that are the same everywhere.
const EVERYWHERE: &str = "Options of every command";

/// Flags of every command.
#[derive(Clone, Debug, Default, Args)]
pub struct Global {
    /// Namespace [default: that of the kubeconfig's context]
    #[arg(help_heading = EVERYWHERE, short, long, global = true, value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,
    /// Every namespace, where objects are listed
    #[arg(help_heading = EVERYWHERE, short = 'A', long, global = true)]
    pub all_namespaces: bool,
    /// Context of the kubeconfig
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "NAME")]
    pub context: Option<String>,
    /// Kubeconfig file [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(help_heading = EVERYWHERE, long, global = true, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace in which the operator runs
    #[arg(
        help_heading = EVERYWHERE,
        long,
        global = true,
        value_name = "NAME",
        env = "DCANARY_OPERATOR_NAMESPACE",
        default_value = "dcanary-system",
        value_parser = namespace
    )]
    pub operator_namespace: String,
    /// Form of the output: json, yaml, wide or name, where the command has it (`ledger export`: a file)
    #[arg(help_heading = EVERYWHERE, short, long, global = true, value_name = "FORM")]
    pub output: Option<String>,
    /// No colours [also: NO_COLOR]
    #[arg(help_heading = EVERYWHERE, long, global = true)]
    pub no_color: bool,
}

impl Global {
    /// Refuses `-A` where one object is meant: it would act in one namespace all the same.
    ///
    /// # Errors
    /// When every namespace is asked for.
    pub fn one_namespace(&self) -> Result<(), Failure> {
        if self.all_namespaces {
            return Err(Failure::usage(
                "-A is for lists (`dcanary get runs -A`); name the namespace of the object with -n NAMESPACE",
            ));
        }
        Ok(())
    }

    /// The form that was asked for, if `command` can print it.
    ///
    /// # Errors
    /// When there is no such form, or the command does not print it: what is asked for is never ignored.
    pub fn form(&self, command: &str, known: &[Format]) -> Result<Option<Format>, Failure> {
        let Some(asked) = &self.output else {
            return Ok(None);
        };
        let found = Format::from_str(asked, false)
            .ok()
            .filter(|form| known.contains(form));
        if found.is_some() {
            return Ok(found);
        }
        let words: Vec<String> = known
            .iter()
            .filter_map(ValueEnum::to_possible_value)
            .map(|value| value.get_name().to_owned())
            .collect();
        let fix = match words.split_last() {
            None => "leave -o out".to_owned(),
            Some((only, [])) => format!("use -o {only}, or leave it out"),
            Some((last, others)) => format!("use -o {} or {last}, or leave it out", others.join(", ")),
        };
        Err(Failure::usage(format!(
            "`{command}` does not print `-o {asked}`; {fix}"
        )))
    }
}

/// Form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// A table with more columns
    Wide,
    /// Names only
    Name,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a run of a Pipeline
    #[command(
        after_help = "Examples:\n  dcanary run hello\n  dcanary run hello -p who=canary --name hello-1\n  dcanary run hello --wait --timeout 30m       # exit code says how it ended"
    )]
    Run(RunArgs),
    /// Show runs, environments, releases and promotions
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  dcanary get runs\n  dcanary get run hello-1 -w\n  dcanary get env production -w\n  dcanary get promotions"
    )]
    Get(Get),
    /// Print the logs of a run
    #[command(
        after_help = "Examples:\n  dcanary logs hello-1\n  dcanary logs hello-1 build -f                # one stage, until the run has ended\n\nEach line has its stage before it, and from the second attempt on its number: `build#2 | `.\nThe exit code is 0 whatever the run ends as, also with -f; `dcanary get run NAME -w` has that of the run."
    )]
    Logs(LogsArgs),
    /// Cancel a run
    #[command(after_help = "Examples:\n  dcanary cancel hello-1")]
    Cancel(CancelArgs),
    /// Bring a Release into an Environment
    #[command(
        after_help = "Examples:\n  dcanary promote production web-42\n  dcanary promote production web-42 --wait --timeout 1h   # exit code says how it ended\n  dcanary promote production web-41 --undo --reason 'slow login'\n  dcanary promote production web-42 -n shop --from-namespace builds"
    )]
    Promote(PromoteArgs),
    /// Approve a promotion
    #[command(
        after_help = "Examples:\n  dcanary approve web-42-x2k9d\n  dcanary approve production                   # the promotion that waits there\n  dcanary approve web-42-x2k9d --yes --reason 'tested by hand' --expires 1h"
    )]
    Approve(ApproveArgs),
    /// Reject a promotion: it ends, and its release is held
    #[command(after_help = "Examples:\n  dcanary reject web-42-x2k9d --reason 'breaks the import'")]
    Reject(ReasonedArgs),
    /// End a rollout: traffic goes back to the stable release
    #[command(
        after_help = "Examples:\n  dcanary abort web-42-x2k9d\n  dcanary abort production --reason 'support is full of calls'"
    )]
    Abort(StepArgs),
    /// Stay at the present step
    #[command(after_help = "Examples:\n  dcanary pause web-42-x2k9d")]
    Pause(StepArgs),
    /// Go on: ends a pause
    #[command(after_help = "Examples:\n  dcanary resume web-42-x2k9d")]
    Resume(StepArgs),
    /// Pass over the present step
    #[command(
        after_help = "Examples:\n  dcanary skip web-42-x2k9d --reason 'the metric is known to be wrong today'"
    )]
    Skip(StepArgs),
    /// Begin the present step anew
    #[command(after_help = "Examples:\n  dcanary retry web-42-x2k9d")]
    Retry(StepArgs),
    /// Deploy in spite of a freeze window
    #[command(after_help = "Examples:\n  dcanary override web-42-x2k9d --reason 'fixes the outage of today'")]
    Override(ReasonedArgs),
    /// Go back to the release before, at once
    #[command(after_help = "Examples:\n  dcanary undo production --reason 'orders are lost'")]
    Undo(UndoArgs),
    /// Keep a release out of an environment
    #[command(
        after_help = "Examples:\n  dcanary hold production web-42 --reason 'waits for the new licence'\n  dcanary hold production sha256:0123456789ab --reason 'CVE-2026-1234'"
    )]
    Hold(HoldArgs),
    /// Let a held release in again
    #[command(after_help = "Examples:\n  dcanary unhold production web-42")]
    Unhold(UnholdArgs),
    /// Check files with objects of dcanary.dev as the operator would, and more strictly
    #[command(
        after_help = "Examples:\n  dcanary lint pipeline.yaml environments.yaml\n  kustomize build . | dcanary lint -\n  dcanary lint pipeline.yaml -o json           # file, line, column, message"
    )]
    Lint(LintArgs),
    /// Look at the evidence of an analysis
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  dcanary analysis replay evidence.json")]
    Analysis(AnalysisCommand),
    /// Verify a run, an environment or an export against the trust file
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  dcanary verify run hello-1\n  dcanary verify environment production\n  dcanary verify export journal.cbor"
    )]
    Verify(Verify),
    /// Look at the ledger, or put it on a network of others
    #[command(subcommand)]
    #[command(
        after_help = "Examples:\n  dcanary ledger status\n  dcanary ledger export -o journal.cbor\n  dcanary ledger deploy --network ic --identity me.pem --create --operator PRINCIPAL"
    )]
    Ledger(LedgerCommand),
    /// Manage the trust file
    #[command(subcommand)]
    #[command(after_help = "Examples:\n  dcanary trust pin\n  dcanary trust show")]
    Trust(Trust),
    /// Print a completion script
    #[command(after_help = "Examples:\n  source <(dcanary completion bash)")]
    Completion {
        /// Shell
        shell: Shell,
    },
    /// Print the version
    #[command(after_help = "Examples:\n  dcanary version -o json")]
    Version,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Pipeline to run
    pub pipeline: String,
    /// Parameter; repeatable
    #[arg(short, long = "param", value_name = "NAME=VALUE", value_parser = param)]
    pub param: Vec<(String, String)>,
    /// Name of the run [default: the Pipeline's name and five letters]
    #[arg(long)]
    pub name: Option<String>,
    /// Branch or tag to build [default: the Pipeline's]
    #[arg(long = "ref", value_name = "REF")]
    pub reference: Option<String>,
    /// Commit to build: 40 hex digits [default: what the ref names when it is checked out]
    #[arg(long, value_name = "COMMIT", value_parser = commit)]
    pub commit: Option<String>,
    /// Wait until the run has ended; the exit code says how
    #[arg(long)]
    pub wait: bool,
    /// With --wait: give up after this time, for instance 30m; the run goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    pub timeout: Option<std::time::Duration>,
}

/// `get`
#[derive(Debug, Subcommand)]
pub enum Get {
    /// List runs, the newest last
    #[command(visible_alias = "pipelineruns")]
    #[command(
        after_help = "Examples:\n  dcanary get runs -A\n  dcanary get runs --last 5 -o wide\n  dcanary get runs -o name                     # for scripts: one a line"
    )]
    Runs {
        /// Only the newest N
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Show environments, or one as a tree: what is served, what is on its way, what is held
    #[command(visible_aliases = ["envs", "environment", "environments"])]
    #[command(
        after_help = "Examples:\n  dcanary get env\n  dcanary get env production\n  dcanary get env production -w                # live, until interrupted\n  dcanary get env production -w -o json        # one document a line for each change"
    )]
    Env {
        /// Name of the Environment [default: all]
        name: Option<String>,
        /// Redraw until interrupted
        #[arg(short, long, requires = "name")]
        watch: bool,
    },
    /// List releases, the newest last
    #[command(visible_alias = "release")]
    #[command(after_help = "Examples:\n  dcanary get releases\n  dcanary get releases web-42 -o yaml")]
    Releases {
        /// Name of the Release [default: all]
        name: Option<String>,
        /// Only the newest N
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// List promotions, the newest last
    #[command(visible_alias = "promotion")]
    #[command(
        after_help = "Examples:\n  dcanary get promotions --env production\n  dcanary get promotions web-42-x2k9d -o yaml\n  dcanary get promotions -A --last 10 -o wide"
    )]
    Promotions {
        /// Name of the Promotion [default: all]
        name: Option<String>,
        /// Only those into this Environment
        #[arg(long, value_name = "NAME")]
        env: Option<String>,
        /// Only the newest N
        #[arg(long, value_name = "N")]
        last: Option<usize>,
    },
    /// Show one run as a tree
    #[command(visible_alias = "pipelinerun")]
    #[command(
        after_help = "Examples:\n  dcanary get run hello-1\n  dcanary get run hello-1 -w                   # live; the exit code says how it ended\n  dcanary get run hello-1 -w -o json           # one document a line for each change"
    )]
    Run {
        /// Name of the run
        name: String,
        /// Redraw until it has ended; the exit code says how
        #[arg(short, long)]
        watch: bool,
    },
}

/// `logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name of the run
    pub name: String,
    /// Only this stage
    pub stage: Option<String>,
    /// Go on until the run has ended
    #[arg(short, long)]
    pub follow: bool,
}

/// `cancel`
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Name of the run
    pub name: String,
}

/// `lint`
#[derive(Debug, Args)]
pub struct LintArgs {
    /// Files to check; - reads standard input
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

fn param(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

/// What no namespace can be called would make a request that cannot be sent, or one for something else.
fn namespace(text: &str) -> Result<String, String> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = [text.bytes().next(), text.bytes().last()];
    let well = text.len() <= 63
        && text.bytes().all(|byte| plain(byte) || byte == b'-')
        && ends.into_iter().all(|end| end.is_some_and(plain));
    if well {
        return Ok(text.to_owned());
    }
    Err("no namespace is called so: a name has at most 63 small letters, digits and `-`, and no `-` at its ends".to_owned())
}

fn commit(text: &str) -> Result<String, String> {
    let digits = text.to_ascii_lowercase();
    if digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(digits);
    }
    Err("write all 40 hex digits of it (git rev-parse COMMIT); for a branch or tag there is --ref".to_owned())
}

fn duration(text: &str) -> Result<std::time::Duration, String> {
    let read: dcanary_crds::Duration = text.parse().map_err(|source| format!("{source}"))?;
    Ok(std::time::Duration::from_secs(read.as_secs()))
}

#[cfg(test)]
#[path = "args_tests.rs"]
mod tests;
