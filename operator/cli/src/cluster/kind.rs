//! What people call the kinds that commands are about.

use dcanary_crds::{Environment, Pipeline, PipelineRun, Promotion, Release};
use kube::{Api, Resource, core::NamespaceResourceScope};
use serde::de::DeserializeOwned;

use super::Cluster;
use crate::exit::Failure;

/// A kind with the words for it.
pub trait Named:
    Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + std::fmt::Debug + DeserializeOwned
{
    /// In a sentence: `run`.
    const WORD: &'static str;
    /// Command that lists them in all namespaces.
    const LISTED: &'static str;
}

impl Named for PipelineRun {
    const WORD: &'static str = "run";
    const LISTED: &'static str = "dcanary get runs -A";
}

impl Named for Pipeline {
    const WORD: &'static str = "Pipeline";
    const LISTED: &'static str = "kubectl get dpl -A";
}

impl Named for Environment {
    const WORD: &'static str = "Environment";
    const LISTED: &'static str = "dcanary get env -A";
}

impl Named for Release {
    const WORD: &'static str = "Release";
    const LISTED: &'static str = "dcanary get releases -A";
}

impl Named for Promotion {
    const WORD: &'static str = "Promotion";
    const LISTED: &'static str = "dcanary get promotions -A";
}

impl Cluster {
    /// Objects of a kind in a namespace.
    pub fn of<K: Named>(&self, namespace: &str) -> Api<K> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// Objects of a kind where they were asked for: in one namespace, or in all.
    pub fn asked<K: Named>(&self) -> Api<K> {
        if self.all {
            Api::all(self.client.clone())
        } else {
            self.of(&self.namespace)
        }
    }

    /// Reads one object.
    ///
    /// # Errors
    /// When there is none, or the API server refuses.
    pub async fn read<K: Named>(&self, namespace: &str, name: &str) -> Result<K, Failure> {
        self.of::<K>(namespace)
            .get(name)
            .await
            .map_err(|source| self.explain_one::<K>(&source, namespace, name))
    }

    /// What a failed request about one object means.
    pub fn explain_one<K: Named>(&self, source: &kube::Error, namespace: &str, name: &str) -> Failure {
        self.explain_at(source, &format!("{} {name}", K::WORD), namespace, K::LISTED)
    }
}
