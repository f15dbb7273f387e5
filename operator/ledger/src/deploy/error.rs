//! Why a ledger was not deployed, with what to do about it.

use candid::{Nat, Principal};
use thiserror::Error;

use super::module::ModuleError;
use crate::error::LedgerError;

/// Why a ledger was not deployed or upgraded.
#[derive(Debug, Error)]
pub enum DeployError {
    /// Network, canister or certificate.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// What was given to be installed.
    #[error("the module that was given cannot be installed: {0}; name the ledger's with --wasm FILE")]
    Module(#[from] ModuleError),
    /// A name that no ledger takes.
    #[error(
        "{flag} `{name}` is no name of a project or domain: write 1 to 63 lower-case letters, digits and `-`, with a letter or digit first and last"
    )]
    Name {
        /// The flag.
        flag: &'static str,
        /// As given.
        name: String,
    },
    /// A principal that everybody has.
    #[error(
        "{flag} 2vxsx-fae is the anonymous principal, which can hold no role because everybody is it; name that of a key (`dcanary ledger init-key FILE` makes one)"
    )]
    Anonymous {
        /// The flag.
        flag: &'static str,
    },
    /// The code was replaced, and what runs now cannot be talked to.
    #[error(
        "the code of canister {ledger} was replaced by module {given}, which cannot be asked now: {source}. To go back, run `dcanary ledger upgrade --canister {ledger} --wasm FILE` with the same --network, --root-key and --identity, where FILE is the module from before, with the SHA-256 {before}"
    )]
    Replaced {
        /// The canister.
        ledger: Principal,
        /// Hex of the hash of the module that was given.
        given: String,
        /// Hex of the hash of the one before.
        before: String,
        /// What it was asked for in vain.
        source: Box<LedgerError>,
    },
    /// The code was installed, and cannot be talked to.
    #[error(
        "the given module was installed in canister {ledger}, which was empty, and cannot be asked now: {source}. Run the same command again with --canister {ledger}; where that says the same, put the shipped module in its place with `dcanary ledger upgrade --canister {ledger}`"
    )]
    Installed {
        /// The canister.
        ledger: Principal,
        /// What it was asked for in vain.
        source: Box<LedgerError>,
    },
    /// Nothing has the id.
    #[error("there is no canister {ledger} on {network}; make one with --create, or name one that is there")]
    NoCanister {
        /// As named.
        ledger: Principal,
        /// URL of the network.
        network: String,
    },
    /// The identity may not change the canister's code.
    #[error(
        "{caller} is no controller of canister {ledger} (they are [{controllers}]); one of them runs `icp canister settings update {ledger} --add-controller {caller} {network}`, or give the --identity of one"
    )]
    NotController {
        /// The identity.
        caller: Principal,
        /// The canister.
        ledger: Principal,
        /// Those who may.
        controllers: String,
        /// Flags of `icp` that name the network.
        network: String,
    },
    /// Another module runs there.
    #[error(
        "canister {ledger} runs module {found}, not the given {given}: name an empty canister, or replace a ledger's code with `dcanary ledger upgrade --canister {ledger}`"
    )]
    OtherCode {
        /// The canister.
        ledger: Principal,
        /// Hex of the installed hash.
        found: String,
        /// Hex of the hash of the module that was given.
        given: String,
    },
    /// Nothing runs there.
    #[error(
        "nothing is installed in canister {ledger}: install with `dcanary ledger deploy --canister {ledger}`"
    )]
    Nothing {
        /// The canister.
        ledger: Principal,
    },
    /// An operator could replace the ledger's code, or would if the identity is its key.
    #[error(
        "{operator} is to write the ledger and {who} its code: the operator would refuse to record (OperatorIsController); {fix}"
    )]
    OperatorControls {
        /// The operator.
        operator: Principal,
        /// How it controls it.
        who: &'static str,
        /// What to do.
        fix: String,
    },
    /// Only owners grant roles.
    #[error(
        "{caller} is no owner of ledger {ledger} and cannot grant roles; its owners are [{owners}]: one of them runs the same command with --canister {ledger} and the own --identity"
    )]
    NotOwner {
        /// The identity.
        caller: Principal,
        /// The ledger.
        ledger: Principal,
        /// Who can.
        owners: String,
    },
    /// The ledger was opened for others.
    #[error(
        "ledger {ledger} is there already and {owner} is none of its owners [{owners}]: leave --owner out, or name an empty canister"
    )]
    OtherOwner {
        /// The ledger.
        ledger: Principal,
        /// As named.
        owner: Principal,
        /// Who they are.
        owners: String,
    },
    /// A network that makes no canister for this identity.
    #[error(
        "{network} makes no canister for {identity}: {message}; on a node of your own name it with `--creators {identity}`, elsewhere give --canister ID of an empty one that it controls, for instance from `icp canister create`"
    )]
    NotMade {
        /// URL of the network.
        network: String,
        /// Whoever asked.
        identity: Principal,
        /// What it says.
        message: String,
    },
    /// The identity has too few cycles.
    #[error(
        "account {account} of the cycles ledger holds {balance} cycles and {wanted} are to be spent: buy some with `icp cycles mint --icp AMOUNT -n ic`, or give a smaller --cycles"
    )]
    Cycles {
        /// The identity.
        account: Principal,
        /// What it has.
        balance: Nat,
        /// What was asked for.
        wanted: u128,
    },
    /// The cycles ledger made none.
    #[error("the cycles ledger made no canister: {message}")]
    CyclesLedger {
        /// Why.
        message: String,
    },
}

/// Principals for a sentence.
pub(super) fn list(principals: &[Principal]) -> String {
    let texts: Vec<String> = principals.iter().map(Principal::to_text).collect();
    texts.join(", ")
}
