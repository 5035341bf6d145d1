//! The loop that owns the machine: sockets, clock, media and questions come together here.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sim::audio::Speech;
use sim::tserver::{
    CallUuid, ConnectionId, Input, Output, Request, RequestError, Source, TServer, Transmit,
    Transport,
};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::json;
use crate::media::{Media, TICK};
use crate::net::{self, Sockets};
use crate::settings::Settings;

/// Messages between the sockets and the loop.
const QUEUE: usize = 4096;
/// Events that a slow watcher may fall behind.
const EVENT_QUEUE: usize = 1024;
/// SIP messages that `GET /sim/trace` remembers.
const TRACE_LENGTH: usize = 4000;

/// What reaches the loop.
pub(crate) enum Message {
    /// One SIP message.
    Sip { source: Source, bytes: Vec<u8> },
    /// A connection was opened by an endpoint.
    Accepted {
        stream: TcpStream,
        remote: SocketAddr,
    },
    /// A connection is gone.
    Closed(ConnectionId),
    /// Something to do with the machine, from HTTP.
    Ask(Box<dyn FnOnce(&mut Shell) + Send>),
}

/// A SIP message that went by.
#[derive(Debug, Clone)]
pub(crate) struct Traced {
    pub(crate) at_ms: u64,
    pub(crate) inbound: bool,
    pub(crate) transport: Transport,
    pub(crate) peer: SocketAddr,
    pub(crate) text: String,
}

/// The machine and everything it needs from the system.
pub(crate) struct Shell {
    pub(crate) server: TServer,
    pub(crate) media: Media,
    pub(crate) trace: VecDeque<Traced>,
    pub(crate) journal: json::Journal,
    born: Instant,
    udp: Option<Arc<UdpSocket>>,
    connections: BTreeMap<ConnectionId, (SocketAddr, mpsc::Sender<Vec<u8>>)>,
    numbers: u64,
    events: broadcast::Sender<String>,
    to_self: mpsc::Sender<Message>,
    inbox: mpsc::Receiver<Message>,
}

/// How HTTP reaches the loop.
#[derive(Clone)]
pub(crate) struct Handle {
    inbox: mpsc::Sender<Message>,
    events: broadcast::Sender<String>,
}

impl Handle {
    /// Runs `work` in the loop; `None` when the loop is gone.
    pub(crate) async fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Shell) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let ask = Message::Ask(Box::new(move |shell| {
            // Whoever asked may have gone.
            let _ = sender.send(work(shell));
        }));
        self.inbox.send(ask).await.ok()?;
        receiver.await.ok()
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<String> {
        self.events.subscribe()
    }
}

/// The present moment, for the machine.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl Shell {
    pub(crate) fn new(settings: Settings, sockets: Sockets) -> Result<(Self, Handle), String> {
        let bound = sockets
            .udp_address()
            .or(sockets.tcp_address())
            .ok_or("no SIP address")?;
        let mut config = settings.config;
        let ip = settings.advertise.unwrap_or(bound.ip());
        if ip.is_unspecified() {
            return Err(format!(
                "{ip} cannot be named in messages: give sip.advertise"
            ));
        }
        config.advertise = SocketAddr::new(ip, bound.port());
        config.unix_time_s = unix_time_s();
        let media = Media::bind(
            settings.media_address.unwrap_or(ip),
            settings.media_first_port,
            settings.media_sockets,
            settings.speech,
        )?;
        config.customer_media = media.addresses();
        let (to_self, inbox) = mpsc::channel(QUEUE);
        let (events, _) = broadcast::channel(EVENT_QUEUE);
        let handle = Handle {
            inbox: to_self.clone(),
            events: events.clone(),
        };
        if let Some(udp) = &sockets.udp {
            tokio::spawn(net::read_datagrams(udp.clone(), to_self.clone()));
        }
        if let Some(listener) = sockets.tcp {
            tokio::spawn(net::accept(listener, to_self.clone()));
        }
        let born = now();
        let shell = Self {
            server: TServer::new(config, seed(settings.seed), born),
            media,
            trace: VecDeque::new(),
            journal: json::Journal::default(),
            born,
            udp: sockets.udp,
            connections: BTreeMap::new(),
            numbers: 0,
            events,
            to_self,
            inbox,
        };
        Ok((shell, handle))
    }

    pub(crate) async fn run(mut self) {
        let mut ticks = tokio::time::interval(TICK);
        loop {
            let wake = self
                .server
                .poll_timeout()
                .unwrap_or_else(|| now() + Duration::from_secs(3600));
            tokio::select! {
                message = self.inbox.recv() => match message {
                    Some(message) => self.take(message),
                    None => return,
                },
                () = tokio::time::sleep_until(wake.into()) => self.input(Input::Tick),
                _ = ticks.tick() => self.media.tick(),
            }
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Sip { source, bytes } => {
                self.remember(true, source.transport, source.remote, &bytes);
                self.input(Input::Received { source, bytes });
            }
            Message::Accepted { stream, remote } => {
                let connection = self.next_connection();
                let writer = net::carry(stream, connection, remote, self.to_self.clone());
                self.connections.insert(connection, (remote, writer));
            }
            Message::Closed(connection) => {
                self.connections.remove(&connection);
                self.input(Input::ConnectionLost(connection));
            }
            Message::Ask(work) => work(self),
        }
    }

    /// Puts something into the machine and does what it says.
    pub(crate) fn input(&mut self, input: Input) {
        self.server.handle(now(), input);
        self.drain();
    }

    /// A T-Library request on behalf of HTTP.
    pub(crate) fn request(&mut self, request: Request) -> Result<CallUuid, RequestError> {
        let result = self.server.request(now(), request);
        self.drain();
        result
    }

    /// A customer call whose customer speaks in his own way.
    pub(crate) fn customer_call(
        &mut self,
        request: Request,
        speech: Option<&Speech>,
    ) -> Result<CallUuid, RequestError> {
        let call = self.request(request)?;
        if let Some(speech) = speech {
            self.media.say(&call, speech);
        }
        Ok(call)
    }

    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Transmit(transmit) => self.transmit(transmit),
                Output::Media(media) => self.media.set(media),
                Output::Bridge(port) => self.media.bridge(port),
                // `dr-forward` is off here.
                Output::Trunk(_) => {}
                Output::Event(event) => {
                    let call = event.call.as_ref().and_then(|call| self.server.call(call));
                    for line in self.journal.notifications(&event, call.as_ref()) {
                        // Nobody need be watching.
                        let _ = self.events.send(line);
                    }
                }
            }
        }
    }

    fn transmit(&mut self, transmit: Transmit) {
        self.remember(false, transmit.transport, transmit.to, &transmit.bytes);
        match transmit.transport {
            Transport::Udp => {
                let Some(udp) = &self.udp else {
                    tracing::warn!(to = %transmit.to, "no UDP socket to send from");
                    return;
                };
                if let Err(error) = udp.try_send_to(&transmit.bytes, transmit.to) {
                    tracing::warn!(to = %transmit.to, "not sent: {error}");
                }
            }
            Transport::Tcp => self.write(transmit),
            Transport::Tls => tracing::warn!(to = %transmit.to, "not sent: no TLS is spoken here"),
        }
    }

    /// Over the connection that is asked for, another one to the same address, or a new one.
    fn write(&mut self, transmit: Transmit) {
        let known = transmit
            .connection
            .filter(|connection| self.connections.contains_key(connection))
            .or_else(|| {
                self.connections
                    .iter()
                    .find(|(_, (remote, _))| *remote == transmit.to)
                    .map(|(connection, _)| *connection)
            });
        let connection = known.unwrap_or_else(|| {
            let connection = self.next_connection();
            let writer = net::connect(connection, transmit.to, self.to_self.clone());
            self.connections.insert(connection, (transmit.to, writer));
            connection
        });
        if let Some((remote, writer)) = self.connections.get(&connection)
            && writer.try_send(transmit.bytes).is_err()
        {
            tracing::warn!(%remote, "the connection takes no more");
        }
    }

    fn next_connection(&mut self) -> ConnectionId {
        self.numbers += 1;
        ConnectionId(self.numbers)
    }

    fn remember(&mut self, inbound: bool, transport: Transport, peer: SocketAddr, bytes: &[u8]) {
        let at_ms = now().saturating_duration_since(self.born).as_millis();
        self.trace.push_back(Traced {
            at_ms: u64::try_from(at_ms).unwrap_or(u64::MAX),
            inbound,
            transport,
            peer,
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
        if self.trace.len() > TRACE_LENGTH {
            self.trace.pop_front();
        }
    }
}

#[allow(
    clippy::disallowed_methods,
    reason = "the shell reads the wall clock once, for the ids of o= lines"
)]
fn unix_time_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The given seed, or one that differs from run to run.
fn seed(given: Option<u64>) -> [u8; 32] {
    use std::hash::{BuildHasher as _, Hasher as _};
    let number = given.unwrap_or_else(|| {
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    });
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    seed
}
