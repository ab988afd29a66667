//! TLS by rustls: certificates of the listener, and verification of replicas.

mod listener;

use std::sync::{Arc, LazyLock};

use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::CertificateDer,
};
use tailback_config::UpstreamTls;

pub use self::listener::Listener;

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(ring::default_provider()));

/// The client configuration for replicas of a server, offering `protocols` by ALPN.
///
/// # Errors
/// Never in practice: the provider supports both TLS versions.
pub fn client(spec: &UpstreamTls, protocols: &[&[u8]]) -> Result<ClientConfig, rustls::Error> {
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
        .with_root_certificates(roots(spec))
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
    Ok(config)
}

/// The trusted root certificates. An invalid one is left out and logged.
fn roots(spec: &UpstreamTls) -> RootCertStore {
    let mut roots = RootCertStore::empty();
    if spec.ca.is_empty() {
        let system = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(system.certs);
    }
    for der in &spec.ca {
        if let Err(error) = roots.add(CertificateDer::from(der.clone())) {
            tracing::error!(
                "an invalid certificate in tls.ca of a static server is ignored: {error}"
            );
        }
    }
    roots
}
