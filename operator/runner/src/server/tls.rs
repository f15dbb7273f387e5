//! TLS without anything from the image: roots come from the environment, are built in, or are the image's when it has some.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use thiserror::Error;

/// Why no TLS client can be made.
#[derive(Debug, Error)]
pub(crate) enum TlsError {
    #[error("the certificate authority is not PEM")]
    Pem,
    #[error("the certificate authority holds no usable certificate")]
    Empty,
    #[error("the TLS client cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

/// A client that trusts the given authority and no other.
pub(crate) fn trusting_only(pem: &[u8]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    add_pem(&mut roots, pem)?;
    config(roots)
}

fn add_pem(roots: &mut RootCertStore, pem: &[u8]) -> Result<(), TlsError> {
    let mut added = 0;
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| TlsError::Pem)?;
        added += roots.add_parsable_certificates([certificate]).0;
    }
    if added == 0 { Err(TlsError::Empty) } else { Ok(()) }
}

fn config(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A client for plain HTTP on the loopback device.
pub(crate) fn trusting_nobody() -> Result<ClientConfig, TlsError> {
    config(RootCertStore::empty())
}

/// Where distributions keep their roots.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// A client for the open internet: built-in roots, those of the image when it has some, and the given ones.
pub(crate) fn trusting_the_world(more: &[Option<Vec<u8>>]) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    if let Some(bundle) = BUNDLES.iter().find_map(|path| std::fs::read(path).ok()) {
        // A bundle that is broken takes nothing away.
        let _ = add_pem(&mut roots, &bundle);
    }
    for pem in more.iter().flatten() {
        add_pem(&mut roots, pem)?;
    }
    config(roots)
}
