//! The methods of the management canister: those that the node has, those that it leaves out, and who may call which.

use crate::state::request::Reject;
use ic_error_types::ErrorCode;

/// The methods that the node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    Create,
    ProvisionalCreate,
    ProvisionalTopUp,
    DepositCycles,
    UpdateSettings,
    UploadChunk,
    ClearChunkStore,
    StoredChunks,
    Install,
    InstallChunked,
    Uninstall,
    Start,
    Stop,
    Delete,
    Status,
    Info,
    Metadata,
    RawRand,
    FetchLogs,
}

/// From where a method can be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// By users and by canisters.
    All,
    /// By canisters only.
    Canisters,
    /// By queries only.
    Queries,
}

/// Which of those who may call a method at all may call it for a certain canister.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody.
    Everybody,
    /// Its controllers.
    Controllers,
    /// Its controllers and the canister itself.
    ControllersAndItself,
    /// Those who may see its status.
    StatusViewers,
    /// Those who may see its logs.
    LogViewers,
}

const METHODS: [(&str, Method); 19] = [
    ("create_canister", Method::Create),
    (
        "provisional_create_canister_with_cycles",
        Method::ProvisionalCreate,
    ),
    ("provisional_top_up_canister", Method::ProvisionalTopUp),
    ("deposit_cycles", Method::DepositCycles),
    ("update_settings", Method::UpdateSettings),
    ("upload_chunk", Method::UploadChunk),
    ("clear_chunk_store", Method::ClearChunkStore),
    ("stored_chunks", Method::StoredChunks),
    ("install_code", Method::Install),
    ("install_chunked_code", Method::InstallChunked),
    ("uninstall_code", Method::Uninstall),
    ("start_canister", Method::Start),
    ("stop_canister", Method::Stop),
    ("delete_canister", Method::Delete),
    ("canister_status", Method::Status),
    ("canister_info", Method::Info),
    ("canister_metadata", Method::Metadata),
    ("raw_rand", Method::RawRand),
    ("fetch_canister_logs", Method::FetchLogs),
];

/// Methods of the specification (and of the clients' types) that the node leaves out, and what each belongs to. The same
/// table is in `docs/ic-node.md`.
const ABSENT: [(&str, &str); 30] = [
    ("bitcoin_get_balance", "the Bitcoin interface"),
    ("bitcoin_get_balance_query", "the Bitcoin interface"),
    ("bitcoin_get_block_headers", "the Bitcoin interface"),
    ("bitcoin_get_current_fee_percentiles", "the Bitcoin interface"),
    ("bitcoin_get_utxos", "the Bitcoin interface"),
    ("bitcoin_get_utxos_query", "the Bitcoin interface"),
    ("bitcoin_send_transaction", "the Bitcoin interface"),
    ("canister_metrics", "metrics"),
    ("delete_canister_snapshot", "snapshots"),
    ("ecdsa_public_key", "threshold signatures"),
    ("flexible_http_request", "HTTPS outcalls"),
    ("http_request", "HTTPS outcalls"),
    ("list_canister_snapshots", "snapshots"),
    ("list_canisters", "subnet administration"),
    ("load_canister_snapshot", "snapshots"),
    ("node_metrics_history", "metrics"),
    ("read_canister_snapshot_data", "snapshots"),
    ("read_canister_snapshot_metadata", "snapshots"),
    ("rename_canister", "subnet administration"),
    ("schnorr_public_key", "threshold signatures"),
    ("sign_with_ecdsa", "threshold signatures"),
    ("sign_with_schnorr", "threshold signatures"),
    ("subnet_info", "subnet administration"),
    ("subnet_metrics", "metrics"),
    ("take_canister_snapshot", "snapshots"),
    ("upload_canister_snapshot_data", "snapshots"),
    ("upload_canister_snapshot_metadata", "snapshots"),
    ("vetkd_derive_key", "threshold key derivation"),
    ("vetkd_encrypted_key", "threshold key derivation"),
    ("vetkd_public_key", "threshold key derivation"),
];

impl Method {
    /// The method of a name, or the rejection: another one for what is left out than for what never was.
    pub fn of(name: &str) -> Result<Self, Reject> {
        if let Some((_, method)) = METHODS.iter().find(|(known, _)| *known == name) {
            return Ok(*method);
        }
        if let Some((_, part)) = ABSENT.iter().find(|(absent, _)| *absent == name) {
            return Err(Reject::new(
                ErrorCode::UnknownManagementMessage,
                format!(
                    "dcanary-node does not have the management method '{name}': {part} are left out, see docs/ic-node.md"
                ),
            ));
        }
        Err(Reject::new(
            ErrorCode::CanisterMethodNotFound,
            format!("Management canister has no method '{name}'"),
        ))
    }

    /// From where it can be called.
    pub fn channel(self) -> Channel {
        match self {
            Self::DepositCycles | Self::Info | Self::Metadata | Self::RawRand => Channel::Canisters,
            Self::FetchLogs => Channel::Queries,
            _ => Channel::All,
        }
    }

    /// Whether it makes a canister.
    pub fn creates(self) -> bool {
        matches!(self, Self::Create | Self::ProvisionalCreate)
    }

    /// Whether it makes canisters or cycles from nothing.
    pub fn is_provisional(self) -> bool {
        matches!(self, Self::ProvisionalCreate | Self::ProvisionalTopUp)
    }

    /// Whether it is about an existing canister.
    pub fn has_target(self) -> bool {
        !self.creates() && self != Self::RawRand
    }

    /// Who may call it for a canister.
    pub fn audience(self) -> Audience {
        match self {
            // What others may see of the metadata is decided by section.
            Self::ProvisionalTopUp | Self::DepositCycles | Self::Info | Self::Metadata => Audience::Everybody,
            Self::UploadChunk | Self::ClearChunkStore | Self::StoredChunks => Audience::ControllersAndItself,
            Self::Status => Audience::StatusViewers,
            Self::FetchLogs => Audience::LogViewers,
            _ => Audience::Controllers,
        }
    }

    /// Whether its argument may name the version of the canister that calls.
    pub fn names_sender_version(self) -> bool {
        matches!(
            self,
            Self::Create
                | Self::ProvisionalCreate
                | Self::UpdateSettings
                | Self::Install
                | Self::InstallChunked
                | Self::Uninstall
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_is_left_out_is_refused_by_name_and_what_never_was_is_not_found() {
        for (name, _) in ABSENT {
            let reject = Method::of(name).unwrap_err();
            assert_eq!(reject.error.to_string(), "IC0407", "{name}");
            assert!(
                reject.message.contains(&format!("'{name}'")) && reject.message.contains("docs/ic-node.md"),
                "{}",
                reject.message
            );
        }
        assert_eq!(
            Method::of("fly").unwrap_err().error.to_string(),
            "IC0536",
            "an unknown method"
        );
        for (name, method) in METHODS {
            assert_eq!(Method::of(name).unwrap(), method);
        }
    }

    #[test]
    fn the_table_of_the_documentation_has_every_method_that_is_left_out_and_none_that_is_there() {
        let text = include_str!("../../../../docs/ic-node.md");
        for (name, _) in ABSENT {
            assert!(text.contains(&format!("`{name}`")), "{name}");
        }
        let section = text
            .split_once("## Management methods that are left out")
            .unwrap()
            .1;
        let section = section.split("\n## ").next().unwrap();
        for (name, _) in METHODS {
            assert!(!section.contains(&format!("`{name}`")), "{name}");
        }
    }
}
