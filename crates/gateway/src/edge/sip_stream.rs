//! SIP over streams: TCP, and TLS on the same path; connections that SIP Server opens and connections that we open.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use sip::ua::{ConnectionId, Source, Transmit, Transport};
use sip::wire::Frame;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::arrivals::Arrivals;
use super::keep_alive::{KeepAlive, Ping};
use super::sip_peers::SipPeers;
use super::sip_reading::Reading;
use super::sip_sink::{SipEvent, SipSink};
use super::timed_stream::TimedStream;
use crate::limits::{SIP_CONNECT_WITHIN, SIP_STREAM_QUEUE_MAX, SIP_STREAMS_OURS_MAX};
use crate::tls::SipTls;

pub use super::sip_admission::{Admission, Times};

/// What all streams share.
#[derive(Debug)]
pub struct Shared {
    /// Where messages go.
    pub sink: SipSink,
    /// Connections at a time.
    pub connections_max: usize,
    /// Whose connections are taken.
    pub admission: Admission,
    /// How long connections may take.
    pub times: Times,
    /// Connections that were closed unheard: a stranger's, or one too many.
    pub refused: Arc<AtomicU64>,
    /// How connections are kept alive.
    pub keep_alive: KeepAlive,
    open: AtomicUsize,
    /// How many of them are strangers'.
    strangers: AtomicUsize,
    last_id: AtomicU64,
}

impl Shared {
    /// Nothing is open yet.
    #[must_use]
    pub fn new(
        sink: SipSink,
        connections_max: usize,
        admission: Admission,
        keep_alive: KeepAlive,
    ) -> Arc<Self> {
        Arc::new(Self {
            sink,
            connections_max,
            admission,
            times: Times::default(),
            refused: Arc::new(AtomicU64::new(0)),
            keep_alive,
            open: AtomicUsize::new(0),
            strangers: AtomicUsize::new(0),
            last_id: AtomicU64::new(0),
        })
    }

    fn next_id(&self) -> ConnectionId {
        ConnectionId(self.last_id.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// Takes a place for a connection that `remote` has opened, or `None` when there is none for it.
    fn enter(self: &Arc<Self>, remote: IpAddr) -> Option<Place> {
        let stranger = !self.admission.servers.holds(remote);
        if stranger && !take(&self.strangers, self.admission.strangers_max) {
            return None;
        }
        let place = Place {
            shared: Arc::clone(self),
            stranger,
            counted: false,
        };
        place.counted(self.connections_max)
    }

    /// Takes a place for a connection of ours: others cannot take them all.
    fn enter_ours(self: &Arc<Self>) -> Option<Place> {
        let place = Place {
            shared: Arc::clone(self),
            stranger: false,
            counted: false,
        };
        place.counted(self.connections_max + SIP_STREAMS_OURS_MAX)
    }
}

/// Counts one more, unless there are `most` already.
fn take(count: &AtomicUsize, most: usize) -> bool {
    let more = |count: usize| (count < most).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}

/// One open connection; dropping it makes room for the next.
struct Place {
    shared: Arc<Shared>,
    stranger: bool,
    counted: bool,
}

impl Place {
    fn counted(mut self, most: usize) -> Option<Self> {
        self.counted = take(&self.shared.open, most);
        self.counted.then_some(self)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.counted {
            self.shared.open.fetch_sub(1, Ordering::Relaxed);
        }
        if self.stranger {
            self.shared.strangers.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Accepts connections for ever.
pub async fn accept(listener: TcpListener, tls: Option<Arc<SipTls>>, shared: Arc<Shared>) {
    let arrivals = Arrivals::new(listener, "sip");
    while !shared.sink.is_closed() {
        let Some((stream, remote)) = arrivals.next().await else {
            continue;
        };
        let Some(place) = shared.enter(remote.ip()) else {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        tokio::spawn(accepted(stream, remote, tls.clone(), place));
    }
}

async fn accepted(stream: TcpStream, remote: SocketAddr, tls: Option<Arc<SipTls>>, place: Place) {
    let stream = place.shared.keep_alive.prepare(stream);
    match tls {
        None => open(stream, remote, Transport::Tcp, place).await,
        Some(tls) => match timeout(SIP_CONNECT_WITHIN, tls.acceptor().accept(stream)).await {
            Ok(Ok(stream)) => open(stream, remote, Transport::Tls, place).await,
            Ok(Err(error)) => tracing::debug!(%remote, %error, "sip: TLS handshake failed"),
            Err(_) => tracing::debug!(%remote, "sip: TLS handshake took too long"),
        },
    }
}

/// Announces a connection that a peer opened, and runs it.
async fn open<S>(stream: S, remote: SocketAddr, transport: Transport, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let connection = place.shared.next_id();
    let (outbox, queue) = mpsc::channel(SIP_STREAM_QUEUE_MAX);
    let event = SipEvent::Opened {
        connection,
        transport,
        remote,
        outbox,
    };
    if place.shared.sink.push(event).await {
        let source = Source {
            transport,
            remote,
            connection: Some(connection),
        };
        run(stream, source, queue, &place.shared).await;
        place.shared.sink.push(lost(connection, source)).await;
    }
}

/// What happens next on a connection.
enum Step {
    /// So many octets were read; none at its end.
    Read(io::Result<usize>),
    /// This is to be sent; `None` when nothing more is.
    Write(Option<Vec<u8>>),
    /// It is time for a ping.
    Ping,
}

/// Moves messages both ways until either side ends it or a limit does.
async fn run<S>(stream: S, source: Source, mut queue: mpsc::Receiver<Vec<u8>>, shared: &Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let sink = &shared.sink;
    let (mut reader, writer) = tokio::io::split(stream);
    let mut writing = Writing {
        writer,
        within: shared.times.write,
    };
    let mut reading = Reading::new(shared.times);
    let mut ping = Ping::new(shared.keep_alive, Instant::now());
    let why = loop {
        // Reading and writing have the same chances, whatever either side does. What is overdue is looked for after both: where all of the process stood
        // still, the answer is there already.
        let step = tokio::select! {
            biased;
            step = async {
                tokio::select! {
                    read = reader.read(&mut reading.buffer) => Step::Read(read),
                    message = queue.recv() => Step::Write(message),
                }
            } => step,
            () = tokio::time::sleep_until(reading.deadline) => break reading.overdue().to_owned(),
            () = tokio::time::sleep_until(ping.next()), if ping.is_on() => Step::Ping,
        };
        let done = match step {
            Step::Read(read) => {
                ping.heard(Instant::now());
                match read {
                    Ok(0) => break "the peer closed it".to_owned(),
                    Ok(length) => match reading.frames(length) {
                        Ok(frames) => deliver(frames, source, sink, &mut writing).await,
                        Err(why) => Err(why),
                    },
                    Err(error) => Err(error.to_string()),
                }
            }
            Step::Write(Some(message)) => writing.write(&message).await,
            Step::Write(None) => break "given up".to_owned(),
            Step::Ping if !ping.send(Instant::now()) => break "a ping without answer".to_owned(),
            Step::Ping => writing.write(b"\r\n\r\n").await,
        };
        if let Err(why) = done {
            break why;
        }
    };
    tracing::debug!(remote = %source.remote, transport = %source.transport, why, "sip: connection closed");
    // From here on a message finds another connection.
    queue.close();
    writing.shut().await;
}

async fn deliver<W>(
    frames: Vec<Frame>,
    source: Source,
    sink: &SipSink,
    writing: &mut Writing<W>,
) -> Result<(), String>
where
    W: AsyncWrite + Unpin,
{
    for frame in frames {
        match frame {
            Frame::Message(bytes) => {
                let message = SipEvent::Message {
                    source,
                    bytes,
                    received: Instant::now().into_std(),
                };
                if !sink.push(message).await {
                    return Err("no room for a stranger, or the gateway ends".to_owned());
                }
            }
            // RFC 5626 section 3.5.1: the ping of two line ends gets one back.
            Frame::KeepAlive => writing.write(b"\r\n").await?,
        }
    }
    Ok(())
}

/// The writing half of a stream. A peer that does not read keeps it for a bounded time: inside TLS octets are taken long before they leave, so that it is
/// the flush that waits.
struct Writing<W> {
    writer: W,
    within: Duration,
}

impl<W: AsyncWrite + Unpin> Writing<W> {
    async fn write(&mut self, bytes: &[u8]) -> Result<(), String> {
        let written = async {
            self.writer.write_all(bytes).await?;
            self.writer.flush().await
        };
        match timeout(self.within, written).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(_) => Err("the peer does not read".to_owned()),
        }
    }

    /// Says goodbye to a peer that takes it.
    async fn shut(&mut self) {
        let _ = timeout(self.within, self.writer.shutdown()).await;
    }
}

/// The connections as the control loop sees them: where to put a message so that it leaves.
#[derive(Debug)]
pub struct Streams {
    shared: Arc<Shared>,
    tls: Option<Arc<SipTls>>,
    /// The addresses that connections of ours leave from.
    sources: Vec<(Transport, IpAddr)>,
    connections: HashMap<ConnectionId, Connection>,
    /// The connection to use for a peer's address.
    by_peer: HashMap<(Transport, SocketAddr), ConnectionId>,
}

#[derive(Debug)]
struct Connection {
    peer: (Transport, SocketAddr),
    outbox: mpsc::Sender<Vec<u8>>,
}

impl Streams {
    /// No connections yet.
    #[must_use]
    pub fn new(shared: Arc<Shared>, tls: Option<Arc<SipTls>>) -> Self {
        Self {
            shared,
            tls,
            sources: Vec::new(),
            connections: HashMap::new(),
            by_peer: HashMap::new(),
        }
    }

    /// Connects from these addresses, the first of the transport and of the peer's family. On a host with several, SIP Server would otherwise see
    /// whichever the route prefers, and not the one in Via and Contact.
    #[must_use]
    pub fn leaving_from(mut self, sources: impl IntoIterator<Item = (Transport, IpAddr)>) -> Self {
        let known = sources
            .into_iter()
            .filter(|(_, source)| !source.is_unspecified());
        self.sources = known.collect();
        self
    }

    /// How many are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.connections.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.connections.is_empty()
    }

    /// The hosts that may speak SIP to us, as the sockets see them.
    #[must_use]
    pub fn peers(&self) -> &SipPeers {
        &self.shared.admission.servers
    }

    /// A peer connected.
    pub fn opened(
        &mut self,
        connection: ConnectionId,
        transport: Transport,
        remote: SocketAddr,
        outbox: mpsc::Sender<Vec<u8>>,
    ) {
        let peer = (transport, remote);
        self.connections
            .insert(connection, Connection { peer, outbox });
        self.by_peer.insert(peer, connection);
    }

    /// A connection is gone.
    pub fn lost(&mut self, connection: ConnectionId) {
        if let Some(gone) = self.connections.remove(&connection)
            && self.by_peer.get(&gone.peer) == Some(&connection)
        {
            self.by_peer.remove(&gone.peer);
        }
    }

    /// Sends on the connection that the message names, else on one to its address, else on a new one. One that ends at this moment, or whose peer
    /// does not read, takes no more; what it took before, its loss tells the machine.
    ///
    /// # Errors
    ///
    /// When there is no room for a connection: the message is lost, and the caller tells the machine.
    pub fn send(&mut self, transmit: Transmit) -> Result<(), io::Error> {
        let peer = (transmit.transport, transmit.to);
        let mut bytes = transmit.bytes;
        let known = self.by_peer.get(&peer).copied();
        for id in [transmit.connection, known].into_iter().flatten() {
            let Err(unsent) = self.put(id, bytes) else {
                return Ok(());
            };
            bytes = unsent;
        }
        let id = self.connect(peer)?;
        self.put(id, bytes)
            .map_err(|_| io::ErrorKind::WouldBlock.into())
    }

    /// Queues a message for the connection, or gives it back: dropping the sender of one that takes nothing ends its task, which says so.
    fn put(&mut self, id: ConnectionId, bytes: Vec<u8>) -> Result<(), Vec<u8>> {
        let Some(connection) = self.connections.get(&id) else {
            return Err(bytes);
        };
        let Err(error) = connection.outbox.try_send(bytes) else {
            return Ok(());
        };
        self.lost(id);
        Err(error.into_inner())
    }

    fn connect(&mut self, peer: (Transport, SocketAddr)) -> Result<ConnectionId, io::Error> {
        let (transport, to) = peer;
        let place = self
            .shared
            .enter_ours()
            .ok_or(io::ErrorKind::QuotaExceeded)?;
        let tls = match transport {
            Transport::Tls => Some(self.tls.clone().ok_or(io::ErrorKind::Unsupported)?),
            Transport::Tcp => None,
            Transport::Udp => return Err(io::ErrorKind::Unsupported.into()),
        };
        let id = self.shared.next_id();
        let (outbox, queue) = mpsc::channel(SIP_STREAM_QUEUE_MAX);
        self.opened(id, transport, to, outbox);
        let fits = |(of, source): &&(Transport, IpAddr)| {
            *of == transport && source.is_ipv4() == to.is_ipv4()
        };
        let from = self.sources.iter().find(fits).map(|(_, source)| *source);
        tokio::spawn(connecting(id, (transport, to), from, tls, queue, place));
        Ok(id)
    }
}

async fn connecting(
    connection: ConnectionId,
    (transport, to): (Transport, SocketAddr),
    from: Option<IpAddr>,
    tls: Option<Arc<SipTls>>,
    queue: mpsc::Receiver<Vec<u8>>,
    place: Place,
) {
    let sink = place.shared.sink.clone();
    let keep_alive = place.shared.keep_alive;
    let source = Source {
        transport,
        remote: to,
        connection: Some(connection),
    };
    let connected = timeout(SIP_CONNECT_WITHIN, async {
        let stream = keep_alive.prepare(connect_from(from, to).await?);
        let Some(tls) = tls else {
            return Ok(Either::Plain(stream));
        };
        let named = place.shared.admission.servers.name_of(to);
        let stream = tls.connect(to.ip(), named, stream).await?;
        Ok::<_, io::Error>(Either::Tls(Box::new(stream)))
    })
    .await
    .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    match connected {
        Ok(Either::Plain(stream)) => run(stream, source, queue, &place.shared).await,
        Ok(Either::Tls(stream)) => run(*stream, source, queue, &place.shared).await,
        Err(error) => {
            tracing::warn!(%to, %transport, %error, "sip: no connection");
            sink.push(SipEvent::Failed {
                connection,
                transport,
                to,
            })
            .await;
            return;
        }
    }
    sink.push(lost(connection, source)).await;
}

fn lost(connection: ConnectionId, source: Source) -> SipEvent {
    SipEvent::Lost {
        connection,
        transport: source.transport,
        remote: source.remote,
    }
}

async fn connect_from(from: Option<IpAddr>, to: SocketAddr) -> io::Result<TcpStream> {
    let Some(from) = from else {
        return TcpStream::connect(to).await;
    };
    let socket = match to {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

enum Either {
    Plain(TimedStream),
    Tls(Box<tokio_rustls::client::TlsStream<TimedStream>>),
}

#[cfg(test)]
mod tests;
