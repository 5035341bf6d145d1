//! The field's loop: wait, obey, receive, and send what is due.

use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token};
use tokio::sync::oneshot;

use super::ends::{Page, Plain, payload};
use super::{Map, Order, Sound, Window};
use crate::Result;
use crate::load::samples::Samples;
use crate::load::speech::{Ear, Speech};
use crate::load::stamp::{Sender, Stamp};
use crate::opus::OpusEar;

/// Wakes the loop for an order.
pub(super) const WAKE: Token = Token(0);

/// Between two packets of an end.
const PACKET: Duration = Duration::from_millis(20);

/// Sessions whose speech is listened to: as many marks as that many in a second are plenty, and the load has no time to decode them all.
const LISTENED_TO: usize = 10;

/// What a packet that is on its way when the window closes is given to arrive.
const LAST_ARRIVALS: Duration = Duration::from_millis(600);

/// A session that was asked to be answered.
#[derive(Debug, Default)]
struct Audible {
    asked_at: Option<Instant>,
    page: bool,
    caller: bool,
}

impl Audible {
    /// The first packet at one of the ends, if this is it: how long it took since the wish.
    fn first(asked_at: Option<Instant>, heard: &mut bool, now: Instant) -> Option<Duration> {
        if std::mem::replace(heard, true) {
            return None;
        }
        asked_at.map(|at| now.saturating_duration_since(at))
    }
}

struct Session {
    page: Page,
    caller: Plain,
    audible: Audible,
    /// Of a session that is listened to.
    ears: Option<Ears>,
}

impl Session {
    /// There is a telephone at the other end. A page without a call speaks to nobody, who misses nothing.
    const fn is_called(&self) -> bool {
        self.caller.to.is_some()
    }
}

/// Both ends listen for marks in the speech.
struct Ears {
    page: Ear,
    caller: Ear,
}

impl Ears {
    fn new(speech: &Speech) -> Result<Self> {
        Ok(Self {
            page: Ear::new(Some(OpusEar::new()?), 0),
            caller: Ear::new(None, speech.opus_shift()),
        })
    }

    /// The ear that hears this sender.
    fn of(&mut self, sender: Sender) -> &mut Ear {
        match sender {
            Sender::Page => &mut self.caller,
            Sender::Caller => &mut self.page,
        }
    }
}

pub(super) struct EventLoop {
    poll: Poll,
    orders: Receiver<Order>,
    sessions: Vec<Session>,
    /// What is said, unless that is stamps.
    speech: Option<Speech>,
    window: Window,
    closing: Option<(Instant, oneshot::Sender<Window>)>,
    began: Instant,
    /// Turns of single sessions so far; a session's turn comes every 20 ms.
    turns: u64,
    buffer: Vec<u8>,
}

impl EventLoop {
    pub(super) fn new(
        poll: Poll,
        orders: Receiver<Order>,
        map: &Map,
        sessions: usize,
        sound: Sound,
    ) -> Result<Self> {
        let speech = match sound {
            Sound::Stamps => None,
            Sound::Speech => Some(Speech::new()?),
        };
        let step = sessions.div_ceil(LISTENED_TO).max(1);
        let mut ends = Vec::new();
        for session in 0..sessions {
            let mut page = Page::bind(map.page(session))?;
            let mut caller = Plain::bind(map.caller(session))?;
            let (page_token, caller_token) = tokens(session);
            let registry = poll.registry();
            registry.register(&mut page.plain.socket, page_token, Interest::READABLE)?;
            registry.register(&mut caller.socket, caller_token, Interest::READABLE)?;
            let ears = speech.as_ref().filter(|_| session % step == 0);
            ends.push(Session {
                page,
                caller,
                audible: Audible::default(),
                ears: ears.map(Ears::new).transpose()?,
            });
        }
        Ok(Self {
            poll,
            orders,
            sessions: ends,
            speech,
            window: Window::default(),
            closing: None,
            began: Instant::now(),
            turns: 0,
            buffer: vec![0; 2048],
        })
    }

    pub(super) fn run(&mut self) {
        let mut events = Events::with_capacity(1024);
        loop {
            let wait = self
                .due(self.turns)
                .saturating_duration_since(Instant::now());
            // An interrupted wait is a turn without events.
            drop(self.poll.poll(&mut events, Some(wait)));
            if !self.obey() {
                return;
            }
            for event in &events {
                if event.token() != WAKE {
                    self.receive(event.token());
                }
            }
            while self.due(self.turns) <= Instant::now() {
                self.send(self.turns);
                self.turns += 1;
            }
            self.hand_over();
        }
    }

    /// When a turn is due: the sessions share out 20 ms evenly.
    fn due(&self, turn: u64) -> Instant {
        let sessions = self.sessions.len() as u64;
        let at_ns = turn.saturating_mul(PACKET.as_nanos() as u64) / sessions;
        self.began + Duration::from_nanos(at_ns)
    }

    fn since_ns(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.began).as_nanos()).unwrap_or(u64::MAX)
    }

    /// Obeys what has been asked; `false` when that is to stop.
    fn obey(&mut self) -> bool {
        while let Ok(order) = self.orders.try_recv() {
            let now = Instant::now();
            match order {
                Order::Offer {
                    session,
                    sdp,
                    answer,
                    connected,
                } => {
                    let opus = self.speech.is_some();
                    let page = &mut self.sessions[session].page;
                    drop(answer.send(page.offered(now, &sdp, opus, connected)));
                    self.drain_page(session, now);
                }
                Order::PlainPage { session, to } => {
                    self.sessions[session].page.plain.to = Some(to);
                }
                Order::Caller { session, to } => self.sessions[session].caller.to = Some(to),
                Order::HangUp { session } => self.sessions[session].caller.to = None,
                Order::Vanish { session } => self.sessions[session].page.peer = None,
                Order::Talk { session, at } => {
                    self.sessions[session].audible.asked_at = Some(at);
                }
                Order::OpenWindow => self.window.open(self.since_ns(now)),
                Order::CloseWindow(reply) => {
                    self.window.close(self.since_ns(now));
                    self.closing = Some((now + LAST_ARRIVALS, reply));
                }
                Order::Stop => return false,
            }
        }
        true
    }

    fn hand_over(&mut self) {
        if self
            .closing
            .as_ref()
            .is_some_and(|(at, _)| *at <= Instant::now())
            && let Some((_, reply)) = self.closing.take()
        {
            drop(reply.send(self.window.clone()));
        }
    }

    /// One turn: a page speaks, and the telephone of the session half a round away, so that the two
    /// directions of a call are not in step.
    fn send(&mut self, turn: u64) {
        let now = Instant::now();
        let count = self.sessions.len();
        let late = now.saturating_duration_since(self.due(turn));
        let session = (turn % count as u64) as usize;
        self.sessions[session].page.tick(now);
        if self.speech.is_some() {
            self.say(session, Sender::Page, late);
            self.drain_page(session, now);
            return self.say((session + count / 2) % count, Sender::Caller, late);
        }
        let mut stamp = Stamp {
            session: session as u32,
            sender: Sender::Page,
            at_ns: self.since_ns(now),
        };
        let ends = &mut self.sessions[session];
        if ends.page.send(now, &stamp.payload()) && ends.is_called() {
            self.window.sent(&stamp, late);
        }
        self.drain_page(session, now);

        let now = Instant::now();
        let session = (session + count / 2) % count;
        stamp = Stamp {
            session: session as u32,
            sender: Sender::Caller,
            at_ns: self.since_ns(now),
        };
        if self.sessions[session].caller.send(&stamp.payload()) {
            self.window.sent(&stamp, late);
        }
    }

    /// An end says its next 20 ms of the speech.
    fn say(&mut self, session: usize, sender: Sender, late: Duration) {
        let Some(speech) = &self.speech else { return };
        let now = Instant::now();
        let turn = self.turns / self.sessions.len() as u64;
        let now_ns = self.since_ns(now);
        let ends = &mut self.sessions[session];
        let sent = match sender {
            Sender::Page => ends.page.send_opus(now, speech.page(session, turn)),
            Sender::Caller => ends.caller.send(speech.caller(session, turn)),
        };
        if !sent || !ends.is_called() {
            return;
        }
        self.window.said(sender, now_ns, late);
        if let Some(ears) = ends
            .ears
            .as_mut()
            .filter(|_| Speech::is_marked(session, turn))
        {
            ears.of(sender).sent(now_ns);
        }
    }

    /// An end has heard 20 ms of the other's speech, which `sender` is.
    fn listen(&mut self, session: usize, sender: Sender, now: Instant, payload: &[u8]) {
        let now_ns = self.since_ns(now);
        self.window.listened(sender, now_ns);
        self.audible(session, sender, now);
        if let Some(ears) = &mut self.sessions[session].ears
            && let Some(mark) = ears.of(sender).hear(now_ns, payload)
        {
            self.window.mark(sender, mark);
        }
    }

    /// Reads a socket until it is empty.
    fn receive(&mut self, token: Token) {
        let (session, is_page) = of(token);
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(ends) = self.sessions.get_mut(session) {
            let socket = if is_page {
                &ends.page.plain.socket
            } else {
                &ends.caller.socket
            };
            let (len, from) = match socket.recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                // An ICMP error of an earlier datagram, told once.
                Err(_) => continue,
            };
            let now = Instant::now();
            let datagram = &buffer[..len];
            if is_page && ends.page.peer.is_some() {
                ends.page.receive(now, from, datagram);
                self.drain_page(session, now);
            } else if let Some(payload) = payload(datagram) {
                let sender = if is_page {
                    Sender::Caller
                } else {
                    Sender::Page
                };
                self.hear(session, sender, now, payload);
            }
        }
        self.buffer = buffer;
    }

    fn drain_page(&mut self, session: usize, now: Instant) {
        let mut heard = Vec::new();
        self.sessions[session]
            .page
            .drain(|payload| heard.push(payload.to_vec()));
        for payload in heard {
            self.hear(session, Sender::Caller, now, &payload);
        }
    }

    /// An end has heard a packet of the other, which `sender` is.
    fn hear(&mut self, session: usize, sender: Sender, now: Instant, payload: &[u8]) {
        if self.speech.is_some() {
            self.listen(session, sender, now, payload);
        } else if let Some(stamp) = Stamp::read(payload) {
            self.heard(session, sender, now, stamp);
        }
    }

    /// An end has heard a packet, which should be of its own session and from the other end of it.
    fn heard(&mut self, session: usize, sender: Sender, now: Instant, stamp: Stamp) {
        if stamp.session as usize != session || stamp.sender != sender {
            self.window.stray += 1;
            return;
        }
        self.audible(session, sender, now);
        let now_ns = self.since_ns(now);
        self.window.received(&stamp, now_ns);
    }

    /// The first packet of a call is timed from the wish that it be answered.
    fn audible(&mut self, session: usize, sender: Sender, now: Instant) {
        let audible = &mut self.sessions[session].audible;
        let (heard, samples): (&mut bool, &mut Samples) = match sender {
            Sender::Caller => (&mut audible.page, &mut self.window.talk_to_agent),
            Sender::Page => (&mut audible.caller, &mut self.window.talk_to_caller),
        };
        if let Some(took) = Audible::first(audible.asked_at, heard, now) {
            samples.add(took);
        }
    }
}

/// Tokens of a session's page and telephone.
const fn tokens(session: usize) -> (Token, Token) {
    (Token(1 + 2 * session), Token(2 + 2 * session))
}

/// Session of a token, and whether it is the page's.
const fn of(token: Token) -> (usize, bool) {
    ((token.0 - 1) / 2, !token.0.is_multiple_of(2))
}
