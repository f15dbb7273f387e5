//! What can be checked out. The operator refuses what the runner would.

/// Why a repository on the disk is refused.
pub const LOCAL: &str = "local repositories are not fetched, only https, http, ssh and git";
/// Why another scheme is.
pub const SCHEME: &str = "only https, http, ssh and git are supported";
/// Why an address without a host is.
pub const NO_HOST: &str = "it names no host";
const PORT: &str = "its port is none, ports end at 65535";
const SCHEMES: [&str; 6] = ["https", "http", "ssh", "git", "ssh+git", "git+ssh"];

/// Whether it can be the name of a ref or the id of a commit. No refspec of several refs and no deletion comes in through a name.
pub fn is_revision(text: &str) -> bool {
    !text.is_empty() && !text.contains([':', '*', '+', '^', '~', ' ', '?', '[', '\\'])
}

/// Why nothing can be fetched from an address, as far as its scheme, host and port show it. It repeats nothing of the address.
pub fn address_problem(text: &str) -> Option<&'static str> {
    let Some((scheme, rest)) = text.split_once("://") else {
        // of `user@host:path` the colon comes first; elsewhere it is a part of a path
        let host = text.split('/').next().unwrap_or_default();
        return (!host.contains(':')).then_some(LOCAL);
    };
    if scheme.eq_ignore_ascii_case("file") {
        return Some(LOCAL);
    }
    if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
        return Some(SCHEME);
    }
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let place = authority.rsplit('@').next().unwrap_or_default();
    if place.is_empty() {
        return Some(NO_HOST);
    }
    let port = place.rsplit_once(':').map_or("", |(_, port)| port);
    let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !place.ends_with(']') && port.parse::<u16>().is_err()).then_some(PORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_scheme_that_is_fetched_a_host_and_a_port_that_there_is() {
        for good in [
            "https://h/a.git",
            "http://h:8080/a@b:99999",
            "ssh://git@h:22/a",
            "git+ssh://git@h/a",
            "git://[2001:db8::1]/a",
            "https://[2001:db8::99999]:443/a",
            "git@h:team/a.git",
            "h:a",
        ] {
            assert_eq!(address_problem(good), None, "{good}");
        }
        for (bad, reason) in [
            ("file:///srv/a", LOCAL),
            ("/srv/a", LOCAL),
            ("../a:b", LOCAL),
            ("team/web", LOCAL),
            ("", LOCAL),
            ("ftp://h/a", SCHEME),
            ("https:///a", NO_HOST),
            ("http://h:99999/a", PORT),
            ("ssh://git@[::1]:70000/a", PORT),
        ] {
            assert_eq!(address_problem(bad), Some(reason), "{bad}");
        }
    }

    #[test]
    fn a_revision_is_a_name_or_an_id_and_no_expression_of_git() {
        for good in ["main", "refs/heads/a@b", "v1.2-rc.1", "0123abcd"] {
            assert!(is_revision(good), "{good}");
        }
        for bad in ["", "a:b", "main~1", "main^", "+main", "refs/*", "a b", "a\\b"] {
            assert!(!is_revision(bad), "{bad}");
        }
    }
}
