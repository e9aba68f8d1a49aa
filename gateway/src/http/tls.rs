//! TLS of the gateway's own: a certificate and a key from two files, TLS 1.2 and 1.3.

use anyhow::{Context as _, Result};
use std::path::PathBuf;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// Takes connections with this certificate.
///
/// # Errors
/// When a file cannot be read, or the two do not belong together.
pub fn acceptor((cert, key): &(PathBuf, PathBuf)) -> Result<TlsAcceptor> {
    let unreadable = |path: &PathBuf| format!("{} cannot be read as PEM", path.display());
    let chain = CertificateDer::pem_file_iter(cert).with_context(|| unreadable(cert))?;
    let chain = chain.collect::<Result<Vec<_>, _>>().with_context(|| unreadable(cert))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", cert.display());
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| unreadable(key))?;
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .context("no version of TLS")?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| format!("{} and {} do not belong together", cert.display(), key.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}
