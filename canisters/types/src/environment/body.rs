//! Bodies of the records of environments: exactly which fields, by which rules (section 11).

use super::{EnvTransition, Verdict};
use crate::{
    fields::{FieldError, Fields},
    limits::{MAX_APPROVALS, MAX_WEIGHT},
    record::{RecordError, RecordKind, Transition},
    value::{Hash, Map, Value},
};

impl RecordKind for EnvTransition {
    fn btype(&self) -> &'static str {
        self.btype()
    }

    fn knows(btype: &str) -> bool {
        Self::TYPES.contains(&btype) || btype == Transition::RECORD_REFUSED
    }

    fn foreign(btype: &str) -> RecordError {
        RecordError::NotOfAnEnvironment(btype.to_owned())
    }

    fn fields(&self) -> Map {
        let mut body = Body::default();
        match self {
            Self::Opened {
                name,
                from,
                approvals,
                rules,
            } => body
                .text("name", name)
                .maybe_text("from", from.as_ref())
                .put("approvals", *approvals)
                .put("rules", *rules),
            Self::Changed {
                from,
                approvals,
                rules,
            } => body
                .maybe_text("from", from.as_ref())
                .put("approvals", *approvals)
                .put("rules", *rules),
            Self::DeployRequested {
                promotion,
                release,
                identity,
                by,
                undo,
            } => body
                .text("promotion", promotion)
                .put("release", *release)
                .put("identity", *identity)
                .text("by", by)
                .put("undo", u64::from(*undo)),
            Self::Decided {
                promotion,
                decision,
                verb,
                by,
                identity,
            } => body
                .maybe_text("promotion", promotion.as_ref())
                .text("decision", decision)
                .text("verb", verb)
                .text("by", by)
                .maybe_hash("identity", identity.as_ref()),
            Self::DeployStarted { promotion } => body.text("promotion", promotion),
            Self::StepReached {
                promotion,
                step,
                weight,
            } => body
                .text("promotion", promotion)
                .put("step", *step)
                .put("weight", *weight),
            Self::AnalysisVerdict {
                promotion,
                analysis,
                verdict,
                evidence,
            } => body
                .text("promotion", promotion)
                .text("analysis", analysis)
                .text("verdict", verdict.as_str())
                .put("evidence", *evidence),
            Self::Promoted {
                promotion,
                identity,
                evidence,
            } => body
                .text("promotion", promotion)
                .put("identity", *identity)
                .maybe_hash("evidence", evidence.as_ref()),
            Self::Aborted { promotion, reason } => body.text("promotion", promotion).text("reason", reason),
            Self::RolledBack {
                promotion,
                identity,
                to,
                reason,
                evidence,
            } => body
                .text("promotion", promotion)
                .put("identity", *identity)
                .maybe_hash("to", to.as_ref())
                .text("reason", reason)
                .maybe_hash("evidence", evidence.as_ref()),
            Self::Held {
                identity,
                reason,
                decision,
            } => body
                .put("identity", *identity)
                .text("reason", reason)
                .maybe_text("decision", decision.as_ref()),
            Self::Released { identity, decision } => {
                body.put("identity", *identity).text("decision", decision)
            }
            Self::Frozen { promotion, window } => body.text("promotion", promotion).text("window", window),
            Self::Overridden {
                promotion,
                decision,
                by,
            } => body
                .text("promotion", promotion)
                .text("decision", decision)
                .text("by", by),
            Self::Closed => &mut body,
            Self::RecordRefused { hash, reason } => body.put("hash", *hash).text("reason", reason),
        };
        body.0
    }

    fn take(btype: &str, fields: &mut Fields) -> Result<Self, RecordError> {
        Ok(match btype {
            Self::OPENED => Self::Opened {
                name: fields.text("name")?,
                from: fields.optional_run("from")?,
                approvals: at_most(fields, "approvals", MAX_APPROVALS, "at most 64")?,
                rules: fields.hash("rules")?,
            },
            Self::CHANGED => Self::Changed {
                from: fields.optional_run("from")?,
                approvals: at_most(fields, "approvals", MAX_APPROVALS, "at most 64")?,
                rules: fields.hash("rules")?,
            },
            Self::DEPLOY_REQUESTED => Self::DeployRequested {
                promotion: fields.run("promotion")?,
                release: fields.hash("release")?,
                identity: fields.hash("identity")?,
                by: fields.label_or_empty("by")?,
                undo: at_most(fields, "undo", 1, "0 or 1")? == 1,
            },
            Self::DECIDED => Self::Decided {
                promotion: fields.optional_run("promotion")?,
                decision: fields.run("decision")?,
                verb: fields.word("verb")?,
                by: fields.label("by")?,
                identity: fields.optional_hash("identity")?,
            },
            Self::DEPLOY_STARTED => Self::DeployStarted {
                promotion: fields.run("promotion")?,
            },
            Self::STEP_REACHED => Self::StepReached {
                promotion: fields.run("promotion")?,
                step: fields.nat("step")?,
                weight: at_most(fields, "weight", MAX_WEIGHT, "at most 100")?,
            },
            Self::ANALYSIS_VERDICT => Self::AnalysisVerdict {
                promotion: fields.run("promotion")?,
                analysis: fields.stage("analysis")?,
                verdict: Verdict::parse(&fields.text("verdict")?)
                    .ok_or_else(|| FieldError::rule("verdict", "`passed`, `failed` or `inconclusive`"))?,
                evidence: fields.hash("evidence")?,
            },
            Self::PROMOTED => Self::Promoted {
                promotion: fields.run("promotion")?,
                identity: fields.hash("identity")?,
                evidence: fields.optional_hash("evidence")?,
            },
            Self::ABORTED => Self::Aborted {
                promotion: fields.run("promotion")?,
                reason: fields.reason("reason")?,
            },
            Self::ROLLED_BACK => Self::RolledBack {
                promotion: fields.run("promotion")?,
                identity: fields.hash("identity")?,
                to: fields.optional_hash("to")?,
                reason: fields.reason("reason")?,
                evidence: fields.optional_hash("evidence")?,
            },
            Self::HELD => Self::Held {
                identity: fields.hash("identity")?,
                reason: fields.reason("reason")?,
                decision: fields.optional_run("decision")?,
            },
            Self::RELEASED => Self::Released {
                identity: fields.hash("identity")?,
                decision: fields.run("decision")?,
            },
            Self::FROZEN => Self::Frozen {
                promotion: fields.run("promotion")?,
                window: fields.label("window")?,
            },
            Self::OVERRIDDEN => Self::Overridden {
                promotion: fields.run("promotion")?,
                decision: fields.run("decision")?,
                by: fields.label("by")?,
            },
            Self::CLOSED => Self::Closed,
            Transition::RECORD_REFUSED => Self::RecordRefused {
                hash: fields.hash("hash")?,
                reason: fields.reason("reason")?,
            },
            other => return Err(RecordError::UnknownType(other.to_owned())),
        })
    }
}

/// A body that is being put together. A field that may be absent is left out.
#[derive(Default)]
struct Body(Map);

impl Body {
    fn put(&mut self, field: &str, value: impl Into<Value>) -> &mut Self {
        self.0.insert(field.to_owned(), value.into());
        self
    }

    fn text(&mut self, field: &str, text: &str) -> &mut Self {
        self.put(field, text)
    }

    fn maybe_text(&mut self, field: &str, text: Option<&String>) -> &mut Self {
        match text {
            Some(text) => self.text(field, text),
            None => self,
        }
    }

    fn maybe_hash(&mut self, field: &str, hash: Option<&Hash>) -> &mut Self {
        match hash {
            Some(hash) => self.put(field, *hash),
            None => self,
        }
    }
}

fn at_most(fields: &mut Fields, field: &str, most: u64, rule: &'static str) -> Result<u64, FieldError> {
    match fields.nat(field)? {
        n if n <= most => Ok(n),
        _ => Err(FieldError::rule(field, rule)),
    }
}
