//! One WebRTC connection to a browser, as a machine that is told the time and fed datagrams.
//!
//! | state | entered by | left by |
//! |---|---|---|
//! | `New` | birth | [`offer`](BrowserLeg::offer), [`answer_offer`](BrowserLeg::answer_offer) |
//! | `Offered` | our offer went out | the browser's answer, deadline |
//! | `Connecting` | offer and answer are exchanged | ICE and DTLS up, deadline |
//! | `Connected` | ICE and DTLS are up | consent lost, either side closes |
//! | `Disconnected` | no check for 15 s | the browser is heard where media goes, deadline |
//! | `Closed` | either side closed on purpose | - |
//! | `Failed` | see [`Failure`] | - |
//!
//! Both kinds of leg are this machine. A **warm** leg is offered when the agent signs in and stays; calls are patched to
//! it. A leg **per call** answers the browser's offer, or offers with the call, and must be `Connected` by a deadline that the
//! call sets, so that its owner learns one of two things in bounded time.
//!
//! Datagrams are judged before the engine sees them: STUN by user fragment and signature, everything else by an
//! address that an authenticated check came from. The engine does ICE, DTLS and descriptions; RTP and RTCP never pass through it.

mod cookie;
mod drive;
mod early;
mod engine;
mod guard;
mod hello;
mod keys;
mod path;
mod secured;
mod types;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind, Mid};
use str0m::{Input, Rtc};

use self::cookie::Doorkeeper;
use self::early::EarlyDatagrams;
pub use self::engine::{BrowserFormats, Identity, NoCertificate, Preference, Settings};
pub use self::guard::SdpRefusal;
use self::path::Paths;
pub use self::secured::Reporting;
use self::secured::Secured;
pub use self::types::{
    Carrier, ConnectTimes, Counts, Endpoint, Failure, Heard, LegError, LegKind, LegOutput,
    LegState, Received, Refusal, SendPacket,
};
use crate::limits::WARM_CONNECT_MAX;
use crate::stun::{DatagramKind, TransactionId};

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
    /// The same for connections, where they are offered.
    local_tcp: Option<SocketAddr>,
    now: Instant,
    /// When the engine wants to be called.
    engine_at: Option<Instant>,
    /// When the present state ends by itself.
    deadline: Option<Instant>,
    pending: Option<SdpPendingOffer>,
    mid: Option<Mid>,
    formats: BrowserFormats,
    early: EarlyDatagrams,
    door: Doorkeeper,
    signs: hello::Signs,
    /// The handshake is no longer given the time of an honest one.
    spoiled: bool,
    paths: Paths,
    check: Option<Check>,
    /// Nominations answered while the engine was drained.
    nominated: Option<Endpoint>,
    secured: Secured,
    reporting: Reporting,
    outputs: VecDeque<LegOutput>,
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
    pub fn new(
        now: Instant,
        kind: LegKind,
        preference: Preference,
        settings: &Settings,
        reporting: Reporting,
    ) -> Self {
        let local = *settings
            .candidates
            .first()
            .expect("settings name at least one candidate");
        let ready_within = match kind {
            LegKind::Warm => WARM_CONNECT_MAX,
            LegKind::PerCall { ready_within } => ready_within,
        };
        let (mut rtc, slot) = keys::with_slot(|| engine::build(now, settings, preference));
        let door = Doorkeeper::new(&rtc.direct_api().local_ice_credentials().pass);
        let mut leg = Self {
            rtc,
            state: LegState::New,
            kind,
            local,
            local_tcp: settings.tcp_candidates.first().copied(),
            now,
            engine_at: None,
            deadline: Some(now + ready_within),
            pending: None,
            mid: None,
            formats: BrowserFormats {
                preference,
                ..BrowserFormats::default()
            },
            early: EarlyDatagrams::default(),
            door,
            signs: hello::Signs::default(),
            spoiled: false,
            paths: Paths::default(),
            check: None,
            nominated: None,
            secured: Secured::new(slot),
            reporting,
            outputs: VecDeque::new(),
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
    #[must_use]
    pub const fn send_ssrc(&self) -> Option<u32> {
        self.secured.ssrc
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
                self.formats.dtx = checked.dtx;
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
                self.formats.dtx = checked.dtx;
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
        let connected = self.state.is_up();
        if connected {
            self.report(true);
        }
        self.set_state(LegState::Closed);
        if !connected || self.rtc.close().is_err() {
            self.rtc.disconnect();
        }
        self.pump();
    }

    /// Takes a datagram of ICE or DTLS that came to the WebRTC port, or on a connection. RTP and RTCP are for
    /// [`receive_rtp`](Self::receive_rtp).
    pub fn receive(
        &mut self,
        now: Instant,
        source: impl Into<Endpoint>,
        datagram: &[u8],
    ) -> Received {
        let source = source.into();
        self.advance(now);
        if self.state.is_over() {
            return Received::Refused(Refusal::Over);
        }
        self.paths.note(source);
        let kind = DatagramKind::of(datagram);
        if kind == DatagramKind::Dtls && !hello::may_lead_anywhere(datagram) {
            return Received::Refused(Refusal::UnvalidatedDtls);
        }
        let Some(input) = self.arrival(source, datagram) else {
            return Received::Refused(Refusal::Malformed);
        };
        if !self.rtc.accepts(&input) {
            return self.unaccepted(kind, source, datagram);
        }
        match kind {
            DatagramKind::Stun => self.receive_stun(source, datagram, input),
            DatagramKind::Dtls => self.receive_dtls(source, datagram, input),
            DatagramKind::Other => {
                self.feed(input);
                Received::Taken
            }
            DatagramKind::Rtp => Received::Refused(Refusal::Malformed),
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let clocks = [self.engine_at, self.deadline, self.secured.report_at];
        clocks.into_iter().flatten().min()
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.advance(now);
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            self.fail(self.lateness());
            return;
        }
        self.report_when_due();
        if self.engine_at.is_some_and(|at| at <= now) {
            self.feed(Input::Timeout(now));
        }
    }

    /// The leg has something to say.
    #[must_use]
    pub fn has_output(&self) -> bool {
        !self.outputs.is_empty()
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
}

fn engine_error(error: impl std::fmt::Display) -> LegError {
    LegError::Engine(error.to_string())
}
