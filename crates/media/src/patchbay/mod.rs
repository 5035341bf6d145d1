//! Everything one media worker knows: browser legs, calls, and who is patched to whom.
//!
//! The shell reads its sockets and clock and calls in; datagrams leave through [`Wire`] in the same turn, without a queue and
//! without allocation. Facts wait in [`Patchbay::poll_event`].
//!
//! | rule | where it holds |
//! |---|---|
//! | a leg is heard by one call at most, and hears one at most | `Leg::patched`, compared with the call on every packet |
//! | a call that is held or parked passes nothing | [`crate::bridge`] |
//! | an address belongs to a leg after an authenticated check from it | `addresses`, written on [`LegOutput::Reachable`] only |
//! | a datagram that belongs to nobody is dropped and counted | [`Patchbay::receive_browser`] |

mod calls;
mod legs;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha12Rng;

use self::calls::Call;
use self::legs::Leg;
pub use crate::bridge::Direction;
use crate::bridge::{BridgePlan, Change, PACKET_MAX, Report, SEALED_MAX};
use crate::browser_leg::{ConnectTimes, Endpoint, LegOutput, LegState, Reporting, Settings};
use crate::counters::Counters;
use crate::hash::CheapMap;
use crate::ids::{CallId, LegId, PortId};
use crate::rtcp::NtpClock;
use crate::srtp::Keys;
use crate::stream::OutgoingStream;
use crate::tap::TapFrame;
use crate::wheel::{Tick, Wheel};

/// Between two quality reports of a call.
pub const QUALITY_INTERVAL: Duration = Duration::from_secs(5);

/// How often a call is looked at for audio that is missing one way.
pub const WATCH_INTERVAL: Duration = Duration::from_secs(1);

/// Shortest and longest time between two RTCP reports of a call: RFC 3550 section 6.2 asks for 5 s on average, spread
/// by half to either side so that many calls do not report at once.
const RTCP_INTERVAL_MS: (u64, u64) = (2_500, 7_500);

/// Where datagrams leave.
pub trait Wire {
    /// From the WebRTC port.
    fn to_browser(&mut self, to: SocketAddr, datagram: &[u8]);
    /// On the connection that a browser has opened from this address.
    fn to_browser_by_tcp(&mut self, to: SocketAddr, datagram: &[u8]);
    /// From the RTP port of a call.
    fn rtp(&mut self, port: PortId, to: SocketAddr, datagram: &[u8]);
    /// From the RTCP port of a call.
    fn rtcp(&mut self, port: PortId, to: SocketAddr, datagram: &[u8]);
    /// To whoever listens to a call.
    fn tap(&mut self, _frame: TapFrame<'_>) {}
}

/// A call's media: its bridge, and which leg it is patched to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What may pass.
    pub bridge: BridgePlan,
    /// Keys of the SIP side; `None`: plain RTP.
    pub keys: Option<Keys>,
    /// The leg; `None` parks the call.
    pub leg: Option<LegId>,
}

/// A fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The offer that was asked for.
    BrowserOffer {
        /// The leg.
        leg: LegId,
        /// The offer.
        sdp: String,
        /// It restarts ICE.
        restart: bool,
    },
    /// A leg's state changed.
    BrowserState {
        /// The leg.
        leg: LegId,
        /// Its state now.
        state: LegState,
        /// How long it took to connect, as far as it got.
        times: ConnectTimes,
    },
    /// A leg could not be made, or the browser's answer could not be used; the leg is gone.
    BrowserRefused {
        /// The leg.
        leg: LegId,
        /// Why, in words.
        reason: String,
    },
    /// A leg was closed by either side.
    BrowserClosed {
        /// The leg.
        leg: LegId,
    },
    /// The first packet since a direction was opened.
    FirstPacket {
        /// The call.
        call: CallId,
        /// Which way.
        direction: Direction,
    },
    /// A digit from the SIP side.
    Digit {
        /// The call.
        call: CallId,
        /// The digit.
        digit: char,
    },
    /// One direction has been silent for a whole interval while the other was not, or is heard again.
    OneWay {
        /// The call.
        call: CallId,
        /// What has changed.
        change: Change,
    },
    /// What was measured so far.
    Quality {
        /// The call.
        call: CallId,
        /// The measurements.
        report: Report,
    },
    /// A call is over; its port may be closed.
    CallClosed {
        /// The call.
        call: CallId,
        /// Its port.
        port: PortId,
        /// The last measurements.
        report: Report,
    },
}

/// What a worker is told at birth.
#[derive(Clone, Debug)]
pub struct Config {
    /// What its legs have in common.
    pub legs: Settings,
    /// Time since 1970 at birth, for the timestamps of RTCP.
    pub unix: Duration,
    /// Seed of everything random that need not be secret.
    pub seed: [u8; 32],
}

/// Whose deadline.
#[derive(Clone, Copy, Debug)]
enum Key {
    Leg(LegId),
    Call(CallId),
}

/// The patch bay.
pub struct Patchbay {
    settings: Settings,
    rng: ChaCha12Rng,
    reporting: Reporting,
    legs: CheapMap<LegId, Box<Leg>>,
    calls: CheapMap<CallId, Box<Call>>,
    /// Our user fragments.
    ufrags: CheapMap<String, LegId>,
    /// Addresses from which an authenticated check came.
    addresses: CheapMap<Endpoint, LegId>,
    /// Addresses that browsers have named: only good for keeping an early DTLS datagram.
    named: CheapMap<SocketAddr, LegId>,
    wheel: Wheel<Key>,
    due: Vec<Key>,
    events: VecDeque<Event>,
    counters: Counters,
    /// Where packets are written.
    scratch: Box<[u8; SEALED_MAX]>,
}

impl std::fmt::Debug for Patchbay {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patchbay")
            .field("legs", &self.legs.len())
            .field("calls", &self.calls.len())
            .finish_non_exhaustive()
    }
}

impl Patchbay {
    /// A patch bay without legs and calls.
    #[must_use]
    pub fn new(now: Instant, config: Config) -> Self {
        let mut rng = ChaCha12Rng::from_seed(config.seed);
        // RFC 7022: a name that says nothing, of 96 random bits.
        let cname = format!("{:016x}{:08x}", rng.next_u64(), rng.next_u32());
        Self {
            settings: config.legs,
            rng,
            reporting: Reporting {
                clock: NtpClock::new(now, config.unix),
                cname: cname.into(),
            },
            legs: CheapMap::default(),
            calls: CheapMap::default(),
            ufrags: CheapMap::default(),
            addresses: CheapMap::default(),
            named: CheapMap::default(),
            wheel: Wheel::new(now),
            due: Vec::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            scratch: Box::new([0; SEALED_MAX]),
        }
    }

    /// The next fact.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Ends every leg and call: the browsers are told before the worker stops.
    pub fn close_all(&mut self, now: Instant, wire: &mut impl Wire) {
        let mut legs: Vec<LegId> = self.legs.keys().copied().collect();
        legs.sort_unstable();
        for leg in legs {
            self.close_browser(now, leg, wire);
        }
        let mut calls: Vec<CallId> = self.calls.keys().copied().collect();
        calls.sort_unstable();
        for call in calls {
            self.close_call(now, call, wire);
        }
    }

    /// What was counted so far.
    #[must_use]
    pub const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Legs and calls that live.
    #[must_use]
    pub fn population(&self) -> (usize, usize) {
        (self.legs.len(), self.calls.len())
    }

    /// Entries in the three maps that find a leg: user fragments, checked addresses, named addresses. All zero when no leg is
    /// left.
    #[must_use]
    pub fn residue(&self) -> (usize, usize, usize) {
        (self.ufrags.len(), self.addresses.len(), self.named.len())
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.wheel.next()
    }

    /// Time has passed: everything due is done.
    pub fn handle_timeout(&mut self, now: Instant, wire: &mut impl Wire) {
        let mut due = std::mem::take(&mut self.due);
        while let Some(tick) = self.wheel.expire(now, &mut due) {
            for key in due.drain(..) {
                match key {
                    Key::Leg(id) => self.leg_due(now, id, tick, wire),
                    Key::Call(id) => self.call_due(now, id, tick, wire),
                }
            }
        }
        self.due = due;
        self.wheel.advance(now);
    }

    /// A stream that starts at random numbers (RFC 3550 section 5.1).
    fn new_stream(&mut self, ssrc: Option<u32>) -> OutgoingStream {
        let ssrc = ssrc.unwrap_or_else(|| self.rng.next_u32());
        // The lower half, so that the number does not wrap within the first ten minutes: a receiver that joins late takes
        // the roll-over counter for 0. And above 2047, below which some ICE stacks have taken a packet for STUN.
        let sequence = self.rng.random_range(2_048..0x8000);
        OutgoingStream::new(ssrc, sequence, self.rng.next_u32())
    }

    fn rtcp_interval(&mut self) -> Duration {
        let (shortest, longest) = RTCP_INTERVAL_MS;
        Duration::from_millis(self.rng.random_range(shortest..longest))
    }
}

/// Where a packet is written before it is sealed.
fn front(scratch: &mut [u8; SEALED_MAX]) -> &mut [u8; PACKET_MAX] {
    scratch
        .first_chunk_mut()
        .expect("a sealed packet is longer than a plain one")
}

/// Arms a deadline unless an earlier one is armed already.
fn arm(wheel: &mut Wheel<Key>, armed: &mut Option<Tick>, at: Option<Instant>, key: Key) {
    let Some(at) = at else { return };
    let tick = wheel.tick_of(at);
    if armed.is_none_or(|armed| tick < armed) {
        *armed = Some(tick);
        wheel.arm(tick, key);
    }
}
