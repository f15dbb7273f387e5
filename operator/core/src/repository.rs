//! Addresses of repositories. They are recorded for all to read and shown in statuses and logs, so nothing secret may be in them.

use dcanary_crds::PipelineRunSpec;

use crate::{problem::Problem, validate::expression};

/// What is wrong and what to do. It repeats nothing of the address.
const ADVICE: &str = "the URL holds a user name, password or token, which would be recorded for all to read: leave it out and give it by `credentials`, the name of a Secret with the keys `username` and `token`";
/// Digits of a commit's id in a repository with SHA-256, which the Git library cannot read.
const SHA256_DIGITS: usize = 64;
const SHA256_ADVICE: &str = "64 digits are the id of a commit in a repository with SHA-256, which cannot be checked out: only repositories with SHA-1 can, whose ids have 40";

/// What is wrong with the address at a path, if it holds what may be secret.
pub fn problem(path: impl Into<String>, url: &str) -> Option<Problem> {
    holds_secret(url).then(|| Problem::new(path, ADVICE))
}

/// What is wrong with the source of a run.
pub fn of_run(spec: &PipelineRunSpec) -> Vec<Problem> {
    let Some(source) = &spec.source else {
        return Vec::new();
    };
    let repo = source.repo.as_deref();
    let secret = repo.and_then(|repo| problem("spec.source.repo", repo));
    // a branch may have any name; no address of a repository has an expression in it
    let literal = repo
        .and_then(expression)
        .map(|message| Problem::new("spec.source.repo", message));
    let commit = source
        .commit
        .as_ref()
        .filter(|commit| commit.len() == SHA256_DIGITS)
        .map(|_| Problem::new("spec.source.commit", SHA256_ADVICE));
    secret.into_iter().chain(literal).chain(commit).collect()
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
    use dcanary_crds::RunSource;

    use super::*;

    fn of(source: RunSource) -> Vec<String> {
        let spec = PipelineRunSpec {
            source: Some(source),
            ..PipelineRunSpec::default()
        };
        of_run(&spec).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_run_names_its_repository_as_it_is_and_any_branch() {
        let source = |repo: &str, reference: &str| RunSource {
            repo: Some(repo.to_owned()),
            reference: Some(reference.to_owned()),
            commit: None,
        };
        let good = source("https://git.example.com/$(id).git", "$(params.x)");
        assert_eq!(of(good), Vec::<String>::new());
        let told = of(source("https://git.example.com/$(params.name).git", "main"));
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(
            told[0].starts_with("spec.source.repo: expressions are not replaced here"),
            "{told:#?}"
        );
    }

    #[test]
    fn a_commit_has_the_forty_digits_of_sha_1() {
        let commit = |digits: usize| {
            of(RunSource {
                commit: Some("a".repeat(digits)),
                ..RunSource::default()
            })
        };
        assert_eq!(commit(40), Vec::<String>::new());
        let told = commit(64);
        assert_eq!(told.len(), 1, "{told:#?}");
        assert!(
            told[0].starts_with("spec.source.commit: ") && told[0].contains("SHA-256"),
            "{told:#?}"
        );
    }

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
