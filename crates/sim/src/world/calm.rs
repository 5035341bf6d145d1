//! When the storm is over: every view agrees, and when everybody has gone home nothing is left.

use std::time::Duration;

use control::{CallDirection, CallState, CallView, HeldBy, PageMessage};
use switchboard::{CallId, Input};

use super::registered::Due;
use super::{Step, World, site};
use crate::tserver::{self, LegState, PartyState, Request, TServer};

/// Every transaction that the storm interrupted has ended after this: 64*T1 for an INVITE, again for its BYE.
const SETTLED: Duration = Duration::from_secs(100);
/// What only the session timer can clear up (all repetitions of a BYE were lost) is cleared up after this.
const SESSION_EXPIRED: Duration = Duration::from_secs(1_800);
/// Whoever was refused or met silence during the storm has tried again after this.
const RETRIED: Duration = Duration::from_secs(150);
/// A DN that is registered always has been given back after this, challenge included.
const UNREGISTERED: Duration = Duration::from_secs(5);
/// The longest that anything of ours outlives the last goodbye: a ringing call nobody cancels.
const QUIET: Duration = Duration::from_secs(400);

impl World {
    /// Everybody agrees on every call, soon; at the latest when the session timers have done their work.
    pub(super) fn calm(&mut self) -> Step {
        let perfect =
            self.injected() == 0 && self.report.mishaps == 0 && !self.site.has_small_tables();
        self.step_until(self.now + SETTLED)?;
        match self.agree().and_then(|()| self.registered(Due::Soon)) {
            Err(why) if perfect => Err(why),
            Err(why) => {
                self.note(|| format!("not yet: {why}"));
                self.step_until(self.now + RETRIED)?;
                self.registered(Due::Retried)?;
                self.step_until(self.now + SESSION_EXPIRED)?;
                self.agree()?;
                self.registered(Due::Last)
            }
            Ok(()) => Ok(()),
        }
    }

    /// SIP Server's view, talkbridge's view and the page's view are one.
    fn agree(&self) -> Step {
        let ours = self.board.calls();
        let mut ours: Vec<(String, CallView)> = ours
            .into_iter()
            .filter(|record| record.call.state != CallState::Ended)
            .map(|record| (record.dn, record.call))
            .collect();
        for (_, call) in self.server_calls() {
            for party in &call.parties {
                let Some(leg) = &party.leg else { continue };
                // A dialog that a consultation has borrowed is with that one.
                let lent = leg.call.as_ref() != Some(&call.call);
                if leg.state == LegState::Terminated || lent {
                    continue;
                }
                let Some(index) = self.same_call(&ours, &call, party, leg) else {
                    return Err(format!(
                        "SIP Server has {party:?}, talkbridge has no such call"
                    ));
                };
                let (_, view) = ours.swap_remove(index);
                // Who has called herself is in the call twice: what one dialog is told is what the other one said last, and ports of the Media Server are told
                // apart by the DN that they serve.
                let here = |other: &&tserver::PartyView| other.number == party.number;
                if call.parties.iter().filter(here).count() > 1 {
                    continue;
                }
                same_state(leg, party.state, &view).map_err(|()| {
                    format!(
                        "SIP Server says {:?}, talkbridge says {view:?}",
                        party.state
                    )
                })?;
                // Between two agents of ours there is nobody else to ask, and who rings does not hear yet.
                let outside = call
                    .parties
                    .iter()
                    .any(|other| other.leg.is_none() && other.state == PartyState::Established);
                let outside = outside || self.oracle.is_bridged(&call.call, &party.number);
                if view.state == CallState::Talking && outside {
                    self.both_hear(&view, &call.call, &party.number)?;
                }
            }
        }
        if let Some((dn, view)) = ours.first() {
            return Err(format!(
                "talkbridge has {view:?} on {dn}, SIP Server has no such call"
            ));
        }
        self.pages_agree()
    }

    /// Which call of ours a party of SIP Server's is: the one of its dialog, and by the same CallUUID.
    fn same_call(
        &self,
        ours: &[(String, CallView)],
        call: &tserver::CallView,
        party: &tserver::PartyView,
        leg: &tserver::LegView,
    ) -> Option<usize> {
        let uuid = call.call.to_string();
        // SIP Server tells the CallUUID only to those it calls. One that had no room for a re-INVITE keeps the last that it heard.
        let named = |view: &CallView| match view.call_uuid.as_deref() {
            Some(known) => known == uuid || self.site.has_small_tables(),
            None => view.direction == CallDirection::Outbound,
        };
        let mut candidates = ours
            .iter()
            .enumerate()
            .filter(|(_, (dn, view))| *dn == party.number && named(view));
        let of_dialog = |view: &CallView| self.coverage.is_of_dialog(&leg.call_id, &view.id);
        if self.coverage.call_of_dialog(&leg.call_id).is_some() {
            let found = candidates.find(|(_, (_, view))| of_dialog(view) == Some(true));
            return found.map(|(index, _)| index);
        }
        // A call that was redirected has another dialog than the one that was seen first.
        let redirected = |view: &CallView| {
            view.call_uuid.is_none() && same_state(leg, party.state, view).is_ok()
        };
        let found = candidates.find(|(_, (_, view))| redirected(view));
        found.map(|(index, _)| index)
    }

    /// Media goes both ways between this customer and this agent, and nowhere else.
    fn both_hear(&self, view: &CallView, call: &tserver::CallUuid, dn: &str) -> Step {
        let id = CallId::parse(&view.id).ok_or("a call id of ours")?;
        let Some(customer) = self.oracle.other_end(call, dn) else {
            return Ok(());
        };
        let plan = self
            .workers
            .plans
            .get(&id)
            .ok_or("a talking call without a plan")?;
        let port = customer.remote.map(|remote| remote.port());
        let arrives = port.and_then(|port| self.workers.call_at(port)) == Some(id);
        if !arrives || customer.remote.map(|remote| remote.ip()) != Some(site::GATEWAY.ip()) {
            return Err(format!(
                "the customer of {id} sends to {:?}",
                customer.remote
            ));
        }
        if plan.sip.remote != Some(customer.local) || !plan.to_agent || !plan.to_caller {
            return Err(format!(
                "{id} is talking with {customer:?}, but its plan is {plan:?}"
            ));
        }
        Ok(())
    }

    /// What a page shows is what talkbridge says.
    fn pages_agree(&self) -> Step {
        for dn in self.site.dns() {
            let Some((_, page)) = self.browsers.of(&dn) else {
                continue;
            };
            let agent = self.board.agent(&dn).ok_or("a DN of the site")?;
            if !agent.signed_in {
                return Err(format!("a page of {dn} is open, but nobody is signed in"));
            }
            let told: Vec<&CallView> = agent.calls.iter().collect();
            let mut shown: Vec<&CallView> = page.calls.values().collect();
            shown.sort_by_key(|call| told.iter().position(|other| other.id == call.id));
            if shown != told {
                return Err(format!(
                    "the page of {dn} shows {shown:?}, talkbridge says {told:?}"
                ));
            }
        }
        Ok(())
    }

    /// Everybody goes home; nothing is left behind.
    pub(super) fn closing_time(&mut self) -> Step {
        for (server, call) in self.server_calls() {
            for party in &call.parties {
                let (dn, call) = (party.number.clone(), call.call.clone());
                let request = match party.leg {
                    Some(_) => Request::ReleaseCall { dn, call },
                    None => Request::CustomerHangup { call },
                };
                self.server_handles(server, tserver::Input::Request(request))?;
            }
        }
        for dn in self.site.dns() {
            if let Some((page, _)) = self.browsers.of(&dn) {
                self.page_says(page, PageMessage::Bye)?;
            }
        }
        self.step_until(self.now + QUIET)?;
        self.oracle.check_answered()?;
        self.nothing_left()?;
        self.lights_out()
    }

    /// talkbridge goes down, the wire is cut, and no transaction, dialog or registration is held for anybody.
    fn lights_out(&mut self) -> Step {
        self.board_handles(Input::Shutdown)?;
        self.step_until(self.now + UNREGISTERED)?;
        for server in &mut self.servers {
            server.wire.unplug();
        }
        self.step_until(self.now + SETTLED)?;
        let counts = self.board.sip_counts();
        let held = counts.transactions + counts.dialogs + counts.registrations;
        if held + counts.queued_outputs > 0 || !self.board.is_quiet() {
            return Err(format!("after its end talkbridge is left with {counts:?}"));
        }
        Ok(())
    }

    fn nothing_left(&self) -> Step {
        let gauges = self.board.gauges();
        let theirs = |of: fn(tserver::Counts) -> usize| {
            let machines = self.machines.iter();
            machines.map(|machine| of(machine.counts())).sum()
        };
        let left = [
            (
                "calls of talkbridge",
                gauges.calls.iter().map(|(_, count)| count).sum(),
            ),
            ("ports in use", gauges.ports_in_use),
            ("ports of the workers", self.workers.ports.len()),
            ("browser legs", self.workers.legs.len()),
            ("pages", gauges.pages),
            ("calls of SIP Server", theirs(|counts| counts.calls)),
            ("dialogs of SIP Server", theirs(|counts| counts.legs)),
        ];
        if let Some((what, count)) = left.iter().find(|(_, count)| *count > 0) {
            let (ours, theirs) = (self.board.calls(), self.server_calls());
            let machines = self.machines.iter();
            let open: Vec<String> = machines.flat_map(TServer::open_dialogs).collect();
            return Err(format!(
                "{count} {what} are left: {open:?} {ours:?} {theirs:?}"
            ));
        }
        // OPTIONS both ways and the refreshes of DNs that are registered always never end; their transactions live 32 s.
        let counts = self.board.sip_counts();
        if counts.dialogs > 0
            || counts.transactions > (5 * self.site.dns().len() + 2) * self.servers.len()
        {
            return Err(format!("talkbridge is left with {counts:?}"));
        }
        Ok(())
    }
}

/// Whether two words mean the same state. Between two agents the held one is shown as held, and so is one whose other party is lent to
/// another call, while SIP Server calls them established: it is what SIP Server last described to them.
fn same_state(leg: &tserver::LegView, server: PartyState, ours: &CallView) -> Result<(), ()> {
    let told = leg.local_sdp.as_deref().unwrap_or_default();
    let told_to_hold = ["c=IN IP4 0.0.0.0", "a=sendonly", "a=inactive"]
        .iter()
        .any(|words| told.contains(words));
    match (server, ours.state) {
        (PartyState::Established, CallState::Talking)
        | (PartyState::Held, CallState::Held)
        | (PartyState::Ringing, CallState::Ringing)
        | (PartyState::Initiated | PartyState::Dialing, _) => Ok(()),
        (PartyState::Established, CallState::Held)
            if told_to_hold && ours.held_by == Some(HeldBy::Remote) =>
        {
            Ok(())
        }
        _ => Err(()),
    }
}
