//! Why traffic cannot be set.

use thiserror::Error;

use super::InForce;

/// Why traffic cannot be set. Each says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Obstacle {
    /// The API server does not know the kinds of the Gateway API.
    #[error(
        "the cluster does not know {0}: install the CRDs of the Gateway API (1.4 or later) and a gateway that implements them, or leave traffic.route out"
    )]
    GatewayApiMissing(&'static str),
    /// There is no route of the name in `traffic.route.ref`.
    #[error(
        "there is no {kind} {name} in namespace {namespace}: create it, or correct traffic.route.ref.name"
    )]
    RouteNotFound {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// Namespace.
        namespace: String,
    },
    /// The rule whose backends are weighted cannot be told.
    #[error("{0}")]
    RuleNotFound(String),
    /// The rule does not lead to our Service as it must.
    #[error("{0}")]
    BackendNotFound(String),
    /// The route is not, or would not be, accepted.
    #[error("{0}")]
    RouteRejected(String),
    /// An object of a name that we need is somebody else's.
    #[error("{0}")]
    Foreign(String),
    /// Plain Services cannot do what is asked for.
    #[error("{0}")]
    RouteNeeded(String),
    /// A gateway of the route does not say that it can mirror requests.
    #[error("{0}")]
    MirrorUnsupported(String),
    /// It is not known whether a gateway of the route can mirror requests.
    #[error("{0}")]
    GatewayUnreadable(String),
    /// The Service of the stable release would lead to the candidate's Pods too.
    #[error(
        "the Pods of {candidate} carry all labels by which Service {service} selects the adopted Deployment ({selector}), so that they get its requests at any weight: give workload.template, with other labels, in place of workload.ref"
    )]
    SelectorOverlaps {
        /// Workload of the candidate.
        candidate: String,
        /// The Service.
        service: String,
        /// What it selects.
        selector: String,
    },
    /// Something could not be read, so that nothing is known.
    #[error("{kind} {name} cannot be read: {answer}")]
    Unreadable {
        /// Kind.
        kind: &'static str,
        /// Name.
        name: String,
        /// The answer.
        answer: String,
    },
}

impl Obstacle {
    /// One CamelCase word.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::GatewayApiMissing(_) => "GatewayApiMissing",
            Self::RouteNotFound { .. } => "RouteNotFound",
            Self::RuleNotFound(_) => "RuleNotFound",
            Self::BackendNotFound(_) => "BackendNotFound",
            Self::RouteRejected(_) => "RouteRejected",
            Self::Foreign(_) => "Foreign",
            Self::RouteNeeded(_) => "RouteNeeded",
            Self::MirrorUnsupported(_) => "MirrorUnsupported",
            Self::GatewayUnreadable(_) => "GatewayUnreadable",
            Self::SelectorOverlaps { .. } => "SelectorOverlaps",
            Self::Unreadable { .. } => "Unreadable",
        }
    }
}

impl From<Obstacle> for InForce {
    fn from(obstacle: Obstacle) -> Self {
        let message = obstacle.to_string();
        // It passes by itself.
        if matches!(
            obstacle,
            Obstacle::Unreadable { .. } | Obstacle::GatewayUnreadable(_)
        ) {
            return Self::NotYet { message };
        }
        Self::Refused {
            reason: obstacle.reason().to_owned(),
            message,
        }
    }
}
