//! Roles that no ledger grants, found out before a canister is made and paid for.

use candid::Principal;
use dcanary_types::names;

use super::DeployError;
use crate::setup::Grant;

/// Refuses an operator that would control the ledger, before anything is paid for: pure.
///
/// # Errors
/// When one of the operators is among the controllers.
pub fn check_separate(operators: &[Grant], person: Principal) -> Result<(), DeployError> {
    match operators.iter().find(|grant| grant.principal == person) {
        None => Ok(()),
        Some(grant) => Err(DeployError::OperatorControls {
            operator: grant.principal,
            who: "its key, given as --identity, would control",
            fix: "give the --identity of a person".to_owned(),
        }),
    }
}

/// Refuses operators and owners that no ledger takes, before anything is paid for: pure.
///
/// # Errors
/// When a name is none, or a principal is everybody.
pub fn check_roles(operators: &[Grant], owner: Option<Principal>) -> Result<(), DeployError> {
    for grant in operators {
        check_name("--project", &grant.project)?;
        check_name("--domain", &grant.domain)?;
    }
    let anonymous = |principal: Principal| principal == Principal::anonymous();
    let flag = match owner {
        Some(owner) if anonymous(owner) => "--owner",
        _ if operators.iter().any(|grant| anonymous(grant.principal)) => "--operator",
        _ => return Ok(()),
    };
    Err(DeployError::Anonymous { flag })
}

/// Refuses what cannot be the name of a project or a domain: pure.
///
/// # Errors
/// When it is none.
pub fn check_name(flag: &'static str, name: &str) -> Result<(), DeployError> {
    if names::is_name(name) {
        return Ok(());
    }
    Err(DeployError::Name {
        flag,
        name: name.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(principal: Principal, project: &str, domain: &str) -> Grant {
        Grant {
            principal,
            project: project.to_owned(),
            domain: domain.to_owned(),
        }
    }

    #[test]
    fn what_no_ledger_grants_is_refused_with_the_flag_that_says_it() {
        let (somebody, everybody) = (Principal::from_slice(&[1]), Principal::anonymous());
        let good = || grant(somebody, "shop", "east");
        assert!(check_roles(&[good()], Some(somebody)).is_ok());
        assert!(check_roles(&[], None).is_ok());
        for (grants, owner, said) in [
            (
                vec![good(), grant(somebody, "Bad Name/..", "east")],
                None,
                "--project `Bad Name/..`",
            ),
            (vec![grant(somebody, "shop", "East")], None, "--domain `East`"),
            (vec![grant(somebody, "", "east")], None, "--project ``"),
            (
                vec![good(), grant(everybody, "shop", "east")],
                None,
                "--operator 2vxsx-fae",
            ),
            (vec![], Some(everybody), "--owner 2vxsx-fae"),
        ] {
            let told = check_roles(&grants, owner).unwrap_err().to_string();
            assert!(told.starts_with(said), "{told}");
        }
    }
}
