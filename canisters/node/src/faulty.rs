//! `dcanary-node-faults`: the node with an argument `--fault` by which it breaks a rule on purpose, for tests of tests.
//!
//! It has a name of its own so that building it never puts it where the product is.

#[path = "main.rs"]
mod program;

fn main() -> anyhow::Result<()> {
    program::main()
}
