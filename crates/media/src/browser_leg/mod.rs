//! One WebRTC connection to a browser, as a machine that is told the time and fed datagrams.
//!
//! | state | entered by | left by |
//! |---|---|---|
//! | `New` | birth | [`offer`](BrowserLeg::offer), [`answer_offer`](BrowserLeg::answer_offer) |
//! | `Offered` | our offer went out | the browser's answer, deadline |
//! | `Connecting` | offer and answer are exchanged | ICE and DTLS up, deadline |
//! | `Connected` | ICE and DTLS are up | consent lost, either side closes |
//! | `Disconnected` | no check for 15 s | a check comes, deadline |
//! | `Closed` | either side closed on purpose | - |
//! | `Failed` | see [`Failure`] | - |
//!
//! Both kinds of leg are this machine. A **warm** leg is offered when the agent signs in and stays; calls are patched to
//! it. A leg **per call** answers the browser's offer, or offers with the call, and must be `Connected` by a deadline that the
//! call sets, so that its owner learns one of two things in bounded time.
//!
//! Datagrams are judged before the engine sees them: STUN by user fragment and signature, everything else by an
//! address that an authenticated check came from.

mod early;
mod engine;
mod guard;
mod hello;
mod path;
mod payloads;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{DatagramSend, Protocol, Receive};
use str0m::rtp::{RtpPacket, RtpWrite};
use str0m::{Event, IceConnectionState, Input, Output, Rtc};
use thiserror::Error;

use self::early::EarlyDatagrams;
pub use self::engine::{BrowserFormats, Identity, NoCertificate, Settings};
pub use self::guard::SdpRefusal;
use self::path::Paths;
use self::payloads::Payloads;
use crate::limits::{DISCONNECTED_MAX, ENGINE_TURNS_MAX, RTP_PAYLOAD_MAX, WARM_CONNECT_MAX};
use crate::stun::{self, BindingRequest, DatagramKind, TransactionId};

/// How a leg comes into being and how long it may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegKind {
    /// Offered at sign-in, stays for the session.
    Warm,
    /// Belongs to one call; fails unless it is connected within this time of its birth.
    PerCall {
        /// The time it has.
        ready_within: Duration,
    },
}

/// State of a leg.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegState {
    /// Nothing is negotiated.
    New,
    /// Our offer is out.
    Offered,
    /// ICE and DTLS are under way.
    Connecting,
    /// Media can flow.
    Connected,
    /// Consent is lost, and may come back.
    Disconnected,
    /// Ended on purpose, by either side.
    Closed,
    /// Ended otherwise.
    Failed(Failure),
}

impl LegState {
    /// The leg is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Failed(_))
    }
}

/// Why a leg failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Failure {
    /// It was not connected within its time.
    #[error("not connected in time")]
    Deadline,
    /// Consent was lost and did not come back.
    #[error("consent was lost")]
    Consent,
    /// The session description was refused.
    #[error("the session description was refused")]
    Description,
    /// The engine gave up: wrong certificate, broken handshake.
    #[error("the WebRTC engine gave up")]
    Engine,
    /// The browser changed its address more often than a browser can.
    #[error("too many address changes")]
    AddressChanges,
}

/// Why a request to a leg was not obeyed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LegError {
    /// The leg's state does not allow it; the leg is as it was.
    #[error("the state of the leg does not allow it")]
    State,
    /// The description is refused, and the leg has failed.
    #[error(transparent)]
    Refused(#[from] SdpRefusal),
    /// The engine refuses the description, and the leg has failed.
    #[error("{0}")]
    Engine(String),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The engine took it.
    Taken,
    /// DTLS that came early; it is kept until its address is checked.
    Kept,
    /// It changed nothing.
    Refused(Refusal),
}

/// Why a datagram changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The leg is over.
    Over,
    /// It is none of STUN, DTLS, RTP.
    Malformed,
    /// STUN that is not signed with our password, or by another than the browser we negotiated with.
    BadIntegrity,
    /// DTLS from an address without an authenticated check, or a ClientHello that leads nowhere.
    UnvalidatedDtls,
    /// RTP from an address without an authenticated check.
    UnknownSource,
    /// SRTP that did not pass: wrong tag, replay, unknown stream.
    Srtp,
}

/// A packet from the browser.
#[derive(Debug)]
pub struct MediaPacket(RtpPacket);

impl MediaPacket {
    /// Its synchronisation source.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        *self.0.header.ssrc
    }

    /// Its payload type.
    #[must_use]
    pub fn payload_type(&self) -> u8 {
        *self.0.header.payload_type
    }

    /// Its sequence number.
    #[must_use]
    pub const fn sequence(&self) -> u16 {
        self.0.header.sequence_number
    }

    /// Its timestamp.
    #[must_use]
    pub const fn timestamp(&self) -> u32 {
        self.0.header.timestamp
    }

    /// Its marker bit.
    #[must_use]
    pub const fn marker(&self) -> bool {
        self.0.header.marker
    }

    /// Its payload.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.0.payload
    }
}

/// A packet to the browser.
#[derive(Clone, Copy, Debug)]
pub struct SendPacket<'a> {
    /// One of the negotiated payload types.
    pub payload_type: u8,
    /// Extended sequence number; each is used once.
    pub sequence: u64,
    /// Timestamp.
    pub timestamp: u32,
    /// Marker bit.
    pub marker: bool,
    /// Payload.
    pub payload: &'a [u8],
}

/// What a leg has to say.
#[derive(Debug)]
pub enum LegOutput {
    /// Send this from the WebRTC port.
    Transmit {
        /// To whom.
        to: SocketAddr,
        /// The datagram.
        datagram: DatagramSend,
    },
    /// The browser sent this.
    Media(MediaPacket),
    /// An authenticated check from this address was answered: datagrams from it are this leg's.
    Reachable(SocketAddr),
    /// The state changed.
    State(LegState),
}

/// How long it took to connect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConnectTimes {
    /// From the exchange of descriptions to ICE connected.
    pub ice: Option<Duration>,
    /// From ICE connected to DTLS finished.
    pub dtls: Option<Duration>,
}

/// A check that the engine is looking at.
#[derive(Clone, Copy, Debug)]
struct Check {
    transaction: TransactionId,
    use_candidate: bool,
    answered: bool,
}

/// A leg.
pub struct BrowserLeg {
    rtc: Rtc,
    state: LegState,
    kind: LegKind,
    /// Our address, as the engine knows it.
    local: SocketAddr,
    now: Instant,
    /// When the engine wants to be called.
    engine_at: Option<Instant>,
    /// When the present state ends by itself.
    deadline: Option<Instant>,
    pending: Option<SdpPendingOffer>,
    mid: Option<Mid>,
    formats: BrowserFormats,
    early: EarlyDatagrams,
    paths: Paths,
    check: Option<Check>,
    /// Nominations answered while the engine was drained.
    nominated: Option<SocketAddr>,
    payloads: Payloads,
    outputs: VecDeque<LegOutput>,
    media_packets: u64,
    engine_errors: u64,
    negotiated_at: Option<Instant>,
    ice_at: Option<Instant>,
    times: ConnectTimes,
}

impl std::fmt::Debug for BrowserLeg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BrowserLeg")
            .field("state", &self.state)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// A deadline this far ahead is none: the engine says "never" by a date decades from now.
const NEVER: Duration = Duration::from_secs(24 * 3_600);

impl BrowserLeg {
    /// A leg with nothing negotiated.
    ///
    /// # Panics
    /// When `settings.candidates` is empty: a leg without an address cannot be offered.
    #[must_use]
    pub fn new(now: Instant, kind: LegKind, settings: &Settings) -> Self {
        let local = *settings
            .candidates
            .first()
            .expect("settings name at least one candidate");
        let ready_within = match kind {
            LegKind::Warm => WARM_CONNECT_MAX,
            LegKind::PerCall { ready_within } => ready_within,
        };
        let mut leg = Self {
            rtc: engine::build(now, settings),
            state: LegState::New,
            kind,
            local,
            now,
            engine_at: None,
            deadline: Some(now + ready_within),
            pending: None,
            mid: None,
            formats: BrowserFormats::default(),
            early: EarlyDatagrams::default(),
            paths: Paths::default(),
            check: None,
            nominated: None,
            payloads: Payloads::default(),
            outputs: VecDeque::new(),
            media_packets: 0,
            engine_errors: 0,
            negotiated_at: None,
            ice_at: None,
            times: ConnectTimes::default(),
        };
        leg.pump();
        leg
    }

    /// The present state.
    #[must_use]
    pub const fn state(&self) -> LegState {
        self.state
    }

    /// Which kind of leg this is.
    #[must_use]
    pub const fn kind(&self) -> LegKind {
        self.kind
    }

    /// What the browser agreed to.
    #[must_use]
    pub const fn formats(&self) -> BrowserFormats {
        self.formats
    }

    /// How long it took to connect.
    #[must_use]
    pub const fn connect_times(&self) -> ConnectTimes {
        self.times
    }

    /// Errors of the engine that did not end the leg.
    #[must_use]
    pub const fn engine_errors(&self) -> u64 {
        self.engine_errors
    }

    /// Our user fragment, by which STUN finds this leg.
    pub fn ufrag(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// The SSRC of what we send; known once descriptions are exchanged.
    pub fn send_ssrc(&mut self) -> Option<u32> {
        let mid = self.mid?;
        self.rtc
            .direct_api()
            .stream_tx_by_mid(mid, None)
            .map(|stream| *stream.ssrc())
    }

    /// Makes the first offer, or offers an ICE restart on a leg that is up.
    ///
    /// # Errors
    /// [`LegError::State`] when the leg is over or an exchange has not got that far.
    pub fn offer(&mut self, now: Instant) -> Result<String, LegError> {
        self.advance(now);
        let mut changes = self.rtc.sdp_api();
        let first = match self.state {
            LegState::New => {
                let mid =
                    changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
                self.mid = Some(mid);
                true
            }
            LegState::Connecting | LegState::Connected | LegState::Disconnected => {
                changes.ice_restart(true);
                false
            }
            LegState::Offered | LegState::Closed | LegState::Failed(_) => {
                return Err(LegError::State);
            }
        };
        let Some((offer, pending)) = changes.apply() else {
            return Err(LegError::State);
        };
        self.pending = Some(pending);
        if first {
            self.set_state(LegState::Offered);
        }
        self.pump();
        Ok(offer.to_sdp_string())
    }

    /// Takes the browser's answer to the last offer.
    ///
    /// # Errors
    /// [`LegError::State`] when no offer is open. Otherwise the answer is refused, which has used the offer up: the leg has
    /// failed.
    pub fn accept_answer(&mut self, now: Instant, sdp: &str) -> Result<(), LegError> {
        self.advance(now);
        if self.state.is_over() {
            return Err(LegError::State);
        }
        let pending = self.pending.take().ok_or(LegError::State)?;
        let result = guard::check(sdp)
            .map_err(LegError::from)
            .and_then(|checked| {
                let answer = SdpAnswer::from_sdp_string(&checked.sdp).map_err(engine_error)?;
                self.begin_paths(checked.candidates);
                self.rtc
                    .sdp_api()
                    .accept_answer(pending, answer)
                    .map_err(engine_error)
            });
        self.negotiated(result)
    }

    /// Answers an offer of the browser: its first one, or an ICE restart.
    ///
    /// # Errors
    /// [`LegError::State`] when the leg is over or our own offer is open. Otherwise the offer is refused, and the leg has
    /// failed.
    pub fn answer_offer(&mut self, now: Instant, sdp: &str) -> Result<String, LegError> {
        self.advance(now);
        if self.state.is_over() || self.pending.is_some() {
            return Err(LegError::State);
        }
        let mut text = String::new();
        let result = guard::check(sdp)
            .map_err(LegError::from)
            .and_then(|checked| {
                let offer = SdpOffer::from_sdp_string(&checked.sdp).map_err(engine_error)?;
                self.mid = self.mid.or(checked.mid.as_deref().map(Mid::from));
                self.begin_paths(checked.candidates);
                let answer = self
                    .rtc
                    .sdp_api()
                    .accept_offer(offer)
                    .map_err(engine_error)?;
                text = answer.to_sdp_string();
                Ok(())
            });
        self.negotiated(result)?;
        Ok(text)
    }

    /// Takes a trickled candidate; one that cannot be used, or one too many, is ignored.
    pub fn add_candidate(&mut self, now: Instant, line: &str) {
        self.advance(now);
        if matches!(self.state, LegState::New | LegState::Offered) || self.state.is_over() {
            return;
        }
        if let Some(candidate) = guard::candidate(line)
            && self.paths.signal(candidate.clone())
        {
            self.rtc.add_remote_candidate(candidate);
            self.pump();
        }
    }

    /// The address of a candidate line, of a description or trickled; `None` for every other line.
    #[must_use]
    pub fn candidate_address(line: &str) -> Option<SocketAddr> {
        let line = line.strip_prefix("a=").unwrap_or(line);
        if !line.starts_with("candidate:") {
            return None;
        }
        guard::candidate(line).map(|candidate| candidate.addr())
    }

    /// Ends the leg: BYE and `close_notify` go out when there is somebody to hear them.
    pub fn close(&mut self, now: Instant) {
        self.advance(now);
        if self.state.is_over() {
            return;
        }
        let connected = matches!(self.state, LegState::Connected | LegState::Disconnected);
        self.set_state(LegState::Closed);
        if !connected || self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
        self.pump();
    }

    /// Takes a datagram that came to the WebRTC port.
    pub fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) -> Received {
        self.advance(now);
        if self.state.is_over() {
            return Received::Refused(Refusal::Over);
        }
        let kind = DatagramKind::of(datagram);
        if kind == DatagramKind::Dtls && !hello::may_lead_anywhere(datagram) {
            return Received::Refused(Refusal::UnvalidatedDtls);
        }
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, datagram) else {
            return Received::Refused(Refusal::Malformed);
        };
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return self.unaccepted(kind, source, datagram);
        }
        match kind {
            DatagramKind::Stun => self.receive_stun(source, datagram, input),
            DatagramKind::Rtp => self.receive_rtp(datagram, input),
            DatagramKind::Dtls | DatagramKind::Other => {
                self.feed(input);
                Received::Taken
            }
        }
    }

    /// Sends a packet to the browser. `false` when it did not go: not connected, a payload type that was not negotiated, or too
    /// large. Its sequence number is then unused.
    pub fn send(&mut self, now: Instant, packet: &SendPacket<'_>) -> bool {
        self.advance(now);
        if self.state != LegState::Connected
            || packet.payload.len() > RTP_PAYLOAD_MAX
            || !self.formats.contains(packet.payload_type)
        {
            return false;
        }
        let Some(mid) = self.mid else { return false };
        let payload = self.payloads.fill(packet.payload);
        let mut api = self.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, None) else {
            return false;
        };
        let sequence = packet.sequence.into();
        stream.write_rtp(
            RtpWrite::new(
                packet.payload_type.into(),
                sequence,
                packet.timestamp,
                now,
                payload,
            )
            .marker(packet.marker),
        );
        self.pump();
        true
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match (self.engine_at, self.deadline) {
            (Some(engine), Some(deadline)) => Some(engine.min(deadline)),
            (engine, deadline) => engine.or(deadline),
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            let lost = matches!(self.state, LegState::Connected | LegState::Disconnected);
            self.fail(if lost {
                Failure::Consent
            } else {
                Failure::Deadline
            });
            return;
        }
        if self.engine_at.is_some_and(|at| at <= now) {
            self.feed(Input::Timeout(now));
        }
    }

    /// The next thing the leg has to say.
    pub fn poll_output(&mut self) -> Option<LegOutput> {
        self.outputs.pop_front()
    }

    fn advance(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    fn begin_paths(&mut self, candidates: Vec<str0m::Candidate>) {
        self.paths.restart();
        for candidate in candidates {
            self.paths.signal(candidate);
        }
    }

    /// Descriptions are exchanged, or not.
    fn negotiated(&mut self, result: Result<(), LegError>) -> Result<(), LegError> {
        if let Err(error) = result {
            self.fail(Failure::Description);
            return Err(error);
        }
        self.pump();
        if let Some(mid) = self.mid {
            self.formats = BrowserFormats::negotiated(&self.rtc, mid);
        }
        if self.formats.mu.is_none() && self.formats.a.is_none() {
            self.fail(Failure::Description);
            return Err(LegError::Engine("no common audio codec".into()));
        }
        if matches!(self.state, LegState::New | LegState::Offered) {
            self.negotiated_at = Some(self.now);
            self.keep_no_sent_packets();
            self.set_state(LegState::Connecting);
        } else {
            // ICE restarted: media goes on over the old path, but not for ever.
            self.deadline = Some(self.now + DISCONNECTED_MAX);
        }
        // Checks that waited for the answer are handled one per turn of the engine's clock.
        self.feed(Input::Timeout(self.now));
        if let Some(source) = self.paths.current() {
            self.replay_early(source);
        }
        Ok(())
    }

    /// Audio without retransmission needs no store of what was sent, nor the rate history that bounds retransmission.
    fn keep_no_sent_packets(&mut self) {
        if let Some(mid) = self.mid
            && let Some(stream) = self.rtc.direct_api().stream_tx_by_mid(mid, None)
        {
            stream.set_rtx_cache(1, Duration::from_millis(1), None);
        }
    }

    fn unaccepted(&mut self, kind: DatagramKind, source: SocketAddr, datagram: &[u8]) -> Received {
        Received::Refused(match kind {
            DatagramKind::Stun => Refusal::BadIntegrity,
            DatagramKind::Dtls if self.paths.is_signalled(source) => {
                self.early.keep(self.now, source, datagram);
                return Received::Kept;
            }
            DatagramKind::Dtls => Refusal::UnvalidatedDtls,
            DatagramKind::Rtp => Refusal::UnknownSource,
            DatagramKind::Other => Refusal::Malformed,
        })
    }

    fn receive_stun(&mut self, source: SocketAddr, datagram: &[u8], input: Input<'_>) -> Received {
        let Some(request) = BindingRequest::glance(datagram) else {
            self.feed(input);
            return Received::Taken;
        };
        if let Some(candidate) = self.paths.bring_back(source) {
            self.rtc.add_remote_candidate(candidate);
            self.pump();
        }
        let BindingRequest {
            transaction,
            use_candidate,
            ..
        } = request;
        self.check = Some(Check {
            transaction,
            use_candidate,
            answered: false,
        });
        self.feed(input);
        let answered = self.check.take().is_some_and(|check| check.answered);
        self.follow_nomination();
        if !answered && self.negotiated_at.is_some() {
            return Received::Refused(Refusal::BadIntegrity);
        }
        self.replay_early(source);
        Received::Taken
    }

    fn receive_rtp(&mut self, datagram: &[u8], input: Input<'_>) -> Received {
        let before = self.media_packets;
        self.feed(input);
        // RFC 5761: the second octet of RTCP lies in 192-223.
        let is_rtcp = matches!(datagram.get(1), Some(192..=223));
        if is_rtcp || self.media_packets > before || self.state != LegState::Connected {
            return Received::Taken;
        }
        Received::Refused(Refusal::Srtp)
    }

    /// When the browser nominated another address than before, the former one is retired.
    fn follow_nomination(&mut self) {
        let Some(address) = self.nominated.take() else {
            return;
        };
        let Some(old) = self.paths.nominate(address) else {
            return;
        };
        if self.state != LegState::Connected && self.state != LegState::Disconnected {
            return;
        }
        for candidate in self.paths.retire(old) {
            self.rtc.direct_api().invalidate_candidate(&candidate);
            self.feed(Input::Timeout(self.now));
        }
        if self.paths.exhausted() {
            self.fail(Failure::AddressChanges);
        }
    }

    /// Hands over early DTLS whose address has been checked meanwhile.
    fn replay_early(&mut self, source: SocketAddr) {
        while let Some(datagram) = self.early.take(self.now, source) {
            let Ok(receive) = Receive::new(Protocol::Udp, source, self.local, &datagram) else {
                continue;
            };
            let input = Input::Receive(self.now, receive);
            if self.rtc.accepts(&input) {
                self.feed(input);
            }
        }
    }

    fn feed(&mut self, input: Input<'_>) {
        if self.rtc.handle_input(input).is_err() {
            // Anyone who can forge the browser's address can make an error; only the engine's own end counts.
            self.engine_errors += 1;
        }
        self.pump();
    }

    /// Drains the engine, as it must be after every change.
    fn pump(&mut self) {
        let mut turns = 0;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Transmit(transmit)) => {
                    self.note_response(transmit.destination, &transmit.contents);
                    let (to, datagram) = (transmit.destination, transmit.contents);
                    self.outputs.push_back(LegOutput::Transmit { to, datagram });
                }
                Ok(Output::Event(event)) => self.on_event(event),
                Ok(Output::Timeout(at)) => {
                    if at > self.now || !self.rtc.is_alive() {
                        self.engine_at = (at < self.now + NEVER).then_some(at);
                        break;
                    }
                    turns += 1;
                    if turns > ENGINE_TURNS_MAX {
                        self.engine_at = Some(self.now + crate::wheel::TICK);
                        break;
                    }
                    if self.rtc.handle_input(Input::Timeout(self.now)).is_err() {
                        self.engine_errors += 1;
                    }
                }
                Err(_) => {
                    self.engine_errors += 1;
                    turns += 1;
                    if !self.rtc.is_alive() || turns > ENGINE_TURNS_MAX {
                        self.engine_at = None;
                        break;
                    }
                }
            }
        }
        if !self.rtc.is_alive() {
            self.engine_at = None;
            self.fail(Failure::Engine);
        }
    }

    /// A success response of the engine is the proof that a check was genuine.
    fn note_response(&mut self, to: SocketAddr, datagram: &[u8]) {
        let Some(transaction) = stun::success_response(datagram) else {
            return;
        };
        self.outputs.push_back(LegOutput::Reachable(to));
        match &mut self.check {
            Some(check) if check.transaction == transaction => {
                check.answered = true;
                if check.use_candidate {
                    self.nominated = Some(to);
                }
            }
            // A check that waited for the browser's description.
            _ => {
                if self.paths.current().is_none() {
                    self.paths.nominate(to);
                }
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::RtpPacket(packet) => {
                self.media_packets += 1;
                self.outputs
                    .push_back(LegOutput::Media(MediaPacket(packet)));
            }
            Event::Connected => self.on_connected(),
            Event::IceConnectionStateChange(state) => self.on_ice(state),
            Event::Closed => self.set_state(LegState::Closed),
            _ => {}
        }
    }

    fn on_connected(&mut self) {
        self.times.dtls = self.ice_at.map(|at| self.now.saturating_duration_since(at));
        self.early.clear();
        self.set_state(LegState::Connected);
    }

    fn on_ice(&mut self, state: IceConnectionState) {
        match state {
            IceConnectionState::Connected | IceConnectionState::Completed => {
                if self.ice_at.is_none() {
                    self.ice_at = Some(self.now);
                    self.times.ice = self
                        .negotiated_at
                        .map(|at| self.now.saturating_duration_since(at));
                }
                match self.state {
                    LegState::Disconnected => self.set_state(LegState::Connected),
                    LegState::Connected => self.deadline = None,
                    _ => {}
                }
            }
            IceConnectionState::Disconnected if self.state == LegState::Connected => {
                self.set_state(LegState::Disconnected);
            }
            _ => {}
        }
    }

    fn set_state(&mut self, state: LegState) {
        if self.state == state || self.state.is_over() {
            return;
        }
        self.state = state;
        match state {
            LegState::Connected | LegState::Closed | LegState::Failed(_) => self.deadline = None,
            LegState::Disconnected => self.deadline = Some(self.now + DISCONNECTED_MAX),
            LegState::New | LegState::Offered | LegState::Connecting => {}
        }
        self.outputs.push_back(LegOutput::State(state));
    }

    fn fail(&mut self, failure: Failure) {
        if self.state.is_over() {
            return;
        }
        self.rtc.disconnect();
        self.engine_at = None;
        self.set_state(LegState::Failed(failure));
    }
}

fn engine_error(error: impl std::fmt::Display) -> LegError {
    LegError::Engine(error.to_string())
}
