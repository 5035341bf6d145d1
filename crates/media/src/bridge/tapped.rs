//! Those who listen to a call.

use std::time::Instant;

use super::from_sip::{Content, Passed};
use super::{Bridge, BridgePlan, FromBrowser};
use crate::codec::Codec;
use crate::ids::TapId;
use crate::limits::TAPS_A_CALL_MAX;
use crate::playout::Arrival;
use crate::tap::{TAP_FRAME_MAX, Tap, TapFrame, TapSettings, Way};

impl Bridge {
    /// Lets somebody listen; `false` when too many do, or this one does already.
    pub fn open_tap(&mut self, now: Instant, id: TapId, settings: TapSettings) -> bool {
        let known = self.taps.iter().any(|tap| tap.id() == id);
        if known || self.taps.len() >= TAPS_A_CALL_MAX {
            return false;
        }
        self.taps.push(Tap::new(now, id, settings));
        true
    }

    /// While a tap is paused it hears silence.
    pub fn pause_tap(&mut self, id: TapId, paused: bool) {
        if let Some(tap) = self.taps.iter_mut().find(|tap| tap.id() == id) {
            tap.pause(paused);
        }
    }

    /// Somebody listens no longer.
    pub fn close_tap(&mut self, id: TapId) {
        self.taps.retain(|tap| tap.id() != id);
    }

    /// The next frame that is due to anybody; call until `None`.
    pub fn poll_tap<'o>(
        &mut self,
        now: Instant,
        out: &'o mut [i16; TAP_FRAME_MAX],
    ) -> Option<TapFrame<'o>> {
        if self.taps.iter_mut().any(|tap| tap.poll_beep(now)) {
            self.beep_to_both(now);
        }
        let due = self.taps.iter_mut().find(|tap| tap.poll_timeout() <= now)?;
        due.poll(now, out)
    }

    /// When the next frame is due to anybody.
    pub(super) fn tap_at(&self) -> Option<Instant> {
        self.taps.iter().map(Tap::poll_timeout).min()
    }

    /// The SIP side says something that the agent may hear.
    pub(super) fn overhear_sip(&mut self, now: Instant, packet: &Passed<'_>) {
        for tap in &mut self.taps {
            match packet.content {
                Content::Speech(codec) => {
                    tap.insert(now, Way::ToAgent, codec, packet.arrival());
                }
                Content::Event | Content::Silence => {
                    let header = &packet.header;
                    let numbers = (header.ssrc, header.sequence, header.timestamp);
                    tap.silence(now, Way::ToAgent, numbers);
                }
            }
        }
    }

    /// The agent says something that the SIP side may hear.
    pub(super) fn overhear_browser(
        &mut self,
        now: Instant,
        codec: Option<Codec>,
        packet: &FromBrowser<'_>,
    ) {
        let incoming = packet.incoming;
        for tap in &mut self.taps {
            if let Some(codec) = codec {
                let arrival = Arrival::of(incoming, packet.payload);
                tap.insert(now, Way::ToCaller, codec, arrival);
            } else {
                let numbers = (incoming.ssrc, incoming.sequence, incoming.timestamp);
                tap.silence(now, Way::ToCaller, numbers);
            }
        }
    }

    /// What waits in a direction that closes belongs to a conversation that is over.
    pub(super) fn interrupt_taps(&mut self, plan: &BridgePlan, other_ends: bool) {
        for tap in &mut self.taps {
            if other_ends || !plan.to_agent {
                tap.interrupt(Way::ToAgent);
            }
            if other_ends || !plan.to_caller {
                tap.interrupt(Way::ToCaller);
            }
        }
    }
}
