#![allow(clippy::unwrap_used)]
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::*;

/// TLS from end to end, in memory.
async fn tls_pair() -> (
    tokio_rustls::server::TlsStream<tokio::io::DuplexStream>,
    tokio_rustls::client::TlsStream<tokio::io::DuplexStream>,
) {
    crate::tls::install_provider();
    let own = rcgen::generate_simple_self_signed(vec!["peer".to_owned()]).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(own.cert.der().clone()).unwrap();
    let key = PrivateKeyDer::try_from(own.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let client = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (here, there) = tokio::io::duplex(8 * 1024);
    let name = ServerName::try_from("peer").unwrap();
    let (ours, theirs) = tokio::join!(
        TlsAcceptor::from(Arc::new(server)).accept(here),
        TlsConnector::from(Arc::new(client)).connect(name, there),
    );
    (ours.unwrap(), theirs.unwrap())
}

/// All of the process stands still (a machine that is moved, a disk) until the answer to a ping is overdue; it has come long ago.
#[tokio::test]
async fn an_answer_that_is_there_is_not_overdue() {
    let (sink, mut events) = SipSink::new(64, Arc::default());
    let keep_alive = KeepAlive {
        ping: Some(Duration::from_millis(1)),
        pong_within: Duration::from_millis(50),
        ..KeepAlive::default()
    };
    let admission = Admission {
        servers: Arc::default(),
        strangers_max: 1,
    };
    let shared = Shared::new(sink, 1, admission, keep_alive);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let theirs = TcpStream::connect(listener.local_addr().unwrap());
    let (theirs, accepted) = tokio::join!(theirs, listener.accept());
    let (mut theirs, (ours, remote)) = (theirs.unwrap(), accepted.unwrap());
    let place = shared.enter(remote.ip()).unwrap();
    let running = tokio::spawn(open(ours, remote, Transport::Tcp, place));
    let Some(SipEvent::Opened { outbox, .. }) = events.recv().await else {
        panic!("a connection was opened");
    };
    for _ in 0..12 {
        theirs.read_exact(&mut [0; 4]).await.expect("it is open");
        assert_eq!(theirs.try_write(b"\r\n").unwrap(), 2);
        let overdue = Instant::now() + keep_alive.pong_within;
        while Instant::now() <= overdue {
            std::hint::spin_loop();
        }
    }
    drop(outbox);
    running.await.unwrap();
}

/// A peer that stops reading inside TLS is given up in its time: what waits for it is told as lost and goes another way, where it waited for ever.
#[tokio::test]
async fn a_tls_peer_that_does_not_read_is_given_up() {
    let (ours, _theirs) = tls_pair().await;
    let (sink, mut events) = SipSink::new(64, Arc::default());
    let admission = Admission {
        servers: Arc::default(),
        strangers_max: 1,
    };
    let mut shared = Shared::new(sink, 1, admission, KeepAlive::default());
    let at_once = Duration::from_millis(20);
    Arc::get_mut(&mut shared).unwrap().times.write = at_once;
    let remote = SocketAddr::from(([192, 0, 2, 81], 5061));
    let place = shared.enter(remote.ip()).unwrap();
    let running = tokio::spawn(open(ours, remote, Transport::Tls, place));
    let Some(SipEvent::Opened { outbox, .. }) = events.recv().await else {
        panic!("a connection was opened");
    };
    let given_up = async {
        while outbox.send(vec![b'x'; 4 * 1024]).await.is_ok() {}
        running.await
    };
    let deadline = Duration::from_secs(20);
    timeout(deadline, given_up).await.unwrap().unwrap();
    assert!(matches!(events.recv().await, Some(SipEvent::Lost { .. })));
}
