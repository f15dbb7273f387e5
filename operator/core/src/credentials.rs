//! Secrets with which repositories are checked out: one folder per step that needs one, in it one folder per host.

use std::collections::BTreeMap;

use dcanary_crds::PipelineRun;

use crate::{
    definition::{Definition, StageDefinition},
    values,
};

/// Where credentials are mounted.
const ROOT: &str = "/var/run/dcanary/credentials";
/// Where what of them is secret is mounted once more: everything there is masked.
const MASKS: &str = "/var/run/dcanary/masks";
/// Keys whose values are secret. User names, host keys and certificates are not: masking them makes logs unreadable.
pub const SECRET_KEYS: [&str; 3] = ["token", "password", "ssh-privatekey"];

/// A Secret for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Number among those of the stage.
    pub number: usize,
    /// The Secret.
    pub secret: String,
    /// The host.
    pub host: String,
    /// Steps that use it.
    pub steps: Vec<usize>,
}

impl Credentials {
    /// Folder that is named to the runner.
    pub fn root(&self) -> String {
        format!("{ROOT}/{}", self.number)
    }

    /// Folder with what of the Secret must not be shown.
    pub fn masks(&self) -> String {
        format!("{MASKS}/{}", self.number)
    }

    /// Folder that the Secret is mounted on.
    pub fn mount(&self) -> String {
        format!("{}/{}", self.root(), self.host)
    }
}

/// The credentials of a stage, each pair of Secret and host once.
pub fn of(run: &PipelineRun, definition: &Definition, stage: &StageDefinition) -> Vec<Credentials> {
    let source = values::source(run, definition);
    // a run may name another repository; no Secret that the pipeline names for its own must be shown to its host
    let own = definition
        .source
        .as_ref()
        .filter(|own| source.repo.as_ref() == Some(&own.repo));
    let default = own.and_then(|own| own.credentials.clone());
    // with an inline definition, whoever names the repository has named the Secret too
    let trusted = own.is_some() || run.spec.pipeline_spec.is_some();
    let mut steps: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (i, step) in stage.stage.steps.iter().enumerate() {
        let Some(checkout) = &step.checkout else { continue };
        let secret = match (&checkout.repo, &checkout.credentials) {
            (Some(_), named) => named.clone(),
            (None, Some(named)) => trusted.then(|| named.clone()),
            // the Secret of the source is for the source's repository only
            (None, None) => default.clone(),
        };
        let url = checkout.repo.clone().or_else(|| source.repo.clone());
        if let (Some(secret), Some(host)) = (secret, url.as_deref().and_then(host)) {
            steps.entry((secret, host)).or_default().push(i);
        }
    }
    steps
        .into_iter()
        .enumerate()
        .map(|(number, ((secret, host), steps))| Credentials {
            number,
            secret,
            host,
            steps,
        })
        .collect()
}

/// The host of a Git URL (`https://host:port/…`, `ssh://user@host/…`, `user@host:path`).
fn host(url: &str) -> Option<String> {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next()?,
        None => url.split_once(':')?.0,
    };
    let host = rest.rsplit('@').next()?;
    let host = match host.rsplit_once(':') {
        Some((name, port)) if port.chars().all(|c| c.is_ascii_digit()) => name,
        _ => host,
    };
    let ok = !host.is_empty()
        && host
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
        && !host.starts_with('.');
    ok.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_each_form_of_url_is_found() {
        for (url, expected) in [
            ("https://Git.example.com/a/b.git", Some("git.example.com")),
            ("https://user:pw@git.example.com:8443/a", Some("git.example.com")),
            ("ssh://git@git.example.com:22/a", Some("git.example.com")),
            ("git@git.example.com:a/b.git", Some("git.example.com")),
            ("/local/path", None),
            ("https://../a", None),
        ] {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }
}
