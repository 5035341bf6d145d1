//! The bridge of one call.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use super::*;
use crate::browser_leg::Preference;
use crate::g711::Law;
use crate::limits::FORMER_SSRC_BARRED;
use crate::rtcp::{self, LastSenderReport, NtpClock, Rtcp};

const FORMATS: BrowserFormats = BrowserFormats {
    mu: Some(0),
    a: Some(8),
    g722: None,
    opus: None,
    dtx: false,
    telephone_event: Some(126),
    preference: Preference::Relay,
};

fn peer() -> SocketAddr {
    "192.0.2.82:20000".parse().unwrap()
}

fn plan() -> BridgePlan {
    BridgePlan {
        remote: Some(peer()),
        remote_rtcp: Some("192.0.2.82:20001".parse().unwrap()),
        format: SipFormat {
            codec: Codec::G711(Law::A),
            payload_type: 8,
            ours: None,
            packet_ms: 20,
            dtx: false,
            telephone_event: Some(101),
            event_ticks_per_ms: 8,
        },
        to_agent: true,
        to_caller: true,
        voip_metrics: false,
    }
}

fn rtp(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let fields = Fields {
        marker: false,
        payload_type,
        sequence,
        timestamp,
        ssrc: 77,
    };
    let mut out = vec![0; 12 + payload.len()];
    packet::write(&mut out, &fields, payload, None).unwrap();
    out
}

struct Call {
    now: Instant,
    bridge: Bridge,
    leg: OutgoingStream,
    out: [u8; PACKET_MAX],
}

impl Call {
    fn new() -> Self {
        let mut bridge = Bridge::new(OutgoingStream::new(1, 100, 5_000));
        bridge.set_plan(plan(), Patch::Another);
        let leg = OutgoingStream::new(2, 4_000, 9_000);
        Self {
            now: Instant::now(),
            bridge,
            leg,
            out: [0; PACKET_MAX],
        }
    }

    fn sip(&mut self, source: SocketAddr, datagram: &[u8]) -> Result<FromSip, Dropped> {
        let end = BrowserEnd {
            formats: FORMATS,
            stream: &mut self.leg,
        };
        self.bridge.from_sip(self.now, source, datagram, Some(end))
    }

    fn browser(
        &mut self,
        payload_type: u8,
        sequence: u16,
        payload: &[u8],
    ) -> Result<ToSip, Dropped> {
        let timestamp = u32::from(sequence) * 160;
        let incoming = Incoming {
            ssrc: 5,
            sequence,
            timestamp,
            marker: false,
        };
        let packet = FromBrowser {
            incoming,
            payload_type,
            payload,
        };
        self.bridge
            .from_browser(self.now, packet, FORMATS, &mut self.out)
    }
}

#[test]
fn audio_of_the_sip_side_keeps_its_law() {
    let mut call = Call::new();
    let forward = call
        .sip(peer(), &rtp(8, 1, 0, &[9; 160]))
        .unwrap()
        .forward
        .unwrap();
    assert_eq!(
        (forward.payload_type, forward.stamp.sequence, forward.first),
        (8, 4_000, true)
    );
    assert!(forward.map.is_none() && forward.stamp.marker);
    let next = call
        .sip(peer(), &rtp(8, 2, 160, &[9; 160]))
        .unwrap()
        .forward
        .unwrap();
    assert_eq!(
        (next.payload_type, next.stamp.timestamp, next.first),
        (8, 9_160, false)
    );
}

#[test]
fn audio_of_the_browser_takes_the_law_of_the_sip_side() {
    let mut call = Call::new();
    let sent = call.browser(0, 1, &[Law::Mu.silence(); 160]).unwrap();
    assert_eq!((sent.to, sent.len, sent.first), (peer(), 172, true));
    let header = Header::parse(&call.out[..sent.len]).unwrap();
    assert_eq!(
        (header.payload_type, header.sequence, header.ssrc),
        (8, 100, 1)
    );
    assert_eq!(call.out[12], Law::A.silence());
}

/// RTP bleed and inject: not from the peer, not heard, not learnt.
#[test]
fn a_stranger_is_neither_heard_nor_followed() {
    let mut call = Call::new();
    let spray = rtp(0, 60_988, 71_475_905, &[0; 160]);
    for source in ["203.0.113.66:20000", "192.0.2.82:20002"] {
        let dropped = call.sip(source.parse().unwrap(), &spray).unwrap_err();
        assert_eq!(dropped, Dropped::WrongSource);
    }
    assert_eq!(call.browser(0, 1, &[0; 160]).unwrap().to, peer());
    assert_eq!(call.bridge.measured().to_agent.packets, 0);
}

#[test]
fn hold_is_silence_in_both_directions() {
    let mut call = Call::new();
    call.sip(peer(), &rtp(8, 1, 0, &[9; 160]))
        .unwrap()
        .forward
        .unwrap();
    let held = BridgePlan {
        to_agent: false,
        to_caller: false,
        ..plan()
    };
    call.bridge.set_plan(held, Patch::Same);
    let packet = rtp(8, 2, 160, &[9; 160]);
    assert_eq!(
        call.sip(peer(), &packet).unwrap().forward.unwrap_err(),
        Dropped::Closed
    );
    assert_eq!(call.browser(0, 1, &[9; 160]), Err(Dropped::Closed));
    call.bridge.send_digits(call.now, "1", None);
    for _ in 0..10 {
        assert_eq!(call.bridge.poll_digit(call.now, &mut call.out), None);
        call.now += Duration::from_millis(20);
    }
    // Retrieved: first again, and the numbers go on.
    call.bridge.set_plan(plan(), Patch::Same);
    let forward = call
        .sip(peer(), &rtp(8, 3, 320, &[9; 160]))
        .unwrap()
        .forward
        .unwrap();
    assert!(forward.first);
    assert!(call.browser(0, 2, &[9; 160]).unwrap().first);
}

#[test]
fn events_change_their_payload_type_both_ways() {
    let mut call = Call::new();
    let event = [5, 10, 0, 160];
    let heard = call.sip(peer(), &rtp(101, 1, 0, &event)).unwrap();
    assert_eq!(
        (heard.digit, heard.forward.unwrap().payload_type),
        (Some('5'), 126)
    );
    assert_eq!(
        call.sip(peer(), &rtp(101, 2, 0, &event)).unwrap().digit,
        None
    );
    let sent = call.browser(126, 1, &event).unwrap();
    let header = Header::parse(&call.out[..sent.len]).unwrap();
    assert_eq!(
        (header.payload_type, &call.out[header.payload]),
        (101, &event[..])
    );
    // Not agreed: neither way, and no gap.
    let format = SipFormat {
        telephone_event: None,
        ..plan().format
    };
    call.bridge
        .set_plan(BridgePlan { format, ..plan() }, Patch::Same);
    assert_eq!(call.browser(126, 2, &event), Err(Dropped::PayloadType));
    assert_eq!(
        call.sip(peer(), &rtp(101, 3, 0, &event)).unwrap_err(),
        Dropped::PayloadType
    );
    assert_eq!(
        call.sip(peer(), &rtp(18, 3, 0, &[0])).unwrap_err(),
        Dropped::PayloadType
    );
}

/// The answer to our offer has other numbers than the offer: we speak by the answer's, and are spoken to by the offer's (RFC 3264 section 6.1).
#[test]
fn a_peer_with_numbers_of_its_own_is_understood_by_ours() {
    let mut call = Call::new();
    let event = [5, 10, 0, 160];
    let format = SipFormat {
        telephone_event: Some(96),
        ours: Some(Numbers {
            speech: 8,
            telephone_event: Some(101),
        }),
        ..plan().format
    };
    call.bridge
        .set_plan(BridgePlan { format, ..plan() }, Patch::Same);
    let heard = call.sip(peer(), &rtp(101, 1, 0, &event)).unwrap();
    assert_eq!(heard.digit, Some('5'));
    // Many speak by their own numbers all the same.
    let heard = call.sip(peer(), &rtp(96, 2, 1_600, &event)).unwrap();
    assert_eq!(heard.digit, Some('5'));
    let sent = call.browser(126, 1, &event).unwrap();
    assert_eq!(
        Header::parse(&call.out[..sent.len]).unwrap().payload_type,
        96
    );
    // Ours first, where the two sides' numbers cross.
    let format = SipFormat {
        codec: Codec::Opus,
        payload_type: 101,
        telephone_event: Some(111),
        event_ticks_per_ms: 48,
        ours: Some(Numbers {
            speech: 111,
            telephone_event: Some(101),
        }),
        ..format
    };
    call.bridge
        .set_plan(BridgePlan { format, ..plan() }, Patch::Same);
    let heard = call
        .sip(peer(), &rtp(101, 3, 4_800, &[6, 10, 0, 160]))
        .unwrap();
    assert_eq!(heard.digit, Some('6'));
    assert_eq!(
        call.sip(peer(), &rtp(111, 4, 5_760, &[8; 40]))
            .unwrap()
            .digit,
        None
    );
}

#[test]
fn a_digit_of_ours_replaces_the_audio() {
    let mut call = Call::new();
    let start = call.now;
    call.browser(0, 1, &[9; 160]).unwrap();
    assert_eq!(call.bridge.send_digits(call.now, "7", None), 0);
    let mut numbers = Vec::new();
    let mut timestamps = std::collections::BTreeSet::new();
    for turn in 1..=12_u16 {
        call.now = start + Duration::from_millis(20 * u64::from(turn));
        while let Some(sent) = call.bridge.poll_digit(call.now, &mut call.out) {
            let header = Header::parse(&call.out[..sent.len]).unwrap();
            assert_eq!(header.payload_type, 101);
            assert_eq!(header.marker, numbers.is_empty());
            timestamps.insert(header.timestamp);
            numbers.push(header.sequence);
        }
        match call.browser(0, 1 + turn, &[9; 160]) {
            Ok(sent) => {
                let header = Header::parse(&call.out[..sent.len]).unwrap();
                numbers.push(header.sequence);
                // Audio after the event is where the clock is.
                assert_eq!(header.timestamp, 5_000 + u32::from(turn) * 160);
            }
            Err(dropped) => assert_eq!(dropped, Dropped::Replaced),
        }
    }
    assert_eq!(timestamps.len(), 1, "one event, one timestamp");
    let expected: Vec<u16> = (101..101 + numbers.len() as u16).collect();
    assert_eq!(numbers, expected, "no gap between audio and event");
}

/// A key held for nine seconds is one key to the far end: its second segment begins where the first ends, without a marker.
#[test]
fn a_long_digit_is_sent_in_segments_of_one_event() {
    let mut call = Call::new();
    let start = call.now;
    call.bridge
        .send_digits(call.now, "7", Some(Duration::from_secs(9)));
    let mut receiver = Receiver::default();
    let (mut heard, mut begins) = (String::new(), Vec::new());
    for turn in 0..460_u64 {
        call.now = start + Duration::from_millis(20 * turn);
        while let Some(sent) = call.bridge.poll_digit(call.now, &mut call.out) {
            let datagram = &call.out[..sent.len];
            let header = Header::parse(datagram).unwrap();
            if begins.last().is_none_or(|(at, _)| *at != header.timestamp) {
                begins.push((header.timestamp, header.marker));
            }
            let payload = &datagram[header.payload];
            heard.extend(receiver.receive(header.ssrc, header.timestamp, payload));
        }
    }
    assert_eq!(heard, "7");
    assert_eq!(begins, [(5_000, true), (5_000 + 0xffff, false)]);
}

/// The far end knows no telephone events: the agent's keys must reach it as sound, in the one stream it hears.
#[test]
fn keys_in_band_take_the_place_of_speech() {
    let mut call = Call::new();
    let start = call.now;
    let format = SipFormat {
        telephone_event: None,
        ..plan().format
    };
    call.bridge
        .set_plan(BridgePlan { format, ..plan() }, Patch::Same);
    let mut sent = Vec::new();
    for turn in 0..14_u16 {
        call.now = start + Duration::from_millis(20 * u64::from(turn));
        if turn == 1 {
            let tone = Some(Duration::from_millis(80));
            assert_eq!(call.bridge.send_digits(call.now, "4x", tone), 1);
        }
        while let Some(own) = call.bridge.poll_digit(call.now, &mut call.out) {
            sent.push((call.out[..own.len].to_vec(), false));
        }
        call.now += Duration::from_millis(7);
        if let Ok(speech) = call.browser(8, 1 + turn, &[9; 160]) {
            sent.push((call.out[..speech.len].to_vec(), true));
        }
    }
    let (mut keys, mut spoken) = (Vec::new(), 0);
    for (index, (datagram, speech)) in sent.iter().enumerate() {
        let header = Header::parse(datagram).unwrap();
        assert_eq!(
            header.sequence,
            100 + index as u16,
            "one stream without a gap"
        );
        assert_eq!(
            header.timestamp,
            5_000 + index as u32 * 160,
            "and without a seam"
        );
        assert_eq!(header.payload_type, 8);
        let payload = &datagram[header.payload];
        if *speech {
            assert_eq!(payload, [9; 160], "speech behind it is untouched");
            spoken += 1;
        } else {
            keys.extend_from_slice(payload);
        }
    }
    assert_eq!(keys.len(), 7 * 160, "80 ms of tone and 60 ms of silence");
    let tone = &keys[..4 * 160];
    assert!(crate::tone::share_in(Law::A, 770.0, tone).unwrap() > 0.35);
    assert!(crate::tone::share_in(Law::A, 1_209.0, tone).unwrap() > 0.55);
    assert_eq!(spoken, 7);
}

#[test]
fn two_sources_do_not_alternate() {
    let mut call = Call::new();
    let from = |ssrc: u32, sequence: u16| {
        let fields = Fields {
            marker: false,
            payload_type: 8,
            sequence,
            timestamp: 0,
            ssrc,
        };
        let mut out = vec![0; 172];
        packet::write(&mut out, &fields, &[1; 160], None).unwrap();
        out
    };
    assert!(call.sip(peer(), &from(1, 10)).is_ok());
    assert!(
        call.sip(peer(), &from(2, 500))
            .unwrap()
            .forward
            .unwrap()
            .stamp
            .marker
    );
    assert_eq!(call.sip(peer(), &from(1, 11)).unwrap_err(), Dropped::Late);
    assert!(call.sip(peer(), &from(2, 501)).is_ok());
    call.now += FORMER_SSRC_BARRED;
    assert!(call.sip(peer(), &from(1, 12)).is_ok(), "it may come back");
    assert_eq!(call.bridge.measured().to_agent.lost, Some(0));
}

/// SIP Server leads the call from a trunk to its Media Server, which speaks the other law, in the middle of a word. The browser goes on with the one that it has,
/// as a change of payload type makes it drop what it has not played; behind a hold it gets what is spoken, octet for octet.
#[test]
fn the_browser_keeps_its_law_in_mid_word() {
    let mut call = Call::new();
    let heard = |call: &mut Call, payload_type: u8, number: u16, octet: u8| {
        let packet = rtp(payload_type, number, u32::from(number) * 160, &[octet; 160]);
        let forward = call.sip(peer(), &packet).unwrap().forward.unwrap();
        let sent = forward.map.map_or(octet, |map| map[usize::from(octet)]);
        (forward.payload_type, sent)
    };
    assert_eq!(heard(&mut call, 8, 1, 0x12), (8, 0x12));
    let mut other = plan();
    other.format.codec = Codec::G711(Law::Mu);
    other.format.payload_type = 0;
    call.bridge.set_plan(other, Patch::Same);
    let octet = Law::Mu.encode(Law::A.decode(0x12));
    let converted = Law::A.encode(Law::Mu.decode(octet));
    assert_eq!(heard(&mut call, 0, 2, octet), (8, converted));
    let held = BridgePlan {
        to_agent: false,
        ..other
    };
    call.bridge.set_plan(held, Patch::Same);
    call.bridge.set_plan(other, Patch::Same);
    assert_eq!(heard(&mut call, 0, 3, octet), (0, octet));
}

/// A card number of sixteen digits is being sent when the call is held, or led to somebody else. The rest of it is neither sent into a retrieved call nor
/// to whoever is there then.
#[test]
fn digits_that_wait_are_for_nobody_else() {
    let held = BridgePlan {
        to_caller: false,
        to_agent: false,
        ..plan()
    };
    let moved = BridgePlan {
        remote: Some("192.0.2.90:30000".parse().unwrap()),
        ..plan()
    };
    for (meanwhile, afterwards) in [(held, plan()), (moved, moved)] {
        let mut call = Call::new();
        call.browser(0, 1, &[9; 160]).unwrap();
        let digits = "4111111111111111";
        assert_eq!(call.bridge.send_digits(call.now, digits, None), 0);
        let sent = |call: &mut Call| {
            call.now += Duration::from_millis(500);
            let mut count = 0;
            while call.bridge.poll_digit(call.now, &mut call.out).is_some() {
                count += 1;
            }
            count
        };
        assert!(sent(&mut call) > 0);
        call.bridge.set_plan(meanwhile, Patch::Same);
        assert_eq!(sent(&mut call), 0);
        call.bridge.set_plan(afterwards, Patch::Same);
        assert_eq!(sent(&mut call), 0);
        assert_eq!(call.bridge.send_digits(call.now, "7", None), 0);
        assert!(sent(&mut call) > 0, "a key of now is sent");
    }
}

#[test]
fn without_a_plan_nothing_passes() {
    let mut bridge = Bridge::new(OutgoingStream::new(1, 100, 0));
    let now = Instant::now();
    let packet = rtp(0, 1, 0, &[0; 160]);
    assert_eq!(
        bridge.from_sip(now, peer(), &packet, None).unwrap_err(),
        Dropped::WrongSource
    );
    assert_eq!(bridge.send_digits(now, "123", None), 3);
}

/// A far end that asked for it reads how many of its packets were lost, and that they were lost in bursts. Who did not is told nothing more.
#[test]
fn the_far_end_is_told_of_bursts() {
    for wanted in [true, false] {
        let mut call = Call::new();
        let plan = BridgePlan {
            voip_metrics: wanted,
            ..plan()
        };
        call.bridge.set_plan(plan, Patch::Same);
        // Four in a row of each hundred are lost.
        for number in (0..400_u16).filter(|number| number % 100 >= 4) {
            let timestamp = u32::from(number) * 160;
            let packet = rtp(8, number, timestamp, &[9; 160]);
            call.sip(peer(), &packet).unwrap().forward.unwrap();
            call.now += Duration::from_millis(20);
        }
        let clock = NtpClock::new(call.now, Duration::from_secs(1_000_000));
        let mut out = [0; rtcp::COMPOUND_MAX];
        let report = call.bridge.report_rtcp(call.now, &clock, "c", &mut out);
        let (_, bytes) = report.unwrap();
        let extended = rtcp::parse(bytes).find_map(|packet| match packet {
            Rtcp::Extended(packet) => crate::xr::voip_metrics(packet).next(),
            _ => None,
        });
        let told = extended.map(|told| (told.ssrc, told.burst, told.gap, told.r));
        // The first four are not known to have been sent.
        let mean_gap = Duration::from_millis(96 * 20);
        let burst = Duration::from_millis(80);
        assert_eq!(told, wanted.then_some((77, burst, mean_gap, None)));
        let Some(told) = extended else { continue };
        assert_eq!((told.burst_density, told.gap_density), (255.0 / 256.0, 0.0));
        assert_eq!(told.loss, 7.0 / 256.0, "12 of 396, rounded down");
    }
}

mod notices;
mod reports;
