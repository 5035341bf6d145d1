//! SIP over TCP and TLS in the world: connections that either side opens, that hand octets on in pieces, and that break in the middle of a message.
//!
//! Nothing is lost on a connection that lasts: what the network loses comes later, and everything behind it. When one breaks, nobody knows what of
//! the last octets was read, and each end learns of it at a time of its own.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::RngExt;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use sip::StreamFramer;
use sip::ua::{self, Transport};
use sip::wire::Frame;
use switchboard::Input;

use super::faults::{Part, Unlucky};
use super::network::Place;
use super::queue::Event;
use super::registered::FIRST_WAIT;
use super::servers::ServerId;
use super::storm::Kind;
use super::{Step, World, proxy, site, storm, wire};
use crate::tserver;

/// One seed in so many speaks SIP over connections.
const EVERY: u64 = 16;
/// Which of them; it is no storm's, and no proxy's.
const CHOSEN: u64 = 4;
/// One in so many of all seeds is a storm over connections, and which; no proxy's.
const STORMS: (u64, u64) = (64, 23);
/// Half of the seeds with connections have TLS on them, by turns of so many seeds: the world has the messages that tell it, and no records.
const BY_TLS: u64 = 512;
/// What is drawn for streams.
const SALT: u64 = 0x7c9_57ea_0000_0c0c;

/// Share of the messages in whose middle a connection breaks, where the network is not perfect.
const BREAKS: f64 = 0.02;
/// Share of the messages of one kind behind which a connection breaks, in a storm that is about them.
const BREAKS_BEHIND: f64 = 0.6;
/// Which kinds.
const LAST: [(&str, Part); 6] = [
    ("INVITE", Part::Request),
    ("INVITE", Part::Request),
    ("INVITE", Part::Provisional),
    ("INVITE", Part::Provisional),
    ("INVITE", Part::Final),
    ("ACK", Part::Request),
];
/// Share of the calls that SIP Server answers and forgets, in such a storm.
const FORGETS: f64 = 0.4;
/// How long after its answer.
const FORGETS_MS: std::ops::Range<u64> = 1..600;
/// Share of the messages that arrive in two pieces.
const PIECES: f64 = 0.3;
/// How long a piece waits for what the network lost before it.
const REPEATED_MS: std::ops::Range<u64> = 200..1_500;
/// How long an end takes to learn that its connection is gone: at once, or by its next word or its keep-alive.
const LEARNS_MS: std::ops::Range<u64> = 1..15_000;
/// How long a connection takes that nobody answers.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);
/// The first port that connections leave from.
const EPHEMERAL: u16 = 32_768;

/// What the site of this seed speaks by.
pub(super) const fn spoken(seed: u64) -> Transport {
    match (is_by_stream(seed), (seed / BY_TLS) % 2) {
        (false, _) => Transport::Udp,
        (true, 0) => Transport::Tcp,
        (true, _) => Transport::Tls,
    }
}

/// Whether the site of this seed speaks over connections.
#[must_use]
pub const fn is_by_stream(seed: u64) -> bool {
    match storm::further(seed) {
        Some(kind) => matches!(kind, Kind::Connections),
        None => {
            let alone = seed % EVERY == CHOSEN || seed % STORMS.0 == STORMS.1;
            alone || proxy::is_by_stream(seed)
        }
    }
}

/// A connection, as both ends number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StreamId(u64);

/// All connections.
#[derive(Debug)]
pub(super) struct Streams {
    rng: ChaCha12Rng,
    all: BTreeMap<StreamId, Stream>,
    count: u64,
    /// Messages behind which connections break, in a storm that is about them.
    last: Option<Unlucky>,
    /// How long each end takes at most to learn that its connection is gone, milliseconds.
    learns_ms: [u64; 2],
}

#[derive(Debug)]
struct Stream {
    host: ServerId,
    /// talkbridge has opened it.
    ours: bool,
    /// What talkbridge has read of a message, and SIP Server.
    gateway: StreamFramer,
    server: Vec<u8>,
    /// What goes to each end.
    ways: [Way; 2],
    /// Each end takes it for open; one that has not opened it learns of it with the first octet.
    open: [bool; 2],
    /// Each end knows that it is gone.
    gone: [bool; 2],
    /// It carries no octet any more.
    broken: bool,
}

/// One direction of a connection: pieces are read in the order in which they were sent.
#[derive(Debug, Default)]
struct Way {
    sent: u64,
    read: u64,
    early: BTreeMap<u64, Vec<u8>>,
}

impl Way {
    fn send(&mut self) -> u64 {
        self.sent += 1;
        self.sent - 1
    }

    /// What can be read when this piece has come.
    fn receive(&mut self, piece: u64, octets: Vec<u8>) -> Vec<u8> {
        self.early.insert(piece, octets);
        let mut all = Vec::new();
        while let Some(octets) = self.early.remove(&self.read) {
            self.read += 1;
            all.extend(octets);
        }
        all
    }
}

const fn end(of: Place) -> usize {
    match of {
        Place::Gateway => 0,
        Place::Server => 1,
    }
}

impl Streams {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed ^ SALT);
        let (mut last, mut learns_ms) = (None, [LEARNS_MS.end; 2]);
        if storm::further(seed).is_some() && rng.random_bool(0.7) {
            let (method, part) = LAST[rng.random_range(0..LAST.len())];
            last = Some(Unlucky {
                method,
                part,
                late: false,
            });
            learns_ms = learns_ms.map(|longest| [300, 1_500, longest][rng.random_range(0..3)]);
        }
        Self {
            rng,
            all: BTreeMap::new(),
            count: 0,
            last,
            learns_ms,
        }
    }

    /// Connections break behind messages of some kind.
    pub(super) const fn break_behind(&self) -> bool {
        self.last.is_some()
    }

    /// Whether the connection that carries this message breaks behind it.
    fn is_last(&mut self, bytes: &[u8]) -> bool {
        let last = self.last.is_some_and(|last| last.is(bytes));
        last && self.rng.random_bool(BREAKS_BEHIND)
    }

    fn is_open(&self, id: StreamId, at: Place) -> bool {
        self.all.get(&id).is_some_and(|it| it.open[end(at)])
    }

    fn millis(&mut self, of: std::ops::Range<u64>) -> Duration {
        Duration::from_millis(self.rng.random_range(of))
    }

    /// The port that the side which opened a connection has for it.
    fn ephemeral(id: StreamId) -> u16 {
        EPHEMERAL + u16::try_from(id.0 % 30_000).unwrap_or(0)
    }
}

impl World {
    /// Sends a message of talkbridge, as its shell does: by the connection that it names, else by the last one to its address, else by a new one.
    pub(super) fn gateway_streams(&mut self, transmit: ua::Transmit, host: ServerId) {
        let Some(streams) = &self.streams else { return };
        let named = transmit.connection.map(|it| StreamId(it.0));
        let to = transmit.to;
        let mut known = streams.all.iter().rev();
        let known = known.find(|(id, it)| self.peer_of(**id, it) == to && it.open[0]);
        let known = known.map(|(id, _)| *id);
        let named = named.filter(|id| streams.is_open(*id, Place::Gateway));
        let id = named.or(known).unwrap_or_else(|| {
            let listens = to == self.server(host).address;
            self.connect(host, Place::Gateway, listens)
        });
        self.write(id, Place::Server, transmit.bytes);
    }

    /// The same of SIP Server.
    pub(super) fn server_streams(&mut self, host: ServerId, transmit: tserver::Transmit) {
        let Some(streams) = &self.streams else { return };
        let named = transmit.connection.map(|it| StreamId(it.0));
        let to = transmit.to;
        let there = |(id, it): &(&StreamId, &Stream)| {
            it.host == host && it.open[1] && caller_of(**id, it.ours) == to
        };
        let known = streams.all.iter().find(there).map(|(id, _)| *id);
        let named = named.filter(|id| streams.is_open(*id, Place::Server));
        let id = named.or(known).unwrap_or_else(|| {
            let listens = to == site::GATEWAY;
            self.connect(host, Place::Server, listens)
        });
        self.forgets_behind(host, &transmit.bytes);
        self.write(id, Place::Gateway, transmit.bytes);
    }

    /// The same of an instance of a proxy, which has forgotten who asked: any connection will do.
    pub(super) fn proxy_streams(&mut self, host: ServerId, bytes: Vec<u8>) {
        let Some(streams) = &self.streams else { return };
        let there = |(_, it): &(&StreamId, &Stream)| it.host == host && it.open[1];
        let known = streams.all.iter().rev().find(there).map(|(id, _)| *id);
        let id = known.unwrap_or_else(|| self.connect(host, Place::Server, true));
        self.write(id, Place::Gateway, bytes);
    }

    /// In a storm that is about connections SIP Server may be gone as soon as it has answered a call: its backup knows of none.
    fn forgets_behind(&mut self, host: ServerId, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        let answers = matches!(
            wire::kind(&text),
            Some(wire::Kind::Response { status: 200..300 })
        ) && wire::cseq(&text).is_some_and(|(_, method)| method == "INVITE");
        let Some(streams) = self
            .streams
            .as_mut()
            .filter(|it| answers && it.last.is_some())
        else {
            return;
        };
        if streams.rng.random_bool(FORGETS) {
            let at = self.now + streams.millis(FORGETS_MS);
            self.queue.at(at, Event::Forgets { server: host });
        }
    }

    /// Opens a connection. Where nobody listens, or nobody is there, whoever opened it is told so.
    fn connect(&mut self, host: ServerId, by: Place, listens: bool) -> StreamId {
        let health = &self.server(host).health;
        let (away, refused) = (health.away && !health.dead, health.dead || !listens);
        let now = self.now;
        let streams = self
            .streams
            .as_mut()
            .expect("the site speaks over connections");
        streams.count += 1;
        let id = StreamId(streams.count);
        let stream = Stream {
            host,
            ours: by == Place::Gateway,
            gateway: StreamFramer::new(),
            server: Vec::new(),
            ways: [Way::default(), Way::default()],
            gone: [false; 2],
            open: [by == Place::Gateway, by == Place::Server],
            broken: away || refused,
        };
        streams.all.insert(id, stream);
        self.note(|| format!("     {by:?} opens stream {} to {}", id.0, host.0));
        if away || refused {
            let after = if refused {
                Duration::from_millis(2)
            } else {
                CONNECT_WITHIN
            };
            let event = Event::StreamRefused { stream: id, by };
            self.queue.at(now + after, event);
        }
        id
    }

    /// What talkbridge takes for the address of its peer.
    fn peer_of(&self, id: StreamId, stream: &Stream) -> SocketAddr {
        let mut address = self.server(stream.host).address;
        if !stream.ours {
            address.set_port(Streams::ephemeral(id));
        }
        address
    }

    /// Octets go the way of the stream, in order.
    fn write(&mut self, id: StreamId, to: Place, bytes: Vec<u8>) {
        let Some(stream) = self.streams.as_ref().and_then(|it| it.all.get(&id)) else {
            return;
        };
        let (host, broken) = (stream.host, stream.broken);
        self.report.datagrams += 1;
        self.digest(&bytes);
        self.attacker.overhear(to, &bytes);
        if broken {
            return self.capture(host, to, &bytes, &[]);
        }
        if self.server(host).health.away || self.server(host).wire.is_unplugged() {
            self.capture(host, to, &bytes, &[]);
            return self.break_stream(id);
        }
        let now = self.now;
        let wire = &mut self.servers[host.0].wire;
        let delay = wire.carry(now, to, &bytes).first().copied();
        let perfect = wire.is_perfect();
        let streams = self.streams.as_mut().expect("it has this one");
        let delay = delay.unwrap_or_else(|| streams.millis(REPEATED_MS));
        let breaks = !perfect && streams.rng.random_bool(BREAKS);
        let pieces = streams.rng.random_bool(PIECES);
        let last = !perfect && streams.is_last(&bytes);
        // What befalls the connection may have begun before.
        let delay = match last && streams.rng.random() {
            true => streams.millis(REPEATED_MS),
            false => delay,
        };
        let cut = streams.rng.random_range(0..bytes.len().max(1));
        let pause = streams.millis(1..80);
        let Some(stream) = streams.all.get_mut(&id) else {
            return;
        };
        let way = &mut stream.ways[end(to)];
        let (first, rest) = bytes.split_at(if breaks || pieces { cut } else { bytes.len() });
        let mut event = |octets: &[u8]| Event::Octets {
            stream: id,
            at: to,
            piece: way.send(),
            octets: octets.to_vec(),
        };
        self.queue.at(now + delay, event(first));
        if !breaks && !rest.is_empty() {
            self.queue.at(now + delay + pause, event(rest));
        }
        self.capture(host, to, &bytes, &[delay]);
        if breaks || last {
            self.servers[host.0].wire.inject();
            self.break_stream(id);
        }
    }

    /// A connection is gone; each end learns it in its time.
    fn break_stream(&mut self, id: StreamId) {
        let now = self.now;
        let Some(streams) = &mut self.streams else {
            return;
        };
        let learns = streams.learns_ms.map(|longest| LEARNS_MS.start..longest);
        let after = learns.map(|learns| streams.millis(learns));
        let Some(stream) = streams.all.get_mut(&id).filter(|it| !it.broken) else {
            return;
        };
        stream.broken = true;
        for (at, after) in [Place::Gateway, Place::Server].into_iter().zip(after) {
            let event = Event::StreamLost { stream: id, at };
            self.queue.at(now + after, event);
        }
        self.note(|| format!("     stream {} breaks", id.0));
    }

    /// All connections of a host break: it has restarted, or the system has refused.
    pub(super) fn streams_break(&mut self, host: ServerId) {
        let Some(streams) = &self.streams else { return };
        let of = |(id, it): (&StreamId, &Stream)| (it.host == host).then_some(*id);
        let ids: Vec<StreamId> = streams.all.iter().filter_map(of).collect();
        for id in ids {
            self.break_stream(id);
        }
        // What was written into one until its end was learned is tried again behind a wait.
        let tried_again = self.now + Duration::from_millis(LEARNS_MS.end) + FIRST_WAIT;
        let since = &mut self.servers[host.0].health.since;
        *since = tried_again.max(*since);
    }

    /// What arrives at an end of a connection.
    pub(super) fn octets_arrive(
        &mut self,
        id: StreamId,
        at: Place,
        piece: u64,
        octets: Vec<u8>,
    ) -> Step {
        let Some(stream) = self.streams.as_mut().and_then(|it| it.all.get_mut(&id)) else {
            return Ok(());
        };
        if at == Place::Server && self.servers[stream.host.0].health.dead {
            return Ok(());
        }
        // An end that has given it up reads no more of it.
        if stream.gone[end(at)] {
            return Ok(());
        }
        stream.open[end(at)] = true;
        let octets = stream.ways[end(at)].receive(piece, octets);
        match at {
            Place::Gateway => self.gateway_reads(id, &octets),
            Place::Server => self.server_reads(id, &octets),
        }
    }

    fn gateway_reads(&mut self, id: StreamId, octets: &[u8]) -> Step {
        let Some(stream) = self.streams.as_mut().and_then(|it| it.all.get_mut(&id)) else {
            return Ok(());
        };
        stream.gateway.push(octets);
        let mut messages = Vec::new();
        while let Some(frame) = stream.gateway.next() {
            match frame {
                Ok(Frame::Message(bytes)) => messages.push(bytes),
                Ok(Frame::KeepAlive) => {}
                Err(error) => return Err(format!("talkbridge cannot read a stream: {error}")),
            }
        }
        let Some(source) = self.source_of(id) else {
            return Ok(());
        };
        for bytes in messages {
            self.oracle.gateway_receives(self.now, &bytes);
            self.board_handles(Input::Sip { source, bytes })?;
        }
        Ok(())
    }

    fn source_of(&self, id: StreamId) -> Option<ua::Source> {
        let stream = self.streams.as_ref()?.all.get(&id)?;
        Some(ua::Source {
            transport: self.site.transport,
            remote: self.peer_of(id, stream),
            connection: Some(ua::ConnectionId(id.0)),
        })
    }

    fn server_reads(&mut self, id: StreamId, octets: &[u8]) -> Step {
        let Some(stream) = self.streams.as_mut().and_then(|it| it.all.get_mut(&id)) else {
            return Ok(());
        };
        let (host, ours) = (stream.host, stream.ours);
        stream.server.extend_from_slice(octets);
        let mut messages = Vec::new();
        while let Some(bytes) = tserver::next_frame(&mut stream.server) {
            messages.push(bytes);
        }
        let source = tserver::Source {
            transport: self.site.spoken(),
            remote: caller_of(id, ours),
            connection: Some(tserver::ConnectionId(id.0)),
        };
        for bytes in messages {
            self.server_hears(host, source, bytes)?;
        }
        Ok(())
    }

    /// The host at whose end a connection is.
    pub(super) fn host_of(&self, id: StreamId) -> Option<ServerId> {
        let stream = self.streams.as_ref()?.all.get(&id)?;
        Some(stream.host)
    }

    /// An end learns that its connection is gone.
    pub(super) fn stream_is_lost(&mut self, id: StreamId, at: Place) -> Step {
        let Some(stream) = self.streams.as_mut().and_then(|it| it.all.get_mut(&id)) else {
            return Ok(());
        };
        stream.gone[end(at)] = true;
        if !std::mem::replace(&mut stream.open[end(at)], false) {
            return Ok(());
        }
        let host = stream.host;
        self.note(|| format!("     {at:?} loses stream {}", id.0));
        match at {
            Place::Server => {
                let lost = tserver::ConnectionId(id.0);
                self.server_handles(host, tserver::Input::ConnectionLost(lost))
            }
            Place::Gateway => {
                let Some(source) = self.source_of(id) else {
                    return Ok(());
                };
                self.oracle.loses_connection(self.now);
                self.board_handles(Input::SipConnectionLost {
                    connection: ua::ConnectionId(id.0),
                    transport: source.transport,
                    peer: source.remote,
                })
            }
        }
    }

    /// A connection does not come up.
    pub(super) fn stream_is_refused(&mut self, id: StreamId, by: Place) -> Step {
        let Some(stream) = self.streams.as_mut().and_then(|it| it.all.get_mut(&id)) else {
            return Ok(());
        };
        stream.gone[end(by)] = true;
        stream.open[end(by)] = false;
        let host = stream.host;
        self.note(|| format!("     {by:?} gets no stream {}", id.0));
        match by {
            Place::Server => {
                let lost = tserver::ConnectionId(id.0);
                self.server_handles(host, tserver::Input::ConnectionLost(lost))
            }
            Place::Gateway => {
                let to = self.server(host).address;
                self.oracle.loses_connection(self.now);
                self.board_handles(Input::SipTransmitFailed {
                    transport: self.site.transport,
                    to,
                })
            }
        }
    }
}

/// What SIP Server takes for the address of talkbridge.
fn caller_of(id: StreamId, ours: bool) -> SocketAddr {
    let mut address = site::GATEWAY;
    if ours {
        address.set_port(Streams::ephemeral(id));
    }
    address
}
