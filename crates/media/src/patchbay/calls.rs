//! The SIP side of the patch bay.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::legs::{Leg, transmit};
use super::{
    Direction, Event, Key, LegId, Patchbay, Plan, QUALITY_INTERVAL, Tick, WATCH_INTERVAL, Wire,
    arm, front,
};
use crate::bridge::{Bridge, BrowserEnd, Dropped, Patch, Report, SEALED_RTCP_MAX, SPEECH_MAX};
use crate::browser_leg::{LegState, Reporting, SendPacket};
use crate::hash::CheapMap;
use crate::ids::{CallId, PortId, TapId};
use crate::limits::CALLS_MAX;
use crate::stream::Stamp;
use crate::tap::{TAP_FRAME_MAX, TapSettings};

/// A call and what belongs to it.
pub(super) struct Call {
    pub(super) id: CallId,
    pub(super) bridge: Bridge,
    pub(super) port: PortId,
    /// The leg it is patched to.
    pub(super) leg: Option<LegId>,
    /// The last one that it was patched to.
    heard_by: Option<LegId>,
    rtcp_at: Instant,
    quality_at: Instant,
    watch_at: Instant,
    pub(super) armed: Option<Tick>,
}

impl Call {
    pub(super) fn deadline(&self) -> Instant {
        let regular = self.rtcp_at.min(self.quality_at).min(self.watch_at);
        self.bridge
            .poll_timeout()
            .map_or(regular, |digit| digit.min(regular))
    }
}

impl Patchbay {
    /// A call has its port. `false` when the worker is full, or knows the call already.
    pub fn open_call(&mut self, now: Instant, id: CallId, port: PortId) -> bool {
        if self.calls.len() >= CALLS_MAX || self.calls.contains_key(&id) {
            return false;
        }
        self.wheel.advance(now);
        let bridge = Bridge::new(self.new_stream(None));
        let rtcp_at = now + self.rtcp_interval();
        let quality_at = now + QUALITY_INTERVAL;
        let watch_at = now + WATCH_INTERVAL;
        let mut call = Call {
            id,
            bridge,
            port,
            leg: None,
            heard_by: None,
            rtcp_at,
            quality_at,
            watch_at,
            armed: None,
        };
        let deadline = call.deadline();
        arm(
            &mut self.wheel,
            &mut call.armed,
            Some(deadline),
            Key::Call(id),
        );
        self.calls.insert(id, Box::new(call));
        true
    }

    /// Replaces a call's plan. A plan that opens a direction takes the leg, from whichever call has it.
    pub fn plan(&mut self, now: Instant, id: CallId, plan: Plan, wire: &mut impl Wire) {
        let fresh = self.new_stream(None);
        let opens = plan.bridge.to_agent || plan.bridge.to_caller;
        let leg = plan.leg.filter(|leg| opens && self.legs.contains_key(leg));
        self.fade(now, id, leg.filter(|_| plan.bridge.to_agent), wire);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let before = call.leg;
        // The other call may have been closed, or put on hold, before this one is opened.
        let heard_last = |leg| self.legs.get(&leg).and_then(|leg| leg.heard_last);
        let patch = match leg {
            _ if leg == before => Patch::Same,
            Some(leg) => {
                let is_same =
                    call.heard_by.replace(leg) == Some(leg) && heard_last(leg) == Some(id);
                if is_same {
                    Patch::Paused
                } else {
                    Patch::Another
                }
            }
            None => Patch::Paused,
        };
        call.bridge.set_plan(plan.bridge, patch);
        call.bridge.set_keys(plan.keys.as_ref(), fresh);
        call.leg = leg;
        if before != leg
            && let Some(old) = before.and_then(|old| self.legs.get_mut(&old))
            && old.patched == Some(id)
        {
            old.patched = None;
        }
        if let Some(new) = leg.and_then(|leg| self.legs.get_mut(&leg)) {
            let other = new.patched.replace(id).filter(|other| *other != id);
            new.hears(id);
            if let Some(stream) = &mut new.stream
                && (before != leg || !plan.bridge.to_agent)
            {
                stream.interrupt();
            }
            if let Some(other) = other.and_then(|other| self.calls.get_mut(&other)) {
                other.leg = None;
            }
        }
    }

    /// Whoever has heard the caller, and is not the `leg` that goes on, hears him fade.
    fn fade(&mut self, now: Instant, id: CallId, leg: Option<LegId>, wire: &mut impl Wire) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let former = call.leg.filter(|former| leg != Some(*former));
        let mut former = connected(&mut self.legs, former, id);
        let Some(end) = browser_end(&mut former) else {
            return;
        };
        let packets = call.bridge.fade(now, end);
        let Some(leg) = former else { return };
        for packet in packets.iter().flatten() {
            let packet = own(packet.payload_type, packet.stamp, &packet.payload);
            if let Some((to, len)) = leg.machine.send(now, &packet, &mut self.scratch) {
                transmit(wire, to, &self.scratch[..len]);
                self.counters.rtp_browser_out += 1;
            }
        }
    }

    /// Sends digits to the SIP side, each for as long as `tone` says.
    pub fn send_digits(
        &mut self,
        now: Instant,
        id: CallId,
        digits: &str,
        tone: Option<Duration>,
        wire: &mut impl Wire,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let refused = call.bridge.send_digits(now, digits, tone);
        self.counters.digits_refused += refused as u64;
        self.settle_call(now, id, wire);
    }

    /// Plays a short tone to the agent of a call.
    pub fn beep(&mut self, now: Instant, id: CallId, wire: &mut impl Wire) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.bridge.beep(now);
            self.settle_call(now, id, wire);
        }
    }

    /// Lets somebody listen to a call. `false` when there is no such call, or too many listen.
    pub fn open_tap(
        &mut self,
        now: Instant,
        id: CallId,
        tap: TapId,
        settings: TapSettings,
        wire: &mut impl Wire,
    ) -> bool {
        let Some(call) = self.calls.get_mut(&id) else {
            return false;
        };
        let opened = call.bridge.open_tap(now, tap, settings);
        self.settle_call(now, id, wire);
        opened
    }

    /// While a tap is paused it hears silence.
    pub fn pause_tap(&mut self, id: CallId, tap: TapId, paused: bool) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.bridge.pause_tap(tap, paused);
        }
    }

    /// Somebody listens no longer.
    pub fn close_tap(&mut self, id: CallId, tap: TapId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.bridge.close_tap(tap);
        }
    }

    /// Ends a call's media; [`Event::CallClosed`] follows.
    pub fn close_call(&mut self, now: Instant, id: CallId, wire: &mut impl Wire) {
        self.fade(now, id, None, wire);
        let Some(call) = self.calls.remove(&id) else {
            return;
        };
        if let Some(leg) = call.leg.and_then(|leg| self.legs.get_mut(&leg))
            && leg.patched == Some(id)
        {
            leg.patched = None;
            if let Some(stream) = &mut leg.stream {
                stream.interrupt();
            }
        }
        let report = call.bridge.measured();
        let Report {
            to_agent,
            to_caller,
        } = report;
        self.counters.rtp_sip_lost += to_agent.lost.unwrap_or(0);
        self.counters.rtp_browser_lost += to_caller.lost.unwrap_or(0);
        self.events.push_back(Event::CallClosed {
            call: id,
            port: call.port,
            report,
        });
    }

    /// Takes a datagram from the RTP port of a call. One that is secured is opened in place.
    pub fn receive_rtp(
        &mut self,
        now: Instant,
        id: CallId,
        source: SocketAddr,
        datagram: &mut [u8],
        wire: &mut impl Wire,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let mut leg = connected(&mut self.legs, call.leg, id);
        let end = browser_end(&mut leg);
        let opened = call.bridge.open_rtp(now, source, datagram);
        let heard = opened.and_then(|len| {
            let packet = datagram.get(..len).ok_or(Dropped::Malformed)?;
            call.bridge.from_sip(now, source, packet, end)
        });
        let heard = match heard {
            Ok(heard) => heard,
            Err(dropped) => return self.counters.refuse(dropped),
        };
        self.counters.rtp_sip_in += 1;
        self.counters.rtp_malformed += u64::from(heard.is_key_flood);
        if let Some(digit) = heard.digit {
            self.events.push_back(Event::Digit { call: id, digit });
        }
        let forward = match (heard.forward, leg) {
            (Ok(forward), Some(leg)) => (forward, leg),
            (Err(Dropped::Decoded), _) => {
                let at = call.deadline();
                arm(&mut self.wheel, &mut call.armed, Some(at), Key::Call(id));
                return;
            }
            _ => return,
        };
        let (forward, leg) = forward;
        let (payload, map) = match (&forward.instead, datagram.get(forward.payload)) {
            (Some(instead), _) => (instead.as_slice(), None),
            (None, Some(payload)) => (payload, forward.map),
            (None, None) => return,
        };
        let packet = SendPacket {
            payload_type: forward.payload_type,
            sequence: forward.stamp.sequence,
            timestamp: forward.stamp.timestamp,
            marker: forward.stamp.marker,
            payload,
            map,
        };
        if let Some((to, len)) = leg.machine.send(now, &packet, &mut self.scratch) {
            transmit(wire, to, &self.scratch[..len]);
            self.counters.rtp_browser_out += 1;
            if forward.first {
                let direction = Direction::ToAgent;
                self.events.push_back(Event::FirstPacket {
                    call: id,
                    direction,
                });
            }
        }
    }

    /// Takes a datagram from the RTCP port of a call.
    pub fn receive_rtcp(
        &mut self,
        now: Instant,
        id: CallId,
        source: SocketAddr,
        datagram: &mut [u8],
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let opened = call.bridge.open_rtcp(now, source, datagram);
        let read = opened.and_then(|len| {
            let compound = datagram.get(..len).ok_or(Dropped::Malformed)?;
            call.bridge
                .receive_rtcp(now, source, compound, &self.reporting.clock)
        });
        if let Err(dropped) = read {
            self.counters.refuse(dropped);
        }
    }

    pub(super) fn call_due(&mut self, now: Instant, id: CallId, tick: Tick, wire: &mut impl Wire) {
        let interval = self.rtcp_interval();
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.armed != Some(tick) {
            return;
        }
        call.armed = None;
        if call.rtcp_at <= now {
            call.rtcp_at = now + interval;
            let mut out = [0; SEALED_RTCP_MAX];
            let plain = out.first_chunk_mut().expect("a sealed report is longer");
            let Reporting { clock, cname } = &self.reporting;
            let report = call.bridge.report_rtcp(now, clock, cname, plain);
            let report = report.map(|(to, datagram)| (to, datagram.len()));
            if let Some((to, len)) = report
                && let Some(len) = call.bridge.seal_rtcp(&mut out, len)
            {
                wire.rtcp(call.port, to, &out[..len]);
            }
        }
        if call.quality_at <= now {
            call.quality_at = now + QUALITY_INTERVAL;
            let report = call.bridge.measured();
            self.events.push_back(Event::Quality { call: id, report });
        }
        if call.watch_at <= now {
            call.watch_at = now + WATCH_INTERVAL;
            if let Some(change) = call.bridge.watch(now) {
                self.events.push_back(Event::OneWay { call: id, change });
            }
        }
        self.settle_call(now, id, wire);
    }

    /// Plays the notices and the decoded speech that are due to the agent.
    fn play(&mut self, now: Instant, id: CallId, wire: &mut impl Wire) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let mut leg = connected(&mut self.legs, call.leg, id);
        let mut speech = [0; SPEECH_MAX];
        loop {
            let (payload_type, stamp, payload, first) =
                if let Some(notice) = call.bridge.poll_notice(now, browser_end(&mut leg)) {
                    speech[..notice.payload.len()].copy_from_slice(&notice.payload);
                    let payload = &speech[..notice.payload.len()];
                    (notice.payload_type, notice.stamp, payload, false)
                } else if let Some(frame) =
                    call.bridge
                        .poll_ear(now, browser_end(&mut leg), &mut speech)
                {
                    let payload = &speech[..frame.len];
                    (frame.payload_type, frame.stamp, payload, frame.first)
                } else {
                    break;
                };
            let Some(leg) = &mut leg else { continue };
            let packet = own(payload_type, stamp, payload);
            if let Some((to, len)) = leg.machine.send(now, &packet, &mut self.scratch) {
                transmit(wire, to, &self.scratch[..len]);
                self.counters.rtp_browser_out += 1;
                if first {
                    let direction = Direction::ToAgent;
                    self.events.push_back(Event::FirstPacket {
                        call: id,
                        direction,
                    });
                }
            }
        }
    }

    /// Hands the frames that are due to those who listen.
    fn feed_taps(&mut self, now: Instant, id: CallId, wire: &mut impl Wire) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let mut samples = [0; TAP_FRAME_MAX];
        while let Some(frame) = call.bridge.poll_tap(now, &mut samples) {
            wire.tap(frame);
        }
    }

    /// Sends the digits, notices and decoded speech that are due and arms the call's next deadline.
    fn settle_call(&mut self, now: Instant, id: CallId, wire: &mut impl Wire) {
        self.feed_taps(now, id, wire);
        self.play(now, id, wire);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        loop {
            let digit = call.bridge.poll_digit(now, front(&mut self.scratch));
            let sent = digit.or_else(|| call.bridge.poll_mouth(now, front(&mut self.scratch)));
            let Some(sent) = sent else { break };
            let Some(len) = call.bridge.seal_rtp(&mut self.scratch, sent.len) else {
                continue;
            };
            wire.rtp(call.port, sent.to, &self.scratch[..len]);
            self.counters.rtp_sip_out += 1;
            if sent.first {
                let direction = Direction::ToCaller;
                self.events.push_back(Event::FirstPacket {
                    call: id,
                    direction,
                });
            }
        }
        let at = call.deadline();
        arm(&mut self.wheel, &mut call.armed, Some(at), Key::Call(id));
    }
}

/// A packet of our own for the browser.
const fn own(payload_type: u8, stamp: Stamp, payload: &[u8]) -> SendPacket<'_> {
    SendPacket {
        payload_type,
        sequence: stamp.sequence,
        timestamp: stamp.timestamp,
        marker: stamp.marker,
        payload,
        map: None,
    }
}

/// The leg, where it is patched to this call and can be sent to.
fn connected(
    legs: &mut CheapMap<LegId, Box<Leg>>,
    leg: Option<LegId>,
    call: CallId,
) -> Option<&mut Box<Leg>> {
    legs.get_mut(&leg?)
        .filter(|leg| leg.patched == Some(call) && leg.machine.state() == LegState::Connected)
}

/// The browser's end of a bridge, while there is one.
fn browser_end<'l>(leg: &'l mut Option<&mut Box<Leg>>) -> Option<BrowserEnd<'l>> {
    let leg = leg.as_mut()?;
    let formats = leg.machine.formats();
    let stream = leg.stream.as_mut()?;
    Some(BrowserEnd { formats, stream })
}
