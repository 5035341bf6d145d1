//! Attacks over connections: TLS, a sudden close, many connections that say the same.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::besieged::Besieged;
use super::{Dialog, crlf};
use crate::{Pki, Site};

/// Longer than a busy machine takes for an answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the tables may hold for SIP Server's own address, which is believed.
const TABLES_MIB: u64 = 384;

/// How an overloaded server's answer begins.
const OVERLOADED: [u8; 11] = *b"SIP/2.0 503";

/// Longer than a refused INVITE waits for its ACK.
const TRANSACTION_LIFE: Duration = Duration::from_secs(40);

/// Connections of one flood, as the advisory has it.
const CONNECTIONS: u32 = 100;

/// INVITEs on each connection before it is closed, as the advisory has it.
const INVITES: u32 = 10;

/// Connects from an address of the attacker's.
///
/// # Errors
/// When it is refused.
pub(super) async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Talks TLS to the gateway, as whoever trusts its authority may.
pub(super) struct Tls {
    client: Arc<ClientConfig>,
    gateway: SocketAddr,
    // The files are gone with it.
    _pki: Pki,
}

impl Tls {
    /// Adds a TLS listener to the configuration.
    ///
    /// # Panics
    /// When certificates cannot be made.
    pub(super) fn listen(site: &Site, config: &mut Value) -> Self {
        let pki = Pki::new();
        let pair = pki.issue(site.gateway()).expect("a certificate");
        let gateway = SocketAddr::new(site.gateway(), 5061);
        if let Some(listen) = config["sip"]["listen"].as_array_mut() {
            listen.push(json!(format!("tls:{gateway}")));
        }
        config["sip"]["tls"] = json!({
            "certificate_file": pair.certificate,
            "key_file": pair.key,
            "ca_file": pki.authority(),
        });
        let authority = CertificateDer::from_pem_file(pki.authority()).expect("it was written");
        let mut roots = RootCertStore::empty();
        roots.add(authority).expect("it is a certificate");
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider knows them")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            client: Arc::new(client),
            gateway,
            _pki: pki,
        }
    }

    async fn connect(&self, from: IpAddr) -> std::io::Result<TlsStream<TcpStream>> {
        let stream = connect(from, self.gateway).await?;
        TlsConnector::from(Arc::clone(&self.client))
            .connect(self.gateway.ip().into(), stream)
            .await
    }

    /// What a handshake begins from.
    pub(super) fn client(&self) -> &Arc<ClientConfig> {
        &self.client
    }

    /// Where it listens.
    pub(super) fn gateway(&self) -> SocketAddr {
        self.gateway
    }

    /// Sends a message on a connection of its own, and finds talkbridge alive on another one.
    ///
    /// # Panics
    /// When it is not.
    pub(super) async fn tortures(&self, from: IpAddr, name: &str, message: &[u8]) {
        let failed = |error| panic!("TLS at {name}: {error}");
        let mut torture = self.connect(from).await.unwrap_or_else(failed);
        // It may be closed before the last octet is written.
        drop(torture.write_all(message).await);
        let answer = self.asks(from, name).await;
        assert_eq!(answer, *b"SIP/2.0 200", "after {name}");
    }

    /// How the answer to OPTIONS on a connection of its own begins.
    pub(super) async fn asks(&self, from: IpAddr, after: &str) -> [u8; 11] {
        let mut check = self.connect(from).await.expect("it listens");
        let local = check.get_ref().0.local_addr().expect("it is connected");
        asks(&mut check, local, self.gateway, "TLS", after).await
    }
}

/// Asks by OPTIONS on a connection: how the answer begins.
///
/// # Panics
/// When there is none.
pub(super) async fn asks(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    local: SocketAddr,
    gateway: SocketAddr,
    transport: &str,
    after: &str,
) -> [u8; 11] {
    let options = Dialog::between(local, gateway, "1002").request("OPTIONS", "", "");
    let options = crlf(&options.replace("SIP/2.0/UDP", &format!("SIP/2.0/{transport}")));
    let sent = stream.write_all(options.as_bytes()).await;
    sent.unwrap_or_else(|error| panic!("after {after}: {error}"));
    let mut answer = [0; 11];
    let answered = tokio::time::timeout(PATIENCE, stream.read_exact(&mut answer)).await;
    assert!(
        matches!(answered, Ok(Ok(_))),
        "no answer over {transport} after {after}"
    );
    answer
}

/// ES2018-04: INVITEs over TLS whose body is empty though it is announced, some with credentials, and the connection is closed at once.
pub(super) async fn sudden_close(length: Duration) -> String {
    let mut tls = None;
    let site = Site::new();
    let mut besieged = Besieged::start_at(site, |site, config| {
        tls = Some(Tls::listen(site, config));
    })
    .await;
    let tls = tls.expect("it was configured above");
    let from = besieged.desk.site.sip_server();
    let until = Instant::now() + length;
    let mut connections = 0;
    while connections < CONNECTIONS || Instant::now() < until {
        let mut stream = tls.connect(from).await.expect("it listens");
        let us = stream.get_ref().0.local_addr().expect("it is connected");
        for nth in 0..INVITES {
            let proof = "Authorization: Digest username=\"1002\",realm=\"x\",nonce=\"x\",uri=\"sip:x\",response=\"x\"\n";
            let proof = if nth % 2 == 1 { proof } else { "" };
            let lines = format!("Content-Type: application/sdp\n{proof}");
            let dn = ["1002", "1003", "9999"][nth as usize % 3];
            let invite = Dialog::between(us, tls.gateway, dn).request("INVITE", &lines, "");
            let invite = crlf(&invite.replace("SIP/2.0/UDP", "SIP/2.0/TLS"));
            drop(stream.write_all(invite.as_bytes()).await);
        }
        drop(stream);
        connections += 1;
        if connections % CONNECTIONS == 0 {
            besieged.is_heard().await;
            besieged.is_driven().await;
        }
    }
    // Its tables may be full of what waits for an ACK; that takes 64*T1.
    let until = Instant::now() + TRANSACTION_LIFE;
    while tls.asks(from, "connections that were closed").await == OVERLOADED {
        assert!(Instant::now() < until, "still full");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let grown = besieged.has_grown_at_most(TABLES_MIB);
    besieged.ends().await;
    format!("{connections} connections with {INVITES} INVITEs each; grown by {grown} MiB")
}

/// ES2020-02: a hundred connections send INVITEs of one Call-ID and From tag, each with a branch of its own and a higher `CSeq`, and read nothing.
pub(super) async fn one_call_from_everywhere(length: Duration) -> String {
    let site = Site::new();
    let mut besieged = Besieged::start_at(site, |_, config| {
        config["limits"] = json!({"sip_connections": 200});
    })
    .await;
    let site = &besieged.desk.site;
    let (from, gateway) = (site.sip_server(), site.gateway_sip());
    let until = Instant::now() + length;
    let mut call = Dialog::between(SocketAddr::new(from, 5060), gateway, "1002");
    let mut sent: u64 = 0;
    loop {
        let mut open = Vec::new();
        for _ in 0..CONNECTIONS {
            open.extend(connect(from, gateway).await.ok());
        }
        assert!(open.len() > 50, "{} connections", open.len());
        for _ in 0..INVITES {
            for stream in &mut open {
                // Via says UDP, as published.
                let invite = crlf(&call.invite("", besieged.media()));
                // Who does not read is closed in the end.
                drop(stream.write_all(invite.as_bytes()).await);
                sent += 1;
            }
        }
        drop(open);
        besieged.is_heard().await;
        besieged.is_driven().await;
        if Instant::now() >= until {
            break;
        }
    }
    let grown = besieged.has_grown_at_most(TABLES_MIB);
    // One of them was let in and rings; its connection is gone.
    besieged.first_ends().await;
    format!(
        "{sent} INVITEs of one call from {CONNECTIONS} connections at a time; grown by {grown} MiB"
    )
}
