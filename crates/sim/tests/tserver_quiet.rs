//! Whatever endpoints answer, everything comes to rest, and no bytes bring the machine down.

#![allow(clippy::unwrap_used)]

mod bench;

use bench::{A, ANSWER, B, Bench, OFFER, answer, config, field};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha12Rng;
use sim::tserver::{CallUuid, Config, Input, MakeCallFlow, Request, Source};

/// Runs of the random story; each takes a few milliseconds.
const SEEDS: u64 = 300;

struct Story {
    bench: Bench,
    rng: ChaCha12Rng,
    /// INVITEs that an endpoint has not answered finally.
    open: Vec<(String, String)>,
    /// First INVITE of every dialog.
    dialogs: Vec<(String, String)>,
    cseq: u32,
}

impl Story {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha12Rng::seed_from_u64(seed);
        let mut settings: Config = config();
        settings.customer_media.truncate(2);
        for dn in settings.dns.values_mut() {
            if rng.next_u64() % 2 == 0 {
                dn.make_call_flow = MakeCallFlow::Two;
            }
            dn.cti_control.hold = rng.next_u64() % 2 == 0;
        }
        let mut bench = Bench::new(settings);
        bench.register("1002", A, 1_000_000);
        bench.register("1003", B, 1_000_000);
        Self {
            bench,
            rng,
            open: Vec::new(),
            dialogs: Vec::new(),
            cseq: 0,
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.rng.next_u64() % bound as u64) as usize
    }

    fn pick<T: Clone>(&mut self, list: &[T]) -> T {
        list[self.below(list.len())].clone()
    }

    fn step(&mut self) {
        match self.below(10) {
            0 | 1 => self.request(),
            2 => {
                let ms = self.below(5_000) as u64;
                self.bench.pass(ms);
            }
            3 => self.endpoint_acts(),
            4 if !self.open.is_empty() => {
                let index = self.below(self.open.len());
                let (at, invite) = self.open.swap_remove(index);
                let (status, sdp) = self.pick(&[
                    ("200 OK", Some(ANSWER)),
                    ("200 OK", Some(OFFER)),
                    ("200 OK", None),
                    ("486 Busy Here", None),
                    ("491 Request Pending", None),
                    ("500 Server Internal Error", None),
                ]);
                self.bench.answer(&at, &invite, status, sdp);
            }
            _ => self.react(),
        }
    }

    /// The endpoints look at what they got; sometimes it is lost.
    fn react(&mut self) {
        for (_, transmit) in std::mem::take(&mut self.bench.sent) {
            let text = String::from_utf8(transmit.bytes).unwrap();
            let at = transmit.to.to_string();
            if self.below(8) == 0 || text.starts_with("SIP/2.0") || text.starts_with("ACK") {
                if text.starts_with("SIP/2.0 2") && field(&text, "CSeq").ends_with("INVITE") {
                    self.acknowledge(&at, &text);
                }
                continue;
            }
            if text.starts_with("INVITE") {
                let first = !field(&text, "To").contains("tag=");
                if first {
                    self.bench.answer(&at, &text, "180 Ringing", None);
                    self.dialogs.push((at.clone(), text.clone()));
                }
                self.open.push((at, text));
            } else {
                let status = self.pick(&["200 OK", "200 OK", "200 OK", "481 Gone"]);
                self.bench.answer(&at, &text, status, None);
                if text.starts_with("CANCEL") {
                    self.refuse_cancelled(&text);
                }
            }
        }
    }

    fn refuse_cancelled(&mut self, cancel: &str) {
        let via = field(cancel, "Via");
        let hit = self.open.iter().position(|(_, t)| field(t, "Via") == via);
        if let Some(index) = hit {
            let (at, invite) = self.open.swap_remove(index);
            self.bench
                .answer(&at, &invite, "487 Request Terminated", None);
        }
    }

    fn acknowledge(&mut self, at: &str, ok: &str) {
        let cseq = field(ok, "CSeq").split(' ').next().unwrap().to_owned();
        let text = format!(
            "ACK sip:x@192.0.2.81 SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bKack{cseq}\r\n\
             From: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {cseq} ACK\r\nContent-Length: 0\r\n\r\n",
            field(ok, "From"),
            field(ok, "To"),
            field(ok, "Call-ID"),
        );
        self.bench.put(at, &text);
    }

    fn endpoint_acts(&mut self) {
        if self.dialogs.is_empty() {
            return;
        }
        let dialogs = self.dialogs.clone();
        let (at, invite) = self.pick(&dialogs);
        self.cseq += 1;
        let held = format!("{ANSWER}a=sendonly\r\n");
        match self.below(5) {
            0 => self.bench.in_dialog(&at, &invite, "BYE", self.cseq, None),
            1 => self.bench.in_dialog(&at, &invite, "INFO", self.cseq, None),
            2 => self
                .bench
                .in_dialog(&at, &invite, "INVITE", self.cseq, None),
            3 => self
                .bench
                .in_dialog(&at, &invite, "INVITE", self.cseq, Some(OFFER)),
            _ => self
                .bench
                .in_dialog(&at, &invite, "INVITE", self.cseq, Some(&held)),
        };
    }

    fn request(&mut self) {
        let calls: Vec<CallUuid> = self
            .bench
            .server
            .calls()
            .into_iter()
            .map(|c| c.call)
            .collect();
        let dn = self.pick(&["1002", "1003"]).to_owned();
        let to = self.pick(&["1002", "1003", "0301", "1999"]).to_owned();
        let request = if calls.is_empty() || self.below(4) == 0 {
            match self.below(2) {
                0 => Request::MakeCall { dn, to },
                _ => Request::CustomerCall {
                    from: "0301".to_owned(),
                    to: dn,
                },
            }
        } else {
            let call = self.pick(&calls);
            match self.below(9) {
                0 => Request::CustomerHangup { call },
                1 | 2 => Request::AnswerCall { dn, call },
                3 => Request::HoldCall { dn, call },
                4 => Request::RetrieveCall { dn, call },
                5 => Request::ReleaseCall { dn, call },
                6 => Request::InitiateTransfer { dn, call, to },
                7 => Request::CompleteTransfer { dn, call },
                _ => Request::SingleStepTransfer { dn, call, to },
            }
        };
        self.bench.input(Input::Request(request));
    }

    /// Everybody hangs up, and nothing is lost any more.
    fn come_to_rest(&mut self) {
        for call in self.bench.server.calls() {
            for party in &call.parties {
                if party.leg.is_some() {
                    self.bench.input(Input::Request(Request::ReleaseCall {
                        dn: party.number.clone(),
                        call: call.call.clone(),
                    }));
                }
            }
        }
        for call in self.bench.server.calls() {
            self.bench
                .input(Input::Request(Request::CustomerHangup { call: call.call }));
        }
        for _ in 0..20 {
            self.react();
            self.bench.pass(10_000);
        }
    }
}

#[test]
fn everything_comes_to_rest_whatever_endpoints_answer() {
    for seed in 0..SEEDS {
        let mut story = Story::new(seed);
        for _ in 0..120 {
            story.step();
        }
        story.come_to_rest();
        let counts = story.bench.server.counts();
        let left = (
            counts.calls,
            counts.legs,
            counts.client_transactions,
            counts.server_transactions,
        );
        assert_eq!(
            left,
            (0, 0, 0, 0),
            "seed {seed}: {:#?}",
            story.bench.server.legs()
        );
        let free = story.bench.media.iter().filter(|media| media.ended).count();
        let begun: std::collections::BTreeSet<_> = story
            .bench
            .media
            .iter()
            .map(|media| (media.call.clone(), media.local))
            .collect();
        assert_eq!(
            free,
            begun.len(),
            "seed {seed}: every socket is given back once"
        );
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let tell = || {
        let mut story = Story::new(7);
        let mut all = Vec::new();
        for _ in 0..200 {
            story.step();
            all.extend(
                story
                    .bench
                    .sent
                    .iter()
                    .map(|(at, t)| (*at, t.bytes.clone())),
            );
        }
        all
    };
    assert_eq!(tell(), tell());
}

#[test]
fn no_bytes_bring_it_down() {
    let mut rng = ChaCha12Rng::seed_from_u64(1);
    let mut bench = Bench::registered(config());
    let (_, invite) = bench.talking();
    let samples = [
        bench::register("1002", A, "r", 60),
        answer(A, &invite, "200 OK", Some(OFFER)),
        bench.in_dialog(A, &invite, "INVITE", 1, Some(OFFER)),
        bench.in_dialog(A, &invite, "BYE", 2, None),
    ];
    for round in 0..20_000 {
        let mut bytes = samples[round % samples.len()].clone().into_bytes();
        for _ in 0..=rng.next_u64() % 6 {
            let at = (rng.next_u64() % bytes.len() as u64) as usize;
            match rng.next_u64() % 4 {
                0 => bytes[at] = rng.next_u64() as u8,
                1 => bytes.truncate(at.max(1)),
                2 => {
                    let piece = bytes[at..].to_vec();
                    bytes.extend_from_slice(&piece);
                }
                _ => {
                    bytes.remove(at);
                    if bytes.is_empty() {
                        bytes.push(b'x');
                    }
                }
            }
        }
        bench.server.handle(
            bench.now,
            Input::Received {
                source: Source::udp(bench::addr(A)),
                bytes,
            },
        );
        while bench.server.poll_output().is_some() {}
    }
    bench.pass(200_000);
    assert!(bench.server.counts().unreadable > 1_000);
}
