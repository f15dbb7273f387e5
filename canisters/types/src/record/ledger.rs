//! Blocks that the canister writes of itself (section 3, "Ledger").

use crate::{
    fields::{FieldError, Fields},
    policy::{RoleBody, RoleKind},
    record::RecordError,
    value::{self, Hash, Map, Value},
};

/// A block about the ledger itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LedgerEvent {
    /// Block 0.
    Opened {
        /// The first owner.
        owner: Vec<u8>,
        /// Always 0 in a ledger that was never restored.
        incarnation: u64,
    },
    /// First block after a restore.
    Restored {
        /// One more than before.
        incarnation: u64,
    },
    /// A principal holds a role from here on.
    RoleGranted(RoleBody),
    /// A principal holds a role no longer.
    RoleRevoked(RoleBody),
    /// Another content was offered for a number that is recorded.
    Conflict {
        /// UID of the run.
        run: String,
        /// The number.
        n: u64,
        /// Index of the block recorded at that number.
        have: u64,
        /// Content hash of the refused record.
        offered: Hash,
    },
}

impl LedgerEvent {
    /// Block type of [`LedgerEvent::Opened`].
    pub const OPENED: &'static str = "dcanary_ledger_opened";
    /// Block type of [`LedgerEvent::Restored`].
    pub const RESTORED: &'static str = "dcanary_ledger_restored";
    /// Block type of [`LedgerEvent::RoleGranted`].
    pub const ROLE_GRANTED: &'static str = "dcanary_role_granted";
    /// Block type of [`LedgerEvent::RoleRevoked`].
    pub const ROLE_REVOKED: &'static str = "dcanary_role_revoked";
    /// Block type of [`LedgerEvent::Conflict`].
    pub const CONFLICT: &'static str = "dcanary_conflict";

    /// The block type.
    pub fn btype(&self) -> &'static str {
        match self {
            Self::Opened { .. } => Self::OPENED,
            Self::Restored { .. } => Self::RESTORED,
            Self::RoleGranted(_) => Self::ROLE_GRANTED,
            Self::RoleRevoked(_) => Self::ROLE_REVOKED,
            Self::Conflict { .. } => Self::CONFLICT,
        }
    }

    /// The body.
    pub fn body(&self) -> Map {
        match self {
            Self::Opened { owner, incarnation } => value::map([
                ("owner", owner.clone().into()),
                ("incarnation", Value::Nat(*incarnation)),
            ]),
            Self::Restored { incarnation } => value::map([("incarnation", Value::Nat(*incarnation))]),
            Self::RoleGranted(role) | Self::RoleRevoked(role) => value::map([
                ("principal", role.principal.clone().into()),
                ("role", role.role.as_str().into()),
                ("domain", role.domain.as_str().into()),
            ]),
            Self::Conflict {
                run,
                n,
                have,
                offered,
            } => value::map([
                ("run", run.as_str().into()),
                ("n", Value::Nat(*n)),
                ("have", Value::Nat(*have)),
                ("offered", (*offered).into()),
            ]),
        }
    }

    /// Reads a body.
    ///
    /// # Errors
    /// If the block type is unknown or the body has not exactly its fields.
    pub fn from_body(btype: &str, body: Map) -> Result<Self, RecordError> {
        let mut fields = Fields::new(body);
        let event = match btype {
            Self::OPENED => Self::Opened {
                owner: principal(&mut fields, "owner")?,
                incarnation: incarnation(&mut fields, 0)?,
            },
            Self::RESTORED => Self::Restored {
                incarnation: incarnation(&mut fields, 1)?,
            },
            Self::ROLE_GRANTED => Self::RoleGranted(role(&mut fields)?),
            Self::ROLE_REVOKED => Self::RoleRevoked(role(&mut fields)?),
            Self::CONFLICT => Self::Conflict {
                run: fields.run("run")?,
                n: fields.nat("n")?,
                have: fields.nat("have")?,
                offered: fields.hash("offered")?,
            },
            other => return Err(RecordError::UnknownType(other.to_owned())),
        };
        fields.done()?;
        Ok(event)
    }
}

fn incarnation(fields: &mut Fields, least: u64) -> Result<u64, FieldError> {
    match (fields.nat("incarnation")?, least) {
        (0, 0) => Ok(0),
        (_, 0) => Err(FieldError::rule("incarnation", "0")),
        (0, _) => Err(FieldError::rule("incarnation", "at least 1")),
        (n, _) => Ok(n),
    }
}

fn principal(fields: &mut Fields, field: &str) -> Result<Vec<u8>, FieldError> {
    let bytes = fields.blob(field)?;
    if bytes.len() > crate::limits::MAX_PRINCIPAL_BYTES {
        return Err(FieldError::rule(field, "at most 29 bytes"));
    }
    Ok(bytes)
}

fn role(fields: &mut Fields) -> Result<RoleBody, FieldError> {
    let principal = principal(fields, "principal")?;
    let role = RoleKind::parse(&fields.text("role")?)
        .ok_or_else(|| FieldError::rule("role", "`owner` or `operator`"))?;
    let domain = fields.text("domain")?;
    if !role.fits_domain(&domain) {
        return Err(FieldError::rule(
            "domain",
            "empty for an owner and a lower-case DNS label for an operator",
        ));
    }
    Ok(RoleBody {
        principal,
        role,
        domain,
    })
}
