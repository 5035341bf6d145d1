//! SIP Server, as far as a call needs it: on a thread of its own, so that the times on the wire are
//! not those of a busy loop.

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::field::Orders;
use super::samples::Samples;
use super::sip_text::{self, Dialog, audio_address, header, status, tag};
use super::{CALLS_PER_S, Map, dn};
use crate::{Result, Site};

/// A call that has not got so far by then never will: nothing is lost on a loopback interface that a
/// retransmission of the gateway would not have brought back.
const CALL_MAX: Duration = Duration::from_secs(10);

/// The longest wait of the thread before it looks for orders.
const PATIENCE: Duration = Duration::from_millis(5);

/// What calls took on the wire.
#[derive(Debug, Clone, Default)]
pub struct CallTimes {
    /// From INVITE to 180.
    pub invite_to_ringing: Samples,
    /// From NOTIFY talk to the 200 of the INVITE.
    pub talk_to_ok: Samples,
    /// Calls that the gateway was too busy for (503).
    pub refused: usize,
}

impl CallTimes {
    /// Adds those of other calls.
    pub fn join(&mut self, other: &Self) {
        self.invite_to_ringing.join(&other.invite_to_ringing);
        self.talk_to_ok.join(&other.talk_to_ok);
        self.refused += other.refused;
    }
}

#[derive(Debug)]
enum Order {
    Call(Range<usize>, oneshot::Sender<Result<CallTimes>>),
    HangUp(Range<usize>, oneshot::Sender<Result<CallTimes>>),
    Stop,
}

/// The thread that is SIP Server; it ends on drop.
#[derive(Debug)]
pub struct SipServer {
    orders: Sender<Order>,
    thread: Option<JoinHandle<()>>,
}

impl SipServer {
    /// Listens at the site's SIP Server address. Calls of the field's telephones go to the gateway.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start(site: &Site, map: Map, field: Orders) -> Result<Self> {
        let socket = UdpSocket::bind(site.server_sip())?;
        let (sender, orders) = channel();
        let mut actor = Actor {
            socket,
            orders,
            field,
            map,
            us: site.server_sip(),
            gateway: site.gateway_sip(),
            calls: Vec::new(),
            agenda: VecDeque::new(),
            batch: None,
        };
        let thread = std::thread::Builder::new()
            .name("load-sip".to_owned())
            .spawn(move || actor.run())?;
        Ok(Self {
            orders: sender,
            thread: Some(thread),
        })
    }

    /// Sets the calls of some sessions up, one after the other, and has each answered as soon as it
    /// rings.
    ///
    /// # Errors
    /// When one of them does not come about.
    pub async fn call(&self, sessions: Range<usize>) -> Result<CallTimes> {
        let times = self.offer(sessions).await?;
        match times.refused {
            0 => Ok(times),
            refused => Err(format!("{refused} calls got 503").into()),
        }
    }

    /// The same where the gateway may refuse some.
    ///
    /// # Errors
    /// When one of them neither comes about nor is refused.
    pub async fn offer(&self, sessions: Range<usize>) -> Result<CallTimes> {
        self.order(|reply| Order::Call(sessions, reply)).await
    }

    /// Ends calls.
    ///
    /// # Errors
    /// When one of them does not end.
    pub async fn hang_up(&self, sessions: Range<usize>) -> Result<()> {
        self.order(|reply| Order::HangUp(sessions, reply))
            .await
            .map(drop)
    }

    async fn order(
        &self,
        order: impl FnOnce(oneshot::Sender<Result<CallTimes>>) -> Order,
    ) -> Result<CallTimes> {
        let (reply, done) = oneshot::channel();
        self.orders.send(order(reply))?;
        done.await?
    }
}

impl Drop for SipServer {
    fn drop(&mut self) {
        drop(self.orders.send(Order::Stop));
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has already failed the run.
            drop(thread.join());
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Invited,
    TalkAsked,
    Up,
    Ending,
    Over,
}

struct Call {
    dialog: Dialog,
    state: State,
    at: Instant,
}

/// Calls that are wanted together, and who waits for them.
struct Batch {
    goal: State,
    left: usize,
    latest: Instant,
    times: CallTimes,
    reply: oneshot::Sender<Result<CallTimes>>,
}

struct Actor {
    socket: UdpSocket,
    orders: Receiver<Order>,
    field: Orders,
    map: Map,
    us: SocketAddr,
    gateway: SocketAddr,
    calls: Vec<Option<Call>>,
    /// What is to be started, and when.
    agenda: VecDeque<(Instant, usize)>,
    batch: Option<Batch>,
}

impl Actor {
    fn run(&mut self) {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.orders.try_recv() {
                Ok(Order::Call(sessions, reply)) => self.begin(State::Up, sessions, reply),
                Ok(Order::HangUp(sessions, reply)) => self.begin(State::Over, sessions, reply),
                Ok(Order::Stop) | Err(TryRecvError::Disconnected) => return,
                Err(TryRecvError::Empty) => {}
            }
            self.start_due();
            self.give_up();
            let next = self.agenda.front().map(|(at, _)| *at);
            let wait = next
                .map_or(PATIENCE, |at| at.saturating_duration_since(Instant::now()))
                .clamp(Duration::from_micros(100), PATIENCE);
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

    fn begin(
        &mut self,
        goal: State,
        sessions: Range<usize>,
        reply: oneshot::Sender<Result<CallTimes>>,
    ) {
        let now = Instant::now();
        let gap = Duration::from_secs(1) / CALLS_PER_S;
        let mut at = now;
        self.batch = Some(Batch {
            goal,
            left: sessions.len(),
            latest: now + gap * sessions.len() as u32 + CALL_MAX,
            times: CallTimes::default(),
            reply,
        });
        for session in sessions {
            self.agenda.push_back((at, session));
            at += gap;
        }
        self.finish_when_done();
    }

    fn start_due(&mut self) {
        while let Some((at, session)) = self.agenda.front().copied()
            && at <= Instant::now()
        {
            self.agenda.pop_front();
            match self.batch.as_ref().map(|batch| batch.goal) {
                Some(State::Up) => self.invite(session),
                _ => self.bye(session),
            }
        }
    }

    fn invite(&mut self, session: usize) {
        let dialog = Dialog {
            session,
            dn: dn(session),
            us: self.us,
            them: self.gateway,
            caller: self.map.caller(session),
            their_tag: None,
        };
        if self.calls.len() <= session {
            self.calls.resize_with(session + 1, || None);
        }
        let text = dialog.invite();
        self.calls[session] = Some(Call {
            dialog,
            state: State::Invited,
            at: Instant::now(),
        });
        self.send(&text);
    }

    fn bye(&mut self, session: usize) {
        if let Some(call) = self.calls.get_mut(session).and_then(Option::as_mut) {
            call.state = State::Ending;
            let text = call.dialog.bye();
            self.send(&text);
        }
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
        let Some(session) = header(message, "Call-ID").and_then(Dialog::session_of) else {
            return;
        };
        let method = header(message, "CSeq").and_then(|cseq| cseq.split(' ').nth(1));
        match (method, code) {
            (Some("INVITE"), 180) => self.rings(now, session, message),
            (Some("INVITE"), 200) => self.answered(now, session, message),
            (Some("INVITE"), 503) => self.refused(session, message),
            (Some("BYE"), 200) => self.ended(session),
            (_, 100..300) => {}
            _ => {
                let line = message.lines().next().unwrap_or_default();
                self.fail(format!(
                    "the call of session {session}: {method:?} got {line}"
                ));
            }
        }
    }

    fn rings(&mut self, now: Instant, session: usize, message: &str) {
        let Some(call) = self.calls.get_mut(session).and_then(Option::as_mut) else {
            return;
        };
        if call.state != State::Invited {
            return;
        }
        call.state = State::TalkAsked;
        call.dialog.their_tag = header(message, "To").and_then(tag).map(str::to_owned);
        let rung = now.saturating_duration_since(call.at);
        let text = call.dialog.talk();
        call.at = Instant::now();
        self.field.talk(session, call.at);
        if let Some(batch) = &mut self.batch {
            batch.times.invite_to_ringing.add(rung);
        }
        self.send(&text);
    }

    fn answered(&mut self, now: Instant, session: usize, message: &str) {
        let Some(call) = self.calls.get_mut(session).and_then(Option::as_mut) else {
            return;
        };
        let ack = call.dialog.ack();
        let took = now.saturating_duration_since(call.at);
        let first = call.state == State::TalkAsked;
        if first {
            call.state = State::Up;
        }
        self.send(&ack);
        if !first {
            return;
        }
        let Some(rtp) = audio_address(message) else {
            self.fail(format!(
                "no audio in the answer of session {session}: {message}"
            ));
            return;
        };
        self.field.caller(session, rtp);
        if let Some(batch) = &mut self.batch {
            batch.times.talk_to_ok.add(took);
            batch.left -= 1;
        }
        self.finish_when_done();
    }

    fn refused(&mut self, session: usize, message: &str) {
        let Some(call) = self.calls.get_mut(session).and_then(Option::as_mut) else {
            return;
        };
        call.dialog.their_tag = header(message, "To").and_then(tag).map(str::to_owned);
        let ack = call.dialog.ack_refusal();
        let first = std::mem::replace(&mut call.state, State::Over) != State::Over;
        self.send(&ack);
        if let Some(batch) = self.batch.as_mut().filter(|_| first) {
            batch.times.refused += 1;
            batch.left -= 1;
        }
        self.finish_when_done();
    }

    fn ended(&mut self, session: usize) {
        let Some(call) = self.calls.get_mut(session).and_then(Option::as_mut) else {
            return;
        };
        if std::mem::replace(&mut call.state, State::Over) == State::Ending
            && let Some(batch) = &mut self.batch
        {
            batch.left -= 1;
        }
        self.finish_when_done();
    }

    fn finish_when_done(&mut self) {
        if let Some(batch) = self.batch.take_if(|batch| batch.left == 0) {
            drop(batch.reply.send(Ok(batch.times)));
        }
    }

    fn give_up(&mut self) {
        let late = self
            .batch
            .as_ref()
            .is_some_and(|batch| batch.latest < Instant::now());
        if let Some(left) = self.batch.as_ref().map(|batch| batch.left).filter(|_| late) {
            self.fail(format!(
                "{left} calls did not get where they should within {CALL_MAX:?}"
            ));
        }
    }

    fn fail(&mut self, why: String) {
        self.agenda.clear();
        if let Some(batch) = self.batch.take() {
            drop(batch.reply.send(Err(why.into())));
        }
    }
}
