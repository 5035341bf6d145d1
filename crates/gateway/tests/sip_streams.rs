//! SIP over TCP and TLS: framing, keep-alives, strangers, caps, and both ways of connecting.
#![allow(clippy::unwrap_used, missing_docs)]

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use gateway::config;
use gateway::edge::keep_alive::KeepAlive;
use gateway::edge::sip_peers::SipPeers;
use gateway::edge::sip_sink::{SipEvent, SipEvents, SipSink};
use gateway::edge::sip_stream::{Admission, Shared, Streams, Times, accept};
use gateway::tls::{self, SipTls, SipTlsRead};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sip::ua::{Transmit, Transport};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

const SOON: Duration = Duration::from_secs(20);

const MESSAGE: &[u8] = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4\r\n\r\nbody";

struct Edge {
    address: SocketAddr,
    shared: Arc<Shared>,
    events: SipEvents,
}

impl Edge {
    async fn open(connections_max: usize, admitted: Option<Vec<IpAddr>>) -> Self {
        Self::open_tls(connections_max, admitted, None).await
    }

    async fn open_tls(
        connections_max: usize,
        admitted: Option<Vec<IpAddr>>,
        tls: Option<Arc<SipTls>>,
    ) -> Self {
        let (sink, events) = SipSink::new(64, Arc::default());
        let admission = admission(connections_max, admitted);
        Self::listen(quiet(sink, connections_max, admission), events, tls).await
    }

    async fn listen(shared: Arc<Shared>, events: SipEvents, tls: Option<Arc<SipTls>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Self {
            address,
            shared,
            events,
        }
    }

    async fn next(&mut self) -> SipEvent {
        timeout(SOON, self.events.recv())
            .await
            .expect("in time")
            .expect("the edge lives")
    }

    /// A connection has come; it lives as long as its outbox.
    async fn opened(&mut self) -> mpsc::Sender<Vec<u8>> {
        match self.next().await {
            SipEvent::Opened { outbox, .. } => outbox,
            other => panic!("expected a connection, found {other:?}"),
        }
    }

    async fn message(&mut self) -> Vec<u8> {
        match self.next().await {
            SipEvent::Message { bytes, .. } => bytes,
            other => panic!("expected a message, found {other:?}"),
        }
    }
}

/// `None` takes everybody.
fn admission(connections_max: usize, admitted: Option<Vec<IpAddr>>) -> Admission {
    Admission {
        strangers_max: admitted.as_ref().map_or(connections_max, |_| 0),
        servers: Arc::new(SipPeers::new(admitted.unwrap_or_default())),
    }
}

/// Connections that nothing keeps alive.
fn quiet(sink: SipSink, connections_max: usize, admission: Admission) -> Arc<Shared> {
    Shared::new(sink, connections_max, admission, KeepAlive::default())
}

async fn read_to_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    let _ = timeout(SOON, stream.read_to_end(&mut all))
        .await
        .expect("closed in time");
    all
}

#[tokio::test]
async fn messages_are_cut_out_of_the_stream_and_answers_go_back_on_it() {
    let mut edge = Edge::open(10, None).await;
    let mut streams = Streams::new(Arc::clone(&edge.shared), None);
    let mut peer = TcpStream::connect(edge.address).await.unwrap();
    let SipEvent::Opened {
        connection,
        transport,
        remote,
        outbox,
    } = edge.next().await
    else {
        panic!("expected a connection");
    };
    assert_eq!(
        (transport, remote),
        (Transport::Tcp, peer.local_addr().unwrap())
    );
    streams.opened(connection, transport, remote, outbox);

    // Two messages in pieces, with a keep-alive between them.
    let whole = [MESSAGE, b"\r\n\r\n", MESSAGE].concat();
    for piece in whole.chunks(7) {
        peer.write_all(piece).await.unwrap();
    }
    assert_eq!(edge.message().await, MESSAGE);
    assert_eq!(edge.message().await, MESSAGE);
    let mut pong = [0; 2];
    timeout(SOON, peer.read_exact(&mut pong))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&pong, b"\r\n");

    let answer = b"SIP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec();
    let named = Transmit {
        transport,
        to: remote,
        connection: Some(connection),
        bytes: answer.clone(),
    };
    streams.send(named).unwrap();
    let mut heard = vec![0; answer.len()];
    timeout(SOON, peer.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(heard, answer);

    drop(peer);
    assert!(
        matches!(edge.next().await, SipEvent::Lost { connection: gone, .. } if gone == connection)
    );
}

#[tokio::test]
async fn a_stream_that_cannot_be_framed_is_closed() {
    for nonsense in [
        b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".as_slice(),
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 99999999\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"OPTIONS sip:a@b SIP/2.0\r\nVia: x\r\n\r\n",
    ] {
        let mut edge = Edge::open(10, None).await;
        let mut peer = TcpStream::connect(edge.address).await.unwrap();
        peer.write_all(nonsense).await.unwrap();
        assert!(read_to_end(&mut peer).await.is_empty());
        assert!(matches!(edge.next().await, SipEvent::Opened { .. }));
        assert!(
            matches!(edge.next().await, SipEvent::Lost { .. }),
            "{nonsense:?}"
        );
    }
}

#[tokio::test]
async fn strangers_and_one_too_many_are_closed_unheard() {
    let friends = vec![IpAddr::from([127, 0, 0, 1])];
    let edge = Edge::open(2, Some(friends)).await;
    let stranger = tokio::net::TcpSocket::new_v4().unwrap();
    stranger.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stranger = stranger.connect(edge.address).await.unwrap();
    assert!(read_to_end(&mut stranger).await.is_empty());
    let _first = TcpStream::connect(edge.address).await.unwrap();
    let _second = TcpStream::connect(edge.address).await.unwrap();
    let mut third = TcpStream::connect(edge.address).await.unwrap();
    assert!(read_to_end(&mut third).await.is_empty());
    assert_eq!(edge.shared.refused.load(Ordering::Relaxed), 2);
}

/// Where strangers are answered with 403 they may hold a part of the places, and SIP Server finds the rest.
#[tokio::test]
async fn strangers_cannot_take_every_place() {
    let (sink, events) = SipSink::new(64, Arc::default());
    let servers = Arc::new(SipPeers::new([IpAddr::from([127, 0, 0, 1])]));
    let admission = Admission {
        servers,
        strangers_max: 2,
    };
    let edge = Edge::listen(quiet(sink, 8, admission), events, None).await;
    let mut strangers = Vec::new();
    for host in 2..7 {
        let stranger = tokio::net::TcpSocket::new_v4().unwrap();
        let address = SocketAddr::from(([127, 0, 0, host], 0));
        stranger.bind(address).unwrap();
        strangers.push(stranger.connect(edge.address).await.unwrap());
    }
    for stranger in &mut strangers[2..] {
        assert!(read_to_end(stranger).await.is_empty());
    }
    assert_eq!(edge.shared.refused.load(Ordering::Relaxed), 3);
    let _server = TcpStream::connect(edge.address).await.unwrap();
    let mut edge = edge;
    // A connection whose way back is dropped is given up.
    let mut kept = Vec::new();
    for _ in 0..3 {
        kept.push(edge.next().await);
    }
    let opened = |event: &SipEvent| matches!(event, SipEvent::Opened { .. });
    assert!(kept.iter().all(opened), "{kept:?}");
}

/// Others' connections cannot keep ours from SIP Server: with every place taken our REGISTER still leaves.
#[tokio::test]
async fn our_own_connection_finds_a_place_when_all_are_taken() {
    let mut edge = Edge::open(1, None).await;
    let _guest = TcpStream::connect(edge.address).await.unwrap();
    let _kept = edge.next().await;
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut streams = Streams::new(Arc::clone(&edge.shared), None);
    let register = Transmit {
        transport: Transport::Tcp,
        to: server.local_addr().unwrap(),
        connection: None,
        bytes: MESSAGE.to_vec(),
    };
    streams.send(register).unwrap();
    let (mut taken, _) = timeout(SOON, server.accept()).await.unwrap().unwrap();
    let mut heard = [0; 7];
    taken.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"OPTIONS");
}

/// Silence, half a message, and an octet now and then: each is closed in its time, and one that speaks stays.
#[tokio::test]
async fn slow_and_silent_connections_are_closed() {
    let quick = |first, half, idle| Times {
        first_message: Duration::from_millis(first),
        half_message: Duration::from_millis(half),
        idle: Duration::from_millis(idle),
        ..Times::default()
    };
    let never = 3_600_000;
    for (times, said) in [
        (quick(50, never, never), &b""[..]),
        (quick(50, never, never), b"\r\n\r\n"),
        (quick(never, 50, never), b"OPTIONS sip:a"),
        (quick(never, never, 50), MESSAGE),
    ] {
        let (sink, events) = SipSink::new(64, Arc::default());
        let mut shared = quiet(sink, 8, admission(8, None));
        Arc::get_mut(&mut shared).unwrap().times = times;
        let edge = Edge::listen(shared, events, None).await;
        let mut stream = TcpStream::connect(edge.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        read_to_end(&mut stream).await;
    }
    // An octet at a time buys no time.
    let (sink, events) = SipSink::new(64, Arc::default());
    let mut shared = quiet(sink, 8, admission(8, None));
    Arc::get_mut(&mut shared).unwrap().times = quick(never, 100, never);
    let edge = Edge::listen(shared, events, None).await;
    let stream = TcpStream::connect(edge.address).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut all = Vec::new();
    let _ = timeout(SOON, reader.read_to_end(&mut all))
        .await
        .expect("closed in time");
    drip.abort();
}

#[tokio::test]
async fn we_connect_where_no_connection_is_and_use_it_again() {
    let (sink, mut events) = SipSink::new(64, Arc::default());
    let mut streams = Streams::new(quiet(sink, 10, admission(10, None)), None);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    let transmit = || Transmit {
        transport: Transport::Tcp,
        to,
        connection: None,
        bytes: MESSAGE.to_vec(),
    };
    streams.send(transmit()).unwrap();
    streams.send(transmit()).unwrap();
    let (mut peer, _) = timeout(SOON, server.accept()).await.unwrap().unwrap();
    let mut heard = vec![0; 2 * MESSAGE.len()];
    timeout(SOON, peer.read_exact(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(streams.len(), 1);
    peer.write_all(MESSAGE).await.unwrap();
    let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, SipEvent::Message { source, .. } if source.connection.is_some()));
}

/// The other end closes, and we have something to say before we have looked what became of the connection: it leaves on another one, and nothing
/// is told to have failed.
#[tokio::test]
async fn what_is_said_to_a_connection_that_has_just_ended_leaves_on_another() {
    let (sink, mut events) = SipSink::new(64, Arc::default());
    let mut streams = Streams::new(quiet(sink, 10, admission(10, None)), None);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let to = server.local_addr().unwrap();
    let mut first = None;
    for connections in 1..=2 {
        let transmit = Transmit {
            transport: Transport::Tcp,
            to,
            connection: first,
            bytes: MESSAGE.to_vec(),
        };
        streams.send(transmit).unwrap();
        let (mut peer, from) = timeout(SOON, server.accept()).await.unwrap().unwrap();
        let mut heard = vec![0; MESSAGE.len()];
        peer.read_exact(&mut heard).await.unwrap();
        assert_eq!(heard, MESSAGE, "connection {connections} from {from}");
        drop(peer);
        let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
        let SipEvent::Lost {
            connection, remote, ..
        } = event
        else {
            panic!("expected its end, found {event:?}");
        };
        assert_eq!(remote, to);
        // `streams` has not been told.
        first = Some(connection);
    }
}

/// SIP Server must see the address that Via and Contact name, on a host with several too.
#[tokio::test]
async fn we_connect_from_the_address_we_listen_on() {
    let (sink, _events) = SipSink::new(64, Arc::default());
    let [wildcard, ours] = ["0.0.0.0", "127.0.0.9"].map(|ip| (Transport::Tcp, ip.parse().unwrap()));
    let elsewhere = (Transport::Tls, "127.0.0.8".parse().unwrap());
    let mut streams = Streams::new(quiet(sink, 10, admission(10, None)), None)
        .leaving_from([wildcard, elsewhere, ours]);
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transmit = Transmit {
        transport: Transport::Tcp,
        to: server.local_addr().unwrap(),
        connection: None,
        bytes: MESSAGE.to_vec(),
    };
    streams.send(transmit).unwrap();
    let (_peer, from) = timeout(SOON, server.accept()).await.unwrap().unwrap();
    assert_eq!(from.ip(), ours.1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said() {
    let (sink, mut events) = SipSink::new(64, Arc::default());
    let mut streams = Streams::new(quiet(sink, 10, admission(10, None)), None);
    let nobody = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let lost = Transmit {
        transport: Transport::Tcp,
        to: nobody,
        connection: None,
        bytes: MESSAGE.to_vec(),
    };
    streams.send(lost).unwrap();
    let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(
        matches!(event, SipEvent::Failed { to, .. } if to == nobody),
        "{event:?}"
    );
}

/// A certificate for 127.0.0.1 of an authority made for this test, as files.
fn write_authority_and_certificate(dir: &Path) {
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(Vec::new()).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_cert = ca.self_signed(&ca_key).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let cert = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    std::fs::write(dir.join("ca.pem"), ca_cert.pem()).unwrap();
    std::fs::write(dir.join("own.pem"), cert.pem()).unwrap();
    std::fs::write(dir.join("own.key"), key.serialize_pem()).unwrap();
}

/// `[sip.tls]` with our own pair out of `ours` and the authority out of `authority`.
fn sip_tls(ours: &TempDir, authority: &TempDir, require_client_certificate: bool) -> SipTlsRead {
    SipTlsRead::read(&config::SipTls {
        certificate_file: ours.path().join("own.pem"),
        key_file: ours.path().join("own.key"),
        ca_file: authority.path().join("ca.pem"),
        require_client_certificate,
        server_name: None,
    })
    .unwrap()
}

fn two_sites() -> (TempDir, TempDir) {
    tls::install_provider();
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for dir in [&ours, &theirs] {
        write_authority_and_certificate(dir.path());
    }
    (ours, theirs)
}

/// Connections that we open with these files.
fn streams(tls: SipTlsRead) -> (Streams, SipEvents) {
    let (sink, events) = SipSink::new(64, Arc::default());
    let shared = quiet(sink, 10, admission(10, None));
    (Streams::new(shared, Some(SipTls::new(tls))), events)
}

fn by_tls(to: SocketAddr) -> Transmit {
    Transmit {
        transport: Transport::Tls,
        to,
        connection: None,
        bytes: MESSAGE.to_vec(),
    }
}

#[tokio::test]
async fn tls_takes_the_same_path_and_trusts_only_the_configured_authority() {
    let (ours, theirs) = two_sites();
    let listening = SipTls::new(sip_tls(&ours, &ours, false));
    let mut edge = Edge::open_tls(10, None, Some(listening)).await;

    let (mut trusting, _events) = streams(sip_tls(&ours, &ours, false));
    trusting.send(by_tls(edge.address)).unwrap();
    assert!(matches!(
        edge.next().await,
        SipEvent::Opened {
            transport: Transport::Tls,
            ..
        }
    ));
    assert_eq!(edge.message().await, MESSAGE);

    let (mut mistrusting, mut events) = streams(sip_tls(&ours, &theirs, false));
    mistrusting.send(by_tls(edge.address)).unwrap();
    let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, SipEvent::Failed { .. }), "{event:?}");
}

/// A client that trusts the authority of `site` and shows no certificate of its own.
async fn handshake_without_certificate(to: SocketAddr, site: &TempDir) -> std::io::Result<usize> {
    let mut roots = rustls::RootCertStore::empty();
    let file = site.path().join("ca.pem");
    roots
        .add(CertificateDer::from_pem_file(file).unwrap())
        .unwrap();
    let config = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let stream = TcpStream::connect(to).await?;
    let mut stream = connector.connect(to.ip().into(), stream).await?;
    stream.write_all(b"\r\n\r\n").await?;
    // With TLS 1.3 the client hears only now whether the server takes it.
    let mut pong = [0; 2];
    stream.read_exact(&mut pong).await
}

#[tokio::test]
async fn mutual_tls_takes_nobody_without_a_certificate() {
    let (ours, theirs) = two_sites();
    let lenient = SipTls::new(sip_tls(&ours, &ours, false));
    let edge = Edge::open_tls(10, None, Some(lenient)).await;
    let pong = handshake_without_certificate(edge.address, &ours).await;
    assert_eq!(pong.unwrap(), 2);

    let strict = SipTls::new(sip_tls(&ours, &ours, true));
    let mut edge = Edge::open_tls(10, None, Some(strict)).await;
    let refused = handshake_without_certificate(edge.address, &ours).await;
    assert!(refused.is_err(), "{refused:?}");
    // One that another authority has signed is as good as none.
    let (mut stranger, mut events) = streams(sip_tls(&theirs, &ours, false));
    stranger.send(by_tls(edge.address)).unwrap();
    let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(
        matches!(event, SipEvent::Failed { .. } | SipEvent::Lost { .. }),
        "{event:?}"
    );
    let (mut known, _events) = streams(sip_tls(&ours, &ours, false));
    known.send(by_tls(edge.address)).unwrap();
    assert!(matches!(edge.next().await, SipEvent::Opened { .. }));
    assert_eq!(edge.message().await, MESSAGE);
}

/// The connection that a call came on is not cut because certificates were renewed.
#[tokio::test]
async fn renewed_certificates_and_authorities_are_for_new_connections() {
    let (before, after) = two_sites();
    let listening = SipTls::new(sip_tls(&before, &before, true));
    let mut edge = Edge::open_tls(10, None, Some(Arc::clone(&listening))).await;
    let (mut old, mut old_events) = streams(sip_tls(&before, &before, false));
    old.send(by_tls(edge.address)).unwrap();
    let _old_line = edge.opened().await;
    assert_eq!(edge.message().await, MESSAGE);

    listening.replace(sip_tls(&after, &after, true));
    old.send(by_tls(edge.address)).unwrap();
    assert_eq!(edge.message().await, MESSAGE);
    assert!(old_events.try_recv().is_none(), "it is still up");

    let (mut new, _events) = streams(sip_tls(&after, &after, false));
    new.send(by_tls(edge.address)).unwrap();
    let _new_line = edge.opened().await;
    assert_eq!(edge.message().await, MESSAGE);
    let (mut late, mut events) = streams(sip_tls(&before, &before, false));
    late.send(by_tls(edge.address)).unwrap();
    let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, SipEvent::Failed { .. }), "{event:?}");
}

/// RFC 5626 section 4.4.1: a connection that answers no ping is given up, so that the next message opens a fresh one.
#[tokio::test]
async fn a_connection_that_answers_no_ping_is_closed() {
    let (sink, mut events) = SipSink::new(64, Arc::default());
    let keep_alive = KeepAlive {
        ping: Some(Duration::from_millis(20)),
        pong_within: Duration::from_millis(20),
        ..KeepAlive::default()
    };
    let mut streams = Streams::new(Shared::new(sink, 10, admission(10, None), keep_alive), None);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let transmit = Transmit {
        transport: Transport::Tcp,
        ..by_tls(listener.local_addr().unwrap())
    };
    streams.send(transmit).unwrap();
    let (mut peer, _) = listener.accept().await.unwrap();
    let event = timeout(SOON, events.recv()).await.unwrap().unwrap();
    assert!(matches!(event, SipEvent::Lost { .. }), "{event:?}");
    let mut heard = Vec::new();
    timeout(SOON, peer.read_to_end(&mut heard))
        .await
        .unwrap()
        .unwrap();
    assert!(heard.ends_with(b"\r\n\r\n"), "the last it heard is a ping");
}
