//! What the container's environment says about the surroundings.

use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::Url;
use thiserror::Error;

/// Where the server is and where things lie in the Pod.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) server: Url,
    /// PEM of the server's certificate authority.
    pub(crate) server_ca: Option<Vec<u8>>,
    pub(crate) token_file: PathBuf,
    pub(crate) workspace: PathBuf,
}

/// Why the surroundings cannot be used.
#[derive(Debug, Error)]
pub(crate) enum SettingsError {
    #[error("the variable {0} is missing")]
    Missing(&'static str),
    #[error("DCANARY_SERVER is not a URL")]
    Url,
    #[error("DCANARY_SERVER must be an https URL")]
    NotHttps,
    #[error("DCANARY_SERVER_CA is not base64")]
    Ca,
}

impl Settings {
    pub(crate) fn from_environment() -> Result<Self, SettingsError> {
        let text = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name, default: &str| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map_or(PathBuf::from(default), PathBuf::from)
        };
        let server = text("DCANARY_SERVER").ok_or(SettingsError::Missing("DCANARY_SERVER"))?;
        let server = Url::parse(&server).map_err(|_| SettingsError::Url)?;
        let loopback = matches!(server.host_str(), Some("127.0.0.1" | "localhost" | "[::1]"));
        if server.scheme() != "https" && !(server.scheme() == "http" && loopback) {
            return Err(SettingsError::NotHttps);
        }
        let server_ca = match text("DCANARY_SERVER_CA") {
            Some(encoded) => Some(STANDARD.decode(encoded.trim()).map_err(|_| SettingsError::Ca)?),
            None if server.scheme() == "https" => return Err(SettingsError::Missing("DCANARY_SERVER_CA")),
            None => None,
        };
        Ok(Self {
            server,
            server_ca,
            token_file: path("DCANARY_TOKEN_FILE", "/var/run/dcanary/token"),
            workspace: path("DCANARY_WORKSPACE", "/workspace"),
        })
    }
}
