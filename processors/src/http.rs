//! What every HTTP client of ours has in common: certificates that the system trusts, no redirects, a name, an end.

use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::time::Duration;
use ureq::Agent;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// A client for addresses that the owner of the installation names.
pub(crate) fn agent(answer_max: Duration) -> Agent {
    let trusted = roots().iter().map(|it| Certificate::from_der(it).to_owned()).collect();
    let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(trusted))).build();
    settings().timeout_global(Some(answer_max)).tls_config(tls).build().into()
}

/// What holds for every call; a redirect would carry what is secret to whoever it names.
pub(crate) fn settings() -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(concat!("watchkeeper-processors/", env!("CARGO_PKG_VERSION")))
}

/// What the system trusts; SSL_CERT_FILE is heard.
pub(crate) fn roots() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}
