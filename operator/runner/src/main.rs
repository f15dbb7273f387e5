//! The program inside build Pods. See `dcanary_runner`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dcanary_runner::main()
}
