//! Where the Secret for a Git host is, below the folder that a plan names: `<folder>/<host>/{token,username,ssh-privatekey,…}`. The operator
//! mounts it there and the runner looks for it there.

use core::net::Ipv6Addr;

/// The folder of a host: its name in small letters, as hosts have no case and folders have; and of an IPv6 address, with brackets or
/// without, the shortest spelling in brackets with `_` for `:`, which the path of a mount cannot have. None for what is no host, which never
/// becomes a path.
pub fn folder(host: &str) -> Option<String> {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Ok(address) = inner.unwrap_or(host).parse::<Ipv6Addr>() {
        return Some(format!("[{}]", address.to_string().replace(':', "_")));
    }
    let proper = !host.is_empty()
        && !host.starts_with('.')
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
    proper.then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_one_folder_however_it_is_spelt_and_what_is_no_host_has_none() {
        for (host, expected) in [
            ("Git.Example.com", Some("git.example.com")),
            ("git_server", Some("git_server")),
            ("[2001:DB8:0::1]", Some("[2001_db8__1]")),
            ("2001:db8::1", Some("[2001_db8__1]")),
            ("::1", Some("[__1]")),
            ("fe80::1%25eth0", None),
            ("", None),
            (".", None),
            ("..", None),
            (".hidden", None),
            ("../git.example", None),
            ("git.example/../other", None),
            ("g\u{fc}t.example", None),
            ("$(params.host)", None),
        ] {
            assert_eq!(folder(host).as_deref(), expected, "{host}");
        }
    }
}
