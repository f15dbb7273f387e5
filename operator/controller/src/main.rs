//! The operator program.

fn main() -> anyhow::Result<()> {
    dcanary_controller::program::main()
}
