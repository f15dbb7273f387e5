//! `analysis`

use std::path::PathBuf;

use clap::Subcommand;

/// `analysis`
#[derive(Debug, Subcommand)]
pub enum AnalysisCommand {
    /// Compute the verdict of an analysis again from its evidence, offline: exit code 0 when it is what the document claims, 1 when not
    #[command(
        after_help = "Examples:\n  dcanary analysis replay evidence.json\n  dcanary analysis replay - -o json < evidence.json   # samples, thresholds, differences"
    )]
    Replay {
        /// Evidence document; - reads standard input
        file: PathBuf,
    },
}
