//! `dcanary`, also called `mody` and `kubectl dcanary`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dcanary_cli::main(std::env::args_os().collect())
}
