//! TLS: one provider of cryptography for the process, and certificates that are replaced while connections are up.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};

use rustls::client::ResolvesClientCert;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SignatureScheme};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Makes aws-lc-rs the one provider of cryptography of this process. Calling it again changes nothing.
pub fn install_provider() {
    // An error says that it is installed already.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
}

/// A certificate chain with its key, behind a lock that a reload replaces. Connections that are up keep the former one.
#[derive(Debug)]
pub struct Certificates {
    current: RwLock<Arc<CertifiedKey>>,
}

impl Certificates {
    /// Begins with this certificate.
    #[must_use]
    pub fn new(first: Arc<CertifiedKey>) -> Arc<Self> {
        Arc::new(Self {
            current: RwLock::new(first),
        })
    }

    /// Shows another certificate from now on.
    pub fn replace(&self, fresh: Arc<CertifiedKey>) {
        *self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
    }

    fn current(&self) -> Arc<CertifiedKey> {
        Arc::clone(
            &self
                .current
                .read()
                .unwrap_or_else(std::sync::PoisonError::into_inner),
        )
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }
}

impl ResolvesClientCert for Certificates {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.current())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// TLS of the HTTP listeners.
#[must_use]
pub fn http_server(certificates: Arc<Certificates>) -> Arc<ServerConfig> {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

/// TLS of the SIP side: of its listeners and of the connections that we open. A reload replaces all of it; connections that
/// are up keep what they began with.
#[derive(Debug)]
pub struct SipTls {
    current: RwLock<SipTlsRead>,
}

/// What the files of `[sip.tls]` say.
#[derive(Debug, Clone)]
pub struct SipTlsRead {
    /// Our own certificate.
    pub own: Arc<CertifiedKey>,
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
    server_name: Option<String>,
}

impl SipTlsRead {
    /// Reads our certificate, its key and the authorities.
    ///
    /// # Errors
    ///
    /// A sentence that names the file and what was expected.
    pub fn read(config: &crate::config::SipTls) -> Result<Self, String> {
        let own = read(&config.certificate_file, &config.key_file)?;
        let ours = Certificates::new(Arc::clone(&own));
        let authorities = Arc::new(authorities(&config.ca_file)?);
        let mut verifier = WebPkiClientVerifier::builder(Arc::clone(&authorities));
        if !config.require_client_certificate {
            verifier = verifier.allow_unauthenticated();
        }
        let verifier = verifier.build().map_err(|error| {
            format!(
                "expected certificates of authorities: {}: {error}",
                config.ca_file.display()
            )
        })?;
        let server = ServerConfig::builder()
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::clone(&ours) as Arc<dyn ResolvesServerCert>);
        let client = ClientConfig::builder()
            .with_root_certificates(authorities)
            .with_client_cert_resolver(ours);
        Ok(Self {
            own,
            server: Arc::new(server),
            client: Arc::new(client),
            server_name: config.server_name.clone(),
        })
    }
}

impl SipTls {
    /// Begins with these files.
    #[must_use]
    pub fn new(first: SipTlsRead) -> Arc<Self> {
        Arc::new(Self {
            current: RwLock::new(first),
        })
    }

    /// New connections use these from now on.
    pub fn replace(&self, fresh: SipTlsRead) {
        *self
            .current
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = fresh;
    }

    fn current(&self) -> SipTlsRead {
        let current = self.current.read();
        current
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    /// For a connection that SIP Server opens.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.current().server.into()
    }

    /// Shakes hands on a connection that we have opened to `server`. Its certificate must be for the configured name, or else for the
    /// name that it was found by (RFC 5922 section 4), or else for this address.
    ///
    /// # Errors
    ///
    /// When the name is none, or the other side's certificate or ours is not taken.
    pub async fn connect<S>(
        &self,
        server: IpAddr,
        named: Option<String>,
        stream: S,
    ) -> io::Result<TlsStream<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let current = self.current();
        let name = match current.server_name.or(named) {
            Some(name) => ServerName::try_from(name).map_err(io::Error::other)?,
            None => ServerName::from(server),
        };
        TlsConnector::from(current.client)
            .connect(name, stream)
            .await
    }
}

fn authorities(file: &Path) -> Result<RootCertStore, String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates_of(file)? {
        store.add(certificate).map_err(|error| {
            format!(
                "expected certificates of authorities: {}: {error}",
                file.display()
            )
        })?;
    }
    Ok(store)
}

/// The certificates of a PEM file; at least one.
///
/// # Errors
///
/// A sentence that names the file and what was expected.
pub fn certificates_of(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let expected = |why: &dyn std::fmt::Display| {
        format!(
            "expected a PEM file with certificates: {}: {why}",
            file.display()
        )
    };
    let certificates = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| expected(&error))?;
    if certificates.is_empty() {
        return Err(expected(&"none is in it"));
    }
    Ok(certificates)
}

/// Reads a chain and its key, and compares them: a pair that does not match is found here, not by the first browser.
///
/// # Errors
///
/// A sentence that names the file and what was expected.
pub fn read(certificate_file: &Path, key_file: &Path) -> Result<Arc<CertifiedKey>, String> {
    let chain = certificates_of(certificate_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file).map_err(|error| {
        format!(
            "expected a PEM file with a private key: {}: {error}",
            key_file.display()
        )
    })?;
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    CertifiedKey::from_der(chain, key, &provider)
        .map(Arc::new)
        .map_err(|error| {
            format!(
                "expected the key of {} in {}: {error}",
                certificate_file.display(),
                key_file.display()
            )
        })
}
