//! A port of a Pod on this machine, through the API server.

use std::net::SocketAddr;

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::{io::copy_bidirectional, net::TcpListener, task::JoinHandle};

/// A forwarded port; it closes when this is dropped.
pub struct Forward {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<()>,
}

impl Forward {
    /// Forwards a port of a Pod.
    ///
    /// # Errors
    /// When this machine has no free port.
    pub async fn to(pods: Api<Pod>, pod: &str, port: u16) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let pod = pod.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (pods, pod) = (pods.clone(), pod.clone());
                tokio::spawn(async move {
                    // whoever connected sees a closed connection
                    let Ok(mut forwarded) = pods.portforward(&pod, &[port]).await else {
                        return;
                    };
                    if let Some(mut far) = forwarded.take_stream(port) {
                        let _ = copy_bidirectional(&mut near, &mut far).await;
                    }
                });
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}
