//! A browser made of the WebRTC engine with full ICE, and a network in virtual time between it and a leg.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

pub mod consent;
pub mod worker;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::bridge::SEALED_MAX;
use media::browser_leg::{
    BrowserLeg, Heard, Identity, LegKind, LegOutput, LegState, Preference, Received, Refusal,
    Reporting, SendPacket, Settings,
};
use media::g711::Law;
use media::rtcp::NtpClock;
use media::stun::{BindingRequest, DatagramKind};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::format::{Codec, FormatParams};
use str0m::media::{Direction, Frequency, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{Extension, ExtensionValues, RtpPacket, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};

pub const SECOND: Duration = Duration::from_secs(1);

/// The gateway's WebRTC port.
pub fn gateway() -> SocketAddr {
    "192.0.2.10:40000".parse().unwrap()
}

/// The browser's address.
pub fn home() -> SocketAddr {
    "198.51.100.30:50000".parse().unwrap()
}

/// An attacker's address.
pub fn stranger() -> SocketAddr {
    "203.0.113.66:666".parse().unwrap()
}

pub fn settings() -> Settings {
    Settings {
        identity: Identity::generate().unwrap(),
        candidates: vec![gateway()],
        tcp_candidates: Vec::new(),
        codecs: vec![
            media::codec::Codec::G711(Law::Mu),
            media::codec::Codec::G711(Law::A),
        ],
    }
}

/// The browser.
pub struct Browser {
    pub rtc: Rtc,
    pub mid: Option<Mid>,
    pub address: SocketAddr,
    /// Other addresses that lead to it.
    pub aliases: Vec<SocketAddr>,
    pub events: Vec<String>,
    pub heard: Vec<RtpPacket>,
    pub next_sequence: u64,
    pub twcc: bool,
    /// What it was told lately of what it sends: the share that was lost, and how long a packet takes there and back.
    pub told: Option<(f32, Option<Duration>)>,
    outbox: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    timeout: Instant,
}

impl Browser {
    pub fn new(now: Instant, address: SocketAddr, twcc: bool) -> Self {
        Self::built(now, address, twcc, false)
    }

    /// One that has Opus as well, as all of them do.
    pub fn with_opus(now: Instant, address: SocketAddr) -> Self {
        Self::built(now, address, false, true)
    }

    fn built(now: Instant, address: SocketAddr, twcc: bool, opus: bool) -> Self {
        let mut config = Rtc::builder()
            .set_rtp_mode(true)
            .set_stats_interval(Some(SECOND))
            .clear_codecs()
            .enable_opus(opus, false)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .enable_g722(true, false)
            .clear_extension_map()
            .set_extension(1, Extension::AudioLevel)
            .set_extension(4, Extension::RtpMid);
        if twcc {
            config = config.set_extension(3, Extension::TransportSequenceNumber);
        }
        config.codec_config().add_config(
            101.into(),
            None,
            Codec::Tele,
            Frequency::EIGHT_KHZ,
            None,
            FormatParams::default(),
        );
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        Self {
            rtc,
            mid: None,
            address,
            aliases: Vec::new(),
            events: Vec::new(),
            heard: Vec::new(),
            next_sequence: 3_000,
            twcc,
            told: None,
            outbox: VecDeque::new(),
            timeout: now,
        }
    }

    /// Answers an offer of the gateway. With `twcc` the browser behaves as one that sends the extension anyway.
    pub fn answer(&mut self, sdp: &str) -> String {
        // Browsers choose to be the DTLS client; this engine would choose the other role.
        let mut sdp = sdp.replace("a=setup:actpass", "a=setup:passive");
        if self.twcc && !sdp.contains("transport-wide-cc") {
            sdp = sdp.replace(
                "a=extmap:4 ",
                "a=extmap:3 http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01\r\na=extmap:4 ",
            );
        }
        let offer = SdpOffer::from_sdp_string(&sdp).unwrap();
        let answer = self
            .rtc
            .sdp_api()
            .accept_offer(offer)
            .unwrap()
            .to_sdp_string();
        if !self.twcc {
            return answer;
        }
        // As Chromium answers G.711: it takes the extension, but no feedback for it.
        answer
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("a=rtcp-fb"))
            .collect()
    }

    pub fn offer(&mut self) -> (String, SdpPendingOffer) {
        let mut changes = self.rtc.sdp_api();
        let mid = changes.add_media(MediaKind::Audio, Direction::SendRecv, None, None, None);
        self.mid = Some(mid);
        let (offer, pending) = changes.apply().unwrap();
        (offer.to_sdp_string(), pending)
    }

    pub fn accept(&mut self, pending: SdpPendingOffer, sdp: &str) {
        let answer = SdpAnswer::from_sdp_string(sdp).unwrap();
        self.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    }

    /// Sends 20 ms of something.
    pub fn speak(&mut self, now: Instant, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let mid = self.mid.expect("descriptions are exchanged");
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None).unwrap();
        let packet = RtpWrite::new(
            payload_type.into(),
            sequence.into(),
            timestamp,
            now,
            payload,
        )
        .ext_vals(ExtensionValues {
            mid: Some(mid),
            ..Default::default()
        });
        stream.write_rtp(packet);
    }

    pub fn receive(&mut self, now: Instant, source: SocketAddr, datagram: &[u8]) {
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, datagram) else {
            return;
        };
        let input = Input::Receive(now, receive);
        if self.rtc.accepts(&input) {
            let _ = self.rtc.handle_input(input);
            // The engine holds one packet: it is drained after each datagram, as it must be.
            self.pump(now);
        }
    }

    pub fn drain(&mut self, now: Instant, out: &mut VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>) {
        self.pump(now);
        out.append(&mut self.outbox);
    }

    fn pump(&mut self, now: Instant) {
        for _ in 0..1_000 {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) if at <= now && self.rtc.is_alive() => {
                    let _ = self.rtc.handle_input(Input::Timeout(now));
                    self.timeout = now + Duration::from_millis(5);
                }
                Ok(Output::Timeout(at)) => {
                    self.timeout = at;
                    return;
                }
                Ok(Output::Transmit(t)) => {
                    // What the NAT in front shows is `address`, whatever the engine calls itself.
                    self.outbox
                        .push_back((self.address, t.destination, t.contents.to_vec()));
                }
                Ok(Output::Event(Event::RtpPacket(packet))) => self.heard.push(packet),
                Ok(Output::Event(Event::MediaAdded(added))) => self.mid = Some(added.mid),
                Ok(Output::Event(Event::MediaEgressStats(stats))) => {
                    self.told = stats.loss.map(|loss| (loss, stats.rtt)).or(self.told);
                }
                Ok(Output::Event(Event::MediaIngressStats(_) | Event::PeerStats(_))) => {}
                Ok(Output::Event(event)) => self.events.push(format!("{event:?}")),
                Err(error) => {
                    self.events.push(format!("error {error}"));
                    if !self.rtc.is_alive() {
                        return;
                    }
                }
            }
        }
    }
}

/// A leg, a browser, and virtual time.
pub struct World {
    pub now: Instant,
    pub start: Instant,
    pub leg: BrowserLeg,
    pub browser: Browser,
    pub states: Vec<(Duration, LegState)>,
    pub heard: Vec<(u8, u32, Vec<u8>)>,
    pub reachable: Vec<SocketAddr>,
    pub refused: Vec<Refusal>,
    /// What the browser said of what it was sent: the share that it lost, in percent, the round trip, and the packets.
    pub reported: Vec<(Option<u8>, Option<Duration>, Option<u64>)>,
    /// Each packet to the browser whose number is a multiple of this is lost.
    pub lose_every: Option<u64>,
    /// Datagrams from the browser go nowhere.
    pub cut: bool,
    /// The browser sends neither RTP nor RTCP.
    pub mute: bool,
    /// DTLS from the browser is lost until the leg has sent some.
    pub lose_dtls_until_answered: bool,
    /// Checks of the browser nominate nothing: they are signed again by this password of ours.
    pub consents_by: Option<String>,
    /// Somebody there says all that the browser says, before it arrives.
    pub echo: Option<SocketAddr>,
    /// Only what he says arrives.
    pub stalls: bool,
    /// What went to addresses that are not the browser's.
    pub astray: Vec<SocketAddr>,
    /// The browser sent a ClientHello.
    pub saw_client_hello: bool,
    /// SRTP packets from the browser that carried the congestion control extension (id 3).
    pub extension_seen: u32,
    /// The last check of the browser.
    pub check: Vec<u8>,
    /// Ours, of the last offer.
    pub password: String,
    to_leg: VecDeque<(SocketAddr, SocketAddr, Vec<u8>)>,
    sequence: u64,
}

impl World {
    pub fn new(kind: LegKind) -> Self {
        Self::with(kind, false)
    }

    pub fn with(kind: LegKind, twcc: bool) -> Self {
        let now = Instant::now();
        let reporting = Reporting {
            clock: NtpClock::new(now, Duration::from_secs(1_700_000_000)),
            cname: "gateway".into(),
        };
        Self {
            now,
            start: now,
            leg: BrowserLeg::new(now, kind, Preference::Relay, &settings(), reporting),
            browser: Browser::new(now, home(), twcc),
            states: Vec::new(),
            heard: Vec::new(),
            reachable: Vec::new(),
            refused: Vec::new(),
            reported: Vec::new(),
            lose_every: None,
            cut: false,
            mute: false,
            lose_dtls_until_answered: false,
            consents_by: None,
            echo: None,
            stalls: false,
            astray: Vec::new(),
            saw_client_hello: false,
            extension_seen: 0,
            check: Vec::new(),
            password: String::new(),
            to_leg: VecDeque::new(),
            sequence: 5_000,
        }
    }

    /// A leg that offered and was answered, not yet connected.
    pub fn negotiated(kind: LegKind) -> Self {
        let mut world = Self::new(kind);
        world.negotiate();
        world
    }

    /// A leg that is connected.
    pub fn connected() -> Self {
        let mut world = Self::negotiated(LegKind::Warm);
        world.run(Duration::from_secs(2));
        assert_eq!(
            world.leg.state(),
            LegState::Connected,
            "{:?}",
            world.browser.events
        );
        world
    }

    pub fn negotiate(&mut self) {
        let offer = self.leg.offer(self.now).unwrap();
        self.password = consent::password(&offer);
        let answer = self.browser.answer(&offer);
        self.leg.accept_answer(self.now, &answer).unwrap();
    }

    /// Lets time pass, as far as the two want it.
    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        loop {
            self.exchange();
            let next = [self.leg.poll_timeout(), Some(self.browser.timeout)]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(end)
                .max(self.now + Duration::from_millis(1));
            if next >= end {
                self.now = end;
                self.tick();
                self.exchange();
                return;
            }
            self.now = next;
            self.tick();
        }
    }

    fn tick(&mut self) {
        if self.leg.poll_timeout().is_some_and(|at| at <= self.now) {
            self.leg.handle_timeout(self.now);
        }
        let _ = self.browser.rtc.handle_input(Input::Timeout(self.now));
    }

    /// Carries datagrams until both are quiet.
    pub fn exchange(&mut self) {
        for _ in 0..200 {
            self.browser.drain(self.now, &mut self.to_leg);
            let moved = self.drain_leg() | !self.to_leg.is_empty();
            while let Some((from, _, datagram)) = self.to_leg.pop_front() {
                let lost = match DatagramKind::of(&datagram) {
                    DatagramKind::Rtp => self.mute,
                    _ => self.lose_dtls_until_answered && datagram.first() == Some(&22),
                };
                if !self.cut && !lost {
                    let password = self.consents_by.as_deref();
                    let datagram = password
                        .and_then(|password| consent::of(&datagram, password))
                        .unwrap_or(datagram);
                    let own = (!self.stalls).then_some(from);
                    for source in self.echo.into_iter().chain(own) {
                        self.deliver(source, &datagram);
                    }
                }
            }
            if !moved {
                return;
            }
        }
    }

    /// A datagram reaches the leg.
    pub fn deliver(&mut self, from: SocketAddr, datagram: &[u8]) -> Received {
        self.saw_client_hello |= datagram.first() == Some(&22) && datagram.get(13) == Some(&1);
        self.extension_seen += u32::from(has_extension(datagram, 3));
        if BindingRequest::glance(datagram).is_some() {
            self.check = datagram.to_vec();
        }
        let received = match DatagramKind::of(datagram) {
            DatagramKind::Rtp => self.deliver_rtp(from, &mut datagram.to_vec()),
            _ => self.leg.receive(self.now, from, datagram),
        };
        if let Received::Refused(refusal) = received {
            self.refused.push(refusal);
        }
        received
    }

    fn deliver_rtp(&mut self, from: SocketAddr, datagram: &mut [u8]) -> Received {
        match self.leg.receive_rtp(self.now, from, datagram) {
            Ok(Heard::Media(header)) => {
                let payload = datagram[header.payload].to_vec();
                self.heard
                    .push((header.payload_type, header.timestamp, payload));
                Received::Taken
            }
            Ok(Heard::Report | Heard::TooEarly) => Received::Taken,
            Err(refusal) => Received::Refused(refusal),
        }
    }

    /// What the browser wants to send now, without delivering it.
    pub fn take_from_browser(&mut self) -> Vec<Vec<u8>> {
        self.browser.drain(self.now, &mut self.to_leg);
        self.to_leg
            .drain(..)
            .map(|(_, _, datagram)| datagram)
            .collect()
    }

    pub fn drain_leg(&mut self) -> bool {
        let mut moved = false;
        while let Some(output) = self.leg.poll_output() {
            moved = true;
            match output {
                LegOutput::Transmit { to, datagram } => self.arrive(to.address, &datagram),
                LegOutput::Reachable(at) => self.reachable.push(at.address),
                LegOutput::Reported {
                    loss_percent,
                    round_trip,
                    counts,
                } => self
                    .reported
                    .push((loss_percent, round_trip, Some(counts.lost))),
                LegOutput::State(state) => self.states.push((self.now - self.start, state)),
            }
        }
        moved
    }

    /// A datagram of the leg arrives.
    fn arrive(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.lose_dtls_until_answered &= datagram.first() != Some(&22);
        if to == self.browser.address || self.browser.aliases.contains(&to) {
            self.browser.receive(self.now, gateway(), datagram);
        } else {
            self.astray.push(to);
        }
    }

    /// Both sides speak for a while: `count` packets of 20 ms.
    pub fn talk(&mut self, count: u32) {
        for n in 0..count {
            self.browser.speak(self.now, 0, n * 160, &[0x11; 160]);
            self.say(n * 160, &[0x22; 160]);
            self.run(Duration::from_millis(20));
        }
    }

    /// The same: how many of them the leg heard, and how many the browser.
    pub fn heard_of(&mut self, count: u32) -> (usize, usize) {
        let before = (self.heard.len(), self.browser.heard.len());
        self.talk(count);
        (
            self.heard.len() - before.0,
            self.browser.heard.len() - before.1,
        )
    }

    pub fn say(&mut self, timestamp: u32, payload: &[u8]) -> bool {
        let packet = SendPacket {
            payload_type: 0,
            sequence: self.sequence,
            timestamp,
            marker: false,
            payload,
            map: None,
        };
        let sent = self.send(&packet);
        self.sequence += u64::from(sent);
        sent
    }

    /// The leg sends this packet, and it arrives.
    pub fn send(&mut self, packet: &SendPacket<'_>) -> bool {
        let mut out = [0; SEALED_MAX];
        let sent = self.leg.send(self.now, packet, &mut out);
        let lost = self
            .lose_every
            .is_some_and(|every| packet.sequence.is_multiple_of(every));
        if let Some((to, len)) = sent.filter(|_| !lost) {
            self.arrive(to.address, &out[..len]);
        }
        sent.is_some()
    }
}

/// Whether an RTP packet has a one-byte header extension (RFC 8285) of this id; headers are not encrypted.
fn has_extension(datagram: &[u8], id: u8) -> bool {
    if datagram.len() < 16 || datagram[0] & 0xd0 != 0x90 || datagram[12..14] != [0xbe, 0xde] {
        return false;
    }
    let words = usize::from(u16::from_be_bytes([datagram[14], datagram[15]]));
    let mut elements = &datagram[16..datagram.len().min(16 + words * 4)];
    while let Some((head, rest)) = elements.split_first() {
        if head >> 4 == id {
            return true;
        }
        let skip = if *head == 0 {
            0
        } else {
            usize::from(head & 0x0f) + 1
        };
        elements = rest.get(skip..).unwrap_or_default();
    }
    false
}
