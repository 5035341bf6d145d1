//! HTTPS by certificate files, renewed while the listener is up.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use gateway::edge::serve::{Bounds, serve};
use gateway::tls::{self, Certificates};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::pki_types::ServerName;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Longer than anything here waits for.
const SOON: Duration = Duration::from_secs(40);

/// Writes a fresh self-signed certificate for localhost and its key.
fn write_certificate(dir: &Path, name: &str) {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(dir.join(format!("{name}.pem")), cert.pem()).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), signing_key.serialize_pem()).unwrap();
}

fn read(
    dir: &Path,
    certificate: &str,
    key: &str,
) -> Result<Arc<rustls::sign::CertifiedKey>, String> {
    tls::read(
        &dir.join(format!("{certificate}.pem")),
        &dir.join(format!("{key}.key")),
    )
}

/// The status line of a request over TLS that trusts `trusted` only.
async fn status(address: SocketAddr, dir: &Path, trusted: &str) -> Result<String, String> {
    let mut roots = RootCertStore::empty();
    let file = dir.join(format!("{trusted}.pem"));
    roots
        .add(rustls::pki_types::CertificateDer::from_pem_file(file).unwrap())
        .unwrap();
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector
        .connect(name, stream)
        .await
        .map_err(|error| error.to_string())?;
    let request = "GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_without_a_new_listener() {
    tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    write_certificate(dir.path(), "old");
    write_certificate(dir.path(), "new");
    let certificates = Certificates::new(read(dir.path(), "old", "old").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounds = Bounds {
        connections: 10,
        per_source: 10,
    };
    let config = tls::http_server(Arc::clone(&certificates));
    tokio::spawn(serve(
        listener,
        Some(config),
        axum::Router::new(),
        bounds,
        Arc::default(),
    ));

    assert_eq!(
        status(address, dir.path(), "old").await.unwrap(),
        "HTTP/1.1 404 Not Found"
    );
    assert!(status(address, dir.path(), "new").await.is_err());
    certificates.replace(read(dir.path(), "new", "new").unwrap());
    assert_eq!(
        status(address, dir.path(), "new").await.unwrap(),
        "HTTP/1.1 404 Not Found"
    );
    assert!(status(address, dir.path(), "old").await.is_err());
}

#[test]
fn a_key_of_another_certificate_is_found_when_it_is_read() {
    tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    write_certificate(dir.path(), "one");
    write_certificate(dir.path(), "two");
    let error = read(dir.path(), "one", "two").unwrap_err();
    assert!(
        error.contains("expected the key of") && error.contains("two.key"),
        "{error}"
    );
    std::fs::write(dir.path().join("empty.pem"), "").unwrap();
    assert!(
        read(dir.path(), "empty", "one")
            .unwrap_err()
            .contains("none is in it")
    );
}

#[tokio::test]
async fn one_source_cannot_take_every_connection() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounds = Bounds {
        connections: 10,
        per_source: 2,
    };
    let refused = Arc::new(std::sync::atomic::AtomicU64::new(0));
    tokio::spawn(serve(
        listener,
        None,
        axum::Router::new(),
        bounds,
        Arc::clone(&refused),
    ));
    let _first = TcpStream::connect(address).await.unwrap();
    let _second = TcpStream::connect(address).await.unwrap();
    let mut third = TcpStream::connect(address).await.unwrap();
    // Closed unheard: the end of the stream, or a reset.
    let mut buffer = [0; 1];
    assert!(matches!(third.read(&mut buffer).await, Ok(0) | Err(_)));
    assert_eq!(refused.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A browser that stops in the middle of its first message of TLS keeps no place: it is closed after 10 s without a word, and whoever comes next is served.
#[tokio::test]
async fn a_handshake_that_stops_gives_its_place_back() {
    tls::install_provider();
    let dir = tempfile::tempdir().unwrap();
    write_certificate(dir.path(), "one");
    let certificates = Certificates::new(read(dir.path(), "one", "one").unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let bounds = Bounds {
        connections: 1,
        per_source: 1,
    };
    tokio::spawn(serve(
        listener,
        Some(tls::http_server(certificates)),
        axum::Router::new(),
        bounds,
        Arc::default(),
    ));
    let mut stalled = TcpStream::connect(address).await.unwrap();
    // A record of the handshake that announces 512 octets, and a few of them.
    stalled
        .write_all(b"\x16\x03\x01\x02\x00\x01\x00")
        .await
        .unwrap();
    let mut all = Vec::new();
    let ended = tokio::time::timeout(SOON, stalled.read_to_end(&mut all)).await;
    assert_eq!(ended.expect("closed in time").unwrap(), 0);
    let served = status(address, dir.path(), "one").await;
    assert_eq!(served, Ok("HTTP/1.1 404 Not Found".to_owned()));
}
