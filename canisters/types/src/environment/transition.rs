//! Records of environments (section 11).

use crate::{
    record::{Transition, words},
    value::Hash,
};

words::words! {
    /// What an analysis says (section 11).
    Verdict {
        /// Go on.
        Passed = "passed",
        /// Go back.
        Failed = "failed",
        /// A person has to look.
        Inconclusive = "inconclusive",
    }
}

/// What happened to an environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EnvTransition {
    /// The environment begins; always number 0.
    Opened {
        /// `namespace/name`.
        name: String,
        /// UID of the environment whose releases may come here.
        from: Option<String>,
        /// How many different people must approve.
        approvals: u64,
        /// Digest of the rules.
        rules: Hash,
    },
    /// It has other rules from here on.
    Changed {
        /// UID of the environment whose releases may come here.
        from: Option<String>,
        /// How many different people must approve.
        approvals: u64,
        /// Digest of the rules.
        rules: Hash,
    },
    /// A promotion asks for its turn and gets it.
    DeployRequested {
        /// UID of the promotion.
        promotion: String,
        /// Digest of the release, the same in every environment.
        release: Hash,
        /// Identity of the release in this environment.
        identity: Hash,
        /// Who asked; empty where nobody is named.
        by: String,
        /// It goes back to a release that was here before.
        undo: bool,
    },
    /// A person decided something.
    Decided {
        /// UID of the promotion that it is about, if it is about one.
        promotion: Option<String>,
        /// UID of the decision.
        decision: String,
        /// What was decided; [`EnvTransition::APPROVE`] and [`EnvTransition::REJECT`] have an effect.
        verb: String,
        /// Who decided.
        by: String,
        /// Identity of the release that was looked at.
        identity: Option<Hash>,
    },
    /// The deployment of the current request begins.
    DeployStarted {
        /// UID of the promotion.
        promotion: String,
    },
    /// A step of it is in force.
    StepReached {
        /// UID of the promotion.
        promotion: String,
        /// Number of the step.
        step: u64,
        /// Percent of requests that the release has.
        weight: u64,
    },
    /// An analysis of it is decided.
    AnalysisVerdict {
        /// UID of the promotion.
        promotion: String,
        /// Name of the analysis.
        analysis: String,
        /// Verdict.
        verdict: Verdict,
        /// Digest of the evidence.
        evidence: Hash,
    },
    /// The release is the stable one. Ends the request.
    Promoted {
        /// UID of the promotion.
        promotion: String,
        /// Identity of the release.
        identity: Hash,
        /// Digest of the evidence.
        evidence: Option<Hash>,
    },
    /// The request ends without the release; nothing had to be turned back.
    Aborted {
        /// UID of the promotion.
        promotion: String,
        /// Why.
        reason: String,
    },
    /// The release was turned back. Ends the request.
    RolledBack {
        /// UID of the promotion.
        promotion: String,
        /// Identity of the release that failed.
        identity: Hash,
        /// Identity of the release that is served instead, if there is one.
        to: Option<Hash>,
        /// Why.
        reason: String,
        /// Digest of the evidence.
        evidence: Option<Hash>,
    },
    /// A release may not come (again).
    Held {
        /// Its identity.
        identity: Hash,
        /// Why.
        reason: String,
        /// UID of the decision, if a person decided it.
        decision: Option<String>,
    },
    /// It may again.
    Released {
        /// Its identity.
        identity: Hash,
        /// UID of the decision.
        decision: String,
    },
    /// The current request waits for the end of a freeze window. A note.
    Frozen {
        /// UID of the promotion.
        promotion: String,
        /// Name of the window.
        window: String,
    },
    /// A person let the current request through a freeze window. A note.
    Overridden {
        /// UID of the promotion.
        promotion: String,
        /// UID of the decision.
        decision: String,
        /// Who decided.
        by: String,
    },
    /// The environment ends.
    Closed,
    /// The record that was offered at this number was refused. A note; its block type is that of runs.
    RecordRefused {
        /// Content hash of the refused record.
        hash: Hash,
        /// Why.
        reason: String,
    },
}

impl EnvTransition {
    /// Block type of [`EnvTransition::Opened`].
    pub const OPENED: &'static str = "dcanary_env_opened";
    /// Block type of [`EnvTransition::Changed`].
    pub const CHANGED: &'static str = "dcanary_env_changed";
    /// Block type of [`EnvTransition::DeployRequested`].
    pub const DEPLOY_REQUESTED: &'static str = "dcanary_deploy_requested";
    /// Block type of [`EnvTransition::Decided`].
    pub const DECIDED: &'static str = "dcanary_decided";
    /// Block type of [`EnvTransition::DeployStarted`].
    pub const DEPLOY_STARTED: &'static str = "dcanary_deploy_started";
    /// Block type of [`EnvTransition::StepReached`].
    pub const STEP_REACHED: &'static str = "dcanary_step_reached";
    /// Block type of [`EnvTransition::AnalysisVerdict`].
    pub const ANALYSIS_VERDICT: &'static str = "dcanary_analysis_verdict";
    /// Block type of [`EnvTransition::Promoted`].
    pub const PROMOTED: &'static str = "dcanary_promoted";
    /// Block type of [`EnvTransition::Aborted`].
    pub const ABORTED: &'static str = "dcanary_aborted";
    /// Block type of [`EnvTransition::RolledBack`].
    pub const ROLLED_BACK: &'static str = "dcanary_rolled_back";
    /// Block type of [`EnvTransition::Held`].
    pub const HELD: &'static str = "dcanary_held";
    /// Block type of [`EnvTransition::Released`].
    pub const RELEASED: &'static str = "dcanary_released";
    /// Block type of [`EnvTransition::Frozen`].
    pub const FROZEN: &'static str = "dcanary_frozen";
    /// Block type of [`EnvTransition::Overridden`].
    pub const OVERRIDDEN: &'static str = "dcanary_overridden";
    /// Block type of [`EnvTransition::Closed`].
    pub const CLOSED: &'static str = "dcanary_env_closed";

    /// All block types of environments alone, in the order of the page. They share [`Transition::RECORD_REFUSED`] with runs.
    pub const TYPES: [&'static str; 15] = [
        Self::OPENED,
        Self::CHANGED,
        Self::DEPLOY_REQUESTED,
        Self::DECIDED,
        Self::DEPLOY_STARTED,
        Self::STEP_REACHED,
        Self::ANALYSIS_VERDICT,
        Self::PROMOTED,
        Self::ABORTED,
        Self::ROLLED_BACK,
        Self::HELD,
        Self::RELEASED,
        Self::FROZEN,
        Self::OVERRIDDEN,
        Self::CLOSED,
    ];

    /// The verb of a decision that counts as an approval.
    pub const APPROVE: &'static str = "approve";
    /// The verb of a decision that rejects.
    pub const REJECT: &'static str = "reject";

    /// The block type.
    pub fn btype(&self) -> &'static str {
        match self {
            Self::Opened { .. } => Self::OPENED,
            Self::Changed { .. } => Self::CHANGED,
            Self::DeployRequested { .. } => Self::DEPLOY_REQUESTED,
            Self::Decided { .. } => Self::DECIDED,
            Self::DeployStarted { .. } => Self::DEPLOY_STARTED,
            Self::StepReached { .. } => Self::STEP_REACHED,
            Self::AnalysisVerdict { .. } => Self::ANALYSIS_VERDICT,
            Self::Promoted { .. } => Self::PROMOTED,
            Self::Aborted { .. } => Self::ABORTED,
            Self::RolledBack { .. } => Self::ROLLED_BACK,
            Self::Held { .. } => Self::HELD,
            Self::Released { .. } => Self::RELEASED,
            Self::Frozen { .. } => Self::FROZEN,
            Self::Overridden { .. } => Self::OVERRIDDEN,
            Self::Closed => Self::CLOSED,
            Self::RecordRefused { .. } => Transition::RECORD_REFUSED,
        }
    }

    /// UID of the promotion it is about, if it is about one.
    pub fn promotion(&self) -> Option<&str> {
        match self {
            Self::DeployRequested { promotion, .. }
            | Self::DeployStarted { promotion }
            | Self::StepReached { promotion, .. }
            | Self::AnalysisVerdict { promotion, .. }
            | Self::Promoted { promotion, .. }
            | Self::Aborted { promotion, .. }
            | Self::RolledBack { promotion, .. }
            | Self::Frozen { promotion, .. }
            | Self::Overridden { promotion, .. } => Some(promotion),
            Self::Decided { promotion, .. } => promotion.as_deref(),
            Self::Opened { .. }
            | Self::Changed { .. }
            | Self::Held { .. }
            | Self::Released { .. }
            | Self::Closed
            | Self::RecordRefused { .. } => None,
        }
    }
}
