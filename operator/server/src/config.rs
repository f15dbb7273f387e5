//! Flags, each also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use crate::core::Settings;
use crate::http::serve::ServeSettings;
use crate::http::tls::TlsFiles;
use crate::images::Registries;
use crate::limits::Limits;
use crate::store::commit::CommitSettings;
use crate::store::space::Reserve;

/// Takes logs, results and artifacts from build Pods, stores them and serves them.
#[derive(Debug, Clone, Parser)]
#[command(name = "dcanary-server", version)]
pub struct Config {
    /// Directory of the volume.
    #[arg(long, env = "DCANARY_SERVER_DATA", default_value = "/data")]
    pub data: PathBuf,
    /// Address of the protocol (TLS).
    #[arg(long, env = "DCANARY_SERVER_LISTEN", default_value = "[::]:8443")]
    pub listen: SocketAddr,
    /// Address of metrics and health (plain).
    #[arg(long, env = "DCANARY_SERVER_METRICS_LISTEN", default_value = "[::]:9090")]
    pub metrics_listen: SocketAddr,
    /// Certificate chain, PEM; read again when it changes.
    #[arg(
        long,
        env = "DCANARY_SERVER_TLS_CERT",
        default_value = "/etc/dcanary/tls/tls.crt"
    )]
    pub tls_cert: PathBuf,
    /// Key, PEM; read again when it changes.
    #[arg(
        long,
        env = "DCANARY_SERVER_TLS_KEY",
        default_value = "/etc/dcanary/tls/tls.key"
    )]
    pub tls_key: PathBuf,
    /// Service account of the operator, NAMESPACE:NAME.
    #[arg(long, env = "DCANARY_SERVER_OPERATOR")]
    pub operator: String,
    /// Directory with registry credentials: .dockerconfigjson or config.json, in it or in its directories.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_CREDENTIALS")]
    pub registry_credentials: Option<PathBuf>,
    /// Registries with plain HTTP, host:port.
    #[arg(long, env = "DCANARY_SERVER_INSECURE_REGISTRIES", value_delimiter = ',')]
    pub insecure_registries: Vec<String>,
    /// Repositories that images may be pushed to, as prefixes host/path; none = all.
    #[arg(long, env = "DCANARY_SERVER_ALLOWED_REPOSITORIES", value_delimiter = ',')]
    pub allowed_repositories: Vec<String>,
    /// Certificate authorities of registries, PEM files.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_CA", value_delimiter = ',')]
    pub registry_ca: Vec<PathBuf>,
    /// Seconds that a failing registry is tried again before the image step fails.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(..=3600))]
    pub registry_seconds: u64,
    /// Space in bytes that is kept for final reports; default 5 % of the volume, at most 256 MiB.
    #[arg(long, env = "DCANARY_SERVER_RESERVE_BYTES")]
    pub reserve_bytes: Option<u64>,
    /// Days that data of runs are kept after the run is gone.
    #[arg(long, env = "DCANARY_SERVER_RETENTION_DAYS", default_value_t = 30,
        value_parser = clap::value_parser!(u64).range(..=3650))]
    pub retention: u64,
    /// Minutes between sweeps.
    #[arg(long, env = "DCANARY_SERVER_SWEEP_MINUTES", default_value_t = 60,
        value_parser = clap::value_parser!(u64).range(1..=1440))]
    pub sweep_minutes: u64,
    /// Seconds for requests under way when the server stops.
    #[arg(long, env = "DCANARY_SERVER_STOP_SECONDS", default_value_t = 25,
        value_parser = clap::value_parser!(u64).range(..=600))]
    pub stop_seconds: u64,
    /// Connections at once.
    #[arg(long, env = "DCANARY_SERVER_MAX_CONNECTIONS", default_value_t = 4096,
        value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub max_connections: u64,
    /// One result, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_RESULT_BYTES", default_value_t = 1 << 20,
        value_parser = clap::value_parser!(u64).range(1..=4 << 20))]
    pub max_result_bytes: u64,
    /// Results of a run, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_RUN_RESULT_BYTES", default_value_t = 16 << 20,
        value_parser = clap::value_parser!(u64).range(1..=256 << 20))]
    pub max_run_result_bytes: u64,
    /// Results of an attempt.
    #[arg(long, env = "DCANARY_SERVER_MAX_RESULTS", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_results: u32,
    /// One artifact, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_ARTIFACT_BYTES", default_value_t = 10 << 30,
        value_parser = clap::value_parser!(u64).range(1..=100 << 30))]
    pub max_artifact_bytes: u64,
    /// Artifacts of an attempt.
    #[arg(long, env = "DCANARY_SERVER_MAX_ARTIFACTS", default_value_t = 256,
        value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub max_artifacts: u32,
    /// Kept log of an attempt, in bytes: the first quarter and the last three.
    #[arg(long, env = "DCANARY_SERVER_MAX_LOG_BYTES", default_value_t = 64 << 20,
        value_parser = clap::value_parser!(u64).range(64 << 10..=1 << 30))]
    pub max_log_bytes: u64,
    /// One request with several frames, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_FRAMES_BYTES", default_value_t = 1 << 20,
        value_parser = clap::value_parser!(u64).range(64 << 10..=8 << 20))]
    pub max_frames_bytes: u64,
    /// Steps of an attempt.
    #[arg(long, env = "DCANARY_SERVER_MAX_STEPS", default_value_t = 1000,
        value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub max_steps: u32,
    /// What is logged, e.g. info or debug.
    #[arg(long, env = "DCANARY_SERVER_LOG", default_value = "info")]
    pub log: String,
}

fn size(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Config {
    /// Limits.
    pub fn limits(&self) -> Limits {
        Limits {
            result_bytes: self.max_result_bytes,
            run_result_bytes: self.max_run_result_bytes,
            results: size(u64::from(self.max_results)),
            artifact_bytes: self.max_artifact_bytes,
            artifacts: size(u64::from(self.max_artifacts)),
            log_bytes: self.max_log_bytes,
            frames_bytes: size(self.max_frames_bytes),
            steps: self.max_steps,
            ..Limits::default()
        }
    }

    /// Settings that are no limits.
    pub fn settings(&self) -> Settings {
        Settings {
            operator: format!("system:serviceaccount:{}", self.operator),
            reader_cache: Duration::from_secs(10),
            retention: Duration::from_secs(self.retention * 24 * 3600),
            retry_wait: Duration::from_secs(30),
            registry_patience: Duration::from_secs(self.registry_seconds),
        }
    }

    /// Space for final reports.
    pub fn reserve(&self) -> Reserve {
        self.reserve_bytes.map_or(Reserve::Default, Reserve::Bytes)
    }

    /// How the volume is written.
    pub fn commits(&self) -> CommitSettings {
        CommitSettings::default()
    }

    /// How connections are taken.
    pub fn serving(&self) -> ServeSettings {
        ServeSettings {
            connections: size(self.max_connections),
            grace: Duration::from_secs(self.stop_seconds),
        }
    }

    /// Files of the certificate.
    pub fn tls(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.tls_cert.clone(),
            key: self.tls_key.clone(),
        }
    }

    /// Registries.
    ///
    /// # Errors
    /// When a certificate authority cannot be read.
    pub fn registries(&self) -> std::io::Result<Registries> {
        Ok(Registries {
            credentials: self.registry_credentials.clone(),
            insecure: self.insecure_registries.clone(),
            allowed: self.allowed_repositories.clone(),
            authorities: self
                .registry_ca
                .iter()
                .map(std::fs::read)
                .collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_are_consistent_and_their_defaults_are_the_limits() {
        Config::command().debug_assert();
        let config = Config::try_parse_from(["dcanary-server", "--operator", "ns:name"]).unwrap();
        assert_eq!(config.limits(), Limits::default());
        assert_eq!(config.settings().operator, "system:serviceaccount:ns:name");
    }

    #[test]
    fn limits_have_ceilings() {
        let flags = [
            "dcanary-server",
            "--operator",
            "a:b",
            "--max-result-bytes",
            "99999999",
        ];
        assert!(Config::try_parse_from(flags).is_err());
    }
}
