//! Certificate and key from files, read again when they change.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::digest::Digest;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No certificate or key in it.
    #[error("no certificate or key in PEM form")]
    Pem(#[source] rustls_pki_types::pem::Error),
    /// They do not fit.
    #[error("certificate and key cannot be used")]
    Pair(#[source] rustls::Error),
}

/// Files of a certificate.
#[derive(Debug, Clone)]
pub struct TlsFiles {
    /// Certificate chain, PEM.
    pub certificate: PathBuf,
    /// Key, PEM.
    pub key: PathBuf,
}

/// The present certificate.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    current: RwLock<(Digest, Arc<ServerConfig>)>,
}

impl TlsFiles {
    fn load(&self) -> Result<(Digest, ServerConfig), TlsError> {
        let read = |path: &PathBuf| {
            std::fs::read(path).map_err(|source| TlsError::Read {
                path: path.clone(),
                source,
            })
        };
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let chain = CertificateDer::pem_slice_iter(&certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(TlsError::Pem)?;
        let private = PrivateKeyDer::from_pem_slice(&key).map_err(TlsError::Pem)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(TlsError::Pair)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok((Digest::of(&[certificate, key].concat()), config))
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let (digest, config) = files.load()?;
        Ok(Self {
            files,
            current: RwLock::new((digest, Arc::new(config))),
        })
    }

    /// The present configuration.
    pub fn config(&self) -> Arc<ServerConfig> {
        let current = self
            .current
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Arc::clone(&current.1)
    }

    /// Takes changed files; keeps the last good ones. Says whether they changed.
    ///
    /// # Errors
    /// When the new files cannot be used.
    pub fn reload(&self) -> Result<bool, TlsError> {
        let (digest, config) = self.files.load()?;
        let mut current = self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if current.0 == digest {
            return Ok(false);
        }
        *current = (digest, Arc::new(config));
        Ok(true)
    }

    /// Looks at the files until the task is dropped.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            let this = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || this.reload()).await {
                Ok(Ok(true)) => tracing::info!("certificate reloaded"),
                Ok(Ok(false)) | Err(_) => {}
                // Half of a change may be there; the next look sees all of it.
                Ok(Err(error)) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "certificate not reloaded"
                    );
                }
            }
        }
    }
}
