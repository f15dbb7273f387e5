//! A registry that hands out nothing without a password: a real one, on this machine, for as long as a test needs it.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use dcanary_harness::{
    fixtures::{BUSYBOX, LIMIT, object, run},
    scenario,
};
use reqwest::{
    Client, Response,
    header::{ACCEPT, CONTENT_TYPE, LOCATION},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, Command},
};

const USER: &str = "user";
const PASSWORD: &str = "opensesame";
/// Of the two above, for `htpasswd`.
const HTPASSWD: &str = "user:$2y$05$abcdefghijklmnopqrstuuQbLfdQZSxZ9gjhA5V9o8Tyc6aQRO0Qi\n";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

struct Private {
    /// `127.0.0.1:PORT`: the kubelet's containerd runs on this machine, and speaks plain HTTP with it alone.
    host: String,
    client: Client,
    _child: Child,
    _folder: TempDir,
}

impl Private {
    async fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let root = folder.path().display();
        tokio::fs::write(folder.path().join("htpasswd"), HTPASSWD).await?;
        let config = format!(
            "version: 0.1\nlog: {{level: info, accesslog: {{disabled: true}}}}\n\
             storage: {{filesystem: {{rootdirectory: {root}/data}}}}\nhttp: {{addr: '127.0.0.1:0'}}\n\
             auth: {{htpasswd: {{realm: private, path: {root}/htpasswd}}}}\n"
        );
        let path = folder.path().join("config.yml");
        tokio::fs::write(&path, config).await?;
        let mut child = Command::new("docker-registry")
            .arg("serve")
            .arg(path)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("docker-registry is not in PATH: scripts/test.sh puts it there")?;
        let mut lines = BufReader::new(child.stderr.take().context("no output")?).lines();
        let host = loop {
            let line = lines.next_line().await?.context("the registry ended")?;
            if let Some((_, rest)) = line.split_once("listening on ") {
                break rest.split(['"', ',', ' ']).next().unwrap_or_default().to_owned();
            }
        };
        // read on, so that it never waits for a reader
        tokio::spawn(async move {
            let mut rest = Vec::new();
            lines.into_inner().read_to_end(&mut rest).await
        });
        Ok(Self {
            host,
            client: Client::builder().no_proxy().build()?,
            _child: child,
            _folder: folder,
        })
    }

    /// Copies busybox out of the cluster's registry; its name here.
    async fn take_busybox(&self) -> Result<String> {
        let (from, tag) = BUSYBOX
            .split_once('/')
            .and_then(|(registry, image)| {
                let port = registry.rsplit(':').next()?;
                let (name, tag) = image.split_once(':')?;
                Some((format!("http://127.0.0.1:{port}/v2/{name}"), tag))
            })
            .context("the name of busybox")?;
        let to = format!("http://{}/v2/busybox", self.host);
        let manifest = self
            .client
            .get(format!("{from}/manifests/{tag}"))
            .header(ACCEPT, MANIFEST)
            .send();
        let manifest = taken(manifest.await?).await?;
        let parts: Value = serde_json::from_slice(&manifest)?;
        let layers = parts["layers"].as_array().context("layers")?;
        for blob in layers.iter().chain([&parts["config"]]) {
            let digest = blob["digest"].as_str().context("digest")?;
            let body = taken(self.client.get(format!("{from}/blobs/{digest}")).send().await?).await?;
            let upload = self.client.post(format!("{to}/blobs/uploads/"));
            let upload = upload.basic_auth(USER, Some(PASSWORD)).send().await?;
            let place = upload.headers().get(LOCATION).context("no place to upload to")?;
            let place = format!("{}&digest={digest}", place.to_str()?);
            let put = self.client.put(place).basic_auth(USER, Some(PASSWORD)).body(body);
            taken(put.send().await?).await?;
        }
        let put = self
            .client
            .put(format!("{to}/manifests/1"))
            .header(CONTENT_TYPE, MANIFEST);
        taken(put.basic_auth(USER, Some(PASSWORD)).body(manifest).send().await?).await?;
        Ok(format!("{}/busybox:1", self.host))
    }
}

async fn taken(answer: Response) -> Result<Vec<u8>> {
    Ok(answer.error_for_status()?.bytes().await?.to_vec())
}

#[tokio::test]
async fn an_image_of_a_private_registry_is_pulled_with_the_secret_of_the_executor_and_refused_without()
-> Result<()> {
    scenario("private-registry", |ns| async move {
        let private = Private::start().await?;
        let image = private.take_busybox().await?;
        let auth = json!({"auths": {&private.host: {"username": USER, "password": PASSWORD}}});
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "private"}, "type": "kubernetes.io/dockerconfigjson",
            "stringData": {".dockerconfigjson": auth.to_string()},
        });
        ns.apply(&secret.to_string()).await?;
        for (name, secrets) in [("open", json!([])), ("closed", json!(["private"]))] {
            let spec = json!({"image": &image, "imagePullSecrets": secrets});
            ns.apply(&object("Executor", name, &spec)).await?;
        }
        let with = |executor: &str| run(executor, &json!([{"name": "s", "executor": executor, "steps": [{"run": "true"}]}]));
        // without first: what is on the node already is no proof
        ns.apply(&with("open")).await?;
        let view = ns.finished("open", LIMIT).await?;
        assert_eq!(view.outcomes("s")?, [("Refused", "ImagePullFailed")], "{:#}", view.status());
        let message = view.attempt("s")?["message"].to_string();
        ensure!(message.contains(&image), "{message}");
        ns.apply(&with("closed")).await?;
        let view = ns.finished("closed", LIMIT).await?;
        assert_eq!(view.state("Succeeded").0, "True", "{:#}", view.status());
        ns.verified("closed").await
    })
    .await
}
