//! A Service inside the cluster, reached through the API server.

use std::{net::SocketAddr, sync::Arc};

use k8s_openapi::{
    api::core::v1::{Pod, Service},
    apimachinery::pkg::util::intstr::IntOrString,
};
use kube::{Api, api::ListParams};
use tokio::{
    io::{AsyncRead, AsyncWrite, copy_bidirectional},
    net::TcpListener,
    task::JoinHandle,
};
use tracing::debug;

use super::Cluster;
use crate::exit::Failure;

/// Where a Service's connections end: a Pod that is ready, and its port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// Pod.
    pub pod: String,
    /// Port of its container.
    pub port: u16,
}

/// Picks the Pod and port behind a Service: pure.
pub fn pick(service: &Service, pods: &[Pod]) -> Option<Backend> {
    let port = service.spec.as_ref()?.ports.as_ref()?.first()?;
    let ready = |pod: &&Pod| {
        pod.metadata.deletion_timestamp.is_none()
            && pod
                .status
                .as_ref()
                .and_then(|status| status.conditions.as_ref())
                .is_some_and(|all| all.iter().any(|one| one.type_ == "Ready" && one.status == "True"))
    };
    let pod = pods.iter().find(ready)?;
    let number = match port.target_port.as_ref() {
        None => port.port,
        Some(IntOrString::Int(number)) => *number,
        Some(IntOrString::String(name)) => {
            let containers = &pod.spec.as_ref()?.containers;
            let mut ports = containers
                .iter()
                .flat_map(|container| container.ports.iter().flatten());
            ports.find(|one| one.name.as_ref() == Some(name))?.container_port
        }
    };
    Some(Backend {
        pod: pod.metadata.name.clone()?,
        port: u16::try_from(number).ok()?,
    })
}

impl Cluster {
    /// The Pod behind a Service of the operator's namespace.
    ///
    /// # Errors
    /// When there is no such Service or no ready Pod.
    pub async fn backend(&self, service: &str) -> Result<Backend, Failure> {
        let namespace = &self.operator_namespace;
        let refused = |source: &kube::Error| {
            Self {
                namespace: namespace.clone(),
                ..self.clone()
            }
            .explain(source, &format!("Service {service}"))
        };
        let services: Api<Service> = Api::namespaced(self.client.clone(), namespace);
        let found = services.get(service).await.map_err(|source| refused(&source))?;
        let selector = found.spec.as_ref().and_then(|spec| spec.selector.as_ref());
        let labels: Vec<String> = selector
            .into_iter()
            .flatten()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let listed = pods
            .list(&ListParams::default().labels(&labels.join(",")))
            .await
            .map_err(|source| refused(&source))?;
        pick(&found, &listed.items).ok_or_else(|| {
            Failure::cannot_tell(format!(
                "Service {service} in namespace {namespace} has no ready Pod"
            ))
        })
    }

    /// One connection to a Pod of the operator's namespace.
    ///
    /// # Errors
    /// When the API server refuses or the Pod does not answer.
    pub async fn dial(
        &self,
        backend: &Backend,
    ) -> Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>, Failure> {
        let pods: Api<Pod> = Api::namespaced(self.client.clone(), &self.operator_namespace);
        let mut forwarder = pods
            .portforward(&backend.pod, &[backend.port])
            .await
            .map_err(|source| {
                Failure::cannot_tell(format!(
                    "cannot reach Pod {} through the API server: {}",
                    backend.pod,
                    super::causes(&source)
                ))
            })?;
        forwarder.take_stream(backend.port).ok_or_else(|| {
            Failure::cannot_tell(format!(
                "Pod {} takes no connection on port {}",
                backend.pod, backend.port
            ))
        })
    }

    /// Listens on a free port of this machine and forwards every connection to the Service.
    ///
    /// # Errors
    /// When the Service cannot be reached.
    pub async fn forward(&self, service: &str) -> Result<Forward, Failure> {
        let backend = self.backend(service).await?;
        let cannot =
            |source: std::io::Error| Failure::cannot_tell(format!("cannot listen on 127.0.0.1: {source}"));
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.map_err(cannot)?;
        let address = listener.local_addr().map_err(cannot)?;
        let cluster = Arc::new(self.clone());
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (cluster, backend) = (cluster.clone(), backend.clone());
                tokio::spawn(async move {
                    match cluster.dial(&backend).await {
                        Ok(mut far) => {
                            if let Err(error) = copy_bidirectional(&mut near, &mut far).await {
                                debug!(%error, "a forwarded connection broke");
                            }
                        }
                        Err(failure) => debug!(%failure, "cannot forward a connection"),
                    }
                });
            }
        });
        Ok(Forward { address, task })
    }
}

/// A forwarded port; it closes when this is dropped.
#[derive(Debug)]
pub struct Forward {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Forward {
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: serde::de::DeserializeOwned>(text: &str) -> T {
        serde_saphyr::from_str(text).unwrap()
    }

    fn pod(name: &str, ready: &str) -> Pod {
        read(&format!(
            "metadata: {{name: {name}}}\nspec: {{containers: [{{name: c, ports: [{{name: api, containerPort: 8080}}]}}]}}\n\
             status: {{conditions: [{{type: Ready, status: '{ready}'}}]}}"
        ))
    }

    #[test]
    fn the_first_ready_pod_and_its_named_port_are_taken() {
        let service: Service = read("spec: {ports: [{port: 80, targetPort: api}]}");
        let pods = [pod("a", "False"), pod("b", "True")];
        assert_eq!(
            pick(&service, &pods),
            Some(Backend {
                pod: "b".to_owned(),
                port: 8080
            })
        );
    }

    #[test]
    fn a_service_without_target_port_means_the_same_port() {
        let service: Service = read("spec: {ports: [{port: 4943}]}");
        assert_eq!(pick(&service, &[pod("a", "True")]).unwrap().port, 4943);
        assert_eq!(pick(&service, &[pod("a", "False")]), None);
    }
}
