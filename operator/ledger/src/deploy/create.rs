//! A new canister, paid for by a person.

use candid::{CandidType, Encode, Nat, Principal};
use ic_management_canister_types::{
    CanisterIdRecord, CanisterSettings, CreateCanisterArgs as ListedCreateArgs,
    ProvisionalCreateCanisterWithCyclesArgs,
};
use serde::Deserialize;

use super::{DeployError, Person};
use crate::{
    error::{LedgerError, with_code},
    setup::FIRST_CANISTER,
};

/// The cycles ledger of the Internet Computer, `um5iw-rqaaa-aaaaq-qaaba-cai`.
pub const CYCLES_LEDGER: Principal = Principal::from_slice(&[0, 0, 0, 0, 2, 0x10, 0, 2, 1, 1]);

/// A year in seconds. A canister stops to work when its cycles would not keep it for that long, and is deleted only when they
/// are used up: that is how long people have to notice.
const FREEZING_SECONDS: u64 = 31_536_000;

/// How often the cycles ledger is asked for the same canister when its answer does not come.
const ATTEMPTS: usize = 3;

/// Who makes the canister.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// A network that asks for no payment: one for development, which makes cycles from nothing, or a node in production mode that lists
    /// the person as a creator, where the canister gets the node's default cycles.
    Provisional,
    /// The cycles ledger, from what the identity holds there.
    CyclesLedger {
        /// The person's clock, nanoseconds since 1970: the same request at the same time makes one canister only.
        at: u64,
    },
}

/// Makes an empty canister that `person` alone controls, with `cycles`, of which the network takes the price of the creation.
///
/// # Errors
/// When the network makes none, in its words and with what to do.
pub async fn create(person: &Person, maker: Maker, cycles: u128) -> Result<Principal, DeployError> {
    match maker {
        Maker::Provisional => provisional(person, cycles).await,
        Maker::CyclesLedger { at } => paid(person, cycles, at).await,
    }
}

async fn provisional(person: &Person, cycles: u128) -> Result<Principal, DeployError> {
    let client = person.client(FIRST_CANISTER)?;
    let settings = CanisterSettings {
        controllers: Some(vec![client.caller()]),
        freezing_threshold: Some(Nat::from(FREEZING_SECONDS)),
        ..CanisterSettings::default()
    };
    let from_nothing = ProvisionalCreateCanisterWithCyclesArgs {
        amount: Some(Nat::from(cycles)),
        settings: Some(settings.clone()),
        specified_id: None,
        sender_canister_version: None,
    };
    let made = client
        .manage("provisional_create_canister_with_cycles", &from_nothing)
        .await;
    let refused = match made {
        Ok(CanisterIdRecord { canister_id }) => return Ok(canister_id),
        Err(LedgerError::Rejected { message, code, .. }) => with_code(&message, code.as_deref()),
        Err(other) => return Err(other.into()),
    };
    // A node in production makes nothing from nothing, but lets those create whom it lists.
    let listed = ListedCreateArgs {
        settings: Some(settings),
        sender_canister_version: None,
    };
    match client.manage("create_canister", &listed).await {
        Ok(CanisterIdRecord { canister_id }) => Ok(canister_id),
        Err(LedgerError::Rejected { message, code, .. }) => Err(DeployError::NotMade {
            network: person.transport.url.clone(),
            identity: client.caller(),
            message: format!("{refused}; {}", with_code(&message, code.as_deref())),
        }),
        Err(other) => Err(other.into()),
    }
}

async fn paid(person: &Person, cycles: u128, at: u64) -> Result<Principal, DeployError> {
    let client = person.client(CYCLES_LEDGER)?;
    let arguments = CreateCanisterArgs::new(client.caller(), cycles, at);
    let encoded = Encode!(&arguments)
        .map_err(|source| LedgerError::decode("the argument of `create_canister`", source))?;
    let mut attempt = 1;
    let answer: Result<CreateCanisterSuccess, CreateCanisterError> = loop {
        let call = client.call_canister(CYCLES_LEDGER, CYCLES_LEDGER, "create_canister", encoded.clone());
        match call.await {
            // it may have been made: the same request again is answered with the same canister
            Err(LedgerError::Unreachable { .. }) if attempt < ATTEMPTS => attempt += 1,
            answer => break answer?,
        }
    };
    made(answer, client.caller(), cycles)
}

/// What an answer of the cycles ledger means: pure.
fn made(
    answer: Result<CreateCanisterSuccess, CreateCanisterError>,
    account: Principal,
    cycles: u128,
) -> Result<Principal, DeployError> {
    use CreateCanisterError as E;
    let refused = |message: String| Err(DeployError::CyclesLedger { message });
    match answer {
        Ok(CreateCanisterSuccess { canister_id, .. })
        | Err(E::Duplicate {
            canister_id: Some(canister_id),
            ..
        }) => Ok(canister_id),
        Err(E::InsufficientFunds { balance }) => Err(DeployError::Cycles {
            account,
            balance,
            wanted: cycles,
        }),
        Err(E::Duplicate { duplicate_of, .. }) => refused(format!(
            "the same request is in its block {duplicate_of}, without a canister"
        )),
        Err(E::TooOld) => refused("the request is too old: is this machine's clock right?".to_owned()),
        Err(E::CreatedInFuture { .. }) => {
            refused("the request is of the future: is this machine's clock right?".to_owned())
        }
        Err(E::TemporarilyUnavailable) => refused("it is not available now; try again".to_owned()),
        Err(E::FailedToCreate {
            error, refund_block, ..
        }) => refused(format!(
            "{error} ({})",
            refund_block.map_or_else(
                || "nothing was paid back".to_owned(),
                |block| format!("paid back in its block {block}")
            )
        )),
        Err(E::GenericError { message, .. }) => refused(message),
    }
}

#[derive(CandidType, Deserialize)]
struct CreateCanisterArgs {
    from_subaccount: Option<Vec<u8>>,
    created_at_time: Option<u64>,
    amount: Nat,
    creation_args: Option<CmcCreateCanisterArgs>,
}

impl CreateCanisterArgs {
    fn new(controller: Principal, cycles: u128, at: u64) -> Self {
        Self {
            from_subaccount: None,
            created_at_time: Some(at),
            amount: Nat::from(cycles),
            creation_args: Some(CmcCreateCanisterArgs {
                settings: Some(CmcCanisterSettings {
                    controllers: Some(vec![controller]),
                    freezing_threshold: Some(Nat::from(FREEZING_SECONDS)),
                }),
                subnet_selection: None,
            }),
        }
    }
}

#[derive(CandidType, Deserialize)]
struct CmcCreateCanisterArgs {
    settings: Option<CmcCanisterSettings>,
    subnet_selection: Option<SubnetSelection>,
}

/// Only what is set; the others are optional.
#[derive(CandidType, Deserialize)]
struct CmcCanisterSettings {
    controllers: Option<Vec<Principal>>,
    freezing_threshold: Option<Nat>,
}

#[derive(CandidType, Deserialize)]
enum SubnetSelection {
    Subnet { subnet: Principal },
}

#[derive(CandidType, Deserialize)]
struct CreateCanisterSuccess {
    block_id: Nat,
    canister_id: Principal,
}

#[derive(CandidType, Deserialize)]
enum CreateCanisterError {
    InsufficientFunds {
        balance: Nat,
    },
    TooOld,
    CreatedInFuture {
        ledger_time: u64,
    },
    TemporarilyUnavailable,
    Duplicate {
        duplicate_of: Nat,
        canister_id: Option<Principal>,
    },
    FailedToCreate {
        fee_block: Option<Nat>,
        refund_block: Option<Nat>,
        error: String,
    },
    GenericError {
        message: String,
        error_code: Nat,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nat(n: u64) -> Nat {
        Nat::from(n)
    }

    #[test]
    fn the_cycles_ledger_is_the_one_of_the_internet_computer() {
        assert_eq!(CYCLES_LEDGER.to_text(), "um5iw-rqaaa-aaaaq-qaaba-cai");
    }

    #[test]
    fn each_refusal_of_the_cycles_ledger_says_what_to_do() {
        let account = Principal::from_slice(&[1]);
        let said = |error: CreateCanisterError| made(Err(error), account, 5).unwrap_err().to_string();
        let poor = said(CreateCanisterError::InsufficientFunds { balance: nat(3) });
        assert!(
            poor.contains(&account.to_text()) && poor.contains("icp cycles mint"),
            "{poor}"
        );
        assert!(said(CreateCanisterError::TooOld).contains("clock"));
        let failed = said(CreateCanisterError::FailedToCreate {
            fee_block: None,
            refund_block: Some(nat(7)),
            error: "no subnet".to_owned(),
        });
        assert!(
            failed.contains("no subnet") && failed.contains("block 7"),
            "{failed}"
        );
    }

    #[test]
    fn a_request_that_was_repeated_gives_the_canister_of_the_first_one() {
        let (account, canister) = (Principal::from_slice(&[1]), Principal::from_slice(&[2]));
        let again = CreateCanisterError::Duplicate {
            duplicate_of: nat(1),
            canister_id: Some(canister),
        };
        assert_eq!(made(Err(again), account, 5).unwrap(), canister);
        let lost = CreateCanisterError::Duplicate {
            duplicate_of: nat(1),
            canister_id: None,
        };
        assert!(made(Err(lost), account, 5).is_err());
    }
}
