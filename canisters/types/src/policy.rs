//! Who may do what, and the document that is certified (section 5).

use std::collections::BTreeSet;

use thiserror::Error;

use crate::{
    cbor::{self, CborError},
    fields::{FieldError, Fields},
    limits::MAX_PRINCIPAL_BYTES,
    names,
    value::{self, Hash, Value},
};

/// What a role allows (section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RoleKind {
    // In ascending order of their words, because the document is ordered by the word.
    /// Writes runs of one project under one domain.
    Operator,
    /// Grants and revokes roles of the whole ledger.
    Owner,
}

impl RoleKind {
    /// The word in bodies and documents.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "operator" => Some(Self::Operator),
            "owner" => Some(Self::Owner),
            _ => None,
        }
    }

    /// Whether a role of this kind may have that domain: none for an owner, one for an operator.
    pub fn fits_domain(self, domain: &str) -> bool {
        match self {
            Self::Operator => names::is_name(domain),
            Self::Owner => domain.is_empty(),
        }
    }

    /// Whether a role of this kind may have that project: none for an owner, one for an operator.
    pub fn fits_project(self, project: &str) -> bool {
        self.fits_domain(project)
    }
}

/// What a block about a role says besides its project (section 3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleBody {
    /// Who.
    pub principal: Vec<u8>,
    /// What they may do.
    pub role: RoleKind,
    /// Domain, or empty for an owner.
    pub domain: String,
}

impl RoleBody {
    /// Whether the role may stand in a block of that project.
    pub fn fits_project(&self, project: &str) -> bool {
        self.role.fits_project(project)
    }
}

/// One role of the policy. The order is that of the document: project, principal, role.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Role {
    /// Project, or empty for an owner.
    pub project: String,
    /// Who.
    pub principal: Vec<u8>,
    /// What they may do.
    pub role: RoleKind,
    /// Domain, or empty for an owner.
    pub domain: String,
}

impl Role {
    /// The role of an owner of the ledger.
    pub fn owner(principal: Vec<u8>) -> Self {
        Self {
            project: String::new(),
            principal,
            role: RoleKind::Owner,
            domain: String::new(),
        }
    }

    /// The role as the document holds it.
    pub fn to_value(&self) -> Value {
        Value::Map(value::map([
            ("domain", self.domain.as_str().into()),
            ("principal", self.principal.clone().into()),
            ("project", self.project.as_str().into()),
            ("role", self.role.as_str().into()),
        ]))
    }

    fn from_value(value: Value) -> Result<Self, FieldError> {
        let mut fields = Fields::of("roles", value)?;
        let role = Self {
            domain: fields.text("domain")?,
            principal: fields.blob("principal")?,
            project: fields.text("project")?,
            role: RoleKind::parse(&fields.text("role")?)
                .ok_or_else(|| FieldError::rule("role", "`owner` or `operator`"))?,
        };
        fields.done()?;
        if role.principal.len() > MAX_PRINCIPAL_BYTES {
            return Err(FieldError::rule("principal", "at most 29 bytes"));
        }
        if !role.role.fits_domain(&role.domain) || !role.role.fits_project(&role.project) {
            return Err(FieldError::rule(
                "domain",
                "empty, and the project too, for an owner; lower-case DNS labels for an operator",
            ));
        }
        Ok(role)
    }
}

/// The policy document (section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Counts the changes.
    pub version: u64,
    roles: BTreeSet<Role>,
}

/// Why bytes are not a policy document (section 5).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// Not deterministic CBOR.
    #[error("not deterministic CBOR")]
    Cbor(#[from] CborError),
    /// A field is missing, unknown or breaks its rule.
    #[error("not a policy document")]
    Field(#[from] FieldError),
    /// Roles are repeated or out of order, or one principal has two domains in a project.
    #[error("roles are repeated, out of order, or give one principal two domains of a project")]
    Order,
}

impl Policy {
    /// A policy of these roles.
    pub fn new(version: u64, roles: impl IntoIterator<Item = Role>) -> Self {
        Self {
            version,
            roles: roles.into_iter().collect(),
        }
    }

    /// The policy of a new ledger: version 0 and its first owner.
    pub fn opened(owner: Vec<u8>) -> Self {
        Self::new(0, [Role::owner(owner)])
    }

    /// The roles in the document's order.
    pub fn roles(&self) -> impl Iterator<Item = &Role> {
        self.roles.iter()
    }

    /// The domain under which a principal writes runs of a project, if it may.
    pub fn operator_domain(&self, project: &str, principal: &[u8]) -> Option<&str> {
        self.roles
            .iter()
            .find(|role| {
                role.role == RoleKind::Operator && role.project == project && role.principal == principal
            })
            .map(|role| role.domain.as_str())
    }

    /// Whether a principal is an owner.
    pub fn is_owner(&self, principal: &[u8]) -> bool {
        self.roles.contains(&Role::owner(principal.to_vec()))
    }

    /// Adds a role as `dcanary_role_granted` does: the version grows if that changes the policy. True if it did.
    pub fn grant(&mut self, role: Role) -> bool {
        let changed = self.roles.insert(role);
        self.version += u64::from(changed);
        changed
    }

    /// Takes a role away as `dcanary_role_revoked` does: the version grows if that changes the policy.
    pub fn revoke(&mut self, role: &Role) -> bool {
        let changed = self.roles.remove(role);
        self.version += u64::from(changed);
        changed
    }

    /// The document as a value.
    pub fn to_value(&self) -> Value {
        Value::Map(value::map([
            ("version", Value::Nat(self.version)),
            (
                "roles",
                Value::Array(self.roles.iter().map(Role::to_value).collect()),
            ),
        ]))
    }

    /// The document's bytes.
    pub fn encode(&self) -> Vec<u8> {
        cbor::encode(&self.to_value())
    }

    /// What the label `dcanary_policy` holds (section 7).
    pub fn hash(&self) -> Hash {
        self.to_value().hash()
    }

    /// Reads a document.
    ///
    /// # Errors
    /// If it has not exactly the fields of section 5, or its roles are not in order.
    pub fn decode(bytes: &[u8]) -> Result<Self, PolicyError> {
        let mut fields = Fields::of("policy", cbor::decode(bytes)?)?;
        let version = fields.nat("version")?;
        let roles = fields.array("roles")?;
        fields.done()?;
        let roles = roles
            .into_iter()
            .map(Role::from_value)
            .collect::<Result<Vec<_>, _>>()?;
        let key = |role: &Role| (role.project.clone(), role.principal.clone(), role.role);
        if !roles.is_sorted_by(|a, b| key(a) < key(b)) {
            return Err(PolicyError::Order);
        }
        Ok(Self::new(version, roles))
    }
}

/// The revocation document (section 5). There is nothing to revoke in this version.
pub fn revocations() -> Value {
    Value::Map(value::map([
        ("epoch", Value::Nat(0)),
        ("count", Value::Nat(0)),
        ("hash", Value::Blob(vec![0; 32])),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(project: &str, principal: u8, domain: &str) -> Role {
        Role {
            project: project.to_owned(),
            principal: vec![principal],
            role: RoleKind::Operator,
            domain: domain.to_owned(),
        }
    }

    #[test]
    fn a_document_reads_back_in_order() {
        let policy = Policy::new(
            7,
            [
                operator("web", 1, "east"),
                Role::owner(vec![9]),
                operator("api", 2, "west"),
            ],
        );
        let read = Policy::decode(&policy.encode()).unwrap();
        assert_eq!(read, policy);
        let projects: Vec<&str> = read.roles().map(|role| role.project.as_str()).collect();
        assert_eq!(projects, ["", "api", "web"]);
    }

    #[test]
    fn roles_out_of_order_or_with_two_domains_are_refused() {
        let document = |roles: &[Role]| {
            cbor::encode(&Value::Map(value::map([
                ("version", Value::Nat(1)),
                ("roles", Value::Array(roles.iter().map(Role::to_value).collect())),
            ])))
        };
        let (a, b) = (operator("api", 1, "east"), operator("web", 1, "east"));
        assert!(Policy::decode(&document(&[a.clone(), b.clone()])).is_ok());
        assert_eq!(
            Policy::decode(&document(&[b, a.clone()])),
            Err(PolicyError::Order)
        );
        assert_eq!(
            Policy::decode(&document(&[a.clone(), operator("api", 1, "west")])),
            Err(PolicyError::Order)
        );
        assert!(
            Policy::decode(&document(&[Role {
                domain: String::new(),
                ..a
            }]))
            .is_err()
        );
    }

    #[test]
    fn the_version_counts_changes_only() {
        let mut policy = Policy::opened(vec![1]);
        assert_eq!(policy.version, 0);
        assert!(policy.grant(operator("web", 2, "east")));
        assert!(!policy.grant(operator("web", 2, "east")));
        assert_eq!(
            (policy.version, policy.operator_domain("web", &[2])),
            (1, Some("east"))
        );
        assert_eq!(policy.operator_domain("api", &[2]), None);
        assert!(policy.revoke(&operator("web", 2, "east")));
        assert!(!policy.revoke(&operator("web", 2, "east")));
        assert_eq!(
            (policy.version, policy.is_owner(&[1]), policy.is_owner(&[2])),
            (2, true, false)
        );
    }
}
