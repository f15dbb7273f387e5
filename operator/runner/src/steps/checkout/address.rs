//! Which addresses are fetched from.

use dcanary_protocol::git;
use gix::bstr::ByteSlice;
use gix::url::Scheme;

use super::CheckoutError;

/// A parsed address without anything secret in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Address {
    url: gix::Url,
}

impl Address {
    /// Parses and checks an address.
    pub(crate) fn parse(text: &str) -> Result<Self, CheckoutError> {
        let refused = |reason| CheckoutError::Address {
            url: without_password(text),
            reason,
        };
        if let Some(reason) = git::address_problem(text) {
            return Err(refused(reason));
        }
        let url = gix::url::parse(text).map_err(|_| refused("it is not a Git URL"))?;
        match url.scheme {
            Scheme::Https | Scheme::Http | Scheme::Ssh | Scheme::Git => {}
            Scheme::File => return Err(refused(git::LOCAL)),
            _ => return Err(refused(git::SCHEME)),
        }
        if url.host().is_none_or(str::is_empty) {
            return Err(refused(git::NO_HOST));
        }
        if url.password().is_some() {
            return Err(refused("it holds a password; give credentials by a Secret"));
        }
        // A token is given as user name as well, and would be kept in plan, configuration and messages.
        if url.scheme != Scheme::Ssh && url.user().is_some() {
            return Err(refused(
                "it holds a user name, which may be a token; leave it out and give credentials by a Secret with the keys `username` and `token`",
            ));
        }
        // Both would become arguments of a program on the other side.
        let dangerous = url.host().is_some_and(|host| host.starts_with('-'))
            || url.user().is_some_and(|user| user.starts_with('-'))
            || url.path.starts_with(b"-")
            || text.chars().any(char::is_control);
        if dangerous {
            return Err(refused("it holds characters that are refused"));
        }
        Ok(Self { url })
    }

    /// An address as `.gitmodules` gives it, relative ones seen from this repository.
    pub(crate) fn of_submodule(&self, text: &str) -> Result<Self, CheckoutError> {
        if !(text.starts_with("./") || text.starts_with("../")) {
            return Self::parse(text);
        }
        let refused = |reason| CheckoutError::Address {
            url: text.to_owned(),
            reason,
        };
        let mut url = self.url.clone();
        let path = url
            .path
            .to_str()
            .map_err(|_| refused("its parent's path is not UTF-8"))?;
        let mut parts: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        // The first part is the empty one before the leading slash; `git@host:app.git` has none, and git goes up to its colon.
        let top = usize::from(path.starts_with('/') || !url.serialize_alternative_form);
        for part in text.split('/') {
            match part {
                "." | "" => {}
                ".." => {
                    if parts.len() <= top {
                        return Err(refused("it leads above the server"));
                    }
                    parts.pop();
                }
                name => parts.push(name),
            }
        }
        url.path = parts.join("/").into();
        Self::parse(&url.to_bstring().to_str_lossy())
    }

    pub(crate) fn scheme(&self) -> &Scheme {
        &self.url.scheme
    }

    pub(crate) fn host(&self) -> &str {
        self.url.host().unwrap_or_default()
    }

    pub(crate) fn url(&self) -> &gix::Url {
        &self.url
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.url.to_bstring().fmt(formatter)
    }
}

/// The text of an address that was refused, without what may be a password.
fn without_password(text: &str) -> String {
    match (text.find("://"), text.rfind('@')) {
        (Some(scheme), Some(at)) if scheme < at => format!("{}…{}", &text[..scheme + 3], &text[at..]),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_network_addresses_without_passwords_are_taken() {
        for good in [
            "https://h/a.git",
            "http://h:8080/a",
            "ssh://git@h:22/a",
            "git://h/a",
            "git@h:team/a.git",
        ] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "file:///srv/a",
            "/srv/a",
            "../a",
            "ext::sh -c touch% /pwned",
            "https://user:s3cr3t@h/a",
            "https://s3cr3t@h/a",
            "http://s3cr3t@h/a",
            "git://s3cr3t@h/a",
            "ssh://-oProxyCommand=x/a",
            "ssh://h/-x\u{7}",
            "",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
        for bad in [
            "https://user:s3cr3t@h/a",
            "https://s3cr3t@h/a@b",
            "https://s3cr3t@h/@",
        ] {
            let error = Address::parse(bad).unwrap_err().to_string();
            assert!(!error.contains("s3cr3t"), "{error}");
            assert!(error.contains("by a Secret"), "{error}");
        }
    }

    #[test]
    fn relative_submodules_are_seen_from_their_parent() {
        let parent = Address::parse("https://h/team/app.git").unwrap();
        assert_eq!(
            parent.of_submodule("../lib.git").unwrap().to_string(),
            "https://h/team/lib.git"
        );
        assert_eq!(
            parent.of_submodule("../../other/lib").unwrap().to_string(),
            "https://h/other/lib"
        );
        assert!(parent.of_submodule("../../../../lib").is_err());
        assert!(parent.of_submodule("file:///etc").is_err());
        assert!(parent.of_submodule("/etc").is_err());
    }

    #[test]
    fn relative_submodules_of_an_address_with_a_colon_are_where_git_sees_them() {
        for (parent, text, expected) in [
            ("git@h:a.git", "../sub.git", "git@h:sub.git"),
            ("git@h:a.git", "./sub.git", "git@h:a.git/sub.git"),
            ("git@h:team/a.git", "../sub.git", "git@h:team/sub.git"),
            ("git@h:team/a.git", "../../sub.git", "git@h:sub.git"),
            ("git@h:/a.git", "../sub.git", "git@h:/sub.git"),
        ] {
            let found = Address::parse(parent).unwrap().of_submodule(text).unwrap();
            assert_eq!(found.to_string(), expected, "{parent} {text}");
        }
        for (parent, text) in [
            ("git@h:a.git", "../../sub.git"),
            ("git@h:a.git", "../"),
            ("git@h:a.git", "../-x"),
            ("git@h:/a.git", "../../sub.git"),
            ("ssh://git@h/a.git", "../../sub.git"),
        ] {
            let parent = Address::parse(parent).unwrap();
            assert!(parent.of_submodule(text).is_err(), "{parent} {text}");
        }
    }
}
