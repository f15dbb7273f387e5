//! Who may write: granting and revoking roles, and marking a restore. Each change is a block.

use dcanary_types::{
    api::{RestoreReceipt, RestoreResult, RoleArg, RoleError, RoleReceipt, RoleResult},
    policy::{Role, RoleBody, RoleKind},
    record::LedgerEvent,
};
use ic_stable_structures::Memory;

use crate::{Message, journal::Ledger, store::StoreError};

/// The principal of callers without a key. It cannot hold a role: anybody is it.
const ANONYMOUS: &[u8] = &[4];

impl<M: Memory + Clone> Ledger<M> {
    /// Gives a role. A role that is held already changes nothing and makes no block.
    ///
    /// # Errors
    /// Only [`StoreError`], which no argument can cause.
    pub fn grant(&mut self, message: &Message, arg: &RoleArg) -> Result<RoleResult, StoreError> {
        let role = match self.role_of(message, arg)? {
            Ok(role) => role,
            Err(refused) => return Ok(Err(refused)),
        };
        if let Some(have) = self.store.role(&role.principal, role.role, &role.project)? {
            return Ok(if have == role.domain {
                Ok(RoleReceipt {
                    version: self.header.policy,
                    block: None,
                })
            } else {
                Err(RoleError::OtherDomain { have })
            });
        }
        if self.header.roles >= self.ceilings.roles {
            return Ok(Err(RoleError::TooManyRoles {
                limit: self.ceilings.roles,
            }));
        }
        let event = LedgerEvent::RoleGranted(body_of(&role));
        self.change_policy(message, &role, &event, |ledger| {
            ledger.store.set_role(&role);
            ledger.header.roles += 1;
            ledger.header.owners += u64::from(role.role == RoleKind::Owner);
        })
    }

    /// Takes a role away. A role that is not held changes nothing and makes no block.
    ///
    /// # Errors
    /// Only [`StoreError`], which no argument can cause.
    pub fn revoke(&mut self, message: &Message, arg: &RoleArg) -> Result<RoleResult, StoreError> {
        let role = match self.role_of(message, arg)? {
            Ok(role) => role,
            Err(refused) => return Ok(Err(refused)),
        };
        match self.store.role(&role.principal, role.role, &role.project)? {
            Some(have) if have == role.domain => {}
            Some(have) => return Ok(Err(RoleError::OtherDomain { have })),
            None => {
                return Ok(Ok(RoleReceipt {
                    version: self.header.policy,
                    block: None,
                }));
            }
        }
        if role.role == RoleKind::Owner && self.header.owners <= 1 {
            return Ok(Err(RoleError::LastOwner));
        }
        let event = LedgerEvent::RoleRevoked(body_of(&role));
        self.change_policy(message, &role, &event, |ledger| {
            ledger.store.remove_role(&role);
            ledger.header.roles = ledger.header.roles.saturating_sub(1);
            let gone = u64::from(role.role == RoleKind::Owner);
            ledger.header.owners = ledger.header.owners.saturating_sub(gone);
        })
    }

    /// Counts up the incarnation of a ledger that was restored from an older copy of itself, as its next block.
    ///
    /// # Errors
    /// Only [`StoreError`], which no argument can cause.
    pub fn mark_restored(&mut self, message: &Message) -> Result<RestoreResult, StoreError> {
        if let Err(refused) = self.owner_may_write(message)? {
            return Ok(Err(refused));
        }
        let incarnation = self.header.incarnation.saturating_add(1);
        let block = self.emit_event(message, "", "", &LedgerEvent::Restored { incarnation })?;
        self.header.incarnation = incarnation;
        self.save();
        Ok(Ok(RestoreReceipt { incarnation, block }))
    }

    fn change_policy(
        &mut self,
        message: &Message,
        role: &Role,
        event: &LedgerEvent,
        change: impl FnOnce(&mut Self),
    ) -> Result<RoleResult, StoreError> {
        // The block carries the version before the change (section 5 of the format), so it comes first.
        let block = self.emit_event(message, &role.project, "", event)?;
        change(self);
        self.header.policy += 1;
        self.header.policy_hash = self.store.policy(self.header.policy)?.hash();
        self.save();
        Ok(Ok(RoleReceipt {
            version: self.header.policy,
            block: Some(block),
        }))
    }

    fn owner_may_write(&self, message: &Message) -> Result<Result<(), RoleError>, StoreError> {
        Ok(
            if self.store.role(&message.caller, RoleKind::Owner, "")?.is_none() {
                Err(RoleError::NotAuthorised)
            } else if self.has_reserve() && self.store.reserve() {
                Ok(())
            } else {
                Err(RoleError::JournalFull)
            },
        )
    }

    fn role_of(&self, message: &Message, arg: &RoleArg) -> Result<Result<Role, RoleError>, StoreError> {
        Ok(match self.owner_may_write(message)? {
            Ok(()) => read_role(arg),
            Err(refused) => Err(refused),
        })
    }
}

fn read_role(arg: &RoleArg) -> Result<Role, RoleError> {
    let malformed = |reason: &str| RoleError::Malformed {
        reason: reason.to_owned(),
    };
    let role = RoleKind::parse(&arg.role).ok_or_else(|| malformed("`role` must be `owner` or `operator`"))?;
    if arg.principal.as_slice() == ANONYMOUS {
        return Err(malformed(
            "the anonymous principal cannot hold a role: anybody is it",
        ));
    }
    if !role.fits_project(&arg.project) || !role.fits_domain(&arg.domain) {
        return Err(malformed(match role {
            RoleKind::Owner => "`project` and `domain` of an owner must be empty",
            RoleKind::Operator => "`project` and `domain` must be lower-case DNS labels",
        }));
    }
    Ok(Role {
        project: arg.project.clone(),
        principal: arg.principal.as_slice().to_vec(),
        role,
        domain: arg.domain.clone(),
    })
}

fn body_of(role: &Role) -> RoleBody {
    RoleBody {
        principal: role.principal.clone(),
        role: role.role,
        domain: role.domain.clone(),
    }
}
