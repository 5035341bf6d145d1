//! Two user agents over a network that loses, repeats and reorders, driven by chance: whatever
//! happens, each call ends once at each end, and nothing is left when the network is quiet.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sip::ua::{
    DialogId, Event, OutgoingInvite, Output, Refusal, RegistrationPolicy, Source, Timers,
    TransactionId, Transport, UaConfig, UserAgent,
};
use sip::{IdSource, Message, Method, StatusCode, Uri};

const SDP: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\n";
const SEEDS: u64 = 60;

struct End {
    ua: UserAgent,
    address: SocketAddr,
    /// Dialogs that live, and whether they wait for our answer.
    calls: BTreeMap<DialogId, bool>,
    dead: BTreeSet<DialogId>,
    owed: Vec<TransactionId>,
    /// The highest CSeq of requests sent, by Call-ID and From tag; ACK and CANCEL repeat one.
    cseqs: BTreeMap<(Vec<u8>, Vec<u8>), u32>,
    seen: BTreeSet<Vec<u8>>,
    /// The kinds of events that were told.
    kinds: BTreeSet<String>,
}

struct Packet {
    at: Instant,
    to: usize,
    bytes: Vec<u8>,
}

struct Net {
    ends: [End; 2],
    now: Instant,
    packets: Vec<Packet>,
    chance: IdSource,
    /// Losses of a hundred packets.
    loss: u64,
}

fn end(address: &str, peer: &str, seed: u8) -> End {
    let address: SocketAddr = address.parse().unwrap();
    let config = UaConfig {
        listen: vec![(Transport::Udp, address)],
        allowed: vec![peer.parse().unwrap()],
        refusal: Refusal::Silent,
        user_agent: String::new(),
        timers: Timers::default(),
        registration: RegistrationPolicy::default(),
        session_expires_s: Some(1800),
        realm: None,
    };
    End {
        ua: UserAgent::new(config, [seed; 32]),
        address,
        calls: BTreeMap::new(),
        dead: BTreeSet::new(),
        owed: Vec::new(),
        cseqs: BTreeMap::new(),
        seen: BTreeSet::new(),
        kinds: BTreeSet::new(),
    }
}

impl End {
    fn on_event(&mut self, event: Event) {
        let shown = match &event {
            Event::Outcome { outcome, .. } => format!("{outcome:?}"),
            _ => format!("{event:?}"),
        };
        let kind = match &event {
            Event::Refused { reason, .. } => reason.as_str(),
            _ => shown.split([' ', '{']).next().unwrap(),
        };
        self.kinds.insert(kind.to_owned());
        let dialog = match &event {
            Event::Invite { dialog, .. } => {
                assert!(
                    self.calls.insert(*dialog, true).is_none(),
                    "handles are never used again"
                );
                *dialog
            }
            Event::Terminated { dialog } => {
                assert!(self.calls.remove(dialog).is_some(), "ends once: {event:?}");
                self.dead.insert(*dialog);
                return;
            }
            Event::Reinvite {
                dialog,
                transaction,
                ..
            }
            | Event::Update {
                dialog,
                transaction,
                ..
            }
            | Event::Request {
                dialog,
                transaction,
                ..
            } => {
                self.owed.push(*transaction);
                *dialog
            }
            Event::Cancelled { dialog, .. }
            | Event::Ack { dialog, .. }
            | Event::AckMissing { dialog }
            | Event::PrackMissing { dialog }
            | Event::ReinviteCancelled { dialog, .. }
            | Event::Bye { dialog, .. }
            | Event::Outcome { dialog, .. }
            | Event::SessionExpired { dialog } => *dialog,
            Event::OutOfDialog { .. }
            | Event::Registration { .. }
            | Event::Probed { .. }
            | Event::Peers { .. }
            | Event::InviteRefused { .. }
            | Event::Refused { .. } => {
                return;
            }
        };
        assert!(
            !self.dead.contains(&dialog),
            "Terminated is the last: {event:?}"
        );
    }

    /// New requests of a dialog have ever higher numbers.
    fn check_cseq(&mut self, bytes: &[u8]) {
        let Ok(Message::Request(request)) = Message::parse(bytes) else {
            return;
        };
        let fresh = self.seen.insert(bytes.to_vec());
        if !fresh || matches!(request.method, Method::Ack | Method::Cancel) {
            return;
        }
        let headers = &request.headers;
        let tag = headers.from().unwrap().tag().unwrap();
        let key = (
            headers.call_id().unwrap().as_bytes().to_vec(),
            tag.as_bytes().to_vec(),
        );
        let number = headers.cseq().unwrap().number;
        let last = self.cseqs.insert(key, number);
        assert!(
            last.is_none_or(|last| last < number),
            "CSeq rises from {last:?}: {}",
            bytes.escape_ascii()
        );
    }
}

impl Net {
    fn new(seed: u64) -> Self {
        let mut chance = IdSource::new([u8::try_from(seed % 251).unwrap(); 32]);
        let loss = chance.next_u64() % 30;
        Self {
            ends: [
                end("192.0.2.1:5060", "192.0.2.2", 1),
                end("192.0.2.2:5060", "192.0.2.1", 2),
            ],
            now: Instant::now(),
            packets: Vec::new(),
            chance,
            loss,
        }
    }

    fn below(&mut self, n: u64) -> u64 {
        self.chance.next_u64() % n
    }

    fn drain(&mut self, from: usize) {
        while let Some(output) = self.ends[from].ua.poll_output() {
            match output {
                Output::Event(event) => self.ends[from].on_event(event),
                Output::Transmit(transmit) => {
                    self.ends[from].check_cseq(&transmit.bytes);
                    let copies = match self.below(100) {
                        lost if lost < self.loss => 0,
                        twice if twice >= 95 => 2,
                        _ => 1,
                    };
                    for _ in 0..copies {
                        let delay = Duration::from_millis(self.below(300));
                        let at = self.now + delay;
                        let to = 1 - from;
                        assert_eq!(transmit.to, self.ends[to].address);
                        self.packets.push(Packet {
                            at,
                            to,
                            bytes: transmit.bytes.clone(),
                        });
                    }
                }
            }
        }
    }

    /// Packets and timers up to `until`, in the order of their time.
    fn run(&mut self, until: Instant) {
        loop {
            let packet = (0..self.packets.len()).min_by_key(|&i| self.packets[i].at);
            let packet_at = packet.map(|i| self.packets[i].at);
            let timer = (0..2)
                .filter_map(|e| Some((self.ends[e].ua.poll_timeout()?, e)))
                .min();
            let next = packet_at.into_iter().chain(timer.map(|(at, _)| at)).min();
            let Some(next) = next.filter(|at| *at <= until) else {
                break;
            };
            self.now = self.now.max(next);
            if packet_at == Some(next) {
                let packet = self.packets.swap_remove(packet.unwrap());
                let remote = self.ends[1 - packet.to].address;
                let source = Source {
                    transport: Transport::Udp,
                    remote,
                    connection: None,
                };
                self.ends[packet.to]
                    .ua
                    .receive(self.now, &source, &packet.bytes);
                self.drain(packet.to);
            } else {
                let (_, e) = timer.unwrap();
                self.ends[e].ua.handle_timeout(self.now);
                self.drain(e);
                let again = self.ends[e].ua.poll_timeout();
                assert!(
                    again.is_none_or(|at| at > self.now),
                    "a timer that fires moves on"
                );
            }
        }
        self.now = until;
    }

    fn random_call(&mut self, e: usize) -> Option<DialogId> {
        let count = u64::try_from(self.ends[e].calls.len()).unwrap();
        let index = usize::try_from(self.below(count.max(1))).unwrap();
        self.ends[e].calls.keys().nth(index).copied()
    }

    fn act(&mut self) {
        let e = usize::try_from(self.below(2)).unwrap();
        let now = self.now;
        let choice = self.below(12);
        let sdp = (self.below(2) == 0).then(|| SDP.to_vec());
        let call = self.random_call(e);
        let peer = self.ends[1 - e].address;
        let owed = self.ends[e].owed.pop();
        let end = &mut self.ends[e];
        match (choice, call) {
            (0 | 1, _) => {
                let dialog = end.ua.invite(
                    now,
                    OutgoingInvite {
                        dn: "1002".to_owned(),
                        target: Uri::parse(format!("sip:9@{peer}").as_bytes()).unwrap(),
                        to: peer,
                        transport: Transport::Udp,
                        sdp,
                        headers: Vec::new(),
                        credentials: None,
                    },
                );
                end.calls.insert(dialog, false);
            }
            (2, Some(call)) => end.ua.ring(now, call),
            (3 | 4, Some(call)) => end.ua.answer(now, call, SDP.to_vec()),
            (5, Some(call)) => end.ua.reject(now, call, StatusCode::BUSY_HERE, &[]),
            (6, Some(call)) => end.ua.cancel(now, call),
            (7, Some(call)) => end.ua.reinvite(now, call, sdp),
            (8, Some(call)) => end.ua.bye(now, call, None),
            (9, Some(call)) => {
                end.ua.request(now, call, Method::Info, &[], None);
            }
            (10, Some(call)) => end.ua.ack_with(now, call, SDP.to_vec()),
            _ => {}
        }
        if let Some(owed) = owed {
            let body = Some(("application/sdp", SDP.to_vec()));
            end.ua.respond(now, owed, StatusCode::OK, &[], body);
        }
        self.drain(e);
    }

    /// Everybody hangs up; the network calms down.
    fn hang_up(&mut self) {
        self.loss = 0;
        for e in 0..2 {
            let calls: Vec<DialogId> = self.ends[e].calls.keys().copied().collect();
            for call in calls {
                self.ends[e].ua.bye(self.now, call, None);
                self.drain(e);
            }
        }
        let until = self.now + Duration::from_secs(300);
        self.run(until);
    }
}

#[test]
fn whatever_happens_each_call_ends_once_and_nothing_is_left() {
    let mut kinds: BTreeSet<String> = BTreeSet::new();
    for seed in 0..SEEDS {
        let mut net = Net::new(seed);
        for _ in 0..200 {
            net.act();
            let pause = Duration::from_millis(net.below(1500));
            let until = net.now + pause;
            net.run(until);
        }
        net.hang_up();
        for end in &net.ends {
            assert!(end.ua.is_idle(), "seed {seed}: {:?}", end.ua);
            assert!(end.calls.is_empty(), "seed {seed}: {:?}", end.calls);
            assert!(!end.dead.is_empty(), "seed {seed}");
            kinds.extend(end.kinds.iter().cloned());
        }
    }
    // Chance came to the places that matter.
    for kind in [
        "Ack",
        "AckMissing",
        "Answered",
        "Bye",
        "Cancelled",
        "Failed",
        "Progress",
        "Reinvite",
        "ReinviteAnswered",
        "ReinviteFailed",
        "Request",
        "RequestFailed",
        "Response",
        "glare",
        "no_dialog",
        "sequence",
    ] {
        assert!(kinds.contains(kind), "{kind} never happened: {kinds:?}");
    }
}
