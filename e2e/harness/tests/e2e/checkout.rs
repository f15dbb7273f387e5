//! Checkouts that need credentials.

use anyhow::{Result, ensure};
use dcanary_harness::{
    fixtures::{BUSYBOX, LIMIT, run_with},
    git_server, scenario,
};
use serde_json::{Value, json};

const TOKEN: &str = "t0ken-of-the-git-server";

/// A stage that checks one repository out, with the credentials of a Secret, and shows a file of it.
fn checks_out(name: &str, repo: &str, secret: Option<&str>) -> Value {
    let mut checkout = json!({"repo": repo, "ref": "main"});
    if let Some(secret) = secret {
        checkout["credentials"] = json!(secret);
    }
    json!({"name": name, "image": BUSYBOX, "optional": true, "steps": [{"checkout": checkout}, {"run": "cat hello"}]})
}

fn secret(name: &str, data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string()
}

/// The stage that should have worked did, and the others say why not.
async fn outcome(
    ns: &dcanary_harness::Namespace,
    run: &str,
    refused: &[(&str, &str)],
    hidden: &[&str],
) -> Result<()> {
    let view = ns.finished(run, LIMIT).await?;
    assert_eq!(
        view.outcomes("right")?,
        [("Succeeded", "Succeeded")],
        "{:#}",
        view.status()
    );
    for (stage, why) in refused {
        assert_eq!(
            view.outcomes(stage)?,
            [("Failed", "CheckoutFailed")],
            "{:#}",
            view.status()
        );
        let message = view.attempt(stage)?.to_string();
        ensure!(message.contains(why), "{stage}: {message}");
    }
    let log = ns.logs(run).await?;
    ensure!(log.contains("right | checked out by its credentials"), "{log}");
    for text in hidden {
        ensure!(!log.contains(text), "{text} is in the log: {log}");
        ensure!(!view.0.to_string().contains(text), "{text} is in the run");
    }
    ns.verified(run).await
}

#[tokio::test]
async fn https_takes_the_token_and_the_authority_of_its_host_and_nothing_less() -> Result<()> {
    scenario("checkout-https", |ns| async move {
        let repository = git_server::bare(
            "guarded.git",
            "main",
            &[("hello", "checked out by its credentials\n")],
        )
        .await?;
        let login = format!("builder:{TOKEN}");
        let authority = git_server::serve_https(&ns, &repository, &login).await?;
        for (name, data) in [
            (
                "right",
                json!({"username": "builder", "token": TOKEN, "ca.crt": authority}),
            ),
            (
                "wrong-token",
                json!({"username": "builder", "token": "guessed", "ca.crt": authority}),
            ),
            ("no-token", json!({"ca.crt": authority})),
            ("no-authority", json!({"username": "builder", "token": TOKEN})),
        ] {
            ns.apply(&secret(name, &data)).await?;
        }
        let repo = "https://git-https:8443/guarded.git";
        let stages = ["right", "wrong-token", "no-token", "no-authority"]
            .map(|name| checks_out(name, repo, Some(name)));
        ns.apply(&run_with("https", &json!({"pipelineSpec": {"stages": stages}})))
            .await?;
        let refused = [
            ("wrong-token", "git-https refused the credentials"),
            ("no-token", "git-https asks for credentials"),
            ("no-authority", "cannot be fetched"),
        ];
        outcome(&ns, "https", &refused, &[TOKEN]).await
    })
    .await
}

#[tokio::test]
async fn ssh_takes_the_key_of_its_host_and_only_the_pinned_host_key() -> Result<()> {
    scenario("checkout-ssh", |ns| async move {
        let repository = git_server::bare(
            "guarded.git",
            "main",
            &[("hello", "checked out by its credentials\n")],
        )
        .await?;
        let login = git_server::serve_ssh(&ns, &repository).await?;
        // well-formed, and of nobody
        let other =
            "[git-ssh]:2222 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB";
        for (name, data) in [
            (
                "right",
                json!({"ssh-privatekey": login.key, "known_hosts": login.known_hosts}),
            ),
            (
                "other-host",
                json!({"ssh-privatekey": login.key, "known_hosts": other}),
            ),
            ("no-pin", json!({"ssh-privatekey": login.key})),
        ] {
            ns.apply(&secret(name, &data)).await?;
        }
        let repo = "ssh://builder@git-ssh:2222/workspace/guarded.git";
        let stages = ["right", "other-host", "no-pin"].map(|name| checks_out(name, repo, Some(name)));
        ns.apply(&run_with("ssh", &json!({"pipelineSpec": {"stages": stages}})))
            .await?;
        let refused = [
            ("other-host", "the host key of git-ssh is not the pinned one"),
            ("no-pin", "git-ssh has no pinned host key"),
        ];
        let key = login.key.lines().nth(1).unwrap_or_default();
        ensure!(key.len() > 40, "no key: {key}");
        outcome(&ns, "ssh", &refused, &[key]).await
    })
    .await
}
