//! What breaks beside the network: SIP Server itself, talkbridge's machine, browser legs.

use std::time::Duration;

use rand::RngExt;
use switchboard::{BrowserLegId, BrowserState, Input, MediaEvent};

use super::queue::Event;
use super::{Step, World};
use crate::tserver::{Control, RegisterMode};

/// How long talkbridge's machine may stand still: a live migration, a debugger, a suspended laptop.
const STALL_MS: std::ops::Range<u64> = 50..40_000;

/// How long a browser leg may be without consent before it comes back.
const LEG_AWAY_MS: std::ops::Range<u64> = 100..10_000;

/// How long a SIP Server refuses new calls before it goes down.
const SHUTDOWN_MS: std::ops::Range<u64> = 1_000..30_000;

/// How long a SIP Server stands still: longer than talkbridge waits for it, and less than that.
const HANGS_MS: std::ops::Range<u64> = 1_000..70_000;

/// How long a SIP Server is away.
const AWAY_MS: std::ops::Range<u64> = 500..70_000;

impl World {
    pub(super) fn something_breaks(&mut self) -> Step {
        match self.rng.random_range(0..100) {
            0..25 => {
                let server = self.any_server();
                self.control(server, Control::ExpireNonces)
            }
            25..50 => self.leg_is_lost(),
            50..58 => self.stall(),
            58..60 => self.page_stops_reading(),
            60..70 => self.registrar_misbehaves(),
            70..74 => self.server_hangs(),
            74..78 => self.refuse_calls(),
            78..82 => self.clock_jumps(),
            82..90 => self.server_goes(Control::Restart),
            90..97 => self.server_goes(Control::Switchover),
            97 => self.page_stops_reading(),
            _ => self.socket_refuses(),
        }
    }

    /// The system says that SIP Server's host or port is unreachable.
    pub(super) fn socket_refuses(&mut self) -> Step {
        let server = self.any_server();
        self.note(|| format!("the socket to SIP Server {} refuses", server.0));
        self.report.mishaps += 1;
        self.servers[server.0].health.unbroken = false;
        if self.streams.is_some() {
            self.streams_break(server);
            return Ok(());
        }
        self.oracle.socket_refuses(self.now);
        self.queue.lose(server);
        let to = self.server(server).address;
        self.board_handles(Input::SipTransmitFailed {
            transport: sip::ua::Transport::Udp,
            to,
        })
    }

    /// SIP Server goes down without a word and is there again at once: from its state of a moment ago (switch-over), or from nothing.
    pub(super) fn server_goes(&mut self, how: Control) -> Step {
        self.report.mishaps += 1;
        let server = self.any_server();
        self.control(server, how)
    }

    /// Site shutdown: calls of endpoints are refused for a while.
    fn refuse_calls(&mut self) -> Step {
        let status = match self.rng.random_range(0..4) {
            0 => Some(603),
            1 => Some(302),
            _ => None,
        };
        let server = self.any_server();
        self.control(server, Control::RefuseCalls(status))
    }

    fn registrar_misbehaves(&mut self) -> Step {
        self.report.mishaps += 1;
        let mode = match self.rng.random_range(0..6) {
            0 => RegisterMode::Silent,
            1 => RegisterMode::Unavailable { retry_after_s: 5 },
            2 => RegisterMode::Refuse(403),
            3 => RegisterMode::Refuse(404),
            _ => RegisterMode::Normal,
        };
        let server = self.any_server();
        self.control(server, Control::RegisterMode(mode))
    }

    /// The administrator puts everything right.
    pub(super) fn repair(&mut self) -> Step {
        for id in self.server_ids() {
            self.servers[id.0].wire.heal();
            self.comes_back(id)?;
            self.control(id, Control::RegisterMode(RegisterMode::Normal))?;
            self.control(id, Control::RefuseCalls(None))?;
            if self.server(id).health.deaf {
                self.turn_deaf(id, false)?;
            }
        }
        Ok(())
    }

    /// A page's browser is busy with something else: what it is sent fills its queue.
    fn page_stops_reading(&mut self) -> Step {
        let dn = self.any_dn();
        if let Some((page, _)) = self.browsers.of(&dn) {
            self.note(|| format!("page {} stops reading", page.0));
            self.browsers.stop_reading(page);
        }
        Ok(())
    }

    /// talkbridge's process gets no processor: what arrives waits, and its timers come late.
    fn stall(&mut self) -> Step {
        let pause = Duration::from_millis(self.rng.random_range(STALL_MS));
        self.stall_for(pause)
    }

    pub(super) fn stall_for(&mut self, pause: Duration) -> Step {
        self.stands_still(pause);
        self.step_until(self.stalled_until)
    }

    /// The same, from now on.
    pub(super) fn stands_still(&mut self, pause: Duration) {
        self.note(|| format!("talkbridge stands still for {pause:?}"));
        self.report.mishaps += 1;
        self.watch.begin_again();
        self.journeys.stand_still();
        self.waiting = 0;
        self.stalled_until = self.now + pause;
        self.oracle
            .gateway_stands_still(self.now, self.stalled_until);
    }

    /// A site or a server dies without a word, shuts down in order before it does, or is cut off with its calls going on; later it is back.
    pub(super) fn server_is_lost(&mut self) -> Step {
        let server = self.any_server();
        if self.server(server).health.away {
            return Ok(());
        }
        self.report.mishaps += 1;
        let mut at = self.now;
        let dead = match self.rng.random_range(0..4) {
            0 => false,
            1 => {
                let status = if self.rng.random() { 603 } else { 302 };
                self.control(server, Control::RefuseCalls(Some(status)))?;
                at += Duration::from_millis(self.rng.random_range(SHUTDOWN_MS));
                true
            }
            _ => true,
        };
        self.queue.at(at, Event::GoesAway { server, dead });
        at += Duration::from_millis(self.rng.random_range(AWAY_MS));
        self.queue.at(at, Event::ComesBack { server });
        Ok(())
    }

    pub(super) fn server_hangs(&mut self) -> Step {
        let server = self.any_server();
        let health = &self.server(server).health;
        if health.is_silent() {
            return Ok(());
        }
        self.report.mishaps += 1;
        let longest_ms = self.storm.hangs_ms.unwrap_or(HANGS_MS.end);
        let until =
            self.now + Duration::from_millis(self.rng.random_range(HANGS_MS.start..longest_ms));
        self.hangs(server, until);
        Ok(())
    }

    pub(super) fn leg_is_lost(&mut self) -> Step {
        let legs: Vec<BrowserLegId> = self.workers.legs.keys().copied().collect();
        if legs.is_empty() {
            return Ok(());
        }
        let leg = legs[self.rng.random_range(0..legs.len())];
        if self.rng.random() {
            return self.leg_fails(leg);
        }
        self.leg_loses_consent(leg)
    }

    /// The browsers' network is away for seconds.
    pub(super) fn legs_lose_consent(&mut self) -> Step {
        let legs: Vec<BrowserLegId> = self.workers.legs.keys().copied().collect();
        for leg in legs {
            self.leg_loses_consent(leg)?;
        }
        Ok(())
    }

    fn leg_loses_consent(&mut self, leg: BrowserLegId) -> Step {
        self.note(|| format!("{leg:?} loses consent"));
        self.workers.legs.insert(leg, false);
        let delay = Duration::from_millis(self.rng.random_range(LEG_AWAY_MS));
        self.queue.at(self.now + delay, Event::LegConnects { leg });
        let state = BrowserState::Disconnected;
        self.board_handles(Input::Media(MediaEvent::BrowserState { leg, state }))
    }
}
