//! Watches both ends and says what must never be.

use std::collections::BTreeMap;
use std::time::Instant;

use control::{CallState, HeldBy};
use switchboard::CallId;

use super::PATIENCE;
use super::asides::Manners;
use super::browsers::Browsers;
use super::invites::{Invites, Transaction};
use super::limits::Beyond;
use super::numbers::{Number, Numbers};
use super::servers::ServerId;
use super::standstills::Standstills;
use super::targets::Targets;
use super::wire::{self, Kind};
use super::workers::Workers;
use crate::tserver::{CallUuid, CustomerMedia};

/// Everything that was seen on the wire and matters later.
#[derive(Debug, Default)]
pub(super) struct Oracle {
    invites: Invites,
    /// Other requests that reached talkbridge: what they may be answered with, and whether they were.
    asked: BTreeMap<Transaction, (Vec<u16>, bool)>,
    /// The one of them that has arrived in this turn.
    asked_now: Option<Transaction>,
    /// What talkbridge was told to do with requests that move no call.
    manners: Manners,
    targets: Targets,
    numbers: Numbers,
    /// The hosts are instances of one proxy.
    proxied: bool,
    /// INVITEs that open a call and got no response yet, by branch.
    unanswered: BTreeMap<String, Unanswered>,
    /// One that was given up is answered after all: its branch, and what has to leave in this turn.
    late_answer: Option<(String, &'static str)>,
    /// Call-IDs of the registrations of a DN at a SIP Server, the one that runs last.
    registrations: BTreeMap<(ServerId, String), Vec<String>>,
    /// What each customer's phone does.
    customers: BTreeMap<CallUuid, CustomerMedia>,
    /// The port of the Media Server that serves a DN in a call.
    bridges: BTreeMap<(CallUuid, String), CustomerMedia>,
    /// talkbridge may refuse by 503 for want of room, and take the repetition that comes when there is some.
    small_tables: bool,
    pub(super) standstills: Standstills,
    /// Transactions of talkbridge that no table limits.
    pub(super) beyond: Beyond,
}

/// An INVITE of talkbridge that nobody has answered.
#[derive(Debug)]
struct Unanswered {
    call_id: String,
    /// When it is given up at the latest.
    given_up: Instant,
    /// And at the earliest: a connection that is lost may have been the last one that it was tried by.
    earliest: Instant,
}

impl Oracle {
    pub(super) fn new(
        small_tables: bool,
        manners: Manners,
        proxied: bool,
        by_stream: bool,
    ) -> Self {
        Self {
            proxied,
            numbers: Numbers::new(proxied, by_stream),
            small_tables,
            manners,
            ..Self::default()
        }
    }

    pub(super) fn server_sends(&mut self, now: Instant, bytes: &[u8], stands_still: bool) {
        let text = String::from_utf8_lossy(bytes);
        self.standstills.server_sends(now, &text, stands_still);
    }

    pub(super) fn gateway_receives(&mut self, now: Instant, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.comes_late(now, &text);
        self.targets.received(&text);
        self.beyond.gateway_receives(now, &text);
        let (Some(Kind::Request { method }), Some(key)) = (wire::kind(&text), transaction(&text))
        else {
            return;
        };
        match method {
            "INVITE" => self.invites.arrives(now, key, &text),
            _ => {
                let statuses = self.manners.answers(method, &text);
                if !statuses.is_empty() {
                    self.asked_now = Some(key.clone());
                    self.asked.entry(key).or_insert((statuses, false));
                }
            }
        }
    }

    pub(super) fn gateway_sends(
        &mut self,
        now: Instant,
        to: ServerId,
        bytes: &[u8],
    ) -> Result<(), String> {
        let text = String::from_utf8_lossy(bytes);
        match wire::kind(&text) {
            Some(Kind::Response { status }) => {
                self.targets.answers(&text, status);
                self.response(now, &text, status)
            }
            Some(Kind::Request { method }) => {
                self.beyond.gateway_sends(now, &text);
                if method == "REGISTER" {
                    self.registers(to, &text)?;
                }
                self.late_answer.take_if(|(_, wanted)| *wanted == method);
                if self.numbers.sends(now, to, &text, method)? == Number::New {
                    self.targets.asks(&text)?;
                    // One that is sent once more by another connection may have been answered before.
                    if method == "INVITE" && wire::tag(&text, "To").is_none() {
                        let branch = wire::branch(&text).unwrap_or_default();
                        let call_id = wire::header(&text, "Call-ID").unwrap_or_default();
                        let unanswered = Unanswered {
                            call_id: call_id.to_owned(),
                            given_up: now + PATIENCE,
                            earliest: now + PATIENCE,
                        };
                        self.unanswered.insert(branch.to_owned(), unanswered);
                    }
                }
                Ok(())
            }
            None => Err(format!("talkbridge sent no SIP:\n{text}")),
        }
    }

    /// The first response to an INVITE. When it was given up before, somebody is about to ring, or to listen, for nobody.
    fn comes_late(&mut self, now: Instant, text: &str) {
        let (Some(Kind::Response { status }), Some((_, "INVITE"))) =
            (wire::kind(text), wire::cseq(text))
        else {
            return;
        };
        let left = wire::branch(text).and_then(|branch| self.unanswered.remove_entry(branch));
        let Some((branch, left)) = left.filter(|_| !self.small_tables) else {
            return;
        };
        self.late_answer = match status {
            _ if now <= left.given_up || now >= left.earliest + PATIENCE => None,
            100..200 => Some((branch, "CANCEL")),
            200..300 => Some((branch, "BYE")),
            _ => Some((branch, "ACK")),
        };
    }

    /// A call is tried elsewhere, because it was not answered in time, or its connections are gone: what it asked until now is given up.
    pub(super) fn gives_up(&mut self, now: Instant, of_call: impl Fn(&str) -> bool) {
        let unanswered = self.unanswered.values_mut();
        for left in unanswered.filter(|left| of_call(&left.call_id)) {
            left.given_up = left.given_up.min(now);
            left.earliest = left.earliest.min(now);
        }
    }

    /// A connection of talkbridge is lost.
    pub(super) fn loses_connection(&mut self, now: Instant) {
        for left in self.unanswered.values_mut() {
            left.earliest = left.earliest.min(now);
        }
    }

    /// The socket refuses: what is unanswered is given up, each at another time than it would have been.
    pub(super) fn socket_refuses(&mut self, now: Instant) {
        self.unanswered.clear();
        // Requests whose answers were on their way are forgotten, and their repetitions new.
        self.standstills.begins(now, None);
    }

    /// talkbridge's machine stands still: what it gave up it gives up later, and what it owes it owes later.
    pub(super) fn gateway_stands_still(&mut self, now: Instant, until: Instant) {
        self.unanswered.clear();
        self.standstills.begins(now, Some(until));
        self.invites
            .stand_still(until.saturating_duration_since(now));
    }

    /// Whoever answers too late was told so, in the turn in which the answer came, and whoever asks for something that moves no call was answered.
    pub(super) fn turn_is_over(&mut self, now: Instant) -> Result<(), String> {
        let asked = self.asked_now.take();
        let answered =
            |key: &Transaction| self.asked.get(key).is_some_and(|(_, answered)| *answered);
        if let Some(key) = asked.filter(|key| !answered(key)) {
            return Err(format!("request {key:?} was not answered at once"));
        }
        self.invites.in_time(now)?;
        self.late_answer.take().map_or(Ok(()), |(branch, wanted)| {
            Err(format!(
                "INVITE {branch} was answered late, and no {wanted} left"
            ))
        })
    }

    /// A DN is registered once at a SIP Server: whichever registration has been replaced there says nothing any more.
    fn registers(&mut self, server: ServerId, text: &str) -> Result<(), String> {
        let (Some(call_id), Some(dn)) = (wire::header(text, "Call-ID"), wire::user(text, "To"))
        else {
            return Err(format!("a REGISTER for nobody:\n{text}"));
        };
        let key = (self.behind(server), dn.to_owned());
        let known = self.registrations.entry(key).or_default();
        if known.last().is_some_and(|last| last == call_id) {
            return Ok(());
        }
        if known.iter().any(|former| former == call_id) {
            return Err(format!(
                "{dn} is registered twice at SIP Server {}",
                server.0
            ));
        }
        known.push(call_id.to_owned());
        Ok(())
    }

    /// Instances of one proxy have one registrar behind them.
    fn behind(&self, host: ServerId) -> ServerId {
        if self.proxied { ServerId(0) } else { host }
    }

    /// The registration of this Call-ID is the one that runs last.
    pub(super) fn runs_last(&self, server: ServerId, dn: &str, call_id: &str) -> bool {
        let known = self
            .registrations
            .get(&(self.behind(server), dn.to_owned()));
        known
            .and_then(|known| known.last())
            .is_some_and(|last| last == call_id)
    }

    /// DN and Call-ID of a REGISTER that gives its binding back.
    pub(super) fn gives_back(&self, bytes: &[u8]) -> Option<(String, String)> {
        if !bytes.starts_with(b"REGISTER ") {
            return None;
        }
        let text = String::from_utf8_lossy(bytes);
        let zero = wire::header(&text, "Expires") == Some("0")
            || wire::header(&text, "Contact").is_some_and(|contact| contact.ends_with("expires=0"));
        let call_id = wire::header(&text, "Call-ID")?;
        zero.then(|| Some((wire::user(&text, "To")?.to_owned(), call_id.to_owned())))?
    }

    /// An INVITE gets one final answer; it may be repeated, but never changed.
    fn response(&mut self, now: Instant, text: &str, status: u16) -> Result<(), String> {
        let (Some(key), Some((_, method))) = (transaction(text), wire::cseq(text)) else {
            return Err(format!("a response without transaction:\n{text}"));
        };
        match method {
            "INVITE" if status == 100 => {}
            "INVITE" if status < 200 => self.invites.progress(&key, text)?,
            "INVITE" => {
                let excused = self.standstills.excuses(&key.1);
                let finals = self.invites.answered(now, &key, status)?;
                let no_room = usize::from(self.small_tables && finals.contains(&503));
                if finals.len() > 1 + no_room && !excused {
                    return Err(format!("INVITE {key:?} was answered {finals:?}"));
                }
            }
            "ACK" | "BYE" | "CANCEL" | "PRACK" | "REFER" => {}
            _ => {
                let (statuses, answered) = self
                    .asked
                    .get_mut(&key)
                    .ok_or_else(|| format!("an answer to no {method}"))?;
                *answered = true;
                let no_room = status == 503 && self.small_tables;
                if !statuses.contains(&status) && !no_room {
                    return Err(format!("{method} was answered {status}, not {statuses:?}"));
                }
            }
        }
        Ok(())
    }

    pub(super) fn customer_media(&mut self, media: CustomerMedia) {
        self.customers.insert(media.call.clone(), media);
    }

    pub(super) fn bridge_media(&mut self, port: CustomerMedia) {
        let key = (port.call.clone(), port.number.clone());
        if port.ended {
            self.bridges.remove(&key);
        } else {
            self.bridges.insert(key, port);
        }
    }

    /// Whether the Media Server serves a DN in a call.
    pub(super) fn is_bridged(&self, call: &CallUuid, dn: &str) -> bool {
        self.bridges.contains_key(&(call.clone(), dn.to_owned()))
    }

    /// Who talks to a DN in a call: the port of the Media Server that serves it, else the customer.
    pub(super) fn other_end(&self, call: &CallUuid, dn: &str) -> Option<&CustomerMedia> {
        let bridge = self.bridges.get(&(call.clone(), dn.to_owned()));
        bridge.or_else(|| self.customer(call))
    }

    /// The customer's phone in a call.
    fn customer(&self, call: &CallUuid) -> Option<&CustomerMedia> {
        self.customers.get(call).filter(|media| !media.ended)
    }

    /// An agent hears one call at most, and none that she holds.
    pub(super) fn check_media(&self, workers: &Workers, browsers: &Browsers) -> Result<(), String> {
        for leg in workers.legs.keys() {
            let calls = workers.patched(*leg);
            if calls.len() > 1 {
                return Err(format!("{leg:?} hears {calls:?} at once"));
            }
        }
        for page in browsers.open() {
            for view in page.calls.values() {
                let held_here = matches!(view.held_by, Some(HeldBy::Agent | HeldBy::TalkControl));
                let plan = CallId::parse(&view.id).and_then(|id| workers.plans.get(&id));
                let open = plan.is_some_and(|plan| plan.to_agent || plan.to_caller);
                if open && (held_here || view.state == CallState::Ending) {
                    return Err(format!("call {} is {:?} and yet open", view.id, view.state));
                }
            }
        }
        Ok(())
    }

    /// A repetition of this request may count as a request of its own.
    pub(super) fn counts_twice(&self, text: &str) -> bool {
        wire::branch(text).is_some_and(|branch| self.standstills.excuses(branch))
    }

    /// At the end of the day every request that arrived was answered.
    pub(super) fn check_answered(&self) -> Result<(), String> {
        self.invites.all_answered()?;
        if let Some((key, _)) = self.asked.iter().find(|(_, (_, answered))| !answered) {
            return Err(format!("request {key:?} was never answered"));
        }
        Ok(())
    }
}

fn transaction(text: &str) -> Option<Transaction> {
    let call_id = wire::header(text, "Call-ID")?.to_owned();
    Some((call_id, wire::branch(text)?.to_owned(), wire::cseq(text)?.0))
}
