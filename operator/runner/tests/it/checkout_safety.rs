//! What `checkout` refuses.

use crate::checkout::{checkout, with};
use crate::git_server::GitServer;
use crate::pod::Pod;

#[tokio::test]
async fn files_behind_lfs_are_refused_by_name() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let commit = repository.commit(&[
        (
            "sub/.gitattributes",
            "*.bin filter=lfs diff=lfs merge=lfs -text\n",
        ),
        (
            "sub/big.bin",
            "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n",
        ),
        ("other.bin", "plain"),
    ]);
    let pod = Pod::new()
        .await
        .step(checkout(&format!("{}/app", server.url), &commit));
    let end = pod.run().await;
    assert!(
        end.message(0).contains("`sub/big.bin` is stored with Git LFS"),
        "{}",
        end.message(0)
    );
    assert!(end.message(0).contains("1 such files"), "{}", end.message(0));
    assert!(!pod.workspace().join("sub/big.bin").exists());
}

#[tokio::test]
async fn submodules_that_point_to_local_places_or_run_commands_are_refused() {
    let server = GitServer::start().await;
    let lib = server.repository("lib");
    let lib_commit = lib.commit(&[("lib.txt", "lib\n")]);
    let local = format!("file://{}", lib.path.display());
    for url in [
        local.as_str(),
        lib.path.to_str().unwrap(),
        "ext::sh -c true",
        "../../../../etc",
    ] {
        let app = server.repository(&format!("app-{}", url.len()));
        app.link("lib", url, &lib_commit);
        let commit = app.commit_index();
        let name = app.path.file_name().unwrap().to_str().unwrap().to_owned();
        let pod = Pod::new().await.step(with(
            checkout(&format!("{}/{name}", server.url), &commit),
            |_, of, _, _| *of = 1,
        ));
        let end = pod.run().await;
        assert_eq!(end.report().reason, "CheckoutFailed", "{url}");
        assert!(
            end.message(0).starts_with("submodule `lib`"),
            "{}",
            end.message(0)
        );
        assert!(!pod.workspace().join("lib/lib.txt").exists());
    }
    let app = server.repository("commands");
    app.link("lib", "../lib", &lib_commit);
    std::fs::write(
        app.path.join(".gitmodules"),
        "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib\n\tupdate = !touch pwned\n",
    )
    .unwrap();
    app.git(&["add", ".gitmodules"]);
    let commit = app.commit_index();
    let pod = Pod::new().await.step(with(
        checkout(&format!("{}/commands", server.url), &commit),
        |_, of, _, _| *of = 1,
    ));
    let end = pod.run().await;
    assert!(
        end.message(0).starts_with("submodule `lib`"),
        "{}",
        end.message(0)
    );
    assert!(!pod.workspace().join("pwned").exists());
}

#[tokio::test]
async fn trees_that_write_into_git_or_out_of_the_workspace_are_refused() {
    let server = GitServer::start().await;
    let repository = server.repository("evil");
    let blob = repository.git_with(&["hash-object", "-w", "--stdin"], "evil");
    let link = repository.git_with(&["hash-object", "-w", "--stdin"], "../../outside");
    let inner = repository.git_with(&["mktree"], &format!("100644 blob {blob}\tfile\n"));
    let url = format!("{}/evil", server.url);
    for (name, tree) in [
        ("git", format!("040000 tree {inner}\t.git\n")),
        ("upper", format!("040000 tree {inner}\t.GIT\n")),
        ("ntfs", format!("040000 tree {inner}\tgit~1\n")),
        ("parent", format!("040000 tree {inner}\t..\n")),
        ("dot", format!("100644 blob {blob}\t.\n")),
        (
            "through",
            format!("120000 blob {link}\ta\n040000 tree {inner}\ta\n"),
        ),
    ] {
        let tree = raw_tree(&repository, &tree);
        let commit = repository.git(&["commit-tree", &tree, "-m", name]);
        repository.git(&["update-ref", &format!("refs/heads/{name}"), &commit]);
        let pod = Pod::new()
            .await
            .step(with(checkout(&url, &commit), |_, _, path, _| {
                *path = "in/here".into();
            }));
        let end = pod.run().await;
        assert!(!pod.folder.path().join("outside").exists(), "{name}");
        assert!(!pod.workspace().join("in/file").exists(), "{name}");
        assert!(!pod.workspace().join("in/here/.git/file").exists(), "{name}");
        assert_eq!(end.code, Some(1), "{name}: {:?}", end.report);
        assert_eq!(end.report().reason, "CheckoutFailed", "{name}");
    }
}

/// A tree object as it is written here; `git mktree` would refuse some.
fn raw_tree(repository: &crate::git_server::Repository, lines: &str) -> String {
    let mut bytes = Vec::new();
    for line in lines.lines() {
        let (head, name) = line.split_once('\t').unwrap();
        let words: Vec<&str> = head.split(' ').collect();
        bytes.extend_from_slice(format!("{} {name}\0", words[0].trim_start_matches('0')).as_bytes());
        bytes.extend(hex::decode(words[2]).unwrap());
    }
    let file = repository.path.join("tree.raw");
    std::fs::write(&file, bytes).unwrap();
    repository.git(&[
        "hash-object",
        "-w",
        "-t",
        "tree",
        "--literally",
        file.to_str().unwrap(),
    ])
}

#[tokio::test]
async fn addresses_that_are_not_fetched_are_named() {
    let mut pod = Pod::new().await;
    for url in [
        "file:///srv/app",
        "/srv/app",
        "https://u:secret@h/app",
        "http://127.0.0.1:1/app",
        "https://secret@h/app",
    ] {
        pod = pod
            .step(checkout(url, "main"))
            .with(|step| step.condition = Some("always()".into()));
    }
    let end = pod.run().await;
    assert!(
        end.message(0).contains("only https, http, ssh and git"),
        "{}",
        end.message(0)
    );
    assert!(
        end.message(2).contains("password") && !end.message(2).contains("secret"),
        "{}",
        end.message(2)
    );
    assert!(
        end.message(3).contains("127.0.0.1:1/app` cannot be fetched"),
        "{}",
        end.message(3)
    );
    assert!(
        end.message(4).contains("user name, which may be a token") && !end.message(4).contains("secret@"),
        "{}",
        end.message(4)
    );
}

#[tokio::test]
async fn a_checkout_never_overwrites_what_is_there() {
    let server = GitServer::start().await;
    let commit = server.repository("app").commit(&[("a.txt", "theirs\n")]);
    let url = format!("{}/app", server.url);
    let pod = Pod::new()
        .await
        .run_step("echo mine > a.txt")
        .step(checkout(&url, &commit))
        .with(|step| step.continue_on_error = true)
        .run_step("cat a.txt; rm a.txt")
        .step(checkout(&url, &commit))
        .step(checkout(&url, &commit));
    let end = pod.run().await;
    assert!(
        end.message(1).contains("`a.txt` cannot be written"),
        "{}",
        end.message(1)
    );
    assert_eq!(pod.double.output(2), "mine\n");
    assert_eq!(
        end.message(3),
        "",
        "a checkout that failed leaves nothing in the way"
    );
    assert!(
        end.message(4).contains("is a repository already"),
        "{}",
        end.message(4)
    );
}

#[tokio::test]
async fn hooks_and_filters_of_a_repository_never_run() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let commit = repository.commit(&[
        (".gitattributes", "* filter=evil\n"),
        (".gitconfig", "[filter \"evil\"]\n\tsmudge = touch pwned\n"),
        (".githooks/post-checkout", "#!/bin/sh\ntouch pwned\n"),
        ("a.txt", "a\n"),
    ]);
    let pod = Pod::new()
        .await
        .step(checkout(&format!("{}/app", server.url), &commit))
        .run_step("cat a.txt");
    let end = pod.run().await;
    assert_eq!(end.code, Some(0), "{:?}", end.report);
    assert!(!pod.workspace().join("pwned").exists());
}

#[tokio::test]
async fn a_commit_brings_no_files_of_the_runner() {
    let server = GitServer::start().await;
    let repository = server.repository("app");
    let lib = server.repository("lib");
    let lib_commit = lib.commit(&[("home/.gitconfig", "[alias]\n\tst = !evil\n")]);
    let url = format!("{}/app", server.url);
    let blob = repository.git_with(&["hash-object", "-w", "--stdin"], "evil");
    let commit_of = |entries: &[&str]| {
        repository.git(&["read-tree", "--empty"]);
        for entry in entries {
            repository.git(&["update-index", "--add", "--cacheinfo", entry]);
        }
        let tree = repository.git(&["write-tree"]);
        let commit = repository.git(&["commit-tree", &tree, "-m", "x"]);
        repository.git(&["update-ref", &format!("refs/heads/{commit}"), &commit]);
        commit
    };
    for (path, mode) in [
        (".dcanary/home/.gitconfig", "100644"),
        (".dcanary/spool", "100644"),
        (".dcanary/steps/0/script", "100755"),
        (".dcanary/home", "120000"),
        (".dcanary", "120000"),
        (".dcanary", "160000"),
    ] {
        let object = if mode == "160000" { &lib_commit } else { &blob };
        let commit = commit_of(&[&format!("{mode},{object},{path}")]);
        let pod = Pod::new()
            .await
            .step(with(checkout(&url, &commit), |_, of, directory, _| {
                *of = 1;
                *directory = "src".into();
            }))
            .step(with(checkout(&url, &commit), |_, of, _, _| *of = 1));
        let end = pod.run().await;
        assert_eq!(
            end.message(0),
            "",
            "{path} does no harm in a directory of its own"
        );
        assert!(
            end.message(1).contains(&format!("the commit holds `{path}`")),
            "{path}: {}",
            end.message(1)
        );
        let settings = pod.workspace().join(".dcanary/home/.gitconfig");
        let settings = std::fs::read_to_string(settings).unwrap();
        assert!(
            settings.starts_with("[safe]") && !settings.contains("evil"),
            "{path}: {settings}"
        );
    }
    let commit = commit_of(&[&format!("100644,{blob},.dcanary/pipeline.yml")]);
    let pod = Pod::new().await.step(checkout(&url, &commit)).step(with(
        checkout(&url, &commit),
        |_, _, directory, _| {
            *directory = ".dcanary/home".into();
        },
    ));
    let end = pod.run().await;
    assert_eq!(end.message(0), "", "the pipeline is the user's");
    assert!(
        end.message(1).contains("is a folder of the runner"),
        "{}",
        end.message(1)
    );
}

#[tokio::test]
async fn more_than_200_submodules_are_refused_before_the_first_is_fetched() {
    let server = GitServer::start().await;
    let lib = server.repository("lib");
    let commit = lib.commit(&[("lib.txt", "lib\n")]);
    let url = format!("{}/app", server.url);
    let app = server.repository("app");
    let modules: String = (0..201)
        .map(|n| format!("[submodule \"m{n}\"]\n\tpath = m{n}\n\turl = ../lib\n"))
        .collect();
    std::fs::write(app.path.join(".gitmodules"), modules).unwrap();
    app.git(&["add", ".gitmodules"]);
    let index: String = (0..201).map(|n| format!("160000 {commit}\tm{n}\n")).collect();
    app.git_with(&["update-index", "--index-info"], &index);
    let commit = app.commit_index();
    let pod = Pod::new()
        .await
        .step(with(checkout(&url, &commit), |_, of, _, _| *of = 1));
    let end = pod.run().await;
    assert_eq!(end.message(0), "more than 200 submodules");
    let requests = server.requests.lock().unwrap();
    assert!(
        !requests.iter().any(|request| request.contains("/lib/")),
        "{requests:?}"
    );
}
