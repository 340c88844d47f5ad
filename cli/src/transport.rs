//! Connections to a console: TCP, and TLS for `https://`.

use crate::failure::Failure;
use crate::server_url::ServerUrl;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, RootCertStore};

/// Timeout of connecting, and of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection to a console.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// Connects to a console.
///
/// # Errors
/// It cannot be reached, or its certificate is not accepted.
pub(crate) async fn connect(url: &ServerUrl) -> Result<Box<dyn Transport>, Failure> {
    let connecting = timeout(CONNECT_TIMEOUT, connect_tcp(url)).await;
    let stream = connecting.map_err(|_| {
        Failure::unreachable(format!("{url} does not respond within {} seconds", CONNECT_TIMEOUT.as_secs()))
            .hint("Check the address, and whether a firewall blocks it.")
    })??;
    // Small frames must not wait for each other.
    let _ = stream.set_nodelay(true);
    if !url.is_https {
        return Ok(Box::new(stream));
    }
    let name = ServerName::try_from(url.host.clone())
        .map_err(|_| Failure::usage(format!("{} is not a valid host name", url.host)))?;
    let handshake = TlsConnector::from(tls_config(url)?).connect(name, stream);
    match timeout(CONNECT_TIMEOUT, handshake).await {
        Ok(Ok(stream)) => Ok(Box::new(stream)),
        Ok(Err(error)) => Err(tls_failure(url, &error)),
        Err(_) => Err(Failure::unreachable(format!("{url} does not complete the TLS handshake"))),
    }
}

async fn connect_tcp(url: &ServerUrl) -> Result<TcpStream, Failure> {
    let addresses = lookup_host((url.host.as_str(), url.port)).await.map_err(|error| {
        Failure::unreachable(format!("the host name {} cannot be resolved: {error}", url.host))
            .hint("Check the spelling of the URL, and the connection to the network.")
    })?;
    let mut last = None;
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    let error = last.map_or_else(|| "it has no address".to_owned(), |error| error.to_string());
    Err(Failure::unreachable(format!("{url} cannot be reached: {error}"))
        .hint("Check that the console runs there, and that the address and the port are right."))
}

/// Verifies certificates with the authorities of this machine. They are read once for each process.
fn tls_config(url: &ServerUrl) -> Result<Arc<ClientConfig>, Failure> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(Failure::error(format!(
            "no certificate authority is known, so {url} cannot be verified"
        ))
        .hint(
            "Install the package ca-certificates, or set SSL_CERT_FILE to a file with certificates (PEM).",
        ));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| Failure::error(format!("TLS: {error}")))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

fn tls_failure(url: &ServerUrl, error: &io::Error) -> Failure {
    let inner = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    let Some(inner) = inner else {
        return Failure::unreachable(format!("{url} ended the TLS handshake: {error}"));
    };
    match inner {
        Error::InvalidCertificate(problem) => certificate_failure(url, problem),
        Error::InvalidMessage(_) => {
            Failure::error(format!("{url} does not speak TLS")).hint("If it is on this machine, use http://…")
        }
        _ => Failure::error(format!("the TLS handshake with {url} failed: {inner}")),
    }
}

fn certificate_failure(url: &ServerUrl, problem: &CertificateError) -> Failure {
    let rejected = |why: &str| Failure::error(format!("the certificate of {url} {why}"));
    match problem {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => rejected(
            "is not valid at the time that the clock of this machine shows",
        )
        .hint("Check the clock with `date`. If it is right, the certificate must be renewed on the server."),
        CertificateError::UnknownIssuer => rejected("is not issued by an authority that this machine knows")
            .hint("For a private authority, set SSL_CERT_FILE to a file with its certificate (PEM)."),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            rejected("belongs to another host").hint("Use the host name that the certificate names.")
        }
        _ => rejected(&format!("is not valid: {problem}")),
    }
}
