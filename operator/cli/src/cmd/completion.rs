//! `completion SHELL`

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::{
    args::Cli,
    exit::{Exit, Failure},
    output::print,
};

/// Prints the script for the name by which the program was called.
pub fn run(shell: Shell, called: &'static str) -> Result<Exit, Failure> {
    // kubectl asks a plugin of its own for completions, by the plugin's file name.
    let program = if called == "kubectl dcanary" {
        "kubectl-dcanary"
    } else {
        called
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), program, &mut script);
    let script =
        String::from_utf8(script).map_err(|_| Failure::cannot_tell("the completion script is not text"))?;
    print(&script);
    Ok(Exit::Succeeded)
}
