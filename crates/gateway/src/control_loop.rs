//! The one place where everything that can happen is told to the switchboard, one thing at a time, and everything it decides
//! is carried out.
//!
//! The loop owns the switchboard and runs on a thread of its own, with the SIP sockets beside it, so that nobody's TLS handshake
//! and no slow page holds SIP up. All its queues are bounded: SIP datagrams that find theirs full are dropped and counted, pages
//! and administrators wait.
#![allow(clippy::disallowed_methods)] // The shell reads the clock and tells it to the machine.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use control::GatewayMessage;
use sip::ua::{Source, Transmit, Transport};
use switchboard::{
    AdminId, AdminRefusal, AdminReply, Fact, Input, MediaCommand, MediaEvent, Output, PageId,
    Switchboard, WorkerId,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use crate::calendar;
use crate::edge::agent_ws::{Outbox, PageEvent};
use crate::edge::dns::Resolved;
use crate::edge::media_worker::NotTaken;
use crate::edge::recording::Settled;
use crate::edge::sip_sink::{SipEvent, SipEvents};
use crate::edge::sip_stream::Streams;
use crate::edge::sip_udp;
use crate::edge::sparing::Sparing;
use crate::edge::taps::TapSink;
use crate::facts::Observer;
use crate::limits::{
    BEAT_EVERY, BEAT_MAX_AGE, FAREWELL_AT_LEAST, FAREWELL_LOOK_EVERY, farewell_within,
};
use crate::metrics::Metrics;
use crate::pace::Rests;
use crate::redact::WithoutKeys;
use crate::requests::Request;

/// Everything that can happen.
#[derive(Debug)]
enum Event {
    Sip(SipEvent),
    Page(PageEvent),
    Media(MediaEvent),
    Request(Request),
    Recording(Settled),
    /// A time has come: the switchboard's, or the next beat.
    Due,
}

/// The receiving ends of all queues.
#[derive(Debug)]
pub struct Inboxes {
    /// SIP messages and connections.
    pub sip: SipEvents,
    /// Pages.
    pub pages: mpsc::Receiver<PageEvent>,
    /// Facts of media workers.
    pub media: mpsc::Receiver<MediaEvent>,
    /// Administrators and signals.
    pub requests: mpsc::Receiver<Request>,
    /// What became of recordings: one of each, so that there are no more than there were recordings.
    pub recordings: mpsc::UnboundedReceiver<Settled>,
}

/// Takes commands to one media worker.
pub type ToWorker = Box<dyn Fn(MediaCommand) -> Result<(), NotTaken> + Send>;

/// When the loop last turned, for `/livez`.
#[derive(Debug)]
pub struct Beat {
    born: Instant,
    last_ms: AtomicU64,
}

impl Beat {
    /// Beats for the first time.
    #[must_use]
    pub fn new() -> Self {
        Self {
            born: Instant::now(),
            last_ms: AtomicU64::new(0),
        }
    }

    /// Whether the loop has turned lately.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.born.elapsed().saturating_sub(last) < BEAT_MAX_AGE
    }

    fn beat(&self, now: Instant) {
        let since = now.saturating_duration_since(self.born).as_millis();
        self.last_ms
            .store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl Default for Beat {
    fn default() -> Self {
        Self::new()
    }
}

/// A socket that SIP datagrams leave from.
#[derive(Debug)]
pub struct SipPort {
    socket: Arc<UdpSocket>,
    is_ipv4: bool,
}

impl SipPort {
    /// The socket's port.
    ///
    /// # Errors
    /// When the socket is not bound.
    pub fn new(socket: Arc<UdpSocket>) -> io::Result<Self> {
        let is_ipv4 = socket.local_addr()?.is_ipv4();
        Ok(Self { socket, is_ipv4 })
    }
}

/// The machine and everything it acts on.
pub struct ControlLoop {
    /// The machine.
    pub switchboard: Switchboard,
    /// The SIP datagram sockets, in the order of the configuration.
    pub udp: Vec<SipPort>,
    /// The tasks that read the SIP sockets; none ends before the loop does.
    pub listeners: Vec<JoinHandle<()>>,
    /// The SIP streams.
    pub streams: Streams,
    /// The media workers, in the order of their numbers.
    pub workers: Vec<ToWorker>,
    /// Those who listen to calls.
    pub taps: TapSink,
    /// What operators see.
    pub observer: Observer,
    /// For the loop's own numbers.
    pub metrics: Arc<Metrics>,
    /// Beats once a turn.
    pub beat: Arc<Beat>,
    /// Who hears what is said to a page.
    pub pages: HashMap<PageId, Outbox>,
    /// Commands whose reply the switchboard owes.
    pub commands: Commands,
    /// Lines about messages that could not leave.
    pub unsent_lines: Sparing,
    /// Counts events, by which the thread rests.
    pub rests: Arc<Rests>,
    /// When what is being handled came in.
    pub arrived: Instant,
}

/// Commands of administrators that wait for the switchboard's reply.
#[derive(Debug, Default)]
pub struct Commands {
    last: u64,
    waiting: HashMap<AdminId, oneshot::Sender<Result<AdminReply, AdminRefusal>>>,
}

impl ControlLoop {
    /// Turns until everything is ended after [`Request::Shutdown`].
    pub async fn run(mut self, mut inboxes: Inboxes) {
        // What the switchboard decided at birth.
        self.drain(Instant::now());
        let mut farewell: Option<Farewell> = None;
        loop {
            let look_again = if farewell.is_some() {
                FAREWELL_LOOK_EVERY
            } else {
                BEAT_EVERY
            };
            let event = self.next_event(&mut inboxes, look_again).await;
            let now = Instant::now();
            if matches!(event, Event::Request(Request::Shutdown)) && farewell.is_none() {
                farewell = Some(Farewell::begin(now, &self.switchboard));
            }
            self.rests.finds();
            self.arrived = now;
            self.look_at_the_calendar(now);
            self.take(now, event);
            self.beat.beat(now);
            self.metrics.turn(now.elapsed());
            if farewell
                .as_mut()
                .is_some_and(|farewell| farewell.is_over(now, &self.switchboard))
            {
                return;
            }
        }
    }

    /// The time of day is read at every turn, as nobody says when it jumps.
    fn look_at_the_calendar(&mut self, now: Instant) {
        let epoch_ms = calendar::since_epoch_ms();
        if self.switchboard.is_clock_off(now, epoch_ms) {
            self.tell(now, Input::Clock(epoch_ms));
        }
    }

    /// Waits for whatever happens first. No branch comes before another: a flood of one kind does not starve the rest.
    async fn next_event(&self, inboxes: &mut Inboxes, look_again: Duration) -> Event {
        let beat = Instant::now() + look_again;
        let due = self
            .switchboard
            .poll_timeout()
            .map_or(beat, |at| at.min(beat));
        tokio::select! {
            Some(event) = inboxes.sip.recv() => Event::Sip(event),
            Some(event) = inboxes.pages.recv() => Event::Page(event),
            Some(event) = inboxes.media.recv() => Event::Media(event),
            Some(request) = inboxes.requests.recv() => Event::Request(request),
            Some(settled) = inboxes.recordings.recv() => Event::Recording(settled),
            () = sleep_until(due.into()) => Event::Due,
        }
    }

    fn take(&mut self, now: Instant, event: Event) {
        match event {
            Event::Sip(event) => self.on_sip(now, event),
            Event::Page(event) => self.on_page(now, event),
            Event::Media(event) => self.tell(now, Input::Media(event)),
            Event::Request(request) => self.on_request(now, request),
            Event::Recording(Settled { tap, failed }) => {
                self.tell(now, Input::RecordingSettled { tap, failed });
            }
            Event::Due => self.tell(now, Input::Timeout),
        }
    }

    fn on_sip(&mut self, now: Instant, event: SipEvent) {
        match event {
            SipEvent::Message {
                source,
                bytes,
                received,
            } => {
                self.arrived = received;
                trace_sip("in", source, &bytes);
                self.tell(now, Input::Sip { source, bytes });
            }
            SipEvent::Opened {
                connection,
                transport,
                remote,
                outbox,
            } => {
                self.streams.opened(connection, transport, remote, outbox);
            }
            SipEvent::Lost {
                connection,
                transport,
                remote: peer,
            } => {
                self.streams.lost(connection);
                self.tell(
                    now,
                    Input::SipConnectionLost {
                        connection,
                        transport,
                        peer,
                    },
                );
            }
            SipEvent::Failed {
                connection,
                transport,
                to,
            } => {
                self.streams.lost(connection);
                self.tell(now, Input::SipTransmitFailed { transport, to });
            }
        }
    }

    fn on_page(&mut self, now: Instant, event: PageEvent) {
        match event {
            PageEvent::SignIn {
                page,
                dn,
                token_expired,
                request_id,
                resume,
                media_kept,
                outbox,
            } => {
                self.pages.insert(page, outbox);
                self.tell(
                    now,
                    Input::SignIn {
                        page,
                        dn,
                        token_expired,
                        request_id,
                        resume,
                        media_kept,
                    },
                );
            }
            PageEvent::Request { page, request } => {
                // A page that was just closed may have said something before it knew.
                if self.pages.contains_key(&page) {
                    self.tell(now, Input::Page { page, request });
                }
            }
            PageEvent::Closed { page } => {
                if self.pages.remove(&page).is_some() {
                    self.tell(now, Input::PageClosed { page });
                }
            }
        }
    }

    /// Replies that nobody waits for any more are dropped: the asker has given up.
    fn on_request(&mut self, now: Instant, request: Request) {
        let switchboard = &self.switchboard;
        match request {
            Request::Command(command, reply) => {
                self.commands.last += 1;
                let request = AdminId(self.commands.last);
                self.commands.waiting.insert(request, reply);
                self.tell(now, Input::Admin { request, command });
            }
            Request::Agents(reply) => drop(reply.send(switchboard.agents())),
            Request::Agent(dn, reply) => drop(reply.send(switchboard.agent(&dn))),
            Request::Calls(reply) => drop(reply.send(switchboard.calls())),
            Request::Call(id, reply) => drop(reply.send(switchboard.call(id))),
            Request::Gauges(reply) => {
                drop(reply.send((switchboard.gauges(), self.streams.len())));
            }
            Request::Ready(reply) => {
                let listening = self.listeners.iter().all(|task| !task.is_finished());
                drop(reply.send(self.observer.ready(listening, switchboard)));
            }
            Request::Events(after, reply) => drop(reply.send(self.observer.subscribe(after))),
            Request::Drain(reply) => {
                self.tell(now, Input::Drain);
                drop(reply.send(self.drain_status()));
            }
            Request::SipServers(resolved) => self.on_resolved(now, *resolved),
            Request::CloseTap(tap) => self.tell(now, Input::TapLeft { tap }),
            Request::Reload(agents) => self.tell(now, Input::Reload { agents }),
            Request::Reloaded(ok) => self.metrics.reloaded(ok),
            Request::Shutdown => self.tell(now, Input::Shutdown),
        }
    }

    fn on_resolved(&mut self, now: Instant, resolved: Resolved) {
        let Resolved {
            site,
            servers,
            names,
            problems,
        } = resolved;
        self.streams.peers().name(names);
        let problem = (!problems.is_empty()).then(|| problems.join("; "));
        self.observer.looked_up(site, !servers.is_empty(), problems);
        let input = Input::SipServers {
            site,
            servers,
            problem,
        };
        self.tell(now, input);
    }

    fn drain_status(&self) -> control::DrainStatus {
        let gauges = self.switchboard.gauges();
        let calls = gauges.calls.iter().map(|(_, count)| count).sum();
        control::DrainStatus {
            draining: gauges.draining,
            calls,
            pages: gauges.pages,
        }
    }

    fn tell(&mut self, now: Instant, input: Input) {
        self.switchboard.handle(now, input);
        self.drain(now);
    }

    /// Carries out what the switchboard decided, and tells it what could not be done. Facts come last: messages do not wait
    /// for log lines, and what a fact took is known once its messages are gone.
    fn drain(&mut self, now: Instant) {
        let mut failures = VecDeque::new();
        let mut facts = Vec::new();
        loop {
            while let Some(output) = self.switchboard.poll_output() {
                failures.extend(self.carry_out(output, &mut facts));
            }
            let Some(failure) = failures.pop_front() else {
                break;
            };
            self.switchboard.handle(now, failure);
        }
        let lag = self.arrived.elapsed();
        for fact in facts {
            self.observer.observe(now, lag, fact, &self.switchboard);
        }
    }

    fn carry_out(&mut self, output: Output, facts: &mut Vec<Fact>) -> Option<Input> {
        match output {
            Output::Sip(transmit) => return self.transmit(transmit),
            Output::Page { page, message } => {
                return self.say(page, message);
            }
            Output::ClosePage { page, code } => {
                // The switchboard has forgotten the page already: no `PageClosed` follows.
                if let Some(outbox) = self.pages.remove(&page) {
                    outbox.close(code);
                }
            }
            Output::Media {
                worker: WorkerId(index),
                command,
            } => {
                let told = self.workers.get(index).map(|worker| worker(command));
                if let Err(error) = told.unwrap_or(Err(NotTaken::Gone)) {
                    self.metrics.media_commands_dropped(error.commands());
                    tracing::error!(worker = index, %error, "a media worker could not be told");
                }
            }
            Output::Recording(command) => self.taps.command(command),
            Output::Admin { request, result } => {
                if let Some(reply) = self.commands.waiting.remove(&request) {
                    drop(reply.send(result));
                }
            }
            Output::SipPeers(hosts) => self.streams.peers().set(hosts),
            Output::Fact(fact) => facts.push(fact),
        }
        None
    }

    /// A page whose queue is full does not read, and is closed.
    fn say(&mut self, page: PageId, message: GatewayMessage) -> Option<Input> {
        let outbox = self.pages.get(&page)?;
        if outbox.say(message) {
            return None;
        }
        self.pages.remove(&page);
        Some(Input::PageClosed { page })
    }

    fn transmit(&mut self, transmit: Transmit) -> Option<Input> {
        let Transmit {
            transport,
            to,
            connection,
            ..
        } = transmit;
        trace_sip(
            "out",
            Source {
                transport,
                remote: to,
                connection,
            },
            &transmit.bytes,
        );
        let sent = match transport {
            Transport::Udp => self.transmit_udp(&transmit),
            Transport::Tcp | Transport::Tls => self.streams.send(transmit),
        };
        let error = sent.err()?;
        if let Some(unsaid) = self.unsent_lines.line(Instant::now().into()) {
            tracing::warn!(%to, %transport, %error, unsaid, "sip: message cannot leave");
        }
        Some(Input::SipTransmitFailed { transport, to })
    }

    /// From the first listening socket of the destination's family: its port is the one in Via and Contact.
    fn transmit_udp(&self, transmit: &Transmit) -> io::Result<()> {
        let is_ipv4 = transmit.to.is_ipv4();
        let port = self.udp.iter().find(|port| port.is_ipv4 == is_ipv4);
        let port = port.ok_or(io::ErrorKind::AddrNotAvailable)?;
        sip_udp::send(&port.socket, transmit.to, &transmit.bytes)
    }
}

/// The end of the process: goodbyes leave, and their answers are waited for, within bounds.
#[derive(Debug)]
struct Farewell {
    at_least: Instant,
    at_most: Instant,
    next_look: Instant,
}

impl Farewell {
    fn begin(now: Instant, switchboard: &Switchboard) -> Self {
        Self {
            at_least: now + FAREWELL_AT_LEAST,
            at_most: now + farewell_within(switchboard.dns_configured()),
            next_look: now,
        }
    }

    /// Nothing is left to end, or it took too long. The last messages get a moment to leave in any case. Thousands of answers come meanwhile: a look for
    /// each of them would keep the loop from hearing them.
    fn is_over(&mut self, now: Instant, switchboard: &Switchboard) -> bool {
        if now < self.next_look {
            return false;
        }
        self.next_look = now + FAREWELL_LOOK_EVERY;
        now >= self.at_most || (now >= self.at_least && switchboard.has_ended())
    }
}

/// Whole messages, for laboratories: they hold numbers, so TRACE only. Digests are answers to one-time challenges; keys of SRTP are left out.
fn trace_sip(direction: &'static str, peer: Source, bytes: &[u8]) {
    tracing::trace!(
        direction,
        transport = %peer.transport,
        peer = %peer.remote,
        message = %WithoutKeys(bytes),
        "sip"
    );
}
