//! Certificates of the SIP side, as the real binary shows and asks for them: renewed in mid-work, well and badly, and asked of whoever connects.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use interop_tests::attack::{Dialog, crlf};
use interop_tests::pki::Pair;
use interop_tests::{Desk, Pki, Registrar, Site};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A desk with a listener for SIP over TLS beside those for UDP and TCP, with this certificate.
async fn desk(pki: &Pki, ask_for_one: bool) -> (Desk, Pair) {
    let site = Site::new();
    let pair = pki.issue(site.gateway()).expect("a certificate");
    let registrar = Registrar::start(site.server_sip())
        .await
        .expect("the port is ours");
    let desk = Desk::start_at(site, registrar, |site, config| {
        let listen = config["sip"]["listen"].as_array_mut();
        let tls = json!(format!("tls:{}", listener(site)));
        listen.expect("a list").push(tls);
        config["sip"]["transport"] = json!("udp");
        config["sip"]["tls"] = json!({
            "certificate_file": pair.certificate,
            "key_file": pair.key,
            "ca_file": pki.authority(),
            "require_client_certificate": ask_for_one,
        });
    })
    .await;
    (desk, pair)
}

fn listener(site: &Site) -> SocketAddr {
    SocketAddr::new(site.gateway(), 5061)
}

fn certificate(file: &Path) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(file).expect("a certificate")
}

/// Connects from SIP Server's address, trusting `pki`, with a certificate of its own or none.
async fn connect(
    site: &Site,
    pki: &Pki,
    own: Option<&Pair>,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(certificate(pki.authority()))
        .expect("an authority");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider knows them")
        .with_root_certificates(roots);
    let client = match own {
        Some(pair) => {
            let key = PrivateKeyDer::from_pem_file(&pair.key).expect("a key");
            let chain = vec![certificate(&pair.certificate)];
            client.with_client_auth_cert(chain, key).expect("a pair")
        }
        None => client.with_no_client_auth(),
    };
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(site.sip_server(), 0))?;
    let stream = socket.connect(listener(site)).await?;
    TlsConnector::from(Arc::new(client))
        .connect(site.gateway().into(), stream)
        .await
}

/// How the answer to OPTIONS on this connection begins. With TLS 1.3 whoever connects hears only now whether its certificate is taken.
async fn asks(stream: &mut TlsStream<TcpStream>) -> std::io::Result<String> {
    let (us, gateway) = {
        let (tcp, _) = stream.get_ref();
        (tcp.local_addr()?, tcp.peer_addr()?)
    };
    let options = Dialog::between(us, gateway, "1002").request("OPTIONS", "", "");
    let options = crlf(&options.replace("SIP/2.0/UDP", "SIP/2.0/TLS"));
    stream.write_all(options.as_bytes()).await?;
    let mut answer = [0; 11];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// What a new connection is shown.
async fn shown(site: &Site, pki: &Pki) -> CertificateDer<'static> {
    let mut stream = connect(site, pki, None).await.expect("it listens");
    assert_eq!(asks(&mut stream).await.expect("an answer"), "SIP/2.0 200");
    let (_, session) = stream.get_ref();
    let chain = session.peer_certificates().expect("it has shown some");
    chain[0].clone().into_owned()
}

/// Somebody copies the new certificate and forgets its key: the operator is told, and whoever connects is served as before. With the right key the new one is
/// shown, without a restart.
#[tokio::test]
async fn a_renewal_that_fails_leaves_the_certificate_that_was_there() {
    let pki = Pki::new();
    let (desk, pair) = desk(&pki, false).await;
    let first = certificate(&pair.certificate);
    assert_eq!(shown(&desk.site, &pki).await, first);

    let old_key = std::fs::read(&pair.key).expect("the key");
    let renewed = pki.issue_until(desk.site.gateway(), 2041);
    renewed.expect("a certificate in the place of the first");
    let new_key = std::fs::read(&pair.key).expect("the key");
    let second = certificate(&pair.certificate);
    assert_ne!(first, second);
    std::fs::write(&pair.key, old_key).expect("the file is ours");
    desk.gateway.reload_comes_to("failed").await;
    let words = ["ERROR", "configuration not read again"];
    let line = desk.gateway.logs(&words).await;
    let file = pair.key.display().to_string();
    assert!(line.contains(&file), "{line}");
    assert_eq!(shown(&desk.site, &pki).await, first);

    std::fs::write(&pair.key, new_key).expect("the file is ours");
    desk.gateway.reload().await;
    assert_eq!(shown(&desk.site, &pki).await, second);
}

/// Mutual TLS: who has no certificate, or one of an authority that nobody has named, says nothing to the gateway, even from SIP Server's address.
#[tokio::test]
async fn mutual_tls_takes_nobody_who_is_not_known() {
    let (pki, foreign) = (Pki::new(), Pki::new());
    let (desk, _) = desk(&pki, true).await;
    let site = &desk.site;
    let issued = |pki: &Pki, host: IpAddr| pki.issue(host).expect("a certificate");
    let strange = issued(&foreign, site.sip_server());
    let known = issued(&pki, site.sip_server());
    for (who, own, taken) in [
        ("without a certificate", None, false),
        ("of a foreign authority", Some(&strange), false),
        ("of the site", Some(&known), true),
    ] {
        let answer = match connect(site, &pki, own).await {
            Ok(mut stream) => asks(&mut stream).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok(answer) => assert!(taken && answer == "SIP/2.0 200", "{who}: {answer}"),
            Err(error) => assert!(!taken, "{who}: {error}"),
        }
    }
}
