//! The cluster, as the kubeconfig names it.

pub mod forward;
pub mod kind;
pub mod ledger_config;
pub mod token;
pub mod who;

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use dcanary_crds::PipelineRun;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

use self::kind::Named as _;
use crate::{args::Global, exit::Failure};

/// A connection to the API server, and where things are.
#[derive(Clone)]
pub struct Cluster {
    /// The client.
    pub client: Client,
    /// Namespace that commands are about.
    pub namespace: String,
    /// Whether all namespaces were asked for.
    pub all: bool,
    /// Namespace of the operator.
    pub operator_namespace: String,
    /// Name of the user of a client certificate cannot be told from a token; this is the token, if there is one.
    pub config: Config,
    /// The kubeconfig, as people call it; none inside a Pod.
    pub kubeconfig: Option<String>,
}

impl Cluster {
    /// Connects as kubectl would.
    ///
    /// # Errors
    /// When there is no usable kubeconfig.
    pub async fn connect(global: &Global) -> Result<Self, Failure> {
        let options = KubeConfigOptions {
            context: global.context.clone(),
            ..KubeConfigOptions::default()
        };
        let (variable, home) = (std::env::var_os("KUBECONFIG"), std::env::var_os("HOME"));
        let place = place(
            global.kubeconfig.as_deref(),
            variable.as_deref(),
            home.map(PathBuf::from).as_deref(),
        );
        let config = match &global.kubeconfig {
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|source| {
                    Failure::cannot_tell(
                        unread(&source)
                            .unwrap_or_else(|| format!("cannot use the {place}: {}", causes(&source))),
                    )
                })?;
                Config::from_custom_kubeconfig(file, &options).await
            }
            None => match Config::from_kubeconfig(&options).await {
                Err(_) if global.context.is_none() && in_cluster() => {
                    let config = Config::incluster().map_err(|source| {
                        Failure::cannot_tell(format!(
                            "cannot use the Pod's own access to the cluster: {source}"
                        ))
                    })?;
                    return Self::with(config, global, None);
                }
                other => other,
            },
        }
        .map_err(|source| {
            let why =
                unread(&source).unwrap_or_else(|| format!("cannot use the {place}: {}", causes(&source)));
            Failure::cannot_tell(format!("{why}; name one with --kubeconfig FILE or $KUBECONFIG"))
        })?;
        Self::with(config, global, Some(place))
    }

    fn with(config: Config, global: &Global, kubeconfig: Option<String>) -> Result<Self, Failure> {
        let client = Client::try_from(config.clone())
            .map_err(|source| Failure::cannot_tell(format!("cannot use the kubeconfig: {source}")))?;
        Ok(Self {
            namespace: global
                .namespace
                .clone()
                .unwrap_or_else(|| config.default_namespace.clone()),
            all: global.all_namespaces,
            operator_namespace: global.operator_namespace.clone(),
            client,
            config,
            kubeconfig,
        })
    }

    /// Runs of the namespace.
    pub fn runs(&self) -> Api<PipelineRun> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    /// Reads one run.
    ///
    /// # Errors
    /// When there is none, or the API server refuses.
    pub async fn run(&self, name: &str) -> Result<PipelineRun, Failure> {
        self.read(&self.namespace, name).await
    }

    /// Reads one run whose traces outlive it, and says where they are when there is none.
    ///
    /// # Errors
    /// When there is none, or the API server refuses.
    pub async fn run_or(&self, name: &str, traces: &str) -> Result<PipelineRun, Failure> {
        self.runs().get(name).await.map_err(|source| {
            let failure = self.explain_one::<PipelineRun>(&source, &self.namespace, name);
            if is_missing(&source) {
                Failure {
                    message: format!("{failure}. If it was deleted: {traces}"),
                    ..failure
                }
            } else {
                failure
            }
        })
    }

    /// What a failed request means, with place and fix.
    pub fn explain(&self, source: &kube::Error, what: &str) -> Failure {
        self.explain_at(source, what, &self.namespace, PipelineRun::LISTED)
    }

    /// The same for an object of another namespace, and the command that shows all of its kind.
    pub fn explain_at(&self, source: &kube::Error, what: &str, namespace: &str, listed: &str) -> Failure {
        match source {
            missing if is_missing(missing) => Failure::cannot_tell(format!(
                "{what} is not in namespace {namespace}; see `{listed}` for all"
            )),
            kube::Error::Api(status) if status.code == 404 => Failure::cannot_tell(
                "the cluster does not know this kind of dcanary.dev/v1alpha1; install or upgrade the chart dcanary-crds first",
            ),
            kube::Error::Api(status) if status.code == 403 => {
                Failure::cannot_tell(format!("not allowed: {}", denial(&status.message)))
            }
            kube::Error::Api(status) if status.code == 409 => {
                Failure::usage(format!("{what} exists already in namespace {namespace}"))
            }
            kube::Error::Api(status) if status.code == 422 || status.code == 400 => {
                Failure::usage(status.message.clone())
            }
            kube::Error::Api(status) => Failure::cannot_tell(format!("{what}: {}", status.message)),
            // nothing was asked of the cluster
            kube::Error::BuildRequest(source) => Failure::usage(format!(
                "there can be no {what} in namespace {namespace}: a name that Kubernetes does not take makes no request ({})",
                causes(source)
            )),
            other => Failure::cannot_tell(format!(
                "cannot reach the cluster at {}{}: {}",
                self.config.cluster_url,
                self.kubeconfig
                    .as_ref()
                    .map_or_else(String::new, |place| format!(" ({place})")),
                causes(other)
            )),
        }
    }
}

/// Whether there is no such object, where the kind is known: pure.
fn is_missing(source: &kube::Error) -> bool {
    matches!(source, kube::Error::Api(status) if status.code == 404 && !status.message.contains("could not find"))
}

/// What an admission policy says to people, without what the API server puts before it.
fn denial(message: &str) -> &str {
    message
        .split_once("denied request: ")
        .map_or(message, |(_, said)| said)
}

/// The kubeconfig that is used, as people call it: pure. The flag names it, else the variable, which may name several, else it is at home.
fn place(flag: Option<&Path>, variable: Option<&OsStr>, home: Option<&Path>) -> String {
    match (flag, variable.filter(|list| !list.is_empty()), home) {
        (Some(path), ..) => format!("kubeconfig {}", path.display()),
        (None, Some(list), _) => format!("kubeconfig {}", list.to_string_lossy()),
        (None, None, Some(home)) => format!("kubeconfig {}", home.join(".kube/config").display()),
        (None, None, None) => "kubeconfig".to_owned(),
    }
}

/// A kubeconfig that cannot be read, which is named once; `None` for what is wrong in one.
fn unread(source: &KubeconfigError) -> Option<String> {
    match source {
        KubeconfigError::ReadConfig(source, path) => {
            Some(format!("cannot read the kubeconfig {}: {source}", path.display()))
        }
        _ => None,
    }
}

fn in_cluster() -> bool {
    std::env::var_os("KUBERNETES_SERVICE_HOST").is_some()
}

/// An error and its causes in one line.
pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let said = inner.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kubeconfig_that_is_not_there_is_named_once() {
        let missing = std::io::Error::new(std::io::ErrorKind::NotFound, "no such file");
        let source = KubeconfigError::ReadConfig(missing, "/home/ada/.kube/config".into());
        assert_eq!(
            unread(&source).unwrap(),
            "cannot read the kubeconfig /home/ada/.kube/config: no such file"
        );
        assert_eq!(unread(&KubeconfigError::CurrentContextNotSet), None);
    }

    #[test]
    fn an_object_that_is_not_there_is_told_from_a_kind_that_is_not_known() {
        let refused = |code, said: &str| {
            let status = kube::core::response::Status::failure(said, "NotFound").with_code(code);
            kube::Error::Api(status.boxed())
        };
        let gone = refused(404, "pipelineruns.dcanary.dev \"web-1\" not found");
        assert!(is_missing(&gone));
        let unknown = refused(404, "the server could not find the requested resource");
        assert!(!is_missing(&unknown));
        assert!(!is_missing(&refused(403, "pipelineruns is forbidden")));
    }

    #[test]
    fn what_a_policy_denies_is_told_without_the_names_of_policies() {
        let said = "decisions.dcanary.dev \"x\" is forbidden: ValidatingAdmissionPolicy 'dcanary-decisions' with binding 'dcanary-decisions' denied request: bo may not approve promotions web in namespace shop";
        assert_eq!(
            denial(said),
            "bo may not approve promotions web in namespace shop"
        );
        assert_eq!(denial("pods is forbidden"), "pods is forbidden");
    }

    #[tokio::test]
    async fn a_name_that_no_request_can_hold_is_wrong_usage_and_no_failure_of_the_cluster() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = Config::new("http://127.0.0.1:1".parse().unwrap());
        let cluster = Cluster {
            client: Client::try_from(config.clone()).unwrap(),
            namespace: "team".to_owned(),
            all: false,
            operator_namespace: "dcanary-system".to_owned(),
            config,
            kubeconfig: Some("kubeconfig /home/ada/.kube/config".to_owned()),
        };
        let failure = cluster.run("web 1").await.unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::Usage, "{failure}");
        assert!(
            failure
                .message
                .starts_with("there can be no run web 1 in namespace team"),
            "{failure}"
        );
        let failure = cluster.run("web-1").await.unwrap_err();
        assert_eq!(failure.exit, crate::exit::Exit::CannotTell, "{failure}");
        assert!(
            failure.message.contains(" (kubeconfig /home/ada/.kube/config): "),
            "{failure}"
        );
    }

    #[test]
    fn the_kubeconfig_that_is_used_is_named_as_kubectl_would_find_it() {
        let (flag, home) = (Path::new("/tmp/k"), Path::new("/home/ada"));
        let variable = OsStr::new("/a:/b");
        assert_eq!(place(Some(flag), Some(variable), Some(home)), "kubeconfig /tmp/k");
        assert_eq!(place(None, Some(variable), Some(home)), "kubeconfig /a:/b");
        for none in [None, Some(OsStr::new(""))] {
            assert_eq!(place(None, none, Some(home)), "kubeconfig /home/ada/.kube/config");
        }
        assert_eq!(place(None, None, None), "kubeconfig");
    }
}
