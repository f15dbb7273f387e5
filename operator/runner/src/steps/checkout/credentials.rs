//! Credentials by host: `<directory>/<host>/{token,username,ssh-privatekey,known_hosts,ca.crt}`.

use std::path::PathBuf;

use dcanary_protocol::credentials::folder;

/// User name for tokens, which the common servers ignore.
const TOKEN_USER: &str = "x-access-token";

/// The folder that a Secret was mounted into.
#[derive(Debug, Default)]
pub(crate) struct Credentials {
    directory: Option<PathBuf>,
}

/// Name and token.
#[derive(Clone)]
pub(crate) struct Login {
    pub(crate) user: String,
    pub(crate) token: String,
}

impl Credentials {
    pub(crate) fn new(directory: Option<&str>) -> Self {
        Self {
            directory: directory.map(PathBuf::from),
        }
    }

    /// A file for this host.
    fn read(&self, host: &str, name: &str) -> Option<String> {
        let directory = self.directory.as_ref()?;
        std::fs::read_to_string(directory.join(folder(host)?).join(name)).ok()
    }

    /// Token for HTTPS.
    pub(crate) fn login(&self, host: &str) -> Option<Login> {
        let line = |name| {
            self.read(host, name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let token = line("token").or_else(|| line("password"))?;
        Some(Login {
            user: line("username").unwrap_or_else(|| TOKEN_USER.to_owned()),
            token,
        })
    }

    /// Private key for SSH, in PEM.
    pub(crate) fn private_key(&self, host: &str) -> Option<String> {
        self.read(host, "ssh-privatekey")
    }

    /// Pinned host keys, in the format of `known_hosts`.
    pub(crate) fn known_hosts(&self, host: &str) -> Option<String> {
        self.read(host, "known_hosts")
    }

    /// An authority for this host.
    pub(crate) fn authority(&self, host: &str) -> Option<String> {
        self.read(host, "ca.crt")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_gets_its_own_credentials_only() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("git.example")).unwrap();
        std::fs::write(folder.path().join("git.example/token"), "t0ken\n").unwrap();
        std::fs::write(folder.path().join("token"), "of nobody").unwrap();
        let credentials = Credentials::new(folder.path().to_str());
        for spelling in ["git.example", "Git.Example"] {
            let login = credentials.login(spelling).unwrap();
            assert_eq!((login.user.as_str(), login.token.as_str()), (TOKEN_USER, "t0ken"));
        }
        for other in [
            "evil.example",
            "",
            ".",
            "..",
            "../git.example",
            "git.example/../git.example",
        ] {
            assert!(credentials.login(other).is_none(), "{other}");
        }
    }

    /// What Git's own reading of an address calls a host.
    #[test]
    fn the_folder_of_a_host_is_the_one_that_the_operator_mounts() {
        let host = |url: &str| gix::url::parse(url).unwrap().host().unwrap().to_owned();
        for (url, expected) in [
            ("https://Git.example.com/a/b.git", Some("git.example.com")),
            ("git@git.example.com:a/b.git", Some("git.example.com")),
            ("https://git_server/a", Some("git_server")),
            ("https://[2001:DB8:0::1]/a", Some("[2001_db8__1]")),
            ("https://[2001:db8::1]:8443/a", Some("[2001_db8__1]")),
            ("ssh://git@[::1]:22/a", Some("[__1]")),
            ("ssh://git@[::1]/a", Some("[__1]")),
            ("ssh://git@[fe80::1%25eth0]/a", None),
        ] {
            assert_eq!(folder(&host(url)).as_deref(), expected, "{url}");
        }
    }
}
