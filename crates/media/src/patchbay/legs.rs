//! The browser side of the patch bay.

use std::hash::Hash;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{
    Direction, Event, Key, LegOutput, LegState, OutgoingStream, Patchbay, Tick, Wire, arm, front,
};
use crate::bridge::{BrowserReport, FromBrowser, incoming};
use crate::browser_leg::{
    BrowserLeg, Carrier, ConnectTimes, Counts, Endpoint, Heard, LegError, LegKind, Preference,
    Received,
};
use crate::hash::CheapMap;
use crate::ids::{CallId, LegId};
use crate::limits::{LEGS_MAX, REMOTE_CANDIDATES_MAX};
use crate::stream::TICKS_PER_MS;
use crate::stun::{BindingRequest, DatagramKind};

/// A leg and what belongs to it.
pub(super) struct Leg {
    pub(super) machine: BrowserLeg,
    /// The stream the browser hears, over all its calls; known once descriptions are exchanged.
    pub(super) stream: Option<OutgoingStream>,
    /// The call that is patched.
    pub(super) patched: Option<CallId>,
    /// The call that was patched last.
    pub(super) heard_last: Option<CallId>,
    ufrag: String,
    /// Entries in the address maps, to be removed with the leg.
    addresses: Vec<Endpoint>,
    named: Vec<SocketAddr>,
    armed: Option<Tick>,
    /// What the browser said last.
    told: Told,
}

/// What a browser has said of our stream, over all its calls.
#[derive(Debug, Default)]
struct Told {
    /// Packets that it has lost of those that we sent.
    lost: u64,
    /// The highest number that had come, its low 16 bits.
    highest: Option<u16>,
    /// The present call's first number: what is lost is this call's behind a report of all that came before.
    since: Option<u16>,
}

impl Told {
    /// Another call is heard, from this number of the stream on.
    fn of_another(&mut self, next: u64) {
        // The low 16 bits are what the browser was told.
        self.since = Some(next as u16).filter(|since| self.highest != Some(since.wrapping_sub(1)));
    }

    /// Packets that were lost since the last report; `None` where it cannot be told of which call. It misses what the caller's leg had lost before us as well, by the
    /// numbers that the stream has left out.
    fn lost_since(&mut self, counts: Counts, left_out: u64) -> Option<u64> {
        // 24 bits with a sign (RFC 3550 section 6.4.1): more came than was sent, so nothing is lost.
        let total = if counts.lost < 0x80_0000 {
            counts.lost
        } else {
            0
        };
        // What was left out a moment ago it has not missed yet.
        let total = total.saturating_sub(left_out).max(self.lost);
        let lost = total - std::mem::replace(&mut self.lost, total);
        let highest = counts.highest as u16;
        self.highest = Some(highest);
        let Some(since) = self.since else {
            return Some(lost);
        };
        if highest.wrapping_sub(since.wrapping_sub(1)) as i16 >= 0 {
            self.since = None;
        }
        None
    }
}

impl Leg {
    /// What the browser reports, for the call that it hears.
    fn report(
        &mut self,
        loss_percent: Option<u8>,
        round_trip: Option<Duration>,
        counts: Counts,
    ) -> BrowserReport {
        let ticks_per_ms = self
            .stream
            .as_ref()
            .map_or(TICKS_PER_MS, OutgoingStream::ticks_per_ms);
        let left_out = self.stream.as_ref().map_or(0, OutgoingStream::left_out);
        let micros = u64::from(counts.jitter_ticks) * 1_000 / u64::from(ticks_per_ms);
        BrowserReport {
            loss_percent,
            round_trip,
            lost: self.told.lost_since(counts, left_out),
            jitter: Some(Duration::from_micros(micros)),
        }
    }

    /// This call is heard from now on.
    pub(super) fn hears(&mut self, call: CallId) {
        let former = self.heard_last.replace(call);
        if let Some(stream) = &self.stream
            && former.is_some_and(|former| former != call)
        {
            self.told.of_another(stream.next_sequence());
        }
    }

    /// Notes an address that a check has confirmed; returns the one that has to make room for it.
    fn reachable_at(&mut self, address: Endpoint) -> Option<Endpoint> {
        if self.addresses.contains(&address) {
            return None;
        }
        let full = self.addresses.len() >= REMOTE_CANDIDATES_MAX;
        let oldest = full.then(|| self.addresses.remove(0));
        self.addresses.push(address);
        oldest
    }
}

impl Patchbay {
    /// Makes a leg and offers it, or with `restart` offers an ICE restart on a living one.
    pub fn offer_browser(
        &mut self,
        now: Instant,
        id: LegId,
        (kind, preference): (LegKind, Preference),
        restart: bool,
        wire: &mut impl Wire,
    ) {
        if restart != self.legs.contains_key(&id) {
            return;
        }
        if !restart {
            if self.legs.len() >= LEGS_MAX {
                let reason = "the media worker is full".to_owned();
                self.events
                    .push_back(Event::BrowserRefused { leg: id, reason });
                return;
            }
            self.insert_leg(now, id, kind, preference);
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        if let Ok(sdp) = leg.machine.offer(now) {
            self.events.push_back(Event::BrowserOffer {
                leg: id,
                sdp,
                restart,
            });
        }
        self.settle_leg(id, wire);
    }

    /// Makes a leg out of the browser's own offer and returns the answer; the leg of a front whose calls bring theirs.
    ///
    /// # Errors
    /// When the offer is refused, or the worker is full; then there is no leg.
    pub fn answer_browser_offer(
        &mut self,
        now: Instant,
        id: LegId,
        (kind, preference): (LegKind, Preference),
        sdp: &str,
        wire: &mut impl Wire,
    ) -> Result<String, LegError> {
        if !self.legs.contains_key(&id) {
            if self.legs.len() >= LEGS_MAX {
                return Err(LegError::State);
            }
            self.insert_leg(now, id, kind, preference);
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return Err(LegError::State);
        };
        let result = leg.machine.answer_offer(now, sdp);
        if result.is_err() && leg.machine.state().is_over() {
            self.remove_leg(id);
        } else {
            self.negotiated(id, sdp);
            self.settle_leg(id, wire);
        }
        result
    }

    fn insert_leg(&mut self, now: Instant, id: LegId, kind: LegKind, preference: Preference) {
        let mut machine = BrowserLeg::new(
            now,
            kind,
            preference,
            &self.settings,
            self.reporting.clone(),
        );
        let ufrag = machine.ufrag();
        self.wheel.advance(now);
        self.ufrags.insert(ufrag.clone(), id);
        let leg = Leg {
            machine,
            stream: None,
            patched: None,
            heard_last: None,
            ufrag,
            addresses: Vec::new(),
            named: Vec::new(),
            armed: None,
            told: Told::default(),
        };
        self.legs.insert(id, Box::new(leg));
    }

    /// Takes the browser's answer.
    pub fn answer_browser(&mut self, now: Instant, id: LegId, sdp: &str, wire: &mut impl Wire) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        match leg.machine.accept_answer(now, sdp) {
            Ok(()) => self.negotiated(id, sdp),
            // Nobody asked for this answer; the leg is as it was.
            Err(LegError::State) => {}
            Err(error) => {
                let reason = error.to_string();
                self.events
                    .push_back(Event::BrowserRefused { leg: id, reason });
                self.remove_leg(id);
                return;
            }
        }
        self.settle_leg(id, wire);
    }

    /// Takes a trickled candidate.
    pub fn candidate_browser(&mut self, now: Instant, id: LegId, line: &str, wire: &mut impl Wire) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        leg.machine.add_candidate(now, line);
        self.name_addresses(id, line);
        self.settle_leg(id, wire);
    }

    /// Drops a leg; what is patched to it is silent.
    pub fn close_browser(&mut self, now: Instant, id: LegId, wire: &mut impl Wire) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        leg.machine.close(now);
        self.settle_leg(id, wire);
    }

    /// Whether a user fragment, as a check names it, is that of a leg.
    #[must_use]
    pub fn has_leg(&self, ufrag: &str) -> bool {
        self.ufrags.contains_key(ufrag)
    }

    /// Takes a datagram from the WebRTC port, or from a connection. Speech is opened in place.
    pub fn receive_browser(
        &mut self,
        now: Instant,
        source: impl Into<Endpoint>,
        datagram: &mut [u8],
        wire: &mut impl Wire,
    ) {
        let source = source.into();
        let kind = DatagramKind::of(datagram);
        let owner = match kind {
            DatagramKind::Stun => BindingRequest::glance(datagram)
                .and_then(|request| self.ufrags.get(request.local_ufrag)),
            DatagramKind::Dtls => self
                .addresses
                .get(&source)
                .or_else(|| self.named.get(&source.address)),
            DatagramKind::Rtp | DatagramKind::Other => self.addresses.get(&source),
        };
        let Some(id) = owner.copied() else {
            match kind {
                DatagramKind::Dtls => self.counters.dtls_unvalidated_source += 1,
                DatagramKind::Rtp => self.counters.rtp_wrong_source += 1,
                DatagramKind::Stun | DatagramKind::Other => self.counters.unknown_datagrams += 1,
            }
            return;
        };
        if kind == DatagramKind::Rtp {
            if self.receive_browser_rtp(now, id, source, datagram, wire) {
                self.settle_leg(id, wire);
            }
            return;
        }
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let errors = leg.machine.engine_errors();
        if let Received::Refused(refusal) = leg.machine.receive(now, source, datagram) {
            self.counters.refuse_browser(refusal);
        }
        self.counters.engine_errors += leg.machine.engine_errors() - errors;
        self.settle_leg(id, wire);
    }

    /// Hands a packet of the browser to the call that is patched. Whether the leg has something to say of it; else nothing of it is looked at: this is the path of
    /// every packet.
    fn receive_browser_rtp(
        &mut self,
        now: Instant,
        id: LegId,
        source: Endpoint,
        datagram: &mut [u8],
        wire: &mut impl Wire,
    ) -> bool {
        let Some(leg) = self.legs.get_mut(&id) else {
            return false;
        };
        let header = match leg.machine.receive_rtp(now, source, datagram) {
            Ok(Heard::Media(header)) => header,
            Ok(Heard::Report) => return true,
            Ok(Heard::TooEarly) => return false,
            Err(refusal) => {
                self.counters.refuse_browser(refusal);
                return false;
            }
        };
        let has_output = leg.machine.has_output();
        self.counters.rtp_browser_in += 1;
        let patched = leg.patched.and_then(|call| self.calls.get_mut(&call));
        let (Some(call), Some(payload)) = (patched, datagram.get(header.payload.clone())) else {
            return has_output;
        };
        let packet = FromBrowser {
            incoming: incoming(&header),
            payload_type: header.payload_type,
            payload,
        };
        let formats = leg.machine.formats();
        let sent = call
            .bridge
            .from_browser(now, packet, formats, front(&mut self.scratch));
        if sent.is_err() {
            // Decoded speech, and keys that the browser itself sends, leave in their own time.
            let at = call.deadline();
            let key = Key::Call(call.id);
            arm(&mut self.wheel, &mut call.armed, Some(at), key);
        } else if let Ok(sent) = sent
            && let Some(len) = call.bridge.seal_rtp(&mut self.scratch, sent.len)
        {
            wire.rtp(call.port, sent.to, &self.scratch[..len]);
            self.counters.rtp_sip_out += 1;
            if sent.first {
                let direction = Direction::ToCaller;
                self.events.push_back(Event::FirstPacket {
                    call: call.id,
                    direction,
                });
            }
        }
        has_output
    }

    pub(super) fn leg_due(&mut self, now: Instant, id: LegId, tick: Tick, wire: &mut impl Wire) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        if leg.armed != Some(tick) {
            return;
        }
        leg.armed = None;
        if leg.machine.poll_timeout().is_some_and(|at| at <= now) {
            leg.machine.handle_timeout(now);
        }
        self.settle_leg(id, wire);
    }

    /// Carries out what a leg has to say, and arms its next deadline.
    pub(super) fn settle_leg(&mut self, id: LegId, wire: &mut impl Wire) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        while let Some(output) = leg.machine.poll_output() {
            match output {
                LegOutput::Transmit { to, datagram } => transmit(wire, to, &datagram),
                LegOutput::Reported {
                    loss_percent,
                    round_trip,
                    counts,
                } => {
                    let report = leg.report(loss_percent, round_trip, counts);
                    let call = leg.patched.and_then(|call| self.calls.get_mut(&call));
                    if let Some(call) = call {
                        call.bridge.browser_reports(report);
                    }
                }
                LegOutput::Reachable(address) => {
                    let oldest = leg.reachable_at(address);
                    if let Some(oldest) = oldest {
                        forget(&mut self.addresses, oldest, id);
                    }
                    self.addresses.insert(address, id);
                }
                LegOutput::State(state) => {
                    let times = leg.machine.connect_times();
                    self.events.extend(told(id, state, times));
                }
            }
        }
        if leg.machine.state().is_over() {
            self.remove_leg(id);
            return;
        }
        let at = leg.machine.poll_timeout();
        arm(&mut self.wheel, &mut leg.armed, at, Key::Leg(id));
    }

    /// Descriptions are exchanged: the stream is known, and after a restart there are new credentials.
    fn negotiated(&mut self, id: LegId, sdp: &str) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        let ufrag = leg.machine.ufrag();
        if ufrag != leg.ufrag {
            let old = std::mem::replace(&mut leg.ufrag, ufrag.clone());
            self.ufrags.remove(&old);
            self.ufrags.insert(ufrag, id);
        }
        let ssrc = leg.machine.send_ssrc();
        if leg.stream.is_none() && ssrc.is_some() {
            let stream = self.new_stream(ssrc);
            if let Some(leg) = self.legs.get_mut(&id) {
                leg.stream = Some(stream);
            }
        }
        self.name_addresses(id, sdp);
    }

    /// Notes the addresses that a browser names, so that its early DTLS finds its leg.
    fn name_addresses(&mut self, id: LegId, text: &str) {
        let Some(leg) = self.legs.get_mut(&id) else {
            return;
        };
        for address in text.lines().filter_map(BrowserLeg::candidate_address) {
            if leg.named.len() >= REMOTE_CANDIDATES_MAX {
                return;
            }
            leg.named.push(address);
            self.named.insert(address, id);
        }
    }

    fn remove_leg(&mut self, id: LegId) {
        let Some(leg) = self.legs.remove(&id) else {
            return;
        };
        self.ufrags.remove(&leg.ufrag);
        for address in leg.addresses {
            forget(&mut self.addresses, address, id);
        }
        for address in leg.named {
            forget(&mut self.named, address, id);
        }
        if let Some(call) = leg.patched.and_then(|call| self.calls.get_mut(&call)) {
            call.leg = None;
        }
    }
}

pub(super) fn transmit(wire: &mut impl Wire, to: Endpoint, datagram: &[u8]) {
    match to.carrier {
        Carrier::Udp => wire.to_browser(to.address, datagram),
        Carrier::Tcp => wire.to_browser_by_tcp(to.address, datagram),
    }
}

/// What the worker tells of a leg's new state.
const fn told(leg: LegId, state: LegState, times: ConnectTimes) -> Option<Event> {
    match state {
        LegState::New | LegState::Offered => None,
        LegState::Closed => Some(Event::BrowserClosed { leg }),
        _ => Some(Event::BrowserState { leg, state, times }),
    }
}

/// Removes an address unless another leg has taken it over.
fn forget<A: Eq + Hash>(map: &mut CheapMap<A, LegId>, address: A, id: LegId) {
    if map.get(&address) == Some(&id) {
        map.remove(&address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the caller's leg had lost is missing at the browser as well, and not lost twice; nor is what the stream left out since the browser wrote its report.
    #[test]
    fn what_was_left_out_is_not_lost_by_the_browser() {
        let mut told = Told::default();
        let mut says = |lost, left_out| {
            let counts = Counts {
                lost,
                highest: 0,
                jitter_ticks: 0,
            };
            told.lost_since(counts, left_out)
        };
        assert_eq!(says(10, 10), Some(0));
        assert_eq!(says(12, 14), Some(0));
        assert_eq!(says(19, 14), Some(5));
        assert_eq!(says(19, 18), Some(0), "4 of them it knows nothing of yet");
        assert_eq!(says(23, 18), Some(0));
        assert_eq!(says(24, 18), Some(1));
        // More came than was sent.
        assert_eq!(says(0xff_ffff, 18), Some(0));
    }
}
