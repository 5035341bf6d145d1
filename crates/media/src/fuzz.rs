//! The body of the fuzz target: any datagrams in any order, and what must hold of them.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use crate::bridge::{
    Bridge, BridgePlan, BrowserEnd, FromBrowser, Numbers, PACKET_MAX, Patch, SPEECH_MAX, SipFormat,
};
use crate::browser_leg::{BrowserFormats, BrowserLeg, Preference};
use crate::codec::Codec;
use crate::g711::Law;
use crate::limits::DATAGRAM_MAX;
use crate::packet::Header;
use crate::rtcp::{COMPOUND_MAX, NtpClock};
use crate::srtp::{MasterKey, RTP_OVERHEAD, Receiver, Sender, Suite};
use crate::stream::{Incoming, OutgoingStream};
use crate::stun::{self, BindingRequest, DatagramKind};

/// The one address that the bridge takes packets from.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 82)), 20_000);

/// Reads `data` as a list of operations, an octet that says which, an octet of length, and as many octets of datagram:
/// RTP of the SIP side (0), RTCP (1), a packet of the browser (2), time, hold, codec and digits (3).
///
/// # Panics
/// When an invariant is broken: a sequence number leaves twice (SRTP would give its key stream away), a payload lies outside its
/// datagram, a datagram goes to anybody but the peer, or one that we wrote cannot be read.
pub fn fuzz(base: Instant, data: &[u8]) {
    let mut run = Run::new(base);
    let mut rest = data;
    while let Some((head, tail)) = rest.split_at_checked(2) {
        let (datagram, tail) = tail.split_at(tail.len().min(usize::from(head[1])));
        rest = tail;
        match head[0] % 4 {
            0 => run.sip_speaks(datagram),
            1 => run.rtcp(datagram),
            2 => run.browser_speaks(datagram),
            _ => run.change(datagram),
        }
        run.digits();
    }
    secured(data);
    // Parsers that stand alone.
    let _ = (
        DatagramKind::of(data),
        BindingRequest::glance(data),
        stun::success_response(data),
    );
    if let Ok(text) = std::str::from_utf8(data) {
        for line in text.lines() {
            let _ = BrowserLeg::candidate_address(line);
        }
    }
}

/// What no key of ours has sealed is refused and left as it was; what one has sealed is opened again.
fn secured(data: &[u8]) {
    for suite in Suite::ALL {
        let octets = vec![7; suite.key_len() + suite.salt_len()];
        let key = MasterKey::new(suite, &octets).expect("as long as the suite wants it");
        let mut receiver = Receiver::new(&key, None);
        for open in [Receiver::unprotect_rtp, Receiver::unprotect_rtcp] {
            let mut copy = data.to_vec();
            assert!(open(&mut receiver, &mut copy).is_err(), "forged");
            assert_eq!(copy, data, "a refused packet is unchanged");
        }
        let mut sealed = data.to_vec();
        sealed.resize(data.len() + RTP_OVERHEAD, 0);
        if data.len() + RTP_OVERHEAD > DATAGRAM_MAX {
            return;
        }
        if let Some(len) = Sender::new(&key).protect_rtp(&mut sealed, data.len()) {
            sealed.truncate(len);
            assert_eq!(receiver.unprotect_rtp(&mut sealed), Ok(data.len()));
            assert_eq!(sealed.get(..data.len()), Some(data));
        }
    }
}

struct Run {
    now: Instant,
    clock: NtpClock,
    bridge: Bridge,
    stream: OutgoingStream,
    plan: BridgePlan,
    to_browser: BTreeSet<u64>,
    to_sip: BTreeSet<u16>,
    out: [u8; PACKET_MAX],
}

const FORMATS: BrowserFormats = BrowserFormats {
    mu: Some(0),
    a: None,
    g722: None,
    opus: Some(111),
    dtx: false,
    telephone_event: Some(126),
    preference: Preference::Relay,
};

impl Run {
    fn new(now: Instant) -> Self {
        let format = SipFormat {
            codec: Codec::G711(Law::A),
            payload_type: 8,
            ours: None,
            packet_ms: 20,
            dtx: false,
            telephone_event: Some(101),
            event_ticks_per_ms: 8,
        };
        let plan = BridgePlan {
            remote: Some(PEER),
            remote_rtcp: Some(PEER),
            format,
            to_agent: true,
            to_caller: true,
            voip_metrics: false,
        };
        let mut bridge = Bridge::new(OutgoingStream::new(1, 2_048, 0));
        bridge.set_plan(plan, Patch::Another);
        Self {
            now,
            clock: NtpClock::new(now, Duration::ZERO),
            bridge,
            stream: OutgoingStream::new(2, 2_048, 0),
            plan,
            to_browser: BTreeSet::new(),
            to_sip: BTreeSet::new(),
            out: [0; PACKET_MAX],
        }
    }

    fn sip_speaks(&mut self, datagram: &[u8]) {
        let end = BrowserEnd {
            formats: FORMATS,
            stream: &mut self.stream,
        };
        let Ok(heard) = self.bridge.from_sip(self.now, PEER, datagram, Some(end)) else {
            return;
        };
        if let Ok(forward) = heard.forward {
            assert!(
                datagram.get(forward.payload).is_some(),
                "the payload lies in the datagram"
            );
            assert!(
                self.to_browser.insert(forward.stamp.sequence),
                "a number is used once"
            );
        }
    }

    fn rtcp(&mut self, datagram: &[u8]) {
        let _ = self
            .bridge
            .receive_rtcp(self.now, PEER, datagram, &self.clock);
        let mut out = [0; COMPOUND_MAX];
        if let Some((to, report)) = self
            .bridge
            .report_rtcp(self.now, &self.clock, "fuzz", &mut out)
        {
            assert_eq!(
                (to, crate::rtcp::parse(report).count()),
                (PEER, 2),
                "a report and a name"
            );
        }
    }

    fn browser_speaks(&mut self, datagram: &[u8]) {
        let Ok(header) = Header::parse(datagram) else {
            return;
        };
        let Header {
            marker,
            payload_type,
            sequence,
            timestamp,
            ssrc,
            payload,
        } = header;
        let incoming = Incoming {
            ssrc,
            sequence,
            timestamp,
            marker,
        };
        let packet = FromBrowser {
            incoming,
            payload_type,
            payload: &datagram[payload],
        };
        let sent = self
            .bridge
            .from_browser(self.now, packet, FORMATS, &mut self.out);
        if let Ok(sent) = sent {
            self.sent(sent.to, sent.len);
        }
    }

    fn change(&mut self, octets: &[u8]) {
        let Some((what, argument)) = octets.split_first() else {
            return;
        };
        match what % 4 {
            0 => self.now += Duration::from_millis(argument.first().copied().unwrap_or(1).into()),
            1 => {
                self.plan.to_agent = argument.first().is_none_or(|octet| octet & 1 != 0);
                self.plan.to_caller = argument.first().is_none_or(|octet| octet & 2 != 0);
                let patch = match argument.len() {
                    0 | 1 => Patch::Same,
                    2 => Patch::Paused,
                    _ => Patch::Another,
                };
                self.bridge.set_plan(self.plan, patch);
                self.stream.interrupt();
            }
            2 => {
                let choice = argument.first().map_or(0, |octet| usize::from(*octet)) % 4;
                let codec = Codec::ALL[choice];
                self.plan.format.codec = codec;
                self.plan.format.payload_type = [0, 8, 9, 111][choice];
                let codes = argument
                    .get(1..3)
                    .map(|codes| (codes[0] & 0x7f, codes[1] & 0x7f));
                self.plan.format.ours = codes.map(|(speech, event)| Numbers {
                    speech,
                    telephone_event: Some(event),
                });
                self.plan.format.event_ticks_per_ms = codec.ticks_per_ms();
                self.bridge.set_plan(self.plan, Patch::Same);
            }
            _ => {
                let digits = String::from_utf8_lossy(argument);
                let tone = argument
                    .first()
                    .map(|first| Duration::from_millis(u64::from(*first) * 50));
                self.bridge.send_digits(self.now, &digits, tone);
                self.bridge.beep(self.now);
            }
        }
    }

    fn digits(&mut self) {
        while let Some(sent) = self.bridge.poll_digit(self.now, &mut self.out) {
            self.sent(sent.to, sent.len);
        }
        while let Some(sent) = self.bridge.poll_mouth(self.now, &mut self.out) {
            self.sent(sent.to, sent.len);
        }
        let mut speech = [0; SPEECH_MAX];
        loop {
            let end = BrowserEnd {
                formats: FORMATS,
                stream: &mut self.stream,
            };
            let Some(frame) = self.bridge.poll_ear(self.now, Some(end), &mut speech) else {
                break;
            };
            assert!(frame.len > 0 && frame.len <= SPEECH_MAX);
            assert!(
                self.to_browser.insert(frame.stamp.sequence),
                "a number is used once"
            );
        }
    }

    fn sent(&mut self, to: SocketAddr, len: usize) {
        assert_eq!(to, PEER, "only the peer is sent to");
        let header = Header::parse(&self.out[..len]).expect("we read what we write");
        // A run is far shorter than 2^16 packets, unless the browser's numbers make it jump.
        let spent = self.to_sip.insert(header.sequence) || self.to_sip.len() > 1_000;
        assert!(spent, "a number is used once");
    }
}
