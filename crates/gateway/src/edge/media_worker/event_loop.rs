//! The worker's loop: wait, obey commands, move datagrams, keep time, report.

use std::collections::VecDeque;
use std::io;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use media::browser_leg::{Endpoint, LegKind};
use media::limits::DATAGRAM_MAX;
use media::patchbay::{Event, Patchbay};
use switchboard::{MediaCommand, MediaEvent};

use super::load::LoadMeter;
use super::poll::{Events, Poll, Token};
use super::processor::look;
use super::shared::Shared;
use super::sockets::{Port, Sockets};
use super::translate;
use super::waiting::{Engaged, Waiting};
use super::{Adoption, Tell};
use crate::limits::ICE_TCP_LOOK_EVERY;
use crate::pace::Pace;

/// Wakes the loop for a command.
pub(super) const WAKE: Token = Token(0);

/// Readiness taken from the kernel in one turn.
pub(super) const EVENTS_MAX: usize = 1_024;

/// Datagrams read from the WebRTC port, or a connection, before the others get their turn: a flood on one port must not silence the rest.
const BURST_MAX: usize = 128;

/// Packets that are found together, or the loop does not rest for them: at 20 a rest saves a seventh, at 10 nothing, and at 5 it costs a third.
const PACKETS_TOGETHER: u32 = 16;

/// From one turn of a loop that rests to the next. Two milliseconds save a sixth of a hundred calls, which wait one more at p99; at 50 the 3.2 ms that
/// it would take save nothing. Three quarters of one cost 400 calls no more than a whole one, and their slowest packets wait for a fifth less.
const APART: RangeInclusive<Duration> = Duration::from_micros(750)..=Duration::from_millis(2);

/// Commands obeyed before sockets get their turn.
const COMMANDS_PER_TURN: usize = 256;

/// Looks at what has come before somebody listens, at most: the browsers' buffer holds no more than a hundred bursts of small packets, and what floods a
/// port faster than it is read must not hold up the calls.
const CATCH_UP_READS_MAX: usize = 128;

/// Between two log lines about datagrams that could not be sent.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct EventLoop {
    poll: Poll,
    sockets: Sockets,
    patchbay: Patchbay,
    commands: Arc<Waiting>,
    newcomers: Receiver<Adoption>,
    /// When the browsers' connections are looked over next.
    sweep_at: Instant,
    shared: Arc<Shared>,
    tell: Tell,
    load: LoadMeter,
    pace: Pace,
    buffer: Box<[u8; DATAGRAM_MAX]>,
    /// Connections that had more to read than their share.
    unread: VecDeque<Port>,
    /// Commands by which somebody listens from now on, and those that follow them.
    openers: Vec<MediaCommand>,
    /// Counted from 1.
    turn: u64,
    commands_wait: bool,
    unsent: u64,
    complained_at: Option<Instant>,
}

impl Drop for EventLoop {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Release);
    }
}

impl EventLoop {
    pub(super) fn new(
        poll: Poll,
        sockets: Sockets,
        patchbay: Patchbay,
        (commands, newcomers): (Arc<Waiting>, Receiver<Adoption>),
        shared: Arc<Shared>,
        (tell, load): (Tell, LoadMeter),
    ) -> Self {
        Self {
            poll,
            sockets,
            patchbay,
            commands,
            newcomers,
            sweep_at: Instant::now(),
            shared,
            tell,
            load,
            pace: Pace::new(Instant::now(), PACKETS_TOGETHER, APART),
            buffer: Box::new([0; DATAGRAM_MAX]),
            unread: VecDeque::new(),
            openers: Vec::new(),
            turn: 0,
            commands_wait: false,
            unsent: 0,
            complained_at: None,
        }
    }

    /// Runs until it is asked to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        while !self.shared.stop.load(Ordering::Acquire) {
            if let Err(error) = self.once(&mut events) {
                tracing::error!(%error, "a media worker cannot wait for its sockets");
                return;
            }
        }
        self.patchbay.close_all(Instant::now(), &mut self.sockets);
        self.report();
    }

    /// Waits once, and does what there is to do then.
    pub(super) fn once(&mut self, events: &mut Events) -> io::Result<()> {
        let mut now = Instant::now();
        if let Some(report) = self.load.waits(now, look) {
            (self.tell)(report);
        }
        let wanted = self.wanted(now);
        if let Some(rest) = self.pace.rest(now, wanted) {
            let rested = now + rest;
            std::thread::sleep(rest);
            now = Instant::now();
            self.load.wakes(now, rested);
        }
        let timeout = wanted.saturating_duration_since(now);
        match self.poll.wait(events, Some(timeout)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(error),
        }
        let woke = Instant::now();
        self.pace.turns(woke);
        self.load.wakes(woke, wanted);
        self.turn(events);
        Ok(())
    }

    /// When the loop has something to do, whatever comes.
    fn wanted(&mut self, now: Instant) -> Instant {
        if self.commands_wait || !self.unread.is_empty() {
            return now;
        }
        let sweep = (!self.sockets.lines().is_empty()).then_some(self.sweep_at);
        let soonest = self.patchbay.poll_timeout().into_iter().chain(sweep).min();
        let report = self.load.due();
        soonest.map_or(report, |at| at.min(report))
    }

    fn turn(&mut self, events: &Events) {
        self.turn += 1;
        self.obey();
        self.read_on();
        self.read(events);
        self.open();
        let now = Instant::now();
        if self.sweep_at <= now {
            self.sweep_at = now + ICE_TCP_LOOK_EVERY;
            self.sockets.lines().sweep(now);
        }
        if self.patchbay.poll_timeout().is_some_and(|at| at <= now) {
            self.patchbay.handle_timeout(now, &mut self.sockets);
        }
        self.report();
        self.shared.publish(self.patchbay.counters());
        self.complain(now);
    }

    /// Reads whoever is ready; whether anybody was.
    fn read(&mut self, events: &Events) -> bool {
        let mut any = false;
        for token in events.iter().filter(|token| *token != WAKE) {
            any = true;
            let port = Port::of(token);
            if let Port::Line(index) = port {
                self.sockets.lines().flush(index);
            }
            self.drain(port);
        }
        any
    }

    /// Reads the connections that had more than their share; whether there were any.
    fn read_on(&mut self) -> bool {
        let late = std::mem::take(&mut self.unread);
        let any = !late.is_empty();
        for port in late {
            self.drain(port);
        }
        any
    }

    /// Lets those listen who are to listen from now on. What was said before is not for them: a loop that hung finds it still in the kernel.
    fn open(&mut self) {
        if self.openers.is_empty() {
            return;
        }
        self.catch_up();
        for command in std::mem::take(&mut self.openers) {
            self.command(Instant::now(), command);
            self.report();
        }
    }

    /// Reads what has come by now.
    fn catch_up(&mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        for _ in 0..CATCH_UP_READS_MAX {
            if self.poll.wait(&mut events, Some(Duration::ZERO)).is_err() {
                break;
            }
            let more = self.read_on();
            if !self.read(&events) && !more {
                break;
            }
        }
        // A call to look at commands, or newcomers, may have been among what was read.
        self.commands_wait = true;
    }

    /// Reads a socket until it is empty or has had its share. A call's port has one packet, as a rule, so that is its share. One that had something in
    /// the turn before, too, has more than a call says: somebody floods it, and what the caller says would be lost behind that while the loop rests.
    fn drain(&mut self, port: Port) {
        let now = Instant::now();
        let again = self.sockets.looks(port, self.turn);
        let share = match port {
            Port::Rtp(_) | Port::Rtcp(_) if !again => 1,
            Port::Browser | Port::Line(_) | Port::Rtp(_) | Port::Rtcp(_) => BURST_MAX,
        };
        for _ in 0..share {
            let Some((len, source)) = self.sockets.receive(port, &mut self.buffer[..]) else {
                return;
            };
            self.pace.finds();
            let datagram = &mut self.buffer[..len];
            match port {
                Port::Browser => {
                    self.patchbay
                        .receive_browser(now, source, datagram, &mut self.sockets);
                }
                Port::Line(_) => {
                    let browser = Endpoint::tcp(source);
                    self.patchbay
                        .receive_browser(now, browser, datagram, &mut self.sockets);
                }
                Port::Rtp(index) => {
                    let Some(call) = self.sockets.call(index) else {
                        return;
                    };
                    self.patchbay
                        .receive_rtp(now, call, source, datagram, &mut self.sockets);
                }
                Port::Rtcp(index) => {
                    let Some(call) = self.sockets.call(index) else {
                        return;
                    };
                    self.patchbay.receive_rtcp(now, call, source, datagram);
                }
            }
        }
        if let Port::Line(_) = port {
            // Its readiness is told once; what is left must be remembered here.
            self.unread.push_back(port);
        }
    }

    fn obey(&mut self) {
        // Before the first look: a command that comes in after it calls again.
        let called = self.shared.called.swap(false, Ordering::AcqRel);
        if !called && !self.commands_wait {
            return;
        }
        self.commands_wait = false;
        self.adopt();
        for _ in 0..COMMANDS_PER_TURN {
            match self.commands.pop() {
                Ok(Some(command)) if self.waits(&command) => self.openers.push(command),
                Ok(Some(command)) => self.command(Instant::now(), command),
                Ok(None) => return,
                Err(Engaged) => break,
            }
            self.report();
        }
        self.commands_wait = true;
    }

    /// Whether a command lets somebody listen, or is about one who waits for that: it is obeyed when what has come by now is read. Whatever else ends or opens
    /// something is obeyed first, so that nothing is said on by a plan that is over.
    fn waits(&self, command: &MediaCommand) -> bool {
        let of = tap_of(command);
        let opens = matches!(
            command,
            MediaCommand::OpenTap { .. } | MediaCommand::PauseTap { paused: false, .. }
        );
        opens || of.is_some() && self.openers.iter().any(|waits| tap_of(waits) == of)
    }

    /// Takes over connections whose first check is for a leg of ours, and gives the others back.
    fn adopt(&mut self) {
        while let Ok((newcomer, back)) = self.newcomers.try_recv() {
            if !self.patchbay.has_leg(&newcomer.ufrag) {
                // Nobody waits for it any more where the gateway ends.
                drop(back.send(newcomer));
                continue;
            }
            match self.sockets.adopt(Instant::now(), newcomer) {
                // What has come with the first check is told by no readiness.
                Ok(port) => self.unread.push_back(port),
                Err(error) => tracing::warn!(%error, "a browser's connection cannot be watched"),
            }
        }
    }

    fn command(&mut self, now: Instant, command: MediaCommand) {
        let (patchbay, sockets) = (&mut self.patchbay, &mut self.sockets);
        match command {
            MediaCommand::OfferBrowser {
                leg,
                restart,
                policy,
            } => {
                let leg = translate::leg_id(leg);
                let manner = (LegKind::Warm, translate::preference(policy));
                patchbay.offer_browser(now, leg, manner, restart, sockets);
            }
            MediaCommand::AnswerBrowser { leg, sdp } => {
                patchbay.answer_browser(now, translate::leg_id(leg), &sdp, sockets);
            }
            MediaCommand::CandidateBrowser { leg, candidate } => {
                // The end of candidates needs no act: the engine learns the browser from its checks.
                if let Some(line) = candidate {
                    patchbay.candidate_browser(now, translate::leg_id(leg), &line, sockets);
                }
            }
            MediaCommand::CloseBrowser { leg } => {
                patchbay.close_browser(now, translate::leg_id(leg), sockets);
            }
            MediaCommand::OpenPort { call, port } => self.open_port(now, call, port),
            MediaCommand::Plan(plan) => {
                let call = translate::call_id(plan.call);
                patchbay.plan(now, call, translate::plan(&plan), sockets);
            }
            MediaCommand::SendDigits { call, digits, tone } => {
                patchbay.send_digits(now, translate::call_id(call), &digits, tone, sockets);
            }
            MediaCommand::Beep { call } => patchbay.beep(now, translate::call_id(call), sockets),
            MediaCommand::OpenTap {
                call,
                tap,
                rate_hz,
                beep,
                paused,
            } => {
                let call = translate::call_id(call);
                let settings = translate::tap(rate_hz, beep, paused);
                // One tap more than may be is one that hears nothing: its file is silent, and closed with the call.
                patchbay.open_tap(now, call, translate::tap_id(tap), settings, sockets);
            }
            MediaCommand::PauseTap { call, tap, paused } => {
                patchbay.pause_tap(translate::call_id(call), translate::tap_id(tap), paused);
            }
            MediaCommand::CloseTap { call, tap } => {
                patchbay.close_tap(translate::call_id(call), translate::tap_id(tap));
                (self.tell)(MediaEvent::TapClosed { tap });
            }
            MediaCommand::CloseCall { call } => {
                patchbay.close_call(now, translate::call_id(call), sockets);
            }
        }
    }

    fn open_port(&mut self, now: Instant, call: switchboard::CallId, port: u16) {
        let id = translate::call_id(call);
        let failed = |taken| MediaEvent::PortFailed { call, port, taken };
        let event = match self.sockets.open(id, port) {
            Ok(pair) if self.patchbay.open_call(now, id, pair) => {
                MediaEvent::PortOpened { call, port }
            }
            Ok(pair) => {
                self.sockets.close(pair);
                failed(false)
            }
            Err(error) => {
                tracing::warn!(port, %error, "an RTP port cannot be bound");
                failed(error.kind() == std::io::ErrorKind::AddrInUse)
            }
        };
        (self.tell)(event);
    }

    /// Passes facts on, and closes the ports of calls that are over.
    fn report(&mut self) {
        while let Some(event) = self.patchbay.poll_event() {
            if let Event::CallClosed { port, .. } = &event {
                self.sockets.close(*port);
            }
            if let Some(fact) = translate::fact(event) {
                (self.tell)(fact);
            }
        }
    }

    fn complain(&mut self, now: Instant) {
        self.unsent += self.sockets.take_unsent();
        let quiet = self
            .complained_at
            .is_some_and(|at| now < at + COMPLAIN_EVERY);
        if self.unsent > 0 && !quiet {
            tracing::warn!(
                datagrams = self.unsent,
                "media that the kernel did not take"
            );
            self.unsent = 0;
            self.complained_at = Some(now);
        }
    }
}

/// Whose listening a command is about.
const fn tap_of(command: &MediaCommand) -> Option<switchboard::TapId> {
    match command {
        MediaCommand::OpenTap { tap, .. }
        | MediaCommand::PauseTap { tap, .. }
        | MediaCommand::CloseTap { tap, .. } => Some(*tap),
        _ => None,
    }
}
