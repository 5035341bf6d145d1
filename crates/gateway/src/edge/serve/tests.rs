#![allow(clippy::unwrap_used)]

use std::sync::atomic::AtomicUsize;

use axum::response::sse::{Event, Sse};
use axum::routing::get;
use futures_util::StreamExt as _;
use rustls::crypto::aws_lc_rs::kx_group::{SECP384R1, X25519};
use rustls::crypto::{CryptoProvider, SupportedKxGroup};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, copy_bidirectional, duplex};
use tokio::sync::Barrier;
use tokio_rustls::TlsConnector;

use super::*;

/// Longer than anything here waits for.
const SOON: Duration = Duration::from_secs(20);

#[test]
fn one_source_cannot_take_every_place() {
    let bounds = Bounds {
        connections: 3,
        per_source: 2,
    };
    let guests = Guests::new(bounds);
    let (a, b) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
    let first = guests.enter(a).unwrap();
    let second = guests.enter(a).unwrap();
    assert_eq!(guests.enter(a).err(), Some(Full::Source));
    let third = guests.enter(b).unwrap();
    drop(first);
    let again = guests.enter(a).unwrap();
    assert_eq!(guests.enter(b).err(), Some(Full::All));
    drop((second, third, again));
    let counted = guests.lock();
    assert_eq!((counted.all, counted.by_source.len()), (0, 0));
}

/// A campus has one IPv6 network for all its agents: each has a place. Whoever takes address after address of one takes many places, and not all.
#[test]
fn an_ipv6_network_has_places_for_many_and_leaves_some() {
    let bounds = Bounds {
        connections: 80,
        per_source: 2,
    };
    let guests = Guests::new(bounds);
    let enter = |network: u16, host: u16| {
        let source = Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host);
        guests.enter(source.into())
    };
    let mut campus: Vec<_> = (0..32).map(|host| enter(1, host).unwrap()).collect();
    assert_eq!(enter(1, 32).err(), Some(Full::Network));
    let other = (enter(2, 1).unwrap(), enter(2, 1).unwrap());
    assert_eq!(enter(2, 1).err(), Some(Full::Source));
    campus.pop();
    let again = enter(1, 32).unwrap();
    drop((campus, other, again));
    let counted = guests.lock();
    assert_eq!((counted.all, counted.by_network.len()), (0, 0));
    let tight = Bounds {
        connections: 16,
        per_source: 2,
    };
    assert_eq!(tight.per_network(), 14);
}

/// A connection to a router, and when it is over.
fn served(router: Router, within: Duration) -> (DuplexStream, tokio::task::JoinHandle<()>) {
    let bounds = Bounds {
        connections: 1,
        per_source: 1,
    };
    let remote = SocketAddr::from(([192, 0, 2, 1], 4000));
    let guest = Guests::new(bounds).enter(remote.ip()).unwrap();
    let seat = Seat {
        _guest: Arc::new(guest),
    };
    let (ours, theirs) = duplex(4096);
    let over = tokio::spawn(connection(theirs, remote, router, seat, within));
    (ours, over)
}

const ASK: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Whoever asks again and again and reads nothing gives its place back.
#[tokio::test]
async fn a_peer_that_does_not_read_gives_its_place_back() {
    let page = || async { "x".repeat(64 * 1024) };
    let router = Router::new().route("/", get(page));
    let (mut peer, over) = served(router, Duration::from_millis(20));
    peer.write_all(&ASK.repeat(10)).await.unwrap();
    timeout(SOON, over).await.unwrap().unwrap();
}

/// A stream of events lasts, however long ago its connection began.
#[tokio::test]
async fn a_stream_of_events_lasts() {
    let (say, said) = tokio::sync::watch::channel(0);
    let events = move || {
        let news = said.clone();
        async move {
            let events = futures_util::stream::unfold(news, |mut news| async move {
                news.changed().await.ok()?;
                let event = Event::default().data(news.borrow().to_string());
                Some((Ok::<_, std::convert::Infallible>(event), news))
            });
            Sse::new(events.boxed())
        }
    };
    let within = Duration::from_millis(20);
    let router = Router::new().route("/", get(events));
    let (mut subscriber, over) = served(router.clone(), within);
    // Another peer shows that the time of both is over.
    let (mut other, other_over) = served(Router::new(), within);
    subscriber.write_all(ASK).await.unwrap();
    let mut heard = [0; 4096];
    assert!(subscriber.read(&mut heard).await.unwrap() > 0);
    other.write_all(&ASK[..10]).await.unwrap();
    timeout(SOON, other_over).await.unwrap().unwrap();
    assert!(!over.is_finished());
    say.send(7).unwrap();
    let mut said = String::new();
    while !said.contains("data: 7") {
        let length = timeout(SOON, subscriber.read(&mut heard))
            .await
            .unwrap()
            .unwrap();
        assert!(length > 0, "{said}");
        said.push_str(std::str::from_utf8(&heard[..length]).unwrap());
    }
}

/// A certificate that counts who asks for it: each has just cost a signature.
#[derive(Debug)]
struct Counted(Arc<CertifiedKey>, Arc<AtomicUsize>);

impl ResolvesServerCert for Counted {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.1.fetch_add(1, Ordering::Relaxed);
        Some(Arc::clone(&self.0))
    }
}

/// What is spoken: rustls with these ways to agree on a key, the first of which a client tries.
fn speaking(groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<CryptoProvider> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    Arc::new(CryptoProvider {
        kx_groups: groups,
        ..provider
    })
}

/// Many whole handshakes at once: whoever else is served has a turn between a few of them.
#[tokio::test]
async fn handshakes_leave_turns_to_others() {
    let most = most_between_turns(vec![X25519]).await;
    assert!(most <= 2 * HTTP_HANDSHAKES_MAX, "{most} between two turns");
}

/// The same where each client begins with a key that is not taken and is asked for another one: the costly step is the second then.
#[tokio::test]
async fn handshakes_that_begin_anew_leave_turns_to_others() {
    let most = most_between_turns(vec![SECP384R1, X25519]).await;
    assert!(most <= 2 * HTTP_HANDSHAKES_MAX, "{most} between two turns");
}

/// What lies between a client and us: after the first words of both everything is held back until it is so far at all clients.
async fn hold_back(mut client: DuplexStream, mut server: DuplexStream, all: Arc<Barrier>) {
    let mut octets = vec![0; 16 * 1024];
    let length = client.read(&mut octets).await.unwrap();
    server.write_all(&octets[..length]).await.unwrap();
    let length = server.read(&mut octets).await.unwrap();
    client.write_all(&octets[..length]).await.unwrap();
    all.wait().await;
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// How many signatures at most are asked for between two turns of somebody else, of clients that try `groups` in this order.
async fn most_between_turns(groups: Vec<&'static dyn SupportedKxGroup>) -> usize {
    let hellos = groups.len();
    let own = rcgen::generate_simple_self_signed(vec!["peer".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&key).unwrap();
    let key = Arc::new(CertifiedKey::new(vec![own.cert.der().clone()], key));
    let made = Arc::new(AtomicUsize::new(0));
    let resolver = Arc::new(Counted(key, Arc::clone(&made)));
    let config = ServerConfig::builder_with_provider(speaking(vec![X25519]))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    let tls = Tls {
        config: Arc::new(config),
        turns: Arc::new(Semaphore::new(HTTP_HANDSHAKES_MAX)),
    };
    let client = ClientConfig::builder_with_provider(speaking(groups))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = TlsConnector::from(Arc::new(client));
    let clients = 20 * HTTP_HANDSHAKES_MAX;
    let all = Arc::new(Barrier::new(clients));
    let handshakes = (0..clients).map(|_| {
        let (ours, mut theirs) = duplex(16 * 1024);
        if hellos > 1 {
            let (near, far) = duplex(16 * 1024);
            tokio::spawn(hold_back(theirs, near, Arc::clone(&all)));
            theirs = far;
        }
        let (tls, connector) = (tls.clone(), connector.clone());
        tokio::spawn(async move { tls.accept(theirs).await.map(drop) });
        let name = ServerName::try_from("peer").unwrap();
        tokio::spawn(async move { connector.connect(name, ours).await.map(drop) })
    });
    let handshakes: Vec<_> = handshakes.collect();
    let (mut before, mut most) = (0, 0);
    while before < hellos * clients {
        tokio::task::yield_now().await;
        let now = made.load(Ordering::Relaxed);
        most = most.max(now - before);
        before = now;
    }
    for handshake in handshakes {
        timeout(SOON, handshake).await.unwrap().unwrap().unwrap();
    }
    most
}
