//! A namespace for one test.

use std::{future::Future, panic::AssertUnwindSafe};

use anyhow::{Context, Result, anyhow};
use futures::FutureExt;
use k8s_openapi::api::core::v1::Namespace as CoreNamespace;
use kube::{
    Api, ResourceExt,
    api::{DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
    discovery::Scope,
};
use serde_json::json;

use crate::{Cluster, cluster::repository, evidence};

/// Kinds that keep something at work, owners before what they own.
const AT_WORK: [(&str, &str, &str); 10] = [
    ("dcanary.dev", "v1alpha1", "PipelineRun"),
    ("dcanary.dev", "v1alpha1", "Environment"),
    ("dcanary.dev", "v1alpha1", "Promotion"),
    ("gateway.networking.k8s.io", "v1", "HTTPRoute"),
    ("gateway.networking.k8s.io", "v1", "GRPCRoute"),
    ("apps", "v1", "Deployment"),
    ("apps", "v1", "StatefulSet"),
    ("apps", "v1", "DaemonSet"),
    ("", "v1", "Service"),
    ("", "v1", "Pod"),
];

/// Namespace of one test, with the restricted Pod security profile enforced.
#[derive(Clone)]
pub struct Namespace {
    /// The cluster.
    pub cluster: Cluster,
    /// Name of the namespace.
    pub name: String,
}

/// Runs one test in a namespace of its own. On failure writes objects, events and logs to the evidence folder.
///
/// # Errors
/// What the test returns, with the place of the evidence.
///
/// # Panics
/// Never by itself: a panic of the test is turned into an error after its evidence was kept.
pub async fn scenario<F, Fut, T>(test: &str, body: F) -> Result<T>
where
    F: FnOnce(Namespace) -> Fut,
    Fut: Future<Output = Result<T>>,
{
    let cluster = Cluster::connect().await?;
    let ns = Namespace::create(&cluster, test).await?;
    let outcome = AssertUnwindSafe(body(ns.clone()))
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| {
            let text = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_else(|| "panic without a text".into());
            Err(anyhow!(text))
        });
    match outcome {
        Ok(found) => {
            ns.delete().await?;
            Ok(found)
        }
        Err(error) => {
            let place = evidence::keep(&ns, test, &error).await;
            if std::env::var_os("DCANARY_E2E_KEEP").is_none() {
                let _ = ns.delete().await;
            }
            Err(error.context(format!("evidence is in {}", place.display())))
        }
    }
}

impl Namespace {
    async fn create(cluster: &Cluster, test: &str) -> Result<Self> {
        let stem: String = test
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() {
                    c.to_ascii_lowercase()
                } else {
                    '-'
                }
            })
            .take(40)
            .collect();
        let name = format!(
            "e2e-{}-{:06x}",
            stem.trim_matches('-'),
            rand::random::<u32>() & 0xff_ffff
        );
        let object = serde_json::from_value(json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": {
                "dcanary.dev/e2e": "true",
                "pod-security.kubernetes.io/enforce": "restricted",
            }},
        }))?;
        Api::<CoreNamespace>::all(cluster.client.clone())
            .create(&PostParams::default(), &object)
            .await?;
        Ok(Self {
            cluster: cluster.clone(),
            name,
        })
    }

    /// Ends what is at work here. On the local cluster the namespace itself stays: its deletion asks for each kind that there is, twice, and with
    /// a few hundred tests that was half of all requests. `make down` takes it with everything else.
    async fn delete(&self) -> Result<()> {
        if std::env::var("CLUSTER").is_ok_and(|cluster| cluster == "local") {
            return self.end().await;
        }
        let all = Api::<CoreNamespace>::all(self.cluster.client.clone());
        match all.delete(&self.name, &DeleteParams::background()).await {
            // the test itself may have deleted it
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            answer => answer.map(drop).map_err(Into::into),
        }
    }

    /// Deletes everything that works or is looked at, owners first.
    async fn end(&self) -> Result<()> {
        for (group, version, kind) in AT_WORK {
            let kind = GroupVersionKind::gvk(group, version, kind);
            // before the gateway is installed nobody knows its routes
            let Ok((resource, _)) = self.cluster.kind(&kind).await else {
                continue;
            };
            let api: Api<DynamicObject> =
                Api::namespaced_with(self.cluster.client.clone(), &self.name, &resource);
            match api
                .delete_collection(&DeleteParams::background(), &ListParams::default())
                .await
            {
                // the test itself may have deleted the namespace
                Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
                answer => answer.map(drop)?,
            }
        }
        Ok(())
    }

    /// An API for namespaced objects of a kind in this namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.cluster.client.clone(), &self.name)
    }

    /// Applies every document of a YAML text (server-side). Namespaced objects land in this namespace.
    ///
    /// # Errors
    /// What the API server answers, with the kind and name of the object.
    pub async fn apply(&self, yaml: &str) -> Result<Vec<DynamicObject>> {
        let mut applied = Vec::new();
        for document in yaml.split("\n---") {
            if document
                .lines()
                .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'))
            {
                continue;
            }
            let object: DynamicObject =
                serde_saphyr::from_str(document).context("not a Kubernetes object")?;
            let types = object.types.clone().context("object without kind")?;
            let (resource, scope) = self.cluster.kind(&GroupVersionKind::try_from(&types)?).await?;
            let api: Api<DynamicObject> = match scope {
                Scope::Cluster => Api::all_with(self.cluster.client.clone(), &resource),
                Scope::Namespaced => Api::namespaced_with(self.cluster.client.clone(), &self.name, &resource),
            };
            let name = object.name_any();
            let params = PatchParams::apply("dcanary-e2e").force();
            let patched = api
                .patch(&name, &params, &Patch::Apply(&object))
                .await
                .with_context(|| format!("apply {} {name}", types.kind))?;
            applied.push(patched);
        }
        Ok(applied)
    }

    /// Applies every `*.yaml` file of a folder of the repository, in order of name.
    ///
    /// # Errors
    /// When a file cannot be read or applied.
    pub async fn apply_dir(&self, dir: &str) -> Result<()> {
        let folder = repository().join(dir);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .with_context(|| format!("read {dir}"))?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .collect();
        files.sort();
        for file in files {
            let text = std::fs::read_to_string(&file)?;
            self.apply(&text)
                .await
                .with_context(|| format!("file {}", file.display()))?;
        }
        Ok(())
    }
}
