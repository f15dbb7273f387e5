//! Text from values: no clock, no cluster, no terminal.

pub mod journal;
pub mod lint;
pub mod logs;
pub mod pin;
pub mod report;
pub mod runs;
pub mod tree;
