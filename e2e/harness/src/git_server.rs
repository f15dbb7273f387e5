//! Git servers in the namespace of a test, made of the builder image.
//!
//! ```text
//! git://git-server/<repository>                                 everybody
//! https://git-https:8443/<repository>                           one login, an authority of its own
//! http://<address of its Pod>:8080/<repository>                 everybody, who may also push
//! ssh://builder@git-ssh:2222/workspace/<repository>             one key, one host key
//! ```

use std::{path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api,
    api::AttachParams,
    runtime::{
        conditions,
        wait::{Condition, await_condition},
    },
};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, process::Command};

use crate::{Namespace, cluster::repository, exec::sh, fixtures::BUILDER, system::ready};

const START: Duration = Duration::from_secs(90);
const PLAIN: &str = "git-server";
const HTTPS: &str = "git-https";
const HTTP: &str = "git-http";
const SSH: &str = "git-ssh";

/// Makes its keys first; a server that is not root serves its own user only.
const SSHD: &str = "cd /workspace
for key in host client; do ssh-keygen -q -t ed25519 -N '' -C '' -f $key; done
cp client.pub authorized
printf '%s\\n' 'Port 2222' 'HostKey /workspace/host' 'AuthorizedKeysFile /workspace/authorized' 'PasswordAuthentication no' \\
  'UsePAM no' 'StrictModes no' 'PidFile none' 'AcceptEnv GIT_PROTOCOL' > sshd_config
exec /usr/sbin/sshd -D -e -f sshd_config";

/// What a client needs for the server of [`serve_ssh`].
pub struct SshLogin {
    /// Private key.
    pub key: String,
    /// Line for `known_hosts`.
    pub known_hosts: String,
}

/// Serves the bare repositories of a tar to everybody.
///
/// # Errors
/// When the Pod does not start, or the tar cannot be sent.
pub async fn serve(ns: &Namespace, repositories: &[u8]) -> Result<()> {
    let command = "exec git daemon --export-all --base-path=/workspace --reuseaddr";
    start(ns, PLAIN, 9418, command, json!({}), repositories).await
}

/// Serves them by HTTPS for one login (`user:token`). Returns the certificate of the authority.
///
/// # Errors
/// When the Pod does not start, or the tar cannot be sent.
pub async fn serve_https(ns: &Namespace, repositories: &[u8], login: &str) -> Result<String> {
    let fixtures = repository().join("e2e/harness/fixtures");
    let folder = tempfile::tempdir()?;
    let made = Command::new(fixtures.join("tls.sh"))
        .arg(HTTPS)
        .arg(folder.path())
        .output()
        .await?;
    ensure!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let read = |place: &Path, file: &str| std::fs::read_to_string(place.join(file));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": HTTPS},
        "stringData": {
            "tls.crt": read(folder.path(), "tls.crt")?, "tls.key": read(folder.path(), "tls.key")?,
            "server.py": read(&fixtures, "git_https.py")?, "login": login,
        },
    });
    ns.apply(&secret.to_string()).await?;
    let mounted = json!({
        "env": [{"name": "LOGIN", "valueFrom": {"secretKeyRef": {"name": HTTPS, "key": "login"}}}],
        "volumeMounts": [{"name": "server", "mountPath": "/server", "readOnly": true}],
    });
    start(
        ns,
        HTTPS,
        8443,
        "exec python3 /server/server.py",
        mounted,
        repositories,
    )
    .await?;
    Ok(read(folder.path(), "ca.crt")?)
}

/// Serves them by HTTP to everybody, who may also push. Returns the Pod's address, which this machine reaches too.
///
/// # Errors
/// When the Pod does not start, or the tar cannot be sent.
pub async fn serve_http(ns: &Namespace, repositories: &[u8]) -> Result<String> {
    let server = std::fs::read_to_string(repository().join("e2e/harness/fixtures/git_https.py"))?;
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": HTTP}, "stringData": {"server.py": server},
    });
    ns.apply(&secret.to_string()).await?;
    let mounted = json!({"volumeMounts": [{"name": "server", "mountPath": "/server", "readOnly": true}]});
    let command = "for each in /workspace/*; do git -C \"$each\" config http.receivepack true; done
exec python3 /server/server.py";
    start(ns, HTTP, 8080, command, mounted, repositories).await?;
    // not that of the Service, which leads to a Pod some moments after it is ready
    let pod = ns.api::<Pod>().get(HTTP).await?;
    let address = pod.status.and_then(|status| status.pod_ip).context("podIP")?;
    Ok(format!("http://{address}:8080"))
}

/// Serves them by SSH for one key.
///
/// # Errors
/// When the Pod does not start, or the tar cannot be sent.
pub async fn serve_ssh(ns: &Namespace, repositories: &[u8]) -> Result<SshLogin> {
    start(ns, SSH, 2222, SSHD, json!({}), repositories).await?;
    let pods: Api<Pod> = ns.api();
    let host = sh(&pods, SSH, "cat /workspace/host.pub").await?;
    Ok(SshLogin {
        key: sh(&pods, SSH, "cat /workspace/client").await?,
        known_hosts: format!("[{SSH}]:2222 {host}"),
    })
}

/// A tar with one bare repository: one commit on one branch.
///
/// # Errors
/// When git refuses.
pub async fn bare(name: &str, branch: &str, files: &[(&str, &str)]) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    std::fs::create_dir(&tree)?;
    for (file, content) in files {
        std::fs::write(tree.join(file), content)?;
    }
    let author = ["-c", "user.name=E2E", "-c", "user.email=e2e@example.com"];
    run(&tree, "git", &["init", "-q", "-b", branch]).await?;
    run(&tree, "git", &["add", "-A"]).await?;
    run(
        &tree,
        "git",
        &[&author[..], &["commit", "-q", "-m", "one"]].concat(),
    )
    .await?;
    run(folder.path(), "git", &["clone", "-q", "--bare", "tree", name]).await?;
    run(folder.path(), "tar", &["-c", name]).await
}

pub(crate) async fn run(folder: &Path, program: &str, words: &[&str]) -> Result<Vec<u8>> {
    let output = Command::new(program)
        .args(words)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .await
        .with_context(|| format!("start {program}"))?;
    ensure!(
        output.status.success(),
        "{program} {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

/// The server starts when the repositories have come in by standard input.
async fn start(
    ns: &Namespace,
    name: &str,
    port: u16,
    command: &str,
    more: Value,
    repositories: &[u8],
) -> Result<()> {
    let mut container = json!({
        "name": "git", "image": BUILDER, "imagePullPolicy": "Never", "stdin": true, "stdinOnce": true,
        "command": ["sh", "-ec", format!("tar -x -C /workspace\n{command}")],
        "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
        "ports": [{"containerPort": port}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 1},
    });
    let secret = more.get("volumeMounts").is_some();
    if let (Some(container), Value::Object(more)) = (container.as_object_mut(), more) {
        container.extend(more);
    }
    let volumes = if secret {
        json!([{"name": "server", "secret": {"secretName": name}}])
    } else {
        json!([])
    };
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [container], "volumes": volumes,
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
    });
    ns.apply(&format!("{pod}\n---\n{service}")).await?;
    let pods: Api<Pod> = ns.api();
    until(&pods, name, "start", conditions::is_pod_running()).await?;
    let params = AttachParams::default()
        .stdin(true)
        .stdout(false)
        .stderr(true)
        .container("git");
    let mut attached = pods.attach(name, &params).await?;
    let mut stdin = attached.stdin().context("standard input of the Git server")?;
    stdin.write_all(repositories).await?;
    stdin.shutdown().await?;
    drop(stdin);
    until(&pods, name, "become ready", ready()).await
}

async fn until(pods: &Api<Pod>, name: &str, what: &str, condition: impl Condition<Pod>) -> Result<()> {
    tokio::time::timeout(START, await_condition(pods.clone(), name, condition))
        .await
        .with_context(|| format!("{name} did not {what} in {START:?}"))?
        .with_context(|| format!("watch {name}"))?;
    Ok(())
}
