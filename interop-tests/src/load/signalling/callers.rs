//! Callers in an open loop: a call begins when its time has come, whatever became of the calls before it.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde::Serialize;
use tokio::sync::oneshot;

use super::super::samples::Samples;
use super::super::sip_text::{self, Dialog, header, status, tag};
use super::super::{Map, dn};
use crate::{Result, Site};

/// A call that is not over by then has failed: nothing that is lost on the way is sent again by us, so that a gateway that
/// loses messages shows.
const CALL_MAX: Duration = Duration::from_secs(4);

/// The longest wait of the thread before it looks for orders.
const PATIENCE: Duration = Duration::from_millis(2);

/// What one step of a rate came to.
#[derive(Debug, Clone, Default)]
pub(super) struct Tally {
    pub(super) begun: u64,
    pub(super) completed: u64,
    pub(super) failed: Failures,
    pub(super) invite_to_ringing: Samples,
    pub(super) talk_to_ok: Samples,
    pub(super) reinvite_to_ok: Samples,
    /// How late our own thread began calls.
    pub(super) lateness: Samples,
}

/// Calls that did not get to their end, by the reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Failures {
    /// No agent was free: the calls before it last too long.
    pub no_agent: u64,
    /// Answered with something else than hoped for.
    pub refused: u64,
    /// Not over after four seconds.
    pub overdue: u64,
}

impl Failures {
    pub(super) fn all(self) -> u64 {
        self.no_agent + self.refused + self.overdue
    }
}

enum Order {
    Run {
        rate_per_s: f64,
        window: Duration,
        reply: oneshot::Sender<Tally>,
    },
    Stop,
}

/// The thread of all callers; it ends on drop.
#[derive(Debug)]
pub(super) struct Callers {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl Callers {
    /// Listens at the site's SIP Server address, grants every registration, and calls `agents` DNs in turns.
    pub(super) fn start(site: &Site, map: Map, agents: usize) -> Result<Self> {
        let socket = UdpSocket::bind(site.server_sip())?;
        let (sender, orders) = channel();
        let mut actor = Actor {
            socket,
            orders,
            map,
            us: site.server_sip(),
            gateway: site.gateway_sip(),
            free: (0..agents).collect(),
            calls: BTreeMap::new(),
            numbers: 0,
            step: None,
        };
        let thread = std::thread::Builder::new()
            .name("load-callers".to_owned())
            .spawn(move || actor.run())?;
        Ok(Self {
            orders: sender,
            thread: Some(thread),
        })
    }

    /// Begins `rate_per_s` calls a second for the length of a window and waits until they are over.
    pub(super) async fn run(&self, rate_per_s: f64, window: Duration) -> Result<Tally> {
        let (reply, tally) = oneshot::channel();
        self.orders.send(Order::Run {
            rate_per_s,
            window,
            reply,
        })?;
        Ok(tally.await?)
    }
}

impl Drop for Callers {
    fn drop(&mut self) {
        drop(self.orders.send(Order::Stop));
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already failed the run.
            drop(thread.join());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Invited,
    TalkAsked,
    Reinvited,
    Ending,
}

struct Call {
    dialog: Dialog,
    agent: usize,
    phase: Phase,
    /// When the request went out whose answer is awaited.
    at: Instant,
    began: Instant,
}

/// A rate that is held for a while.
struct Step {
    next: Instant,
    gap: Duration,
    until: Instant,
    tally: Tally,
    reply: oneshot::Sender<Tally>,
}

struct Actor {
    socket: UdpSocket,
    orders: Receiver<Order>,
    map: Map,
    us: SocketAddr,
    gateway: SocketAddr,
    free: VecDeque<usize>,
    calls: BTreeMap<usize, Call>,
    numbers: usize,
    step: Option<Step>,
}

impl Actor {
    fn run(&mut self) {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.orders.try_recv() {
                Ok(Order::Run {
                    rate_per_s,
                    window,
                    reply,
                }) => self.begin(rate_per_s, window, reply),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            self.start_due();
            self.finish();
            let next = self.step.as_ref().map(|step| step.next);
            let wait = next
                .map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()))
                .clamp(Duration::from_micros(50), PATIENCE);
            if self.socket.set_read_timeout(Some(wait)).is_err() {
                return;
            }
            // A wait that ends without a datagram is no failure.
            if let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
                let now = Instant::now();
                self.receive(now, from, &String::from_utf8_lossy(&buffer[..len]));
            }
        }
    }

    fn begin(&mut self, rate_per_s: f64, window: Duration, reply: oneshot::Sender<Tally>) {
        let now = Instant::now();
        self.step = Some(Step {
            next: now,
            gap: Duration::from_secs_f64(1.0 / rate_per_s),
            until: now + window,
            tally: Tally::default(),
            reply,
        });
    }

    fn start_due(&mut self) {
        loop {
            let now = Instant::now();
            let Some(step) = self.step.as_mut() else {
                return;
            };
            if step.next > now || step.next >= step.until {
                return;
            }
            step.tally.begun += 1;
            step.tally
                .lateness
                .add(now.saturating_duration_since(step.next));
            step.next += step.gap;
            match self.free.pop_front() {
                Some(agent) => self.invite(now, agent),
                None => step.tally.failed.no_agent += 1,
            }
        }
    }

    fn invite(&mut self, now: Instant, agent: usize) {
        self.numbers += 1;
        let dialog = Dialog {
            session: self.numbers,
            dn: dn(agent),
            us: self.us,
            them: self.gateway,
            caller: self.map.caller(agent),
            their_tag: None,
        };
        let text = dialog.invite();
        let call = Call {
            dialog,
            agent,
            phase: Phase::Invited,
            at: now,
            began: now,
        };
        self.calls.insert(self.numbers, call);
        self.send(&text);
    }

    fn send(&self, text: &str) {
        // What the kernel does not take is missed by whoever waits for its answer.
        drop(self.socket.send_to(text.as_bytes(), self.gateway));
    }

    fn receive(&mut self, now: Instant, from: SocketAddr, message: &str) {
        let Some(code) = status(message) else {
            if !message.starts_with("ACK ") {
                drop(self.socket.send_to(sip_text::ok(message).as_bytes(), from));
            }
            return;
        };
        let number = header(message, "Call-ID").and_then(Dialog::session_of);
        let Some(number) = number.filter(|number| self.calls.contains_key(number)) else {
            return;
        };
        match (header(message, "CSeq").unwrap_or_default(), code) {
            ("1 INVITE", 180) => self.rings(now, number, message),
            ("1 INVITE", 200) => self.answered(now, number),
            ("3 INVITE", 200) => self.agreed(now, number),
            ("4 BYE", 200) => self.over(number),
            (_, 100..300) => {}
            _ => self.fail(number, |failures| &mut failures.refused),
        }
    }

    fn rings(&mut self, now: Instant, number: usize, message: &str) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        if call.phase != Phase::Invited {
            return;
        }
        call.phase = Phase::TalkAsked;
        call.dialog.their_tag = header(message, "To").and_then(tag).map(str::to_owned);
        let rung = now.saturating_duration_since(call.at);
        call.at = Instant::now();
        let text = call.dialog.talk();
        self.send(&text);
        self.note(|tally| tally.invite_to_ringing.add(rung));
    }

    /// ACK, and the re-INVITE without SDP that SIP Server sends right behind it.
    fn answered(&mut self, now: Instant, number: usize) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let ack = call.dialog.ack();
        let first = call.phase == Phase::TalkAsked;
        let took = now.saturating_duration_since(call.at);
        let again = call.dialog.reinvite();
        if first {
            call.phase = Phase::Reinvited;
            call.at = Instant::now();
        }
        self.send(&ack);
        if first {
            self.send(&again);
            self.note(|tally| tally.talk_to_ok.add(took));
        }
    }

    fn agreed(&mut self, now: Instant, number: usize) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let ack = call.dialog.ack_reinvite();
        let first = call.phase == Phase::Reinvited;
        let took = now.saturating_duration_since(call.at);
        let bye = call.dialog.bye_after_reinvite();
        if first {
            call.phase = Phase::Ending;
        }
        self.send(&ack);
        if first {
            self.send(&bye);
            self.note(|tally| tally.reinvite_to_ok.add(took));
        }
    }

    fn over(&mut self, number: usize) {
        if let Some(call) = self.calls.remove(&number) {
            self.free.push_back(call.agent);
            self.note(|tally| tally.completed += 1);
        }
    }

    fn fail(&mut self, number: usize, which: fn(&mut Failures) -> &mut u64) {
        if let Some(call) = self.calls.remove(&number) {
            self.free.push_back(call.agent);
            self.note(|tally| *which(&mut tally.failed) += 1);
        }
    }

    fn note(&mut self, what: impl FnOnce(&mut Tally)) {
        if let Some(step) = &mut self.step {
            what(&mut step.tally);
        }
    }

    /// The step is over when its window is and every call has ended, well or not.
    fn finish(&mut self) {
        let now = Instant::now();
        while let Some((number, call)) = self.calls.first_key_value()
            && now.saturating_duration_since(call.began) > CALL_MAX
        {
            let number = *number;
            self.fail(number, |failures| &mut failures.overdue);
        }
        let done = |step: &mut Step| step.next >= step.until && self.calls.is_empty();
        if let Some(step) = self.step.take_if(done) {
            drop(step.reply.send(step.tally));
        }
    }
}
