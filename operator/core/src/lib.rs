//! Pure decisions: graph, expressions, runs, build Pods.
//!
//! ```text
//! PipelineRun + Observed + now ─▶ run::next ─▶ Plan { status, effects, journal, events, wake, fence }
//!                                   │
//!          resolve, validate, dag ──┤── outcome, conditions, journal ── pod, plan
//! ```
//! Nothing here has a client, a clock or a source of randomness; a test keeps them out of the dependencies.

pub mod conditions;
pub mod credentials;
pub mod dag;
pub mod definition;
pub mod effect;
pub mod journal;
pub mod limits;
pub mod observed;
pub mod outcome;
pub mod plan;
pub mod pod;
pub mod problem;
pub mod recorded;
pub mod release;
pub mod report;
pub mod repository;
pub mod resolve;
pub mod run;
pub mod seen_pod;
pub mod settings;
pub mod text;
pub mod time;
pub mod validate;
pub mod values;

pub use effect::{CreatePod, Deploy, Effect, Event, Plan, PodRef, SealOutbox, Wake};
pub use limits::Limits;
pub use observed::Observed;
pub use run::next;
pub use seen_pod::SeenPod;
pub use settings::{Delivery, Settings};
