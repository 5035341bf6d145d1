//! A worker's patch bay with its browsers and SIP sides, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use media::bridge::{BridgePlan, SipFormat};
use media::browser_leg::{LegKind, LegState, Preference, Settings};
use media::codec::Codec;
use media::g711::Law;
use media::ids::{CallId, LegId, PortId};
use media::packet::{self, Fields};
use media::patchbay::{Config, Event, Patchbay, Plan, Wire};
use str0m::Input;

use super::{Browser, SECOND, gateway, settings};

/// Everything that left.
#[derive(Default)]
pub struct Net {
    pub browser: VecDeque<(SocketAddr, Vec<u8>)>,
    pub rtp: Vec<(PortId, SocketAddr, Vec<u8>)>,
    pub rtcp: Vec<(PortId, SocketAddr, Vec<u8>)>,
}

impl Wire for Net {
    fn to_browser(&mut self, to: SocketAddr, datagram: &[u8]) {
        self.browser.push_back((to, datagram.to_vec()));
    }

    fn to_browser_by_tcp(&mut self, to: SocketAddr, _: &[u8]) {
        panic!("nobody has connected from {to}");
    }

    fn rtp(&mut self, port: PortId, to: SocketAddr, datagram: &[u8]) {
        self.rtp.push((port, to, datagram.to_vec()));
    }

    fn rtcp(&mut self, port: PortId, to: SocketAddr, datagram: &[u8]) {
        self.rtcp.push((port, to, datagram.to_vec()));
    }
}

pub struct Worker {
    pub now: Instant,
    pub bay: Patchbay,
    pub net: Net,
    pub browsers: Vec<Browser>,
    pub events: Vec<Event>,
    pub astray: Vec<SocketAddr>,
    /// Packets that everyone has sent so far.
    pub spoken: u16,
    /// Speech for the browsers whose number is a multiple of this is lost.
    pub lose_every: Option<u16>,
}

/// The SIP side of a call.
pub fn peer(call: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 82], 20_000 + 2 * call as u16))
}

pub fn peer_rtcp(call: u64) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 82], 20_001 + 2 * call as u16))
}

pub fn plan(call: u64, leg: Option<u64>, open: bool) -> Plan {
    let format = SipFormat {
        codec: Codec::G711(Law::Mu),
        event_ticks_per_ms: 8,
        payload_type: 0,
        ours: None,
        packet_ms: 20,
        dtx: false,
        telephone_event: Some(101),
    };
    let bridge = BridgePlan {
        remote: Some(peer(call)),
        remote_rtcp: Some(peer_rtcp(call)),
        format,
        to_agent: open,
        to_caller: open,
        voip_metrics: false,
    };
    Plan {
        keys: None,
        bridge,
        leg: leg.map(LegId),
    }
}

impl Worker {
    /// A worker that nobody has signed in at.
    pub fn without_browsers(legs: Settings) -> Self {
        let now = Instant::now();
        let config = Config {
            legs,
            unix: Duration::from_secs(1_790_000_000),
            seed: [7; 32],
        };
        Self {
            now,
            bay: Patchbay::new(now, config),
            net: Net::default(),
            browsers: Vec::new(),
            events: Vec::new(),
            astray: Vec::new(),
            spoken: 0,
            lose_every: None,
        }
    }

    /// A worker with browsers that are connected, on legs 0, 1, ...
    pub fn with_browsers(count: u16) -> Self {
        Self::offering(settings(), count)
    }

    /// The same with other offers to them.
    pub fn offering(legs: Settings, count: u16) -> Self {
        let mut worker = Self::without_browsers(legs);
        let now = worker.now;
        for leg in 0..count {
            let address = SocketAddr::from(([198, 51, 100, 30], 50_000 + leg));
            worker.browsers.push(Browser::new(now, address, false));
            worker.sign_in(u64::from(leg));
        }
        worker.run(2 * SECOND);
        for leg in 0..u64::from(count) {
            assert!(worker.is_connected(leg), "{:?}", worker.events);
        }
        worker
    }

    pub fn sign_in(&mut self, leg: u64) {
        self.sign_in_with(leg, Preference::Relay);
    }

    pub fn sign_in_with(&mut self, leg: u64, preference: Preference) {
        self.bay.offer_browser(
            self.now,
            LegId(leg),
            (LegKind::Warm, preference),
            false,
            &mut self.net,
        );
        self.answer(leg);
    }

    pub fn answer(&mut self, leg: u64) {
        self.collect();
        let offer = self.events.iter().rev().find_map(|event| match event {
            Event::BrowserOffer { leg: of, sdp, .. } if of.0 == leg => Some(sdp.clone()),
            _ => None,
        });
        let answer = self.browsers[leg as usize].answer(&offer.unwrap());
        self.bay
            .answer_browser(self.now, LegId(leg), &answer, &mut self.net);
    }

    pub fn is_connected(&self, leg: u64) -> bool {
        self.events.iter().any(|event| {
            matches!(event, Event::BrowserState { leg: of, state: LegState::Connected, .. } if of.0 == leg)
        })
    }

    pub fn collect(&mut self) {
        while let Some(event) = self.bay.poll_event() {
            self.events.push(event);
        }
    }

    pub fn open(&mut self, call: u64) {
        assert!(
            self.bay
                .open_call(self.now, CallId(call), PortId(call as usize))
        );
    }

    pub fn plan(&mut self, call: u64, leg: Option<u64>, open: bool) {
        self.replan(call, plan(call, leg, open));
    }

    pub fn replan(&mut self, call: u64, plan: Plan) {
        self.bay.plan(self.now, CallId(call), plan, &mut self.net);
    }

    pub fn close(&mut self, call: u64) {
        self.bay.close_call(self.now, CallId(call), &mut self.net);
    }

    pub fn rtp_from(&mut self, call: u64, source: SocketAddr, datagram: &[u8]) {
        let mut datagram = datagram.to_vec();
        self.bay
            .receive_rtp(self.now, CallId(call), source, &mut datagram, &mut self.net);
    }

    /// The SIP sides of `calls` and all browsers speak for `count` packets, each its own octet.
    pub fn talk(&mut self, calls: &[u64], count: u16) {
        for _ in 0..count {
            let n = self.spoken;
            self.spoken += 1;
            for call in calls {
                let datagram = rtp(
                    0,
                    1_000 * *call as u16 + n,
                    u32::from(n) * 160,
                    &[*call as u8; 160],
                );
                self.rtp_from(*call, peer(*call), &datagram);
            }
            for (index, browser) in self.browsers.iter_mut().enumerate() {
                browser.speak(self.now, 0, u32::from(n) * 160, &[0x80 + index as u8; 160]);
            }
            self.run(Duration::from_millis(20));
        }
    }

    pub fn run(&mut self, span: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.exchange();
            let step = self
                .bay
                .poll_timeout()
                .unwrap_or(end)
                .max(self.now + Duration::from_millis(5));
            self.now = step.min(end).min(self.now + Duration::from_millis(20));
            self.bay.handle_timeout(self.now, &mut self.net);
            for browser in &mut self.browsers {
                let _ = browser.rtc.handle_input(Input::Timeout(self.now));
            }
        }
        self.exchange();
        self.collect();
    }

    pub fn exchange(&mut self) {
        for _ in 0..100 {
            let mut up = VecDeque::new();
            for browser in &mut self.browsers {
                browser.drain(self.now, &mut up);
            }
            if up.is_empty() && self.net.browser.is_empty() {
                return;
            }
            for (from, _, datagram) in up {
                self.bay
                    .receive_browser(self.now, from, &mut datagram.clone(), &mut self.net);
            }
            while let Some((to, datagram)) = self.net.browser.pop_front() {
                if self
                    .lose_every
                    .is_some_and(|every| is_lost(&datagram, every))
                {
                    continue;
                }
                match self
                    .browsers
                    .iter_mut()
                    .find(|browser| browser.address == to)
                {
                    Some(browser) => browser.receive(self.now, gateway(), &datagram),
                    None => self.astray.push(to),
                }
            }
        }
    }

    /// What each browser has heard since the last time, as the set of first octets.
    pub fn heard(&mut self) -> Vec<Vec<u8>> {
        let octets = |browser: &mut Browser| {
            let mut octets: Vec<u8> = browser.heard.drain(..).map(|p| p.payload[0]).collect();
            octets.dedup();
            octets
        };
        self.browsers.iter_mut().map(octets).collect()
    }

    /// What went to the SIP sides since the last time: peer and first octet of audio, each once.
    pub fn spoken(&mut self) -> Vec<(SocketAddr, u8)> {
        let mut spoken: Vec<_> = self
            .net
            .rtp
            .drain(..)
            .map(|(_, to, datagram)| (to, datagram[12]))
            .collect();
        spoken.dedup();
        spoken
    }
}

fn is_lost(datagram: &[u8], every: u16) -> bool {
    let is_speech = datagram[0] >> 6 == 2 && !(192..=223).contains(&datagram[1]);
    is_speech && u16::from_be_bytes([datagram[2], datagram[3]]).is_multiple_of(every)
}

pub fn rtp(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let fields = Fields {
        marker: false,
        payload_type,
        sequence,
        timestamp,
        ssrc: 0xabc,
    };
    let mut out = vec![0; 12 + payload.len()];
    packet::write(&mut out, &fields, payload, None).unwrap();
    out
}
