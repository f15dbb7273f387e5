//! Laws of a rollout, on a model of everything around a decision.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod after_switch;
mod answers;
mod approvers;
mod build;
mod ceilings;
mod chain;
mod chain_away;
mod changed;
mod cluster;
mod contest;
mod deleted;
mod earlier;
mod edits;
mod expiry;
mod first_sample;
mod followed;
mod frozen;
mod hooks;
mod lagging;
mod ledger;
mod left;
mod lost;
mod mirror;
mod opened;
mod outage;
mod paths;
mod paused;
mod people;
mod plane;
mod positions;
mod proof;
mod random;
mod refused;
mod scale;
mod services;
mod size;
mod templates;
mod unmade;
mod unmeasured;
mod unstored;
mod watch;
mod way_back;
mod withdrawn;
mod world;
