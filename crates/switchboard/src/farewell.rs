//! The last words to SIP Server: BYE, or the answer to its BYE, with the figures of the call's media where the site wants them (`X-RTP-Stat`).
//!
//! The final figures exist a moment after the end: the media worker closes the call's ports and tells what it counted. So both messages wait for
//! it, for no longer than a repetition would take; then they leave with what was told last, or with nothing.

use std::time::Instant;

use sip::HeaderName;
use sip::ua::{DialogId, Reason};

use crate::Switchboard;
use crate::ids::CallId;
use crate::io::MediaReport;
use crate::limits::FAREWELL_WITHIN;

/// What waits for the last figures, and until when.
#[derive(Debug)]
pub(crate) struct Farewell {
    words: Words,
    until: Instant,
}

#[derive(Debug)]
enum Words {
    /// We hang up.
    Bye(Option<Reason>),
    /// SIP Server has.
    Answer,
}

impl Farewell {
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }
}

impl Switchboard {
    /// Ends an established dialog, as soon as its figures are known where they are wanted.
    pub(crate) fn send_bye(&mut self, now: Instant, id: CallId, reason: Option<Reason>) {
        self.farewell(now, id, Words::Bye(reason));
    }

    /// SIP Server has hung up and waits for our answer. Where our own BYE waits, it is not needed any more.
    pub(crate) fn answer_bye(&mut self, now: Instant, dialog: DialogId) {
        match self.call_of(dialog) {
            Some(id) => self.farewell(now, id, Words::Answer),
            None => self.ua.answer_bye(now, dialog),
        }
    }

    fn farewell(&mut self, now: Instant, id: CallId, words: Words) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let waits = self.config.policy.rtp_stat && !call.remembered.is_last;
        let until = if waits { now + FAREWELL_WITHIN } else { now };
        call.farewell = Some(Farewell { words, until });
        if waits {
            self.arm_call(id);
        } else {
            self.say_farewell(now, id);
        }
    }

    /// Says what waits, if anything does.
    pub(crate) fn say_farewell(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let dialog = call.dialog;
        match call.farewell.take().map(|farewell| farewell.words) {
            Some(Words::Bye(reason)) => self.ua.bye(now, dialog, reason),
            Some(Words::Answer) => self.ua.answer_bye(now, dialog),
            None => return,
        }
        self.arm_call(id);
    }

    /// What BYE or its answer will say of the media, as far as it is known by now.
    pub(crate) fn tell_figures(&mut self, id: CallId, report: &MediaReport) {
        let Some(call) = self.calls.get(&id).filter(|_| self.config.policy.rtp_stat) else {
            return;
        };
        let name = HeaderName::other("X-RTP-Stat");
        let headers = vec![(name, rtp_stat(report).into_bytes())];
        self.ua.set_bye_headers(call.dialog, headers);
    }
}

/// The figures of the SIP side as session border controllers write them: packets and octets sent and received, packets lost of those that were to
/// come, their jitter, and the round trip, in milliseconds (`docs/end-record.md#in-sip-messages`). What was not measured is left out.
fn rtp_stat(report: &MediaReport) -> String {
    let (received, sent) = (&report.to_agent, &report.to_caller);
    // Milliseconds of a call are few, and what is below nothing is nothing.
    let whole = |figure: Option<f64>| figure.map(|ms| ms.round() as u64);
    let fields = [
        ("PS", Some(sent.sent)),
        ("OS", sent.sent_octets),
        ("PR", Some(received.packets)),
        ("OR", Some(received.octets)),
        ("PL", received.lost),
        ("JI", whole(received.jitter_ms)),
        ("LA", whole(received.rtt_ms)),
    ];
    let told = fields
        .into_iter()
        .filter_map(|(name, figure)| Some(format!("{name}={}", figure?)));
    told.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::DirectionReport;

    /// What nobody measured is not there, rather than 0: a reader would take it for a perfect line.
    #[test]
    fn what_was_not_measured_is_left_out() {
        let mut report = MediaReport {
            to_agent: DirectionReport {
                packets: 314,
                octets: 50_240,
                lost: Some(2),
                jitter_ms: Some(3.6),
                rtt_ms: Some(40.2),
                ..DirectionReport::default()
            },
            to_caller: DirectionReport {
                sent: 207,
                sent_octets: Some(33_120),
                ..DirectionReport::default()
            },
        };
        let whole = "PS=207;OS=33120;PR=314;OR=50240;PL=2;JI=4;LA=40";
        assert_eq!(rtp_stat(&report), whole);
        report.to_agent = DirectionReport::default();
        assert_eq!(rtp_stat(&report), "PS=207;OS=33120;PR=0;OR=0");
    }
}
