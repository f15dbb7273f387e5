//! Arguments of the commands for environments: what is promoted, and what people decide.

use clap::Args;

use super::duration;

/// `promote`
#[derive(Debug, Args)]
pub struct PromoteArgs {
    /// Environment to promote into
    pub environment: String,
    /// Release to promote
    pub release: String,
    /// Why; kept with the promotion
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// The release may be older than the one that is served
    #[arg(long)]
    pub undo: bool,
    /// Namespace of the Release, where the Promotion is created too [default: the Environment's]
    #[arg(long, value_name = "NAME")]
    pub from_namespace: Option<String>,
    /// Wait until the promotion has ended; the exit code says how
    #[arg(long)]
    pub wait: bool,
    /// With --wait: give up after this time, for instance 30m; the promotion goes on
    #[arg(long, value_name = "DURATION", value_parser = duration, requires = "wait")]
    pub timeout: Option<std::time::Duration>,
}

/// What every decision may be given.
#[derive(Clone, Debug, Default, Args)]
pub struct Why {
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// It does not count after this time, for instance 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires: Option<std::time::Duration>,
}

/// What decisions that need a reason are given.
#[derive(Clone, Debug, Default, Args)]
pub struct WhyFirst {
    /// Why; it is recorded
    #[arg(long, value_name = "TEXT", required = true)]
    pub reason: String,
    /// It does not count after this time, for instance 1h
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub expires: Option<std::time::Duration>,
}

impl From<&WhyFirst> for Why {
    fn from(first: &WhyFirst) -> Self {
        Self {
            reason: Some(first.reason.clone()),
            expires: first.expires,
        }
    }
}

/// `approve`
#[derive(Debug, Args)]
pub struct ApproveArgs {
    /// Promotion; or the Environment whose promotion it is
    pub promotion: String,
    /// Reason and expiry
    #[command(flatten)]
    pub why: Why,
    /// Only if the promotion still is of the release with this identity (sha256:…), for scripts
    #[arg(long, value_name = "IDENTITY")]
    pub identity: Option<String>,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

/// `abort`, `pause`, `resume`, `retry`, `skip`
#[derive(Debug, Args)]
pub struct StepArgs {
    /// Promotion; or the Environment whose promotion it is
    pub promotion: String,
    /// Reason and expiry
    #[command(flatten)]
    pub why: Why,
}

/// `reject`, `override`
#[derive(Debug, Args)]
pub struct ReasonedArgs {
    /// Promotion; or the Environment whose promotion it is
    pub promotion: String,
    /// Reason and expiry
    #[command(flatten)]
    pub why: WhyFirst,
}

/// `undo`
#[derive(Debug, Args)]
pub struct UndoArgs {
    /// Environment
    pub environment: String,
    /// Reason and expiry
    #[command(flatten)]
    pub why: Why,
}

/// `hold`
#[derive(Debug, Args)]
pub struct HoldArgs {
    /// Environment
    pub environment: String,
    /// Release by name, or its identity in the environment (sha256:…, or its first digits)
    pub release: String,
    /// Reason and expiry
    #[command(flatten)]
    pub why: WhyFirst,
}

/// `unhold`
#[derive(Debug, Args)]
pub struct UnholdArgs {
    /// Environment
    pub environment: String,
    /// Release by name, or its identity in the environment (sha256:…, or its first digits)
    pub release: String,
    /// Reason and expiry
    #[command(flatten)]
    pub why: Why,
}
