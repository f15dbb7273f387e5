//! Text from values: no clock, no cluster, no terminal.

pub mod analysis;
pub mod branches;
pub mod decision;
pub mod deliveries;
pub mod ending;
pub mod environment;
pub mod journal;
pub mod ledger;
pub mod lint;
pub mod logs;
pub mod pin;
pub mod promotions;
pub mod report;
pub mod rollout;
pub mod runs;
pub mod tree;
