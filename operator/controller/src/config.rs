//! What the operator is told at start: flags, each also an environment variable.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use dcanary_core::Limits;

/// The operator of DCanary.
#[derive(Debug, Clone, Parser)]
#[command(name = "dcanary-operator", version)]
pub struct Config {
    /// Namespace of the operator itself.
    #[arg(long, env = "DCANARY_NAMESPACE", default_value = "dcanary-system")]
    pub namespace: String,
    /// Name of the installation: prefix of the objects that belong to it.
    #[arg(long, env = "DCANARY_INSTALLATION", default_value = "dcanary")]
    pub installation: String,
    /// Address of health and metrics.
    #[arg(long, env = "DCANARY_METRICS_LISTEN", default_value = "0.0.0.0:9090")]
    pub metrics_listen: std::net::SocketAddr,
    /// Base URL of the server, as build Pods reach it.
    #[arg(long, env = "DCANARY_SERVER_URL")]
    pub server_url: String,
    /// PEM file with the certificate authority of the server.
    #[arg(long, env = "DCANARY_SERVER_CA_FILE")]
    pub server_ca_file: PathBuf,
    /// File with the operator's token for the server.
    #[arg(long, env = "DCANARY_SERVER_TOKEN_FILE")]
    pub server_token_file: PathBuf,
    /// Image that holds the runner.
    #[arg(long, env = "DCANARY_RUNNER_IMAGE")]
    pub runner_image: String,
    /// Pull policy of the runner image; empty = the cluster's default.
    #[arg(long, env = "DCANARY_RUNNER_PULL_POLICY", default_value = "")]
    pub runner_pull_policy: String,
    /// How the runner gets into build Pods.
    #[arg(long, env = "DCANARY_RUNNER_DELIVERY", value_enum, default_value_t = DeliveryChoice::Auto)]
    pub runner_delivery: DeliveryChoice,
    /// Metrics may ask link-local addresses (169.254.0.0/16, fe80::/10), where clouds keep the credentials of the node.
    #[arg(long, env = "DCANARY_ANALYSIS_ALLOW_LINK_LOCAL", default_value_t = false, action = clap::ArgAction::Set)]
    pub analysis_allow_link_local: bool,
    /// Project of Pipelines that name none.
    #[arg(long, env = "DCANARY_LEDGER_PROJECT", default_value = "default")]
    pub project: String,
    /// Further projects that Pipelines may name (embedded ledger: the operator takes the role in them).
    #[arg(long, env = "DCANARY_LEDGER_PROJECTS", value_delimiter = ',')]
    pub projects: Vec<String>,
    /// Executor domain of this operator.
    #[arg(long, env = "DCANARY_LEDGER_DOMAIN", default_value = "local")]
    pub domain: String,
    /// URL of the network that keeps the ledger; absent = nothing is recorded.
    #[arg(long, env = "DCANARY_LEDGER_URL")]
    pub ledger_url: Option<String>,
    /// The network is the embedded node of this installation: the operator makes its keys and installs the canister.
    #[arg(long, env = "DCANARY_LEDGER_EMBEDDED", default_value_t = false, action = clap::ArgAction::Set)]
    pub ledger_embedded: bool,
    /// Hex of the DER-encoded root key, for a network that is not embedded.
    #[arg(long, env = "DCANARY_LEDGER_ROOT_KEY")]
    pub ledger_root_key: Option<String>,
    /// Canister id of the ledger, for a network that is not embedded.
    #[arg(long, env = "DCANARY_LEDGER_CANISTER")]
    pub ledger_canister: Option<String>,
    /// Folder with the canisters that this version ships.
    #[arg(long, env = "DCANARY_CANISTERS", default_value = "/canisters")]
    pub canisters: PathBuf,
    /// Stages of a run, `finally` stages counted.
    #[arg(long, env = "DCANARY_MAX_STAGES", default_value_t = count(Limits::DEFAULTS.stages),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.stages))))]
    pub max_stages: u32,
    /// Steps of a stage.
    #[arg(long, env = "DCANARY_MAX_STEPS", default_value_t = count(Limits::DEFAULTS.steps),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.steps))))]
    pub max_steps: u32,
    /// Variables in the `env` of a stage or step.
    #[arg(long, env = "DCANARY_MAX_ENV", default_value_t = count(Limits::DEFAULTS.env),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.env))))]
    pub max_env: u32,
    /// Parameters of a definition.
    #[arg(long, env = "DCANARY_MAX_PARAMS", default_value_t = count(Limits::DEFAULTS.params),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.params))))]
    pub max_params: u32,
    /// Value of a parameter, in bytes.
    #[arg(long, env = "DCANARY_MAX_PARAM_BYTES", default_value_t = count(Limits::DEFAULTS.param_bytes),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.param_bytes))))]
    pub max_param_bytes: u32,
    /// Script of a step, in bytes.
    #[arg(long, env = "DCANARY_MAX_SCRIPT_BYTES", default_value_t = count(Limits::DEFAULTS.script_bytes),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.script_bytes))))]
    pub max_script_bytes: u32,
    /// Further attempts that a stage may ask for; 0 is none.
    #[arg(long, env = "DCANARY_MAX_RETRIES", default_value_t = count(Limits::DEFAULTS.retries),
        value_parser = clap::value_parser!(u32).range(0..=i64::from(count(Limits::CEILINGS.retries))))]
    pub max_retries: u32,
    /// One `when`, `if` or `$(…)`, in bytes. 256 has room for every name that there can be.
    #[arg(long, env = "DCANARY_MAX_EXPRESSION_BYTES", default_value_t = count(Limits::DEFAULTS.expression_bytes),
        value_parser = clap::value_parser!(u32).range(256..=i64::from(count(Limits::CEILINGS.expression_bytes))))]
    pub max_expression_bytes: u32,
    /// One result that a status holds by value, in bytes.
    #[arg(long, env = "DCANARY_MAX_INLINE_RESULT_BYTES", default_value_t = count(Limits::DEFAULTS.inline_result_bytes),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.inline_result_bytes))))]
    pub max_inline_result_bytes: u32,
    /// All results of a run that a status holds by value, in bytes.
    #[arg(long, env = "DCANARY_MAX_RUN_INLINE_RESULT_BYTES", default_value_t = count(Limits::DEFAULTS.run_inline_result_bytes),
        value_parser = clap::value_parser!(u32).range(1..=i64::from(count(Limits::CEILINGS.run_inline_result_bytes))))]
    pub max_run_inline_result_bytes: u32,
    /// Resolved definition of a run, compressed and as base64, in bytes.
    #[arg(long, env = "DCANARY_MAX_DEFINITION_BYTES", default_value_t = count(Limits::DEFAULTS.definition_bytes),
        value_parser = clap::value_parser!(u32).range(4096..=i64::from(count(Limits::CEILINGS.definition_bytes))))]
    pub max_definition_bytes: u32,
}

/// Limits are thousands; the parser of a flag takes its range in this type.
#[allow(clippy::cast_possible_truncation)]
const fn count(limit: usize) -> u32 {
    limit as u32
}

fn size(count: u32) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

impl Config {
    /// Limits of definitions and of results in a status.
    pub fn limits(&self) -> Limits {
        Limits {
            stages: size(self.max_stages),
            steps: size(self.max_steps),
            env: size(self.max_env),
            params: size(self.max_params),
            param_bytes: size(self.max_param_bytes),
            script_bytes: size(self.max_script_bytes),
            retries: size(self.max_retries),
            expression_bytes: size(self.max_expression_bytes),
            inline_result_bytes: size(self.max_inline_result_bytes),
            run_inline_result_bytes: size(self.max_run_inline_result_bytes),
            definition_bytes: size(self.max_definition_bytes),
        }
    }
}

/// How the runner gets into build Pods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "camelCase")]
pub enum DeliveryChoice {
    /// A probe Pod decides at start.
    Auto,
    /// As an image volume.
    ImageVolume,
    /// Copied by an init container.
    Init,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use clap::CommandFactory;
    use serde_json::Value;

    use super::*;

    /// Flag, value of the chart, least, most, default.
    type Row = (&'static str, &'static str, usize, usize, usize);

    fn rows() -> [Row; 11] {
        let (most, usual) = (Limits::CEILINGS, Limits::DEFAULTS);
        [
            ("max-stages", "stages", 1, most.stages, usual.stages),
            ("max-steps", "steps", 1, most.steps, usual.steps),
            ("max-env", "env", 1, most.env, usual.env),
            ("max-params", "params", 1, most.params, usual.params),
            (
                "max-param-bytes",
                "paramBytes",
                1,
                most.param_bytes,
                usual.param_bytes,
            ),
            (
                "max-script-bytes",
                "scriptBytes",
                1,
                most.script_bytes,
                usual.script_bytes,
            ),
            ("max-retries", "retries", 0, most.retries, usual.retries),
            (
                "max-expression-bytes",
                "expressionBytes",
                256,
                most.expression_bytes,
                usual.expression_bytes,
            ),
            (
                "max-inline-result-bytes",
                "inlineResultBytes",
                1,
                most.inline_result_bytes,
                usual.inline_result_bytes,
            ),
            (
                "max-run-inline-result-bytes",
                "runInlineResultBytes",
                1,
                most.run_inline_result_bytes,
                usual.run_inline_result_bytes,
            ),
            (
                "max-definition-bytes",
                "definitionBytes",
                4096,
                most.definition_bytes,
                usual.definition_bytes,
            ),
        ]
    }

    fn with(more: &[String]) -> Result<Config, clap::Error> {
        let given = [
            "dcanary-operator",
            "--server-url=http://127.0.0.1:9",
            "--server-ca-file=/dev/null",
            "--server-token-file=/dev/null",
            "--runner-image=runner:1",
        ];
        let more = more.iter().map(String::as_str);
        Config::try_parse_from(given.into_iter().chain(more))
    }

    #[test]
    fn flags_are_consistent_and_their_defaults_are_the_limits() {
        Config::command().debug_assert();
        assert_eq!(with(&[]).unwrap().limits(), Limits::default());
    }

    #[test]
    fn every_limit_has_a_floor_and_a_ceiling_that_the_error_names_with_the_flag() {
        for (flag, _, least, most, _) in rows() {
            let one = |value: i64| with(&[format!("--{flag}={value}")]);
            let (least, most) = (i64::try_from(least).unwrap(), i64::try_from(most).unwrap());
            assert!(one(least).is_ok() && one(most).is_ok(), "{flag}");
            for beyond in [least - 1, most + 1] {
                let error = one(beyond).unwrap_err().to_string();
                assert!(error.contains(&format!("--{flag} ")), "{error}");
                assert!(error.contains(&format!("{least}..={most}")), "{error}");
            }
        }
        let help = Config::command().render_long_help().to_string();
        let flags = help.split_whitespace().filter_map(|word| word.strip_prefix("--"));
        for flag in flags.filter(|flag| flag.starts_with("max-")) {
            let known = rows().iter().any(|(name, ..)| *name == flag);
            assert!(known, "--{flag} has a ceiling in this test");
        }
    }

    #[test]
    fn every_flag_sets_its_own_limit() {
        let given: Vec<String> = rows()
            .iter()
            .map(|(flag, _, least, ..)| format!("--{flag}={}", least + 1))
            .collect();
        let expected = Limits {
            stages: 2,
            steps: 2,
            env: 2,
            params: 2,
            param_bytes: 2,
            script_bytes: 2,
            retries: 1,
            expression_bytes: 257,
            inline_result_bytes: 2,
            run_inline_result_bytes: 2,
            definition_bytes: 4097,
        };
        assert_eq!(with(&given).unwrap().limits(), expected);
    }

    #[test]
    fn the_chart_has_these_defaults_floors_and_ceilings() {
        let values = include_str!("../../../charts/dcanary/values.yaml");
        let values: Value = serde_saphyr::from_str(values).unwrap();
        let schema = include_str!("../../../charts/dcanary/values.schema.json");
        let schema: Value = serde_json::from_str(schema).unwrap();
        let schema = &schema["properties"]["operator"]["properties"]["limits"]["properties"];
        let values = &values["operator"]["limits"];
        for (flag, name, least, most, usual) in rows() {
            assert_eq!(values[name], usual, "{name} of --{flag}");
            assert_eq!(schema[name]["minimum"], least, "{name} of --{flag}");
            assert_eq!(schema[name]["maximum"], most, "{name} of --{flag}");
        }
        assert_eq!(values.as_object().unwrap().len(), rows().len());
        assert_eq!(schema.as_object().unwrap().len(), rows().len());
    }
}
