//! Addresses of repositories. They are recorded for all to read and shown in statuses and logs, so nothing secret may be in them.

use dcanary_crds::PipelineRunSpec;

use crate::problem::Problem;

/// What is wrong and what to do. It repeats nothing of the address.
const ADVICE: &str = "the URL holds a user name, password or token, which would be recorded for all to read: leave it out and give it by `credentials`, the name of a Secret with the keys `username` and `token`";

/// What is wrong with the address at a path, if it holds what may be secret.
pub fn problem(path: impl Into<String>, url: &str) -> Option<Problem> {
    holds_secret(url).then(|| Problem::new(path, ADVICE))
}

/// The same of the source of a run.
pub fn of_run(spec: &PipelineRunSpec) -> Option<Problem> {
    let repo = spec.source.as_ref()?.repo.as_deref()?;
    problem("spec.source.repo", repo)
}

fn holds_secret(url: &str) -> bool {
    let Some((scheme, rest)) = url.split_once("://") else {
        // `git@host:path` has a user name only; `name:password@host/path` is a URL whose scheme was forgotten
        let before = url.split_once('@').map_or("", |(before, _)| before);
        return before.contains(':') && !before.contains('/');
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((user, _)) => user.contains(':') || !takes_user(scheme),
        // a password with a `/` in it ends the authority early, and is no port
        None => path.contains('@') && authority.rsplit_once(':').is_some_and(|(_, port)| !is_port(port)),
    }
}

/// Whether a user name alone is no secret. With SSH it is the key that proves who comes; elsewhere a token may be given as user name. A
/// scheme that an expression gives is looked at again once it is known.
fn takes_user(scheme: &str) -> bool {
    scheme.contains("$(") || scheme.split('+').any(|part| part.eq_ignore_ascii_case("ssh"))
}

/// Whether it can be what follows the last `:` of an authority: digits, an expression, or the end of an IPv6 address.
fn is_port(text: &str) -> bool {
    text.contains("$(") || text.ends_with(']') || text.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_is_taken_with_ssh_only_and_a_password_never() {
        for good in [
            "https://git.example.com/team/web.git",
            "http://git.example.com:8080/a@b",
            "https://[2001:db8::1]/a@b",
            "git://git-server/lz4.git",
            "ssh://git@git.example.com:22/a",
            "git+ssh://git@git.example.com/a",
            "git@git.example.com:team/web.git",
            "git@git.example.com:team/a:b@c",
            "git.example.com:team/a@b",
            "https://git.example.com/$(params.name).git",
            "https://$(params.host):$(params.port)/a@b",
            "$(params.repo)",
            "$(params.scheme)://git@git.example.com/a",
            "/srv/a",
            "",
        ] {
            assert_eq!(problem("repo", good), None, "{good}");
        }
        for bad in [
            "https://ci:s3cr3t@git.example.com/a",
            "https://s3cr3t@git.example.com/a",
            "HTTP://s3cr3t@git.example.com",
            "https://s3cr3t:@git.example.com/a@b",
            "https://ci:s3/cr3t@git.example.com/a",
            "https://ci:s3@cr3t@git.example.com?a",
            "https://ci:$(params.token)@git.example.com/a",
            "git://s3cr3t@git.example.com/a",
            "ssh://git:s3cr3t@git.example.com/a",
            "$(params.scheme)://git:s3cr3t@git.example.com/a",
            "ci:s3cr3t@git.example.com/a",
        ] {
            let told = problem("repo", bad).unwrap().to_string();
            assert!(told.starts_with("repo: ") && told.contains("Secret"), "{told}");
            assert!(!told.contains("s3") && !told.contains("git.example"), "{told}");
        }
    }
}
