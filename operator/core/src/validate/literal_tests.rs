//! Of fields that are taken as they are written.

use super::tests::{DIAMOND, has, problems};

#[test]
fn credentials_go_to_a_host_that_is_written_out() {
    let step = |checkout: &str| DIAMOND.replace("checkout: {}", &format!("checkout: {{{checkout}}}"));
    let place = "spec.stages[0].steps[0].checkout.credentials";
    for repo in [
        "https://$(params.version)/web.git",
        "$(params.version)",
        "https://[::1/web.git",
        "https://git.example.com:$(params.version)/web.git",
    ] {
        let yaml = step(&format!("repo: '{repo}', credentials: git-login"));
        has(&yaml, place, "must be written out in `repo`");
        let without = problems(&step(&format!("repo: '{repo}'")));
        assert_eq!(without, Vec::<String>::new(), "{repo}");
    }
    for repo in [
        "https://git_server/$(params.version).git",
        "https://[2001:db8::1]:8443/web.git",
        "git@git.example.com:web.git",
    ] {
        let yaml = step(&format!("repo: '{repo}', credentials: git-login"));
        assert_eq!(problems(&yaml), Vec::<String>::new(), "{repo}");
    }
    let source = DIAMOND.replace(
        "https://git.example.com/web.git\"",
        "/srv/web.git\", credentials: git-login",
    );
    has(
        &source,
        "spec.source.credentials",
        "must be written out in `repo`",
    );
}
