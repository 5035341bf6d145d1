//! What must hold of everything that the switchboard says.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use control::{CallState, GatewayMessage};
use sip::Message;

use crate::ids::{AdminId, BrowserLegId, CallId, PageId, TapId, WorkerId};
use crate::io::{Fact, MediaCommand, MediaPlan, Output, RecordingCommand};
use crate::{Input, Switchboard};

/// Outputs that one input may cause: a shutdown of a few agents with all their calls, or a page's 64 digits by INFO, fit.
const OUTPUTS_MAX: usize = 160;

/// Everything that was promised and everything that was said.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// Pages whose connection is open.
    pages: BTreeSet<PageId>,
    /// The page whose request waits for its reply.
    asked: Option<PageId>,
    /// The administrator's request that waits for its reply.
    ordered: Option<AdminId>,
    outputs: usize,
    legs: BTreeMap<BrowserLegId, WorkerId>,
    ports: BTreeMap<CallId, (WorkerId, u16)>,
    media_closed: BTreeSet<CallId>,
    plans: BTreeMap<CallId, MediaPlan>,
    offered: BTreeSet<CallId>,
    ended: BTreeSet<CallId>,
    recorded: BTreeSet<CallId>,
    /// Files of recordings that are open, and all names.
    recordings: BTreeSet<TapId>,
    names: BTreeSet<String>,
    shown_ended: BTreeSet<String>,
}

impl Watch {
    /// The id that every request of a page carries here.
    pub(super) const REQUEST: &'static str = "request";

    pub(super) fn before(&mut self, input: &Input) {
        self.outputs = 0;
        match input {
            Input::SignIn { page, .. } => {
                self.pages.insert(*page);
                self.asked = Some(*page);
            }
            Input::Page { page, .. } if self.pages.contains(page) => self.asked = Some(*page),
            Input::PageClosed { page } => {
                self.pages.remove(page);
            }
            Input::Admin { request, .. } => self.ordered = Some(*request),
            _ => {}
        }
    }

    pub(super) fn output(&mut self, output: &Output) {
        self.outputs += 1;
        assert!(self.outputs <= OUTPUTS_MAX, "one input, too many outputs");
        match output {
            Output::Sip(transmit) => {
                let message = Message::parse(&transmit.bytes);
                // A refusal of what cannot be read repeats the headers that could not be read (RFC 3261 section 8.2.6.2).
                let refusal = transmit.bytes.starts_with(b"SIP/2.0 4");
                assert!(
                    message.is_ok() || refusal,
                    "we read what we write: {message:?}"
                );
                let server: Vec<SocketAddr> = super::servers();
                assert!(server.contains(&transmit.to), "sent to {}", transmit.to);
            }
            Output::Page { page, message } => self.page(*page, message),
            Output::ClosePage { page, .. } => {
                assert!(self.pages.remove(page), "{page:?} is closed twice");
            }
            Output::Media { worker, command } => self.media(*worker, command),
            Output::Admin { request, .. } => {
                assert_eq!(
                    self.ordered.take(),
                    Some(*request),
                    "a reply nobody asked for"
                );
            }
            Output::SipPeers(hosts) => assert!(!hosts.is_empty(), "somebody is heard"),
            Output::Recording(RecordingCommand::Open { tap, name, .. }) => {
                assert!(self.names.insert(name.clone()), "two recordings of a name");
                self.recordings.insert(*tap);
            }
            Output::Recording(RecordingCommand::Close { tap }) => {
                assert!(self.recordings.remove(tap), "closed and not open");
            }
            Output::Fact(fact) => self.fact(fact),
        }
    }

    fn page(&mut self, page: PageId, message: &GatewayMessage) {
        assert!(
            self.pages.contains(&page),
            "{message:?} to a page that is gone"
        );
        match message {
            GatewayMessage::Ok { id } | GatewayMessage::Error { id, .. } => {
                let Some(id) = id else { return };
                assert_eq!(id, Self::REQUEST, "the id of the request");
                assert_eq!(self.asked.take(), Some(page), "a reply nobody asked for");
            }
            GatewayMessage::Call { call } => {
                assert!(!self.shown_ended.contains(&call.id), "{} is over", call.id);
                if call.state == CallState::Ended {
                    assert!(call.end.is_some(), "an end has a cause");
                    self.shown_ended.insert(call.id.clone());
                }
            }
            GatewayMessage::RemoteControl { call, .. } | GatewayMessage::Quality { call, .. } => {
                assert!(!self.shown_ended.contains(call), "{call} is over");
            }
            _ => {}
        }
    }

    fn media(&mut self, worker: WorkerId, command: &MediaCommand) {
        match command {
            MediaCommand::OfferBrowser { leg, restart, .. } => {
                let known = self.legs.insert(*leg, worker);
                assert_eq!(known, restart.then_some(worker), "{leg:?}");
            }
            MediaCommand::AnswerBrowser { leg, .. }
            | MediaCommand::CandidateBrowser { leg, .. } => {
                assert_eq!(self.legs.get(leg), Some(&worker), "{leg:?}");
            }
            MediaCommand::CloseBrowser { leg } => {
                assert_eq!(self.legs.remove(leg), Some(worker), "{leg:?}");
            }
            MediaCommand::OpenPort { call, port } => {
                assert!(!self.media_closed.contains(call), "{call} is closed");
                let taken = |(other, (_, taken)): (&CallId, &(WorkerId, u16))| {
                    other != call && taken == port
                };
                assert!(!self.ports.iter().any(taken), "{port} has two calls");
                self.ports.insert(*call, (worker, *port));
            }
            MediaCommand::Plan(plan) => {
                self.at_home(worker, plan.call);
                let open = plan.to_agent || plan.to_caller;
                assert!(plan.browser.is_none() || open, "{plan:?}");
                assert!(!open || plan.sip.remote.is_some(), "{plan:?}");
                self.plans.insert(plan.call, plan.clone());
            }
            MediaCommand::OpenTap { call, .. }
            | MediaCommand::PauseTap { call, .. }
            | MediaCommand::CloseTap { call, .. } => self.at_home(worker, *call),
            MediaCommand::SendDigits { call, .. } | MediaCommand::Beep { call } => {
                self.at_home(worker, *call);
                assert!(self.plans.contains_key(call), "digits without media");
            }
            MediaCommand::CloseCall { call } => {
                self.at_home(worker, *call);
                self.ports.remove(call);
                self.plans.remove(call);
                self.media_closed.insert(*call);
            }
        }
    }

    /// A call is told to its own worker, after its port was opened and before it is closed.
    fn at_home(&self, worker: WorkerId, call: CallId) {
        let home = self.ports.get(&call).map(|(home, _)| *home);
        assert_eq!(home, Some(worker), "{call}");
    }

    fn fact(&mut self, fact: &Fact) {
        match fact {
            Fact::CallOffered { call, .. } => {
                assert!(self.offered.insert(call.call), "offered twice");
            }
            Fact::CallEnded { call, .. } => {
                assert!(self.offered.contains(&call.call), "it never began");
                assert!(self.ended.insert(call.call), "ended twice");
            }
            Fact::CallRefused { call, record, .. } => {
                assert!(self.offered.insert(call.call), "offered twice");
                assert!(self.ended.insert(call.call), "ended twice");
                assert!(self.recorded.insert(call.call), "recorded twice");
                assert_eq!(record.created_ms, record.ended_ms, "{record:?}");
            }
            Fact::EndRecord { record } => {
                let call = CallId::parse(&record.call).expect("a call id of ours");
                assert!(self.ended.contains(&call), "recorded before its end");
                assert!(self.recorded.insert(call), "recorded twice");
                let whole = record.ended_ms - record.created_ms;
                let spent = record.ring_ms + record.talk_ms.unwrap_or(0);
                assert!(whole.abs_diff(spent) <= 2, "{record:?}");
                assert!(record.held_ms <= record.talk_ms, "{record:?}");
            }
            Fact::CallRinging { call, .. }
            | Fact::CallMoved { call, .. }
            | Fact::CallAnswered { call, .. }
            | Fact::RemoteControl { call, .. }
            | Fact::CallHeld { call, .. }
            | Fact::CallRetrieved { call } => {
                assert!(!self.ended.contains(&call.call), "{fact:?} after the end");
            }
            _ => {}
        }
    }

    /// What holds between two inputs.
    pub(super) fn after(&mut self, board: &Switchboard) {
        assert_eq!(self.asked.take(), None, "a request without a reply");
        assert_eq!(self.ordered.take(), None, "an order without a reply");
        let gauges = board.gauges();
        let calls: usize = gauges.calls.iter().map(|(_, count)| count).sum();
        assert_eq!(gauges.ports_in_use, calls, "a pair of ports for each call");
        assert_eq!(
            calls,
            self.offered.len() - self.ended.len(),
            "calls that go on"
        );
        assert!(gauges.pages <= self.pages.len(), "pages that are gone");
        let mut voices = BTreeSet::new();
        for (call, plan) in &self.plans {
            if let Some(leg) = plan.browser {
                assert!(self.legs.contains_key(&leg), "{call} on a leg that is gone");
                assert!(voices.insert(leg), "{leg:?} hears two calls at once");
            }
        }
    }

    /// What is left when everybody has gone home: nothing.
    pub(super) fn nothing_left(&self, board: &Switchboard) {
        let counts = board.sip_counts();
        assert!(board.is_quiet(), "{counts:?}, {:?}", board.calls());
        assert_eq!(
            (
                counts.transactions,
                counts.registrations,
                counts.queued_outputs
            ),
            (0, 0, 0)
        );
        assert_eq!((board.gauges().ports_in_use, board.gauges().pages), (0, 0));
        assert!(
            self.ports.is_empty() && self.plans.is_empty(),
            "{:?}",
            self.ports
        );
        assert!(self.legs.is_empty(), "{:?}", self.legs);
        assert_eq!(self.offered, self.ended, "each call ends");
        assert_eq!(self.ended, self.recorded, "each call has its record");
        assert!(self.recordings.is_empty(), "files that nobody closes");
    }
}
