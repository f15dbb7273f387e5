//! End-to-end tests on a real cluster. One program: linking one is quicker than linking ten.
//!
//! `enforced` needs a cluster that enforces NetworkPolicies, and `external` the address of this machine in the cluster (`make soak`). Tests of the
//! modules `failpoints`, `outages` and `external` disturb the whole installation and run alone, one after the other; `rbac` runs last
//! (`scripts/test.sh e2e`).

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod absent;
mod approvals;
mod checkout;
mod delivery;
mod enforced;
mod examples;
mod external;
mod failpoints;
mod faults;
mod gitops_tools;
mod hostile;
mod kubernetes;
mod ledger;
mod linted;
mod masking;
mod outages;
mod private_registry;
mod rbac;
mod runs;
mod shown;
