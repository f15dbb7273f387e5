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
