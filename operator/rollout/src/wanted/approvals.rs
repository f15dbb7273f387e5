//! Who approved, and whether that is enough.

use dcanary_crds::{Approval, ApprovalStatus, Promotion, Verb};

use super::Counted;

/// What approvals there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Approvals {
    /// Those that count, in order.
    pub counted: Vec<ApprovalStatus>,
    /// How many are needed.
    pub required: usize,
    /// Why others do not count.
    pub remarks: Vec<String>,
}

impl Approvals {
    /// Whether they are enough.
    pub fn enough(&self) -> bool {
        self.counted.len() >= self.required
    }
}

/// The approvals of a promotion of the release with this identity. `asked`: who asked for the same release in the environment before, where it
/// came from there by itself.
pub fn approvals(
    rule: &Approval,
    promotion: &Promotion,
    asked: Option<&str>,
    identity: &str,
    decisions: &[Counted<'_>],
) -> Approvals {
    let required = usize::try_from(rule.required.unwrap_or(1)).unwrap_or(1);
    let mut found = Approvals {
        required,
        ..Approvals::default()
    };
    let requester = promotion.spec.requested_by.as_deref();
    for decision in decisions
        .iter()
        .filter(|decision| decision.verb() == Verb::Approve)
    {
        let by = decision.by();
        let groups = &decision.decision.spec.by.groups;
        let named = rule.users.iter().any(|user| user == by);
        let remark = if !named && !groups.iter().any(|group| rule.groups.contains(group)) {
            Some(format!(
                "{by} is not among the users and groups of spec.approval (a Decision must name the group in by.groups)"
            ))
        } else if decision.decision.spec.target.digest.as_deref() != Some(identity) {
            Some(format!(
                "{by} approved another release: for.digest must be {identity}"
            ))
        } else if !rule.allow_self
            && requester
                .into_iter()
                .chain(asked)
                .any(|requester| same_person(requester, by))
        {
            Some(format!("{by} asked for the promotion and cannot approve it"))
        } else if !rule.allow_self && requester.is_none() {
            Some("the promotion has no requestedBy, so that nobody can be told from whoever asked: create it with requestedBy".to_owned())
        } else {
            None
        };
        match remark {
            Some(remark) => found.remarks.push(remark),
            None => {
                // one person under two names is one person
                let before = found.counted.iter().find(|other| same_person(&other.by, by));
                match before.map(|other| other.by.clone()) {
                    None => found.counted.push(ApprovalStatus {
                        by: by.to_owned(),
                        decision: decision.uid.to_owned(),
                        at: Some(decision.at),
                    }),
                    Some(other) if other != by => found
                        .remarks
                        .push(format!("{by} and {other} may be one person and count once")),
                    Some(_) => {}
                }
            }
        }
    }
    found
}

/// Whether two names may be one person. A name of a forge that is not mapped to a user of the cluster is taken for the same person when it is the
/// same but for its provider and host: `github:Ann`, `oidc:ann@example.com` and `ann`.
pub fn same_person(one: &str, other: &str) -> bool {
    one == other || plain(one) == plain(other)
}

fn plain(name: &str) -> String {
    // the service accounts of different namespaces are different
    if name.starts_with("system:") {
        return name.to_owned();
    }
    let name = name.rsplit([':', '/', '#']).next().unwrap_or(name);
    name.split('@').next().unwrap_or(name).to_lowercase()
}
