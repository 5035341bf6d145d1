//! Calls through a worker's patch bay, for whoever counts instructions: `cargo xtask bench profile` runs it under callgrind, which counts inside the
//! functions named `counted_...` only. Everything is in virtual time and from a seed, so a count does not depend on the machine's load.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, clippy::print_stdout)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::collections::VecDeque;
use std::hint::black_box;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::browser_leg::Preference;
use media::codec::{Codec, Encoder, OpusTuning, Rate};
use media::g711::Law;
use media::ids::{CallId, PortId};
use media::patchbay::{Event, Patchbay, Wire};
use media::stun::DatagramKind;
use support::worker::{Worker, peer, rtp};
use support::{Browser, SECOND, gateway, settings};

/// Calls at a time.
const CALLS: u64 = 8;

/// How long they talk before it counts: keys become contexts, tables get their room, and streams their windows.
const WARM_UP: u16 = 100;

/// Packets of each way of each call that count: ten seconds, with their reports.
const PACKETS: u16 = 500;

/// Samples of a packet of the telephone.
const FRAME: usize = 160;

/// What leaves: audio is counted and goes nowhere, the rest is kept for the browsers, who would else give the connection up.
#[derive(Default)]
struct Sink {
    to_browsers: u64,
    to_callers: u64,
    reports: u64,
    kept: VecDeque<(SocketAddr, Vec<u8>)>,
}

impl Wire for Sink {
    fn to_browser(&mut self, to: SocketAddr, datagram: &[u8]) {
        if is_speech(datagram) {
            black_box(datagram);
            self.to_browsers += 1;
        } else {
            self.kept.push_back((to, datagram.to_vec()));
        }
    }

    fn to_browser_by_tcp(&mut self, to: SocketAddr, _: &[u8]) {
        panic!("nobody has connected from {to}");
    }

    fn rtp(&mut self, _: PortId, _: SocketAddr, datagram: &[u8]) {
        black_box(datagram);
        self.to_callers += 1;
    }

    fn rtcp(&mut self, _: PortId, _: SocketAddr, datagram: &[u8]) {
        black_box(datagram);
        self.reports += 1;
    }
}

#[inline(never)]
fn counted_to_agent(
    bay: &mut Patchbay,
    now: Instant,
    call: u64,
    datagram: &mut [u8],
    sink: &mut Sink,
) {
    bay.receive_rtp(now, CallId(call), peer(call), datagram, sink);
}

#[inline(never)]
fn counted_to_caller(
    bay: &mut Patchbay,
    now: Instant,
    from: SocketAddr,
    datagram: &mut [u8],
    sink: &mut Sink,
) {
    bay.receive_browser(now, from, datagram, sink);
}

/// The clock: reports, decoded speech that is due, and what browsers say besides speech.
#[inline(never)]
fn counted_clock(
    bay: &mut Patchbay,
    now: Instant,
    said: &mut [(SocketAddr, Vec<u8>)],
    sink: &mut Sink,
) {
    for (from, datagram) in said {
        bay.receive_browser(now, *from, datagram, sink);
    }
    bay.handle_timeout(now, sink);
    while let Some(event) = bay.poll_event() {
        black_box(&event);
    }
}

/// A voice as telephones send it, mu-law.
static VOICE: &[u8] = include_bytes!("../../sim/assets/customer.ulaw");

/// What browsers speak: the same voice.
struct Mouth {
    payload_type: u8,
    ticks: u32,
    packets: Vec<Vec<u8>>,
}

impl Mouth {
    /// As the telephone speaks: packets are handed over.
    fn relayed() -> Self {
        Self {
            payload_type: 0,
            ticks: 160,
            packets: VOICE.chunks_exact(FRAME).map(<[u8]>::to_vec).collect(),
        }
    }

    /// Everything is decoded and coded again.
    fn opus(payload_type: u8) -> Self {
        let mut encoder = Encoder::new(Codec::Opus, Rate::Narrow, OpusTuning::default()).unwrap();
        let packet = |frame: &[u8]| {
            let samples: Vec<i16> = frame.iter().map(|octet| Law::Mu.decode(*octet)).collect();
            let mut out = [0; 1_000];
            let len = encoder.encode(&samples, &mut out).unwrap();
            out[..len].to_vec()
        };
        Self {
            payload_type,
            ticks: 960,
            packets: VOICE.chunks_exact(FRAME).map(packet).collect(),
        }
    }
}

fn main() {
    let case = std::env::args().nth(1).unwrap_or_default();
    if !["relay", "transcode"].contains(&case.as_str()) {
        println!("usage: profile relay|transcode, under callgrind");
        return;
    }
    let opus = case == "transcode";
    let mut worker = site(opus);
    let mouth = if opus {
        Mouth::opus(opus_payload_type(&worker))
    } else {
        Mouth::relayed()
    };
    let mut sink = Sink::default();
    for n in 0..WARM_UP {
        packet_time(&mut worker, &mouth, &mut sink, n, false);
    }
    sink = Sink::default();
    for n in WARM_UP..WARM_UP + PACKETS {
        packet_time(&mut worker, &mouth, &mut sink, n, true);
    }
    let all = u64::from(PACKETS) * CALLS;
    println!(
        "packets {all} to_agent {} to_caller {} reports {}",
        sink.to_browsers, sink.to_callers, sink.reports
    );
    assert!(sink.to_browsers > all * 9 / 10, "agents hear");
    assert!(sink.to_callers > all * 9 / 10, "callers hear");
}

/// Agents with a call each.
fn site(opus: bool) -> Worker {
    let mut legs = settings();
    let mut preference = Preference::Relay;
    if opus {
        legs.codecs.insert(0, Codec::Opus);
        preference = Preference::Opus;
    }
    let mut worker = Worker::without_browsers(legs);
    for leg in 0..CALLS {
        let address = SocketAddr::from(([198, 51, 100, 30], 50_000 + leg as u16));
        let browser = if opus {
            Browser::with_opus(worker.now, address)
        } else {
            Browser::new(worker.now, address, false)
        };
        worker.browsers.push(browser);
        worker.sign_in_with(leg, preference);
    }
    worker.run(2 * SECOND);
    for call in 0..CALLS {
        assert!(worker.is_connected(call), "{:?}", worker.events);
        worker.open(call);
        worker.plan(call, Some(call), true);
    }
    worker
}

/// The number that the gateway's offers give it.
fn opus_payload_type(worker: &Worker) -> u8 {
    let offer = worker.events.iter().find_map(|event| match event {
        Event::BrowserOffer { sdp, .. } => Some(sdp),
        _ => None,
    });
    let format = offer.unwrap().split("a=rtpmap:").find_map(|line| {
        let (number, name) = line.split_once(' ')?;
        name.starts_with("opus/").then_some(number)
    });
    format.unwrap().parse().unwrap()
}

/// Everybody says the next 20 ms.
fn packet_time(worker: &mut Worker, mouth: &Mouth, sink: &mut Sink, n: u16, counts: bool) {
    let (number, start) = (usize::from(n), worker.now);
    for call in 0..CALLS {
        let payload = VOICE.chunks_exact(FRAME).nth(number % mouth.packets.len());
        let mut datagram = rtp(0, n, u32::from(n) * 160, payload.unwrap());
        if counts {
            counted_to_agent(&mut worker.bay, start, call, &mut datagram, sink);
        } else {
            worker
                .bay
                .receive_rtp(start, CallId(call), peer(call), &mut datagram, sink);
        }
    }
    let packet = &mouth.packets[number % mouth.packets.len()];
    for browser in &mut worker.browsers {
        browser.speak(
            start,
            mouth.payload_type,
            u32::from(n) * mouth.ticks,
            packet,
        );
    }
    let end = start + Duration::from_millis(20);
    while worker.now < end {
        let mut others = Vec::new();
        for (from, mut datagram) in said(worker) {
            if !is_speech(&datagram) {
                others.push((from, datagram));
            } else if counts {
                counted_to_caller(&mut worker.bay, worker.now, from, &mut datagram, sink);
            } else {
                worker
                    .bay
                    .receive_browser(worker.now, from, &mut datagram, sink);
            }
        }
        if counts {
            counted_clock(&mut worker.bay, worker.now, &mut others, sink);
        } else {
            for (from, datagram) in &mut others {
                worker
                    .bay
                    .receive_browser(worker.now, *from, datagram, sink);
            }
            worker.bay.handle_timeout(worker.now, sink);
            worker.collect();
        }
        for (to, datagram) in sink.kept.drain(..) {
            let mut browsers = worker.browsers.iter_mut();
            if let Some(browser) = browsers.find(|browser| browser.address == to) {
                browser.receive(worker.now, gateway(), &datagram);
            }
        }
        let soonest = worker.now + Duration::from_millis(1);
        worker.now = worker
            .bay
            .poll_timeout()
            .unwrap_or(end)
            .clamp(soonest, end.max(soonest))
            .min(end);
    }
}

/// What the browsers have to send.
fn said(worker: &mut Worker) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut up = VecDeque::new();
    for browser in &mut worker.browsers {
        browser.drain(worker.now, &mut up);
    }
    up.into_iter()
        .map(|(from, _, datagram)| (from, datagram))
        .collect()
}

/// Reports of RTCP look like RTP from afar: their second octet tells (RFC 5761 section 4).
fn is_speech(datagram: &[u8]) -> bool {
    let is_report = matches!(datagram.get(1), Some(192..=223));
    DatagramKind::of(datagram) == DatagramKind::Rtp && !is_report
}
