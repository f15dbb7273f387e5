//! Argo CD and Flux beside the cluster under test, and what they follow: a repository that is served in the namespace of a test.
//!
//! On a cluster of your own they are not started: `DCANARY_FLUX` and `DCANARY_ARGOCD` name the addresses of the metrics of
//! kustomize-controller and of the application controller (`10.0.0.1:8080`). They have to reach Pods of the cluster by address.

use std::net::SocketAddr;

use anyhow::Result;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{
    Namespace,
    data_plane::started,
    git_server::{bare, run, serve_http},
};

static FLUX: OnceCell<SocketAddr> = OnceCell::const_new();
static ARGO_CD: OnceCell<SocketAddr> = OnceCell::const_new();

/// Branch that is followed.
pub const BRANCH: &str = "main";
const REPOSITORY: &str = "shop.git";

/// Where kustomize-controller of Flux tells its metrics.
///
/// # Errors
/// When Flux cannot be started.
pub async fn flux() -> Result<SocketAddr> {
    FLUX.get_or_try_init(|| started("DCANARY_FLUX", "flux.sh"))
        .await
        .copied()
}

/// Where the application controller of Argo CD tells its metrics.
///
/// # Errors
/// When Argo CD cannot be started.
pub async fn argo_cd() -> Result<SocketAddr> {
    ARGO_CD
        .get_or_try_init(|| started("DCANARY_ARGOCD", "argocd.sh"))
        .await
        .copied()
}

/// A repository served in a namespace, and a work tree of it on this machine.
pub struct InGit {
    /// Address of the repository.
    pub url: String,
    tree: TempDir,
}

impl InGit {
    /// Serves a repository that holds these objects, one a file.
    ///
    /// # Errors
    /// When it cannot be served.
    pub async fn served(ns: &Namespace, objects: &[(&str, Value)]) -> Result<Self> {
        let files: Vec<_> = objects
            .iter()
            .map(|(name, object)| (file(name), object.to_string()))
            .collect();
        let files: Vec<_> = files
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .collect();
        let address = serve_http(ns, &bare(REPOSITORY, BRANCH, &files).await?).await?;
        let url = format!("{address}/{REPOSITORY}");
        let tree = tempfile::tempdir()?;
        run(
            tree.path(),
            "git",
            &["-c", "http.proxy=", "clone", "-q", &url, "."],
        )
        .await?;
        Ok(Self { url, tree })
    }

    /// The newest commit.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn head(&self) -> Result<String> {
        let said = run(self.tree.path(), "git", &["rev-parse", "HEAD"]).await?;
        Ok(String::from_utf8(said)?.trim().to_owned())
    }

    /// Writes objects and pushes them. Returns the commit.
    ///
    /// # Errors
    /// When git refuses.
    pub async fn commit(&self, objects: &[(&str, Value)]) -> Result<String> {
        for (name, object) in objects {
            std::fs::write(self.tree.path().join(file(name)), object.to_string())?;
        }
        let tree = self.tree.path();
        let author = ["-c", "user.name=E2E", "-c", "user.email=e2e@example.com"];
        run(tree, "git", &["add", "-A"]).await?;
        run(
            tree,
            "git",
            &[&author[..], &["commit", "-q", "-m", "another"]].concat(),
        )
        .await?;
        run(
            tree,
            "git",
            &["-c", "http.proxy=", "push", "-q", "origin", BRANCH],
        )
        .await?;
        self.head().await
    }
}

/// JSON is YAML, and both tools take files by their ending.
fn file(name: &str) -> String {
    format!("{name}.yaml")
}
