//! The listener's TLS configuration, reloaded when its certificate files change.

use std::{
    fs,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context, Result, bail};
use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::WebPkiClientVerifier,
    version,
};
use tailback_config::{ListenerTls, TlsVersion};

use super::PROVIDER;

/// ALPN protocols offered to callers, in order of preference.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// How often the files are checked for changes.
const LOOK: Duration = Duration::from_secs(2);

/// The TLS configuration of the listener.
pub struct Listener {
    spec: ListenerTls,
    current: ArcSwap<ServerConfig>,
    /// The contents of the files at the last check.
    files: Mutex<Files>,
}

#[derive(PartialEq, Eq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    client_ca: Option<Vec<u8>>,
}

impl Listener {
    /// Loads the files.
    ///
    /// # Errors
    /// Which file is wrong, and how.
    pub fn open(spec: &ListenerTls) -> Result<Self> {
        let files = Files::read(spec)?;
        let config = files.config(spec)?;
        Ok(Self {
            spec: spec.clone(),
            current: ArcSwap::from_pointee(config),
            files: Mutex::new(files),
        })
    }

    /// The configuration for new connections.
    #[must_use]
    pub fn current(&self) -> Arc<ServerConfig> {
        self.current.load_full()
    }

    /// Loads the files again if they have changed. If they are invalid, the previous configuration
    /// stays in use.
    pub fn reload(&self) {
        let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        let read = match Files::read(&self.spec) {
            Ok(read) if read == *files => return,
            Ok(read) => read,
            // The files may just be in the middle of a replacement.
            Err(error) => return tracing::debug!("TLS files: {error:#}"),
        };
        match read.config(&self.spec) {
            Ok(config) => {
                self.current.store(Arc::new(config));
                tracing::info!("TLS certificate reloaded from {}", self.spec.cert.display());
            }
            Err(error) => tracing::error!(
                "the TLS files have changed and are invalid, the previous ones stay in use: {error:#}"
            ),
        }
        *files = read;
    }

    /// Checks the files every 2 s; never returns.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.reload();
        }
    }
}

impl Files {
    fn read(spec: &ListenerTls) -> Result<Self> {
        let read = |path: &Path, variable: &str| {
            fs::read(path)
                .with_context(|| format!("environment {variable}: cannot read {}", path.display()))
        };
        Ok(Self {
            cert: read(&spec.cert, "TAILBACK_TLS_CERT")?,
            key: read(&spec.key, "TAILBACK_TLS_KEY")?,
            client_ca: match &spec.client_ca {
                Some(path) => Some(read(path, "TAILBACK_TLS_CLIENT_CA")?),
                None => None,
            },
        })
    }

    fn config(&self, spec: &ListenerTls) -> Result<ServerConfig> {
        let chain = certificates(&self.cert, &spec.cert, "TAILBACK_TLS_CERT")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).with_context(|| {
            format!(
                "environment TAILBACK_TLS_KEY: {} has no private key in it, expected PEM",
                spec.key.display()
            )
        })?;
        let versions: &[_] = match spec.min_version {
            TlsVersion::V12 => &[&version::TLS13, &version::TLS12],
            TlsVersion::V13 => &[&version::TLS13],
        };
        let builder = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(versions)?;
        let builder = match (&self.client_ca, &spec.client_ca) {
            (Some(pem), Some(path)) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates(pem, path, "TAILBACK_TLS_CLIENT_CA")? {
                    roots.add(certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), PROVIDER.clone())
                        .build()?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain, key).with_context(|| {
            format!(
                "the certificate in {} and the key in {} cannot be used together",
                spec.cert.display(),
                spec.key.display()
            )
        })?;
        config.alpn_protocols = PROTOCOLS.iter().map(|p| p.to_vec()).collect();
        Ok(config)
    }
}

fn certificates(pem: &[u8], path: &Path, variable: &str) -> Result<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .with_context(|| format!("environment {variable}: {}", path.display()))?;
    if found.is_empty() {
        bail!(
            "environment {variable}: {} has no certificate in it, expected PEM",
            path.display()
        );
    }
    Ok(found)
}
