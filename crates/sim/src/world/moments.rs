//! What takes several coincidences at once, brought about on purpose in storms.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use control::{CallState, CallView, PageMessage};
use rand::RngExt;
use rand::seq::IndexedRandom;
use switchboard::PageId;

use super::queue::Event;
use super::servers::ServerId;
use super::site::{ANSWERS_AT_ONCE, RINGS_LONG};
use super::storm::Kind;
use super::streams::Streams;
use super::{CHAOS, OPENING, Step, World, wire};
use crate::tserver::{CallUuid, Control, RegisterMode, Request};

/// How long the preferred site stands still for a call: longer than its INVITE waits (64*T1), and not for longer than it may last elsewhere.
const HANGS_S: std::ops::Range<f64> = 32.5..50.0;
/// How soon it dies after that, and for how long it is gone: less than a BYE is repeated.
const DIES_S: std::ops::Range<f64> = 0.0..1.0;
const GONE_S: std::ops::Range<f64> = 0.2..6.0;

/// How long SIP Server stands still that is not told of a refusal.
const UNTOLD_S: std::ops::Range<f64> = 16.0..68.0;
/// How long the page waits: SIP Server is to hear of its connection before it hears of the refusal.
const LEARNS_FIRST_S: std::ops::Range<f64> = 8.0..16.0;
/// For how long it stands still once more.
const READS_LATE_S: std::ops::Range<f64> = 20.0..50.0;
/// How long talkbridge stands still after a refusal: longer than it remembers it (64*T1).
const FORGETS_S: std::ops::Range<f64> = 32.0..40.0;

/// How long the preferred server is away: it is asked every 10 s, and has 4 s for the answer.
const LOST_S: std::ops::Range<f64> = 8.0..20.0;

/// How soon a call is handed on: less than a media worker takes where it takes its time.
const HURRY_MS: std::ops::Range<u64> = 2..80;

/// How long talkbridge stands still while a DN goes first.
const AT_ONCE_MS: std::ops::Range<u64> = 20..600;

impl World {
    /// A page dials while the preferred site stands still: the call is tried at the other one, and the first one answers when it goes on, or has forgotten
    /// what it answered.
    pub(super) fn first_hangs_for_a_call(&mut self) -> Step {
        let server = ServerId(0);
        if self.server(server).health.is_silent() {
            return Ok(());
        }
        let dn = self.any_dn();
        let Some((page, _)) = self.browsers.of(&dn) else {
            return self.sign_in(&dn, None, false);
        };
        self.report.mishaps += 1;
        let until = self.now + self.seconds(HANGS_S);
        self.hangs(server, until);
        if self.rng.random_bool(0.4) {
            let at = until + self.seconds(DIES_S);
            self.queue.at(at, Event::GoesAway { server, dead: true });
            let at = at + self.seconds(GONE_S);
            self.queue.at(at, Event::ComesBack { server });
        }
        let numbers = ["5550100", "5550101", ANSWERS_AT_ONCE, RINGS_LONG];
        let number = *numbers.choose(&mut self.rng).expect("not empty");
        let number = number.to_owned();
        self.page_says(page, PageMessage::Dial { number })
    }

    /// The preferred server of a list cannot be reached for longer than two probes take, or its registrar refuses for a moment in which agents come and go.
    pub(super) fn first_is_lost(&mut self) -> Step {
        let server = ServerId(0);
        if self.server(server).health.is_silent() {
            return Ok(());
        }
        self.report.mishaps += 1;
        if self.rng.random() {
            let until = self.now + self.seconds(LOST_S);
            self.hangs(server, until);
            return Ok(());
        }
        self.agents_come_and_go()?;
        self.registrars_refuse(&[server]);
        let pause = Duration::from_millis(self.rng.random_range(AT_ONCE_MS));
        self.stall_for(pause)
    }

    /// A DN goes to the preferred server while it is registered at the other one: the moment for everything else to happen.
    pub(super) fn goes_first(&mut self, server: ServerId, text: &str) {
        let storms = self.storm.kind == Kind::GoingBack && self.now < self.chaos_ends();
        if !storms || server != ServerId(0) {
            return;
        }
        let dn = wire::user(text, "To").filter(|_| text.starts_with("REGISTER "));
        let there = dn.is_some_and(|dn| self.holder(ServerId(1), dn).is_some());
        if there && self.rng.random_bool(0.7) {
            self.queue.at(self.now, Event::GoesFirst);
        }
    }

    /// While one DN goes first, others come and go at the server that it leaves, which refuses some of them; talkbridge stands still, and hears of all that at once.
    pub(super) fn everything_happens_at_once(&mut self) -> Step {
        if self.stalled_until > self.now {
            return Ok(());
        }
        self.agents_come_and_go()?;
        let left = ServerId(1);
        if self.rng.random() {
            let mode = RegisterMode::Unavailable { retry_after_s: 1 };
            self.control(left, Control::RegisterMode(mode))?;
            self.registrars_refuse(&[left]);
        }
        let pause = Duration::from_millis(self.rng.random_range(AT_ONCE_MS));
        self.stands_still(pause);
        Ok(())
    }

    /// The backup of a SIP Server takes over.
    pub(super) fn forgets(&mut self, server: ServerId) -> Step {
        if self.is_asleep(server) {
            return Ok(());
        }
        self.report.mishaps += 1;
        self.control(server, Control::Switchover)
    }

    /// A page refuses a call whose connection is gone, and SIP Server, which stands still, asks once more before it reads that; talkbridge has forgotten the
    /// refusal when that comes, and the ACK of it behind that.
    pub(super) fn refuses_between_connections(&mut self) -> Step {
        // It takes a minute of everybody's time.
        let elsewhere = self.streams.as_ref().is_none_or(Streams::break_behind);
        let Some((page, call)) = self.any_ringing().filter(|_| !elsewhere) else {
            return self.customer_calls();
        };
        let uuid = call.call_uuid.map(CallUuid);
        let Some(server) = uuid.and_then(|uuid| self.server_of(&uuid)) else {
            return Ok(());
        };
        if self.server(server).health.is_silent() {
            return Ok(());
        }
        self.report.mishaps += 1;
        self.streams_break(server);
        let until = self.now + self.seconds(UNTOLD_S);
        self.hangs(server, until);
        let pause = self.seconds(LEARNS_FIRST_S);
        self.step_until(self.now + pause)?;
        let mut reads = until;
        if self.rng.random() {
            // It has learned of its connection then, and reads the refusal only when it goes on for the second time.
            reads += self.seconds(READS_LATE_S);
            let until_then = Event::Hangs {
                server,
                until: reads,
            };
            self.queue.at(until, until_then);
        }
        self.page_says(page, PageMessage::Reject { call: call.id })?;
        let pause = self.seconds(0.0..4.0);
        self.step_until(self.now + pause)?;
        let pause = self.seconds(FORGETS_S);
        self.stall_for(pause)?;
        if self.rng.random_bool(0.3) {
            self.legs_lose_consent()?;
        }
        let answers = self.rng.random_bool(0.7);
        if let Some((page, call)) = self.any_ringing().filter(|_| answers) {
            self.page_says(page, PageMessage::Answer { call: call.id })?;
        }
        let pause = self.seconds(0.0..1.0);
        self.step_until(self.now.max(reads) + pause)
    }

    /// A call that leaves before its media worker has said anything is answered at once, and handed on or held, and then the port is somebody else's.
    pub(super) fn moves_on_before_its_port(&mut self) -> Step {
        let dn = self.any_dn();
        let Some((page, before)) = self.browsers.of(&dn) else {
            return self.sign_in(&dn, None, false);
        };
        let before: BTreeSet<String> = before.calls.keys().cloned().collect();
        let number = ANSWERS_AT_ONCE.to_owned();
        self.page_says(page, PageMessage::Dial { number })?;
        self.hurries()?;
        let Some((page, shown)) = self.browsers.of(&dn) else {
            return Ok(());
        };
        let new = shown.calls.values().find(|call| !before.contains(&call.id));
        let Some(call) = new.cloned() else {
            return Ok(());
        };
        match call.call_uuid.map(CallUuid) {
            Some(uuid) if self.rng.random_bool(0.3) => {
                self.request_on(&uuid.clone(), Request::HoldCall { dn, call: uuid })?;
            }
            _ => {
                let (call, to_call) = (call.id, None);
                let to = [ANSWERS_AT_ONCE, RINGS_LONG].choose(&mut self.rng);
                let to = to.map(|to| (*to).to_owned());
                self.page_says(page, PageMessage::Transfer { call, to, to_call })?;
            }
        }
        self.hurries()
    }

    fn hurries(&mut self) -> Step {
        let pause = Duration::from_millis(self.rng.random_range(HURRY_MS));
        self.step_until(self.now + pause)
    }

    /// From then on nobody does anything but what brings peace.
    fn chaos_ends(&self) -> Instant {
        self.born + OPENING + CHAOS
    }

    fn any_ringing(&mut self) -> Option<(PageId, CallView)> {
        let mut all = Vec::new();
        for dn in self.site.dns() {
            let Some((page, shown)) = self.browsers.of(&dn) else {
                continue;
            };
            let ringing = shown
                .calls
                .values()
                .filter(|call| call.state == CallState::Ringing);
            all.extend(ringing.map(|call| (page, call.clone())));
        }
        all.choose(&mut self.rng).cloned()
    }

    fn seconds(&mut self, of: std::ops::Range<f64>) -> Duration {
        Duration::from_secs_f64(self.rng.random_range(of))
    }
}
