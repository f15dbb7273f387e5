//! `checkout` against a real Git server.

use dcanary_protocol::plan::Action;
use dcanary_protocol::report::StepOutcome;

use crate::git_server::GitServer;
use crate::pod::Pod;

pub fn checkout(url: &str, revision: &str) -> Action {
    Action::Checkout {
        url: url.to_owned(),
        revision: revision.to_owned(),
        depth: 1,
        submodules: 0,
        path: String::new(),
        credentials: None,
    }
}

pub fn with(
    action: Action,
    change: impl FnOnce(&mut u32, &mut u32, &mut String, &mut Option<String>),
) -> Action {
    let Action::Checkout {
        url,
        revision,
        mut depth,
        mut submodules,
        mut path,
        mut credentials,
    } = action
    else {
        panic!("no checkout")
    };
    change(&mut depth, &mut submodules, &mut path, &mut credentials);
    Action::Checkout {
        url,
        revision,
        depth,
        submodules,
        path,
        credentials,
    }
}

#[tokio::test]
async fn exactly_the_named_commit_is_checked_out() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let wanted = repository.commit(&[
        ("a.txt", "first\n"),
        ("dir/run.sh", "#!/bin/sh\n"),
        (".dcanary/pipeline.yml", "x\n"),
    ]);
    repository.commit(&[("a.txt", "second\n")]);
    repository.git(&["update-index", "--chmod=+x", "dir/run.sh"]);
    let pod = Pod::new()
        .await
        .step(checkout(&format!("{}/app", server.url), &wanted))
        .run_step("cat a.txt .dcanary/pipeline.yml; git rev-parse HEAD; git status --short; git log --oneline | wc -l; git remote get-url origin");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
    let output = pod.double.output(1);
    assert_eq!(output, format!("first\nx\n{wanted}\n1\n{}/app\n", server.url));
}

#[tokio::test]
async fn a_branch_or_tag_is_checked_out_and_a_missing_one_named() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    repository.commit(&[("a.txt", "tagged\n")]);
    repository.git(&["tag", "-a", "v1", "-m", "one"]);
    repository.commit(&[("a.txt", "newest\n")]);
    let url = format!("{}/app", server.url);
    let mut pod = Pod::new().await;
    for (number, revision) in ["main", "refs/heads/main", "v1", "absent", "main:main"]
        .iter()
        .enumerate()
    {
        pod = pod
            .step(with(checkout(&url, revision), |_, _, path, _| {
                *path = number.to_string();
            }))
            .with(|step| step.condition = Some("always()".into()));
    }
    let end = pod.run().await;
    let read = |folder: &str| std::fs::read_to_string(pod.workspace().join(folder).join("a.txt")).unwrap();
    assert_eq!(
        [read("0"), read("1"), read("2")],
        ["newest\n", "newest\n", "tagged\n"],
        "{:?}",
        end.report
    );
    assert!(
        end.message(3).contains("`absent` does not exist"),
        "{}",
        end.message(3)
    );
    assert!(
        end.message(4).contains("`main:main` does not exist"),
        "{}",
        end.message(4)
    );
}

#[tokio::test]
async fn a_branch_named_like_a_tag_does_not_take_its_place_and_a_tag_may_be_named_by_its_id() {
    for server in [GitServer::start().await, GitServer::old().await] {
        let repository = server.repository("app");
        repository.commit(&[("a.txt", "tagged\n")]);
        repository.git(&["tag", "-a", "v1", "-m", "one"]);
        let tag = repository.git(&["rev-parse", "refs/tags/v1"]);
        repository.commit(&[("a.txt", "newest\n")]);
        repository.git(&["branch", "v1"]);
        let url = format!("{}/app", server.url);
        let mut pod = Pod::new().await;
        let revisions = ["v1", "refs/heads/v1", "heads/v1", &tag];
        for (number, revision) in revisions.into_iter().enumerate() {
            pod = pod.step(with(checkout(&url, revision), |_, _, path, _| {
                *path = number.to_string();
            }));
        }
        let end = pod.run().await;
        let read = |folder: usize| {
            let file = pod.workspace().join(folder.to_string()).join("a.txt");
            std::fs::read_to_string(file).unwrap_or_default()
        };
        assert_eq!(
            [read(0), read(1), read(2), read(3)],
            ["tagged\n", "newest\n", "newest\n", "tagged\n"],
            "{:?}",
            end.report
        );
    }
}

#[tokio::test]
async fn history_is_as_deep_as_asked() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let mut last = String::new();
    for number in 0..5 {
        last = repository.commit(&[("a.txt", &number.to_string())]);
    }
    let url = format!("{}/app", server.url);
    let mut pod = Pod::new().await;
    for depth in [1, 3, 0] {
        pod = pod.step(with(checkout(&url, &last), |of, _, path, _| {
            *of = depth;
            *path = format!("d{depth}");
        }));
    }
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
    for (depth, commits) in [(1, "1"), (3, "3"), (0, "5")] {
        let output = std::process::Command::new("git")
            .args(["-c", "safe.directory=*", "rev-list", "--count", "HEAD"])
            .current_dir(pod.workspace().join(format!("d{depth}")))
            .output()
            .unwrap();
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).trim(),
            commits,
            "depth {depth}"
        );
    }
}

#[tokio::test]
async fn a_commit_behind_the_refs_is_found_on_a_server_that_gives_out_refs_only() {
    let server = GitServer::old().await;
    let repository = server.repository("app");
    let wanted = repository.commit(&[("a.txt", "older\n")]);
    repository.commit(&[("a.txt", "newer\n")]);
    let url = format!("{}/app", server.url);
    let pod = Pod::new()
        .await
        .step(checkout(&url, &wanted))
        .run_step("cat a.txt");
    let end = pod.run().await;
    assert_eq!(pod.double.output(1), "older\n", "{:?}", end.report);
    let pod = Pod::new().await.step(checkout(&url, &"12".repeat(20)));
    let end = pod.run().await;
    assert_eq!(end.report().reason, "CheckoutFailed");
    assert!(end.message(0).contains("is not in"), "{}", end.message(0));
}

#[tokio::test]
async fn submodules_are_checked_out_to_the_asked_level() {
    let server = GitServer::start().await;
    let (app, lib, core) = (
        server.repository("app"),
        server.repository("lib"),
        server.repository("core"),
    );
    let core_commit = core.commit(&[("core.txt", "core\n")]);
    lib.commit(&[("lib.txt", "lib\n")]);
    lib.link("deps/core", &format!("{}/core", server.url), &core_commit);
    let lib_commit = lib.commit_index();
    app.commit(&[("app.txt", "app\n")]);
    app.link("vendor/lib", "../lib", &lib_commit);
    let commit = app.commit_index();
    for (levels, expected, status) in [
        (0, [false, false], [1, 1]),
        (1, [true, false], [2, 1]),
        (2, [true, true], [2, 0]),
    ] {
        let pod = Pod::new().await.step(with(
            checkout(&format!("{}/app", server.url), &commit),
            |_, of, _, _| *of = levels,
        ));
        let pod = pod.run_step("git submodule status --recursive");
        let end = pod.run().await;
        assert_eq!(end.code, Some(0), "{:?}", end.report);
        let is = |path: &str| pod.workspace().join(path).exists();
        assert_eq!(
            [is("vendor/lib/lib.txt"), is("vendor/lib/deps/core/core.txt")],
            expected,
            "{levels}"
        );
        // git marks with `-` what it takes for not checked out
        let output = pod.double.output(1);
        let open = output.lines().filter(|line| line.starts_with('-')).count();
        assert_eq!([output.lines().count(), open], status, "{output}");
        if levels < 2 {
            assert!(
                pod.double.output(0).contains("left out 1 submodules"),
                "{}",
                pod.double.output(0)
            );
        }
    }
}

#[tokio::test]
async fn a_token_is_shown_to_its_host_only_and_a_wrong_one_named() {
    let server = GitServer::guarded("ci:right").await;
    let repository = server.repository("app");
    let commit = repository.commit(&[("a.txt", "private\n")]);
    let url = format!("{}/app", server.url);
    let ca = server.ca.clone().unwrap();
    for (host, token, expected) in [
        ("localhost", Some("right"), ""),
        ("localhost", Some("wrong"), "localhost refused the credentials"),
        ("other.example", Some("right"), "there are none for this host"),
        ("localhost", None, "there are none for this host"),
    ] {
        let mut pod = Pod::new().await;
        let folder = pod.folder.path().join("credentials");
        std::fs::create_dir_all(folder.join(host)).unwrap();
        if let Some(token) = token {
            std::fs::write(folder.join(host).join("token"), token).unwrap();
            std::fs::write(folder.join(host).join("username"), "ci\n").unwrap();
        }
        let authority = pod.folder.path().join("ca.pem");
        std::fs::write(&authority, &ca).unwrap();
        pod.variables
            .push(("GIT_SSL_CAINFO".into(), authority.to_str().unwrap().into()));
        let pod = pod.step(with(checkout(&url, &commit), |_, _, _, credentials| {
            *credentials = Some(folder.to_str().unwrap().to_owned());
        }));
        server.requests.lock().unwrap().clear();
        let end = pod.run().await;
        let shown = server
            .requests
            .lock()
            .unwrap()
            .iter()
            .any(|request| request.contains(" Basic "));
        assert_eq!(shown, host == "localhost" && token.is_some());
        if expected.is_empty() {
            assert_eq!(end.code, Some(0), "{:?}", end.report);
            assert!(
                !std::fs::read_to_string(pod.workspace().join(".git/config"))
                    .unwrap()
                    .contains("right")
            );
        } else {
            assert!(end.message(0).contains(expected), "{}", end.message(0));
        }
    }
    let pod = Pod::new().await.step(checkout(&url, &commit));
    let end = pod.run().await;
    assert_eq!(end.code, Some(1));
    assert!(
        end.message(0).to_lowercase().contains("certificate"),
        "{}",
        end.message(0)
    );
}

/// A checkout from a server that takes the connection and is silent, and a step that runs whatever comes of it.
async fn from_a_silent_server(scheme: &str) -> Vec<StepOutcome> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("{scheme}://{}/app", listener.local_addr().unwrap());
    let pod = Pod::new()
        .await
        .step(checkout(&url, "main"))
        .with(|step| step.timeout_seconds = 1)
        .run_step("test ! -e .git")
        .with(|step| step.condition = Some("always()".into()));
    let end = pod.run().await;
    assert_eq!(end.report().reason, "StepTimedOut");
    end.outcomes()
}

#[tokio::test]
async fn a_checkout_ends_when_its_time_is_over_and_leaves_nothing_for_the_steps_that_follow() {
    let outcomes = from_a_silent_server("http").await;
    assert_eq!(outcomes, [StepOutcome::TimedOut, StepOutcome::Succeeded]);
}

#[tokio::test]
async fn no_step_runs_beside_a_checkout_that_cannot_be_ended() {
    let outcomes = from_a_silent_server("git").await;
    assert_eq!(outcomes, [StepOutcome::TimedOut, StepOutcome::Skipped]);
}
