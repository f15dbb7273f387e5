//! Trading a Pod-bound token for a session.

use serde::{Deserialize, Serialize};

/// Body of `POST /v1/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionRequest {
    /// Protocol version of the runner.
    pub protocol: u32,
    /// Hex SHA-256 of the session key, which itself never leaves the runner before this trade.
    pub key: String,
}

/// Protocol versions that a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProtocolRange {
    /// Oldest version.
    pub min: u32,
    /// Newest version.
    pub max: u32,
}

/// Answer to `POST /v1/session`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SessionAnswer {
    /// Versions that the server speaks.
    pub protocol: ProtocolRange,
    /// The attempt: the UID of the Pod that the token is bound to.
    pub attempt: String,
    /// Highest frame number that is synced.
    pub acked: u64,
}

/// Body of `POST /v1/session/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeRequest {
    /// The attempt (Pod UID) whose session ends.
    pub attempt: String,
}

/// Error body (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Problem {
    /// `urn:dcanary:<reason>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Short text for people.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened and what to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
    /// Highest synced frame, on `gap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acked: Option<u64>,
}

impl Problem {
    /// The reason behind `urn:dcanary:`, or the whole type when it has another form.
    pub fn reason(&self) -> &str {
        self.kind.strip_prefix("urn:dcanary:").unwrap_or(&self.kind)
    }
}
