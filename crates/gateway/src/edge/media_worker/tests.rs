//! A worker with real sockets on loopback. Every wait ends by what is waited for, or fails at its deadline.
#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use media::g711::Law;
use media::packet::{self, Fields, Header};
use media::telephone_event;
use str0m::change::SdpOffer;
use str0m::media::Mid;
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, Input, Output, Rtc};
use switchboard::{
    BrowserLegId, BrowserState, CallId, CodecPolicy, MediaCommand, MediaDirection, MediaEvent,
    MediaPlan, SipMedia,
};

use super::event_loop::{EVENTS_MAX, EventLoop};
use super::poll::Events;
use super::{MediaWorker, WorkerConfig, start_with};
use crate::edge::taps::{LiveTaps, TapSink};

mod allocations;
mod hung;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long anything here may take on a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(20);

struct Desk {
    worker: MediaWorker,
    facts: Receiver<MediaEvent>,
}

impl Desk {
    fn new() -> Self {
        Self::run_by(EventLoop::run)
    }

    /// The worker's thread is what runs its loop.
    fn run_by(run: impl FnOnce(EventLoop) + Send + 'static) -> Self {
        Self::tapped(Arc::default(), run)
    }

    /// What is said goes to these as well.
    fn tapped(taps: Arc<LiveTaps>, run: impl FnOnce(EventLoop) + Send + 'static) -> Self {
        let (tell, facts) = channel();
        let config = WorkerConfig {
            browser_tcp_port: None,
            browser_connections: std::sync::Arc::default(),
            browser_listen: SocketAddr::new(LOOPBACK, 0),
            browser_advertise: vec![LOOPBACK],
            browser_codecs: vec![
                media::codec::Codec::G711(Law::Mu),
                media::codec::Codec::G711(Law::A),
            ],
            sip_address: LOOPBACK,
            taps: TapSink::new(None, taps),
        };
        let tell: super::Tell = Box::new(move |fact| tell.send(fact).unwrap_or(()));
        let worker = start_with(config, 0, tell, run).unwrap();
        Self { worker, facts }
    }

    fn send(&self, command: MediaCommand) {
        self.worker.sender().send(command).unwrap();
    }

    /// The next fact that `pick` takes; others are passed over.
    fn wait<T>(&self, mut pick: impl FnMut(MediaEvent) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let fact = self
                .facts
                .recv_timeout(left)
                .expect("the fact comes in time");
            if let Some(found) = pick(fact) {
                return found;
            }
        }
    }

    fn wait_for(&self, expected: &MediaEvent) {
        self.wait(|fact| (fact == *expected).then_some(()));
    }
}

/// Stops a worker's loop, and lets it go on.
struct Brake {
    hang: Arc<AtomicBool>,
    hangs: Receiver<()>,
    /// For so many turns; `None`: for good.
    go_on: Sender<Option<u32>>,
}

impl Brake {
    /// With what is to run the loop.
    fn new() -> (Self, impl FnOnce(EventLoop) + Send + 'static) {
        let hang = Arc::new(AtomicBool::new(false));
        let ((is_hung, hangs), (go_on, wait)) = (channel(), channel());
        let wanted = Arc::clone(&hang);
        let run = move |mut event_loop: EventLoop| {
            let mut events = Events::with_capacity(EVENTS_MAX);
            while !wanted.load(Ordering::Acquire) {
                event_loop.once(&mut events).unwrap();
            }
            is_hung.send(()).unwrap();
            while let Some(turns) = wait.recv().unwrap() {
                for _ in 0..turns {
                    event_loop.once(&mut events).unwrap();
                }
                is_hung.send(()).unwrap();
            }
            event_loop.run();
        };
        (Self { hang, hangs, go_on }, run)
    }

    /// The loop stands still when this returns; `desk` has something for it to do.
    fn stop(&self, desk: &Desk, wakes: MediaCommand) {
        self.hang.store(true, Ordering::Release);
        desk.send(wakes);
        self.hangs.recv_timeout(PATIENCE).unwrap();
    }

    /// It turns so often, and stands still again when this returns.
    fn turns(&self, count: u32) {
        self.go_on.send(Some(count)).unwrap();
        self.hangs.recv_timeout(PATIENCE).unwrap();
    }

    fn release(self) {
        self.go_on.send(None).unwrap();
    }
}

/// An even port with a free one above it.
fn free_pair() -> u16 {
    for _ in 0..1_000 {
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        if port.is_multiple_of(2) && UdpSocket::bind((LOOPBACK, port + 1)).is_ok() {
            return port;
        }
    }
    panic!("no free pair of ports");
}

#[test]
fn ports_open_and_close() {
    let desk = Desk::new();
    let port = free_pair();
    let call = CallId(1);
    desk.send(MediaCommand::OpenPort { call, port });
    desk.wait_for(&MediaEvent::PortOpened { call, port });
    assert!(
        UdpSocket::bind((LOOPBACK, port)).is_err()
            && UdpSocket::bind((LOOPBACK, port + 1)).is_err()
    );
    // Taken by ourselves, and by somebody else.
    desk.send(MediaCommand::OpenPort {
        call: CallId(2),
        port,
    });
    desk.wait_for(&MediaEvent::PortFailed {
        call: CallId(2),
        port,
        taken: true,
    });
    let other = free_pair();
    let _occupied = UdpSocket::bind((LOOPBACK, other + 1)).unwrap();
    desk.send(MediaCommand::OpenPort {
        call: CallId(3),
        port: other,
    });
    desk.wait_for(&MediaEvent::PortFailed {
        call: CallId(3),
        port: other,
        taken: true,
    });
    assert!(
        UdpSocket::bind((LOOPBACK, other)).is_ok(),
        "half a pair is not kept"
    );
    desk.send(MediaCommand::CloseCall { call });
    desk.wait(|fact| {
        matches!(
            fact,
            MediaEvent::CallClosed {
                call: CallId(1),
                ..
            }
        )
        .then_some(())
    });
    assert!(
        UdpSocket::bind((LOOPBACK, port)).is_ok(),
        "closed before it is told"
    );
}

#[test]
fn a_dropped_worker_is_gone() {
    let desk = Desk::new();
    assert!(desk.worker.is_alive());
    let (sender, address) = (desk.worker.sender(), desk.worker.browser_address());
    drop(desk.worker);
    assert!(UdpSocket::bind(address).is_ok());
    assert!(
        sender
            .send(MediaCommand::CloseCall { call: CallId(1) })
            .is_err()
    );
}

/// A browser with a real socket.
struct Browser {
    rtc: Rtc,
    socket: UdpSocket,
    mid: Option<Mid>,
    connected: bool,
    heard: VecDeque<Vec<u8>>,
    sequence: u64,
}

impl Browser {
    fn new() -> Self {
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(5)))
            .unwrap();
        let mut rtc = Rtc::builder()
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .build(Instant::now());
        let address = socket.local_addr().unwrap();
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap());
        Self {
            rtc,
            socket,
            mid: None,
            connected: false,
            heard: VecDeque::new(),
            sequence: 3_000,
        }
    }

    fn answer(&mut self, offer: &str) -> String {
        let offer = SdpOffer::from_sdp_string(offer).unwrap();
        self.rtc
            .sdp_api()
            .accept_offer(offer)
            .unwrap()
            .to_sdp_string()
    }

    fn speak(&mut self, octet: u8) {
        let Some(mid) = self.mid else { return };
        let (sequence, now) = (self.sequence, Instant::now());
        self.sequence += 1;
        let timestamp = (sequence as u32).wrapping_mul(160);
        let packet = RtpWrite::new(0.into(), sequence.into(), timestamp, now, [octet; 160])
            .ext_vals(ExtensionValues {
                mid: Some(mid),
                ..Default::default()
            });
        self.rtc
            .direct_api()
            .stream_tx_by_mid(mid, None)
            .unwrap()
            .write_rtp(packet);
        self.drain();
    }

    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(at) if at > Instant::now() => return,
                Output::Timeout(_) => self
                    .rtc
                    .handle_input(Input::Timeout(Instant::now()))
                    .unwrap(),
                Output::Transmit(t) => {
                    self.socket.send_to(&t.contents, t.destination).unwrap();
                }
                Output::Event(Event::Connected) => self.connected = true,
                Output::Event(Event::MediaAdded(added)) => self.mid = Some(added.mid),
                Output::Event(Event::RtpPacket(packet)) => {
                    self.heard.push_back(packet.payload.to_vec());
                }
                Output::Event(_) => {}
            }
        }
    }

    /// Lives until `done`, or fails.
    fn live(&mut self, mut done: impl FnMut(&mut Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 2_000];
        let local = self.socket.local_addr().unwrap();
        self.drain();
        while !done(self) {
            assert!(Instant::now() < deadline, "the browser waits in vain");
            let now = Instant::now();
            let input = match self.socket.recv_from(&mut buffer) {
                Ok((len, source)) => {
                    match Receive::new(Protocol::Udp, source, local, &buffer[..len]) {
                        Ok(receive) => Input::Receive(now, receive),
                        Err(_) => continue,
                    }
                }
                Err(_) => Input::Timeout(now),
            };
            self.rtc.handle_input(input).unwrap();
            self.drain();
        }
    }
}

fn plan(call: CallId, leg: BrowserLegId, remote: SocketAddr) -> MediaPlan {
    MediaPlan {
        call,
        sip: SipMedia {
            srtp: None,
            remote: Some(remote),
            remote_rtcp: None,
            codec: sdp::Codec::Pcma,
            payload_type: 8,
            telephone_event: Some(sdp::TelephoneEvent {
                payload_type: 101,
                clock_rate_hz: 8_000,
            }),
            ours: sdp::Numbers {
                codec: 8,
                telephone_event: Some(101),
            },
            voip_metrics: false,
            ptime_ms: Some(20),
            maxptime_ms: None,
            dtx: false,
        },
        browser: Some(leg),
        to_agent: true,
        to_caller: true,
    }
}

fn rtp(payload_type: u8, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let timestamp = u32::from(sequence) * 160;
    let fields = Fields {
        marker: false,
        payload_type,
        sequence,
        timestamp,
        ssrc: 9,
    };
    let mut out = vec![0; packet::HEADER_LEN + payload.len()];
    packet::write(&mut out, &fields, payload, None).unwrap();
    out
}

/// The end of key 3.
fn key_three(sequence: u16) -> Vec<u8> {
    let key = telephone_event::Event {
        code: 3,
        end: true,
        volume: 10,
        duration: 800,
    };
    rtp(101, sequence, &key.to_bytes())
}

/// Offer, answer, ICE and DTLS of a warm leg.
fn connect(desk: &Desk, browser: &mut Browser, leg: BrowserLegId) {
    desk.send(MediaCommand::OfferBrowser {
        leg,
        restart: false,
        policy: CodecPolicy::RelayFirst,
    });
    let offer = desk.wait(|fact| match fact {
        MediaEvent::BrowserOffer {
            leg: of,
            sdp,
            restart: false,
        } => (of == leg).then_some(sdp),
        _ => None,
    });
    let sdp = browser.answer(&offer);
    desk.send(MediaCommand::AnswerBrowser { leg, sdp });
    browser.live(|browser| browser.connected);
    let times = desk.wait(|fact| match fact {
        MediaEvent::BrowserState {
            state: BrowserState::Connected { ice, dtls },
            ..
        } => Some((ice, dtls)),
        _ => None,
    });
    assert!(times.0.is_some() && times.1.is_some(), "{times:?}");
}

/// The next digit that the peer hears.
fn hear_digit(peer: &UdpSocket) -> char {
    let mut receiver = telephone_event::Receiver::default();
    let mut buffer = [0; 2_000];
    loop {
        let (len, _) = peer.recv_from(&mut buffer).unwrap();
        let header = Header::parse(&buffer[..len]).unwrap();
        assert_eq!(header.payload_type, 101);
        let payload = &buffer[header.payload];
        if let Some(digit) = receiver.receive(header.ssrc, header.timestamp, payload) {
            return digit;
        }
    }
}

/// A-law on the SIP side and mu-law in the browser, a stranger, a digit, and the end.
#[test]
fn a_call_through_real_sockets() {
    let desk = Desk::new();
    let (leg, call, port) = (BrowserLegId(4), CallId(5), free_pair());
    let mut browser = Browser::new();
    connect(&desk, &mut browser, leg);

    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    let ours = SocketAddr::new(LOOPBACK, port);
    desk.send(MediaCommand::OpenPort { call, port });
    desk.send(MediaCommand::Plan(plan(
        call,
        leg,
        peer.local_addr().unwrap(),
    )));
    desk.wait_for(&MediaEvent::PortOpened { call, port });
    let stranger = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    stranger.send_to(&rtp(8, 7, &[0x66; 160]), ours).unwrap();
    peer.send_to(&rtp(8, 1, &[0x55; 160]), ours).unwrap();
    browser.live(|browser| !browser.heard.is_empty());
    assert_eq!(
        browser.heard.pop_front().unwrap(),
        [0x55; 160],
        "the stranger came first and was not heard"
    );
    desk.wait_for(&MediaEvent::FirstPacket {
        call,
        direction: MediaDirection::ToAgent,
    });

    browser.speak(Law::Mu.silence());
    let mut buffer = [0; 2_000];
    let (len, source) = peer.recv_from(&mut buffer).unwrap();
    let header = Header::parse(&buffer[..len]).unwrap();
    assert_eq!(
        (source, header.payload_type, buffer[12]),
        (ours, 8, Law::A.silence())
    );
    desk.wait_for(&MediaEvent::FirstPacket {
        call,
        direction: MediaDirection::ToCaller,
    });
    desk.send(MediaCommand::SendDigits {
        call,
        digits: "8".into(),
        tone: None,
    });
    assert_eq!(hear_digit(&peer), '8');

    desk.send(MediaCommand::CloseCall { call });
    let report = desk.wait(|fact| match fact {
        MediaEvent::CallClosed { report, .. } => Some(report),
        _ => None,
    });
    assert_eq!(
        (report.to_agent.packets, report.to_agent.lost),
        (1, Some(0))
    );
    assert_eq!(report.to_agent.rtt_ms, None, "no RTCP: not measured");
    desk.send(MediaCommand::CloseBrowser { leg });
    desk.wait_for(&MediaEvent::BrowserClosed { leg });
    let counters = desk.worker.counters();
    drop(desk);
    let counted = counters();
    assert_eq!(counted.rtp_wrong_source, 1);
    // The two by which it fades when the call ends.
    assert_eq!((counted.rtp_sip_in, counted.rtp_browser_out), (1, 1 + 2));
    assert!(counted.rtp_browser_in >= 1 && counted.rtp_sip_out >= 2);
}

/// Readiness is told once for a socket: more datagrams than one turn reads must not lie there until the next one comes.
#[test]
fn a_burst_is_read_to_its_end() {
    let desk = Desk::new();
    let (call, port) = (CallId(6), free_pair());
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    desk.send(MediaCommand::OpenPort { call, port });
    desk.send(MediaCommand::Plan(plan(
        call,
        BrowserLegId(0),
        peer.local_addr().unwrap(),
    )));
    desk.wait_for(&MediaEvent::PortOpened { call, port });
    // Legs are made meanwhile, so that the burst is there as a whole when the port gets its turn.
    for leg in 1..40 {
        desk.send(MediaCommand::OfferBrowser {
            leg: BrowserLegId(leg),
            restart: false,
            policy: CodecPolicy::RelayFirst,
        });
    }
    let ours = SocketAddr::new(LOOPBACK, port);
    let last = 190;
    for sequence in 0..last {
        peer.send_to(&rtp(8, sequence, &[0x55; 20]), ours).unwrap();
    }
    peer.send_to(&key_three(last), ours).unwrap();
    desk.wait_for(&MediaEvent::Digit { call, digit: '3' });
    desk.send(MediaCommand::CloseCall { call });
    let report = desk.wait(|fact| match fact {
        MediaEvent::CallClosed { report, .. } => Some(report),
        _ => None,
    });
    assert_eq!(
        (report.to_agent.packets, report.to_agent.lost),
        (191, Some(0))
    );
}

/// Somebody floods the port of a call, and the loop rests between its turns: what the caller says in between is heard all the same.
#[test]
fn a_flooded_port_is_read_by_more_than_a_packet_a_turn() {
    let (brake, run) = Brake::new();
    let desk = Desk::run_by(run);
    let peer = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let (call, port) = (CallId(7), free_pair());
    desk.send(MediaCommand::OpenPort { call, port });
    let remote = peer.local_addr().unwrap();
    desk.send(MediaCommand::Plan(plan(call, BrowserLegId(0), remote)));
    desk.wait_for(&MediaEvent::PortOpened { call, port });
    brake.stop(
        &desk,
        MediaCommand::Plan(plan(call, BrowserLegId(0), remote)),
    );
    for sequence in 0..100 {
        let packet = rtp(8, sequence, &[0x55; 20]);
        peer.send_to(&packet, (LOOPBACK, port)).unwrap();
    }
    brake.turns(3);
    let read = desk.worker.counters()().rtp_sip_in;
    brake.release();
    assert_eq!(read, 100);
}
