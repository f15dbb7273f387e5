//! Flags, each also an environment variable.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use dcanary_protocol::limits;

use crate::core::Settings;
use crate::http::serve::ServeSettings;
use crate::http::tls::TlsFiles;
use crate::images::Registries;
use crate::images::rules::Rules;
use crate::limits::Limits;
use crate::store::commit::CommitSettings;
use crate::store::space::Reserve;

/// Results of an attempt.
const RESULTS: u32 = small(limits::RESULTS);
/// Artifacts of an attempt.
const ARTIFACTS: u32 = small(limits::ARTIFACTS);
/// Steps of an attempt.
const STEPS: u32 = small(limits::STEPS);

/// A limit as flags have it; one that does not fit does not compile.
const fn small(limit: usize) -> u32 {
    assert!(limit <= 65_535);
    #[allow(clippy::cast_possible_truncation)]
    let small = limit as u32;
    small
}

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
    /// Which namespaces may push to which repositories and build on which, as a JSON array of
    /// {"namespaces": [NAME or BEGINNING*], "repositories": [HOST/PATH or *], "access": "push" or "pull"}.
    /// With registry credentials, only what a rule says is allowed.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_RULES", default_value = "[]")]
    pub registry_rules: Rules,
    /// Registries, where they have tokens from and where they redirect to may have link-local addresses.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_ALLOW_LINK_LOCAL", default_value_t = false,
        action = clap::ArgAction::Set)]
    pub registry_allow_link_local: bool,
    /// Certificate authorities of registries, PEM files.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_CA", value_delimiter = ',')]
    pub registry_ca: Vec<PathBuf>,
    /// Seconds that a failing registry is tried again before the image step fails.
    #[arg(long, env = "DCANARY_SERVER_REGISTRY_SECONDS", default_value_t = 300,
        value_parser = clap::value_parser!(u64).range(..=3600))]
    pub registry_seconds: u64,
    /// Space in bytes that is kept for final reports; default 5 % of the volume, at most 256 MiB.
    #[arg(long, env = "DCANARY_SERVER_RESERVE_BYTES",
        value_parser = clap::value_parser!(u64).range(1 << 20..=64 << 30))]
    pub reserve_bytes: Option<u64>,
    /// Days that data of runs are kept after the run is gone.
    #[arg(long = "retention-days", env = "DCANARY_SERVER_RETENTION_DAYS", default_value_t = 30,
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
    /// Connections at once; one address has at most half of them, and those without a token have three quarters.
    #[arg(long, env = "DCANARY_SERVER_MAX_CONNECTIONS", default_value_t = 4096,
        value_parser = clap::value_parser!(u64).range(16..=65_536))]
    pub max_connections: u64,
    /// One result, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_RESULT_BYTES", default_value_t = limits::RESULT_BYTES,
        value_parser = clap::value_parser!(u64).range(1..=limits::RESULT_BYTES))]
    pub max_result_bytes: u64,
    /// Results of a run, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_RUN_RESULT_BYTES", default_value_t = limits::RUN_RESULT_BYTES,
        value_parser = clap::value_parser!(u64).range(1..=limits::RUN_RESULT_BYTES))]
    pub max_run_result_bytes: u64,
    /// Results of an attempt.
    #[arg(long, env = "DCANARY_SERVER_MAX_RESULTS", default_value_t = RESULTS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(RESULTS)))]
    pub max_results: u32,
    /// One artifact, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_ARTIFACT_BYTES", default_value_t = limits::ARTIFACT_BYTES,
        value_parser = clap::value_parser!(u64).range(1..=limits::ARTIFACT_BYTES))]
    pub max_artifact_bytes: u64,
    /// Artifacts of an attempt.
    #[arg(long, env = "DCANARY_SERVER_MAX_ARTIFACTS", default_value_t = ARTIFACTS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(ARTIFACTS)))]
    pub max_artifacts: u32,
    /// Artifacts of a namespace together, less what its kept logs and results take, in bytes; 0 is no limit.
    #[arg(long, env = "DCANARY_SERVER_MAX_NAMESPACE_BYTES", default_value_t = 0,
        value_parser = clap::value_parser!(u64).range(..=1 << 50))]
    pub max_namespace_bytes: u64,
    /// Kept log of an attempt, in bytes: the first quarter and the last three.
    #[arg(long, env = "DCANARY_SERVER_MAX_LOG_BYTES", default_value_t = 64 << 20,
        value_parser = clap::value_parser!(u64).range(64 << 10..=1 << 30))]
    pub max_log_bytes: u64,
    /// One request with several frames, in bytes.
    #[arg(long, env = "DCANARY_SERVER_MAX_FRAMES_BYTES", default_value_t = 1 << 20,
        value_parser = clap::value_parser!(u64).range(64 << 10..=8 << 20))]
    pub max_frames_bytes: u64,
    /// Steps of an attempt.
    #[arg(long, env = "DCANARY_SERVER_MAX_STEPS", default_value_t = STEPS,
        value_parser = clap::value_parser!(u32).range(1..=i64::from(STEPS)))]
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
            namespace_bytes: self.max_namespace_bytes,
            log_bytes: self.max_log_bytes,
            frames_bytes: size(self.max_frames_bytes),
            steps: size(u64::from(self.max_steps)),
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
            rules: self.registry_rules.clone(),
            allow_link_local: self.registry_allow_link_local,
            authorities: self
                .registry_ca
                .iter()
                .map(std::fs::read)
                .collect::<Result<_, _>>()?,
            ..Registries::default()
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

    fn with(flag: &str, value: &str) -> Result<Config, clap::Error> {
        let one = format!("--{flag}={value}");
        Config::try_parse_from(["dcanary-server", "--operator", "a:b", &one])
    }

    #[test]
    fn every_limit_has_a_ceiling_and_the_error_names_its_flag() {
        let ceilings: [(&str, u64); 15] = [
            ("max-result-bytes", limits::RESULT_BYTES),
            ("max-run-result-bytes", limits::RUN_RESULT_BYTES),
            ("max-results", limits::RESULTS as u64),
            ("max-artifact-bytes", limits::ARTIFACT_BYTES),
            ("max-artifacts", limits::ARTIFACTS as u64),
            ("max-namespace-bytes", 1 << 50),
            ("max-log-bytes", 1 << 30),
            ("max-frames-bytes", 8 << 20),
            ("max-steps", limits::STEPS as u64),
            ("max-connections", 65_536),
            ("reserve-bytes", 64 << 30),
            ("registry-seconds", 3_600),
            ("retention-days", 3_650),
            ("sweep-minutes", 1_440),
            ("stop-seconds", 600),
        ];
        for (flag, most) in ceilings {
            assert!(with(flag, &most.to_string()).is_ok(), "{flag} {most}");
            let error = with(flag, &(most + 1).to_string()).unwrap_err().to_string();
            assert!(error.contains(&format!("--{flag}")), "{error}");
        }
        let mut command = Config::command();
        let help = command.render_long_help().to_string();
        for flag in help
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("--max-"))
        {
            let known = ceilings
                .iter()
                .any(|(name, _)| name.strip_prefix("max-") == Some(flag));
            assert!(known, "--max-{flag} has a ceiling in this test");
        }
    }

    #[test]
    fn rules_of_registries_are_read_and_bad_ones_name_the_flag() {
        let good = r#"[{"namespaces": ["a"], "repositories": ["reg.example/a"]}]"#;
        assert!(
            !with("registry-rules", good)
                .unwrap()
                .registries()
                .unwrap()
                .rules
                .is_empty()
        );
        let error = with("registry-rules", r#"[{"namespaces": ["a"]}]"#)
            .unwrap_err()
            .to_string();
        assert!(error.contains("--registry-rules"), "{error}");
    }
}
