//! What the path of a packet allocates. Alone in its file, because it counts with an allocator of its own.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::bridge::{
    Bridge, BridgePlan, BrowserEnd, FromBrowser, PACKET_MAX, Patch, SEALED_MAX, SipFormat,
};
use media::browser_leg::{BrowserFormats, SendPacket};
use media::codec::{Codec, Encoder, FRAME_LEN_MAX, OpusTuning, Rate};
use media::g711::Law;
use media::ids::{CallId, PortId};
use media::packet::{self, Fields};
use media::patchbay::Wire;
use media::playout::{Arrival, Playout};
use media::stream::{Incoming, OutgoingStream};
use media::stun::DatagramKind;
use support::worker::{Worker, peer, rtp as rtp_of};
use support::{World, home};

fn rtp(sequence: u16) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160;
    let fields = Fields {
        marker: false,
        payload_type: 8,
        sequence,
        timestamp,
        ssrc: 5,
    };
    let mut out = vec![0; 172];
    packet::write(&mut out, &fields, &[1; 160], None).unwrap();
    out
}

/// Judging, numbering, converting and writing a packet allocates nothing, in either direction.
#[test]
fn the_bridge_allocates_nothing() {
    let peer: SocketAddr = "192.0.2.82:20000".parse().unwrap();
    let mut bridge = Bridge::new(OutgoingStream::new(1, 100, 0));
    let mut stream = OutgoingStream::new(2, 100, 0);
    let format = SipFormat {
        codec: Codec::G711(Law::A),
        payload_type: 8,
        ours: None,
        packet_ms: 20,
        dtx: false,
        telephone_event: Some(101),
        event_ticks_per_ms: 8,
    };
    let remote = Some(peer);
    let plan = BridgePlan {
        remote,
        remote_rtcp: None,
        format,
        to_agent: true,
        to_caller: true,
        voip_metrics: false,
    };
    bridge.set_plan(plan, Patch::Another);
    let formats = BrowserFormats {
        mu: Some(0),
        a: Some(8),
        telephone_event: Some(101),
        ..BrowserFormats::default()
    };
    let packets: Vec<_> = (0..1_000).map(rtp).collect();
    let mut out = [0; PACKET_MAX];
    let start = Instant::now();
    let counted = allocation_counter::measure(|| {
        for (n, datagram) in packets.iter().enumerate() {
            let now = start + Duration::from_millis(20 * n as u64);
            let end = BrowserEnd {
                formats,
                stream: &mut stream,
            };
            let heard = bridge.from_sip(now, peer, datagram, Some(end)).unwrap();
            assert!(heard.forward.is_ok());
            let (sequence, timestamp) = (n as u16, n as u32 * 160);
            let incoming = Incoming {
                ssrc: 9,
                sequence,
                timestamp,
                marker: false,
            };
            let packet = FromBrowser {
                incoming,
                payload_type: 0,
                payload: &[2; 160],
            };
            assert!(bridge.from_browser(now, packet, formats, &mut out).is_ok());
        }
    });
    assert_eq!(counted.count_total, 0);
}

/// Nor does securing it.
#[test]
fn srtp_allocates_nothing() {
    use media::srtp::{MasterKey, RTP_OVERHEAD, Receiver, Sender, Suite};
    for suite in [
        Suite::AeadAes256Gcm,
        Suite::AeadAes128Gcm,
        Suite::Aes256CmSha1_80,
        Suite::Aes128CmSha1_32,
    ] {
        let key = vec![7; suite.key_len() + suite.salt_len()];
        let key = MasterKey::new(suite, &key).unwrap();
        let (mut sender, mut receiver) = (Sender::new(&key), Receiver::new(&key, None));
        let mut run = |numbers: std::ops::Range<u16>| {
            for n in numbers {
                let packet = [0x80, 0, (n >> 8) as u8, n as u8, 0, 0, 0, 0, 0, 0, 0, 1];
                let mut buffer = [9; 172 + RTP_OVERHEAD];
                buffer[..12].copy_from_slice(&packet);
                let len = sender.protect_rtp(&mut buffer, 172).unwrap();
                assert_eq!(receiver.unprotect_rtp(&mut buffer[..len]), Ok(172));
            }
        };
        // The first packet of a stream makes room for its window.
        run(0..1);
        let counted = allocation_counter::measure(|| run(1..1_000));
        assert_eq!(counted.count_total, 0, "{suite:?}");
    }
}

/// Waiting, decoding and guessing allocates nothing once the first packets have made room, whatever is lost, late or twice.
#[test]
fn a_playout_allocates_nothing() {
    for (codec, rate) in [
        (Codec::G711(Law::A), Rate::Narrow),
        (Codec::G722, Rate::Wide),
        (Codec::Opus, Rate::Narrow),
    ] {
        let mut encoder = Encoder::new(codec, rate, OpusTuning::default()).unwrap();
        encoder.set_loss_percent(20);
        let speech: Vec<i16> = (0..rate.frame_len() as i16)
            .map(|n| if n % 80 < 8 { 9_000 } else { -900 })
            .collect();
        let mut payload = [0; 400];
        let octets = encoder.encode(&speech, &mut payload).unwrap();
        let mut playout = Playout::new(codec, rate).unwrap();
        let start = Instant::now();
        let mut run = |turns: std::ops::Range<u64>| {
            let mut frame = [0; FRAME_LEN_MAX];
            for turn in turns {
                let now = start + Duration::from_millis(20 * turn);
                let arrival = Arrival {
                    ssrc: 1,
                    sequence: turn as u16,
                    timestamp: turn as u32 * 20 * codec.ticks_per_ms(),
                    marker: false,
                    payload: &payload[..octets],
                };
                let late = Duration::from_millis(turn % 7 * 5);
                for _ in 0..turn % 11 {
                    playout.insert(now + late, arrival);
                }
                playout.pull(now + late, &mut frame[..rate.frame_len()]);
            }
        };
        run(0..500);
        let counted = allocation_counter::measure(|| run(500..1_500));
        assert_eq!(counted.count_total, 0, "{codec:?}");
    }
}

/// Nor does a packet on its whole way between the WebRTC port and the bridge: judged, opened, counted; written, secured.
#[test]
fn the_browser_leg_allocates_nothing() {
    let mut world = World::connected();
    // The keys become contexts, and the stream a window.
    world.talk(100);
    let mut packet = SendPacket {
        payload_type: 0,
        sequence: 20_000,
        timestamp: 1_000_000,
        marker: false,
        payload: &[3; 160],
        map: None,
    };
    let mut out = [0; SEALED_MAX];
    let mut total = 0;
    for n in 0..500 {
        packet.sequence += 1;
        packet.timestamp += 160;
        world.run(Duration::from_millis(20));
        world
            .browser
            .speak(world.now, 0, 1_000_000 + n * 160, &[4; 160]);
        let mut spoken = world.take_from_browser();
        total += allocation_counter::measure(|| {
            assert!(world.leg.send(world.now, &packet, &mut out).is_some());
            for datagram in &mut spoken {
                assert!(world.leg.receive_rtp(world.now, home(), datagram).is_ok());
            }
        })
        .count_total;
    }
    assert_eq!(total, 0);
}

/// Datagrams that have left, as a number.
#[derive(Default)]
struct Gone(u64);

impl Wire for Gone {
    fn to_browser(&mut self, _: SocketAddr, _: &[u8]) {
        self.0 += 1;
    }

    fn to_browser_by_tcp(&mut self, _: SocketAddr, _: &[u8]) {
        self.0 += 1;
    }

    fn rtp(&mut self, _: PortId, _: SocketAddr, _: &[u8]) {
        self.0 += 1;
    }

    fn rtcp(&mut self, _: PortId, _: SocketAddr, _: &[u8]) {
        self.0 += 1;
    }
}

/// And on its whole way through a worker's patch bay, either way, with other legs and calls beside it: found by its address, opened, judged, numbered, secured and
/// handed to the wire.
#[test]
fn the_patch_bay_allocates_nothing() {
    const PACKETS: u16 = 500;
    let mut worker = Worker::with_browsers(2);
    for call in [1, 2] {
        worker.open(call);
        worker.plan(call, Some(call - 1), true);
    }
    worker.talk(&[1, 2], 100);
    let (mut total, mut gone) = (0, Gone::default());
    for n in 0..PACKETS {
        // Reports and checks go their own way, and have what they need.
        worker.run(Duration::from_millis(20));
        let number = worker.spoken + n;
        let timestamp = u32::from(number) * 160;
        let mut from_sip = rtp_of(0, 1_000 + number, timestamp, &[3; 160]);
        let browser = &mut worker.browsers[0];
        browser.speak(worker.now, 0, timestamp, &[4; 160]);
        let mut from_browser = VecDeque::new();
        browser.drain(worker.now, &mut from_browser);
        let is_speech = |datagram: &[u8]| {
            DatagramKind::of(datagram) == DatagramKind::Rtp && datagram[1] & 0x7f == 0
        };
        from_browser.retain(|(_, _, datagram)| is_speech(datagram));
        assert_eq!(from_browser.len(), 1);
        let (now, bay) = (worker.now, &mut worker.bay);
        total += allocation_counter::measure(|| {
            bay.receive_rtp(now, CallId(1), peer(1), &mut from_sip, &mut gone);
            for (from, _, datagram) in &mut from_browser {
                bay.receive_browser(now, *from, datagram, &mut gone);
            }
        })
        .count_total;
    }
    assert_eq!(gone.0, 2 * u64::from(PACKETS), "all were handed over");
    assert_eq!(total, 0);
}
