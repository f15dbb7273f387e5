//! Secrets with which repositories are checked out: one folder per step that needs one, in it one folder per host.

use std::collections::BTreeMap;

use dcanary_crds::{Checkout, PipelineRun};
use dcanary_protocol::credentials::folder;

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
/// What to do where no host can be read from an address.
pub const HOST_ADVICE: &str = "the Secret is for one host, which must be written out in `repo`, with its port and not by an expression: letters, digits, `.`, `-` and `_`, or an IPv6 address in brackets";

/// Why a step does not get the Secret that is named for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// The Secret is for the pipeline's own repository, and the run names another one.
    AnotherRepository,
    /// The address does not say for which host it is.
    NoHost,
}

/// A Secret for a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credentials {
    /// Number among those of the stage.
    pub number: usize,
    /// The Secret.
    pub secret: String,
    /// Folder of the host.
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
    let mut steps: BTreeMap<(String, String), Vec<usize>> = BTreeMap::new();
    for (i, step) in stage.stage.steps.iter().enumerate() {
        let Some(checkout) = &step.checkout else { continue };
        if let Ok(Some(secret_and_host)) = of_checkout(run, definition, checkout) {
            steps.entry(secret_and_host).or_default().push(i);
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

/// The Secret of a step and the folder of the host that it is for; none when it has no Secret.
///
/// # Errors
/// When a Secret is named and the step cannot have it.
pub fn of_checkout(
    run: &PipelineRun,
    definition: &Definition,
    checkout: &Checkout,
) -> Result<Option<(String, String)>, Withheld> {
    let source = values::source(run, definition);
    // a run may name another repository; no Secret that the pipeline names for its own must be shown to its host
    let own = definition
        .source
        .as_ref()
        .filter(|own| source.repo.as_ref() == Some(&own.repo));
    // with an inline definition, whoever names the repository has named the Secret too
    let trusted = own.is_some() || run.spec.pipeline_spec.is_some();
    let secret = match (&checkout.repo, &checkout.credentials) {
        (Some(_), named) => named.as_ref(),
        (None, Some(_)) if !trusted => return Err(Withheld::AnotherRepository),
        (None, Some(named)) => Some(named),
        // the Secret of the source is for the source's repository only
        (None, None) => own.and_then(|own| own.credentials.as_ref()),
    };
    let url = checkout.repo.as_ref().or(source.repo.as_ref());
    match (secret, url) {
        (Some(secret), Some(url)) => match folder_for(url) {
            Some(folder) => Ok(Some((secret.clone(), folder))),
            None => Err(Withheld::NoHost),
        },
        _ => Ok(None),
    }
}

/// The folder for the host of a Git URL (`https://host:port/…`, `ssh://user@host/…`, `user@host:path`). None when the host is not written
/// out.
pub fn folder_for(url: &str) -> Option<String> {
    let rest = match url.split_once("://") {
        Some((_, rest)) => rest.split(['/', '?', '#']).next()?,
        None => url.split_once(':')?.0,
    };
    let authority = rest.rsplit('@').next()?;
    let (host, port) = match authority.rsplit_once(':') {
        // of an address in brackets
        Some((_, rest)) if rest.contains(']') => (authority, ""),
        Some(host_and_port) => host_and_port,
        None => (authority, ""),
    };
    // an address without brackets, which no URL has
    let bare = host.contains(':') && !host.starts_with('[');
    let proper = !bare && port.bytes().all(|byte| byte.is_ascii_digit());
    proper.then(|| folder(host)).flatten()
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
            ("https://git_server/a", Some("git_server")),
            ("https://[2001:DB8:0::1]/a", Some("[2001_db8__1]")),
            ("https://[2001:db8::1]:8443/a", Some("[2001_db8__1]")),
            ("ssh://git@[::1]:22/a", Some("[__1]")),
            (
                "https://git.example.com/$(params.name).git",
                Some("git.example.com"),
            ),
            ("/local/path", None),
            ("https://../a", None),
            ("https://$(params.host)/a", None),
            ("https://git.$(params.domain):443/a", None),
            ("https://git.example.com:$(params.port)/a", None),
            ("$(params.repo)", None),
            ("https://[::1/a", None),
            ("https://[::1]x/a", None),
            ("https://[fe80::1%25eth0]/a", None),
            ("https://2001:db8::1/a", None),
            ("https://g\u{fc}t.example/a", None),
        ] {
            assert_eq!(folder_for(url).as_deref(), expected, "{url}");
        }
    }
}
