//! How much the present thread has executed. It measures only: nothing of it comes into the state.

use std::cell::Cell;

/// Executions and their instructions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Executed {
    /// How often a canister ran.
    pub executions: u64,
    /// The instructions of all of them.
    pub instructions: u64,
}

thread_local! {
    static EXECUTED: Cell<Executed> = const { Cell::new(Executed { executions: 0, instructions: 0 }) };
}

/// Counts one execution.
pub fn count(instructions: u64) {
    let before = EXECUTED.get();
    EXECUTED.set(Executed {
        executions: before.executions.saturating_add(1),
        instructions: before.instructions.saturating_add(instructions),
    });
}

/// What was counted since the last time.
pub fn take() -> Executed {
    EXECUTED.take()
}
