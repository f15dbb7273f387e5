//! Credentials of registries: files in Docker's format, read anew for every push.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde::Deserialize;

use super::registry::Login;

/// Names of a mounted Secret of type `kubernetes.io/dockerconfigjson`, and of Docker's own file.
const FILES: [&str; 2] = [".dockerconfigjson", "config.json"];

#[derive(Debug, Default, Deserialize)]
struct DockerConfig {
    #[serde(default)]
    auths: HashMap<String, Entry>,
}

#[derive(Debug, Default, Deserialize)]
struct Entry {
    #[serde(default)]
    auth: String,
    #[serde(default)]
    username: String,
    #[serde(default)]
    password: String,
}

impl Entry {
    fn login(&self) -> Option<Login> {
        if !self.username.is_empty() {
            return Some(Login::Basic(self.username.clone(), self.password.clone()));
        }
        let decoded = base64::engine::general_purpose::STANDARD
            .decode(self.auth.trim())
            .ok()?;
        let text = String::from_utf8(decoded).ok()?;
        let (user, password) = text.split_once(':')?;
        Some(Login::Basic(user.to_owned(), password.to_owned()))
    }
}

/// `https://index.docker.io/v1/` → `index.docker.io`; `host/path` stays.
fn normal(key: &str) -> &str {
    let key = key
        .split_once("://")
        .map_or(key, |(_, rest)| rest)
        .trim_end_matches('/');
    key.strip_suffix("/v1")
        .or_else(|| key.strip_suffix("/v2"))
        .unwrap_or(key)
}

/// Best entry for a repository: the longest key that is the registry or a path above the repository.
fn best<'a>(configs: &'a [DockerConfig], registry: &str, repository: &str) -> Option<&'a Entry> {
    let image = format!("{registry}/{repository}/");
    configs
        .iter()
        .flat_map(|config| &config.auths)
        .filter(|(key, _)| image.starts_with(&format!("{}/", normal(key))))
        .max_by_key(|(key, _)| normal(key).len())
        .map(|(_, entry)| entry)
}

/// Looks for the login of a repository in a directory and the directories in it. Blocking.
pub fn find(dir: Option<&Path>, registry: &str, repository: &str) -> Login {
    let Some(dir) = dir else {
        return Login::Anonymous;
    };
    let mut dirs: Vec<PathBuf> = vec![dir.to_owned()];
    if let Ok(entries) = std::fs::read_dir(dir) {
        dirs.extend(
            entries
                .flatten()
                .map(|entry| entry.path())
                .filter(|path| path.is_dir()),
        );
    }
    let configs: Vec<DockerConfig> = dirs
        .iter()
        .flat_map(|dir| FILES.map(|file| dir.join(file)))
        .filter_map(|path| {
            let content = std::fs::read(&path).ok()?;
            serde_json::from_slice(&content)
                .inspect_err(|_| tracing::warn!(path = %path.display(), "credentials file is not readable"))
                .ok()
        })
        .collect();
    best(&configs, registry, repository)
        .and_then(Entry::login)
        .unwrap_or(Login::Anonymous)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_login_of_a_registry_wins() {
        let dir = tempfile::tempdir().unwrap();
        let config = r#"{"auths": {
            "https://reg.example/v2/": {"auth": "dTpw"},
            "reg.example/team": {"username": "t", "password": "s"},
            "reg.example.evil": {"username": "x", "password": "x"}}}"#;
        std::fs::create_dir(dir.path().join("a")).unwrap();
        std::fs::write(dir.path().join("a/.dockerconfigjson"), config).unwrap();
        let login = |registry, repository| find(Some(dir.path()), registry, repository);
        let basic = |user: &str, password: &str| Login::Basic(user.into(), password.into());
        assert_eq!(login("reg.example", "other/x"), basic("u", "p"));
        assert_eq!(login("reg.example", "team/x"), basic("t", "s"));
        assert_eq!(login("reg.example", "teamwork/x"), basic("u", "p"));
        assert_eq!(login("reg", "x"), Login::Anonymous);
    }
}
