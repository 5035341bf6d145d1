//! The administration interface: the same verbs as the page's, and what an operator may look at.

use std::time::Instant;

use control::{AgentStatus, CallRecord, CallState, CallView};

use crate::Switchboard;
use crate::agent::{Agent, Session};
use crate::call::Call;
use crate::gauges::Gauges;
use crate::ids::CallId;
use crate::io::{AdminCommand, AdminRefusal, AdminReply, BrowserState};

impl Switchboard {
    pub(crate) fn on_admin(
        &mut self,
        now: Instant,
        command: AdminCommand,
    ) -> Result<AdminReply, AdminRefusal> {
        match command {
            AdminCommand::Answer(id) => self.known(id)?.answer(now, id)?,
            AdminCommand::Hangup(id) => self.known(id)?.hang_up(now, id)?,
            AdminCommand::Hold(id) => self.known(id)?.hold(now, id)?,
            AdminCommand::Retrieve(id) => self.known(id)?.retrieve(now, id)?,
            AdminCommand::Dtmf(id, digits) => self.known(id)?.key(now, id, &digits)?,
            AdminCommand::Transfer(id, to) => self.known(id)?.transfer(now, id, to)?,
            AdminCommand::Record(id, action) => self.known(id)?.record_call(now, id, action)?,
            AdminCommand::Tap { call, tap, rate_hz } => self.open_live_tap(call, tap, rate_hz)?,
            AdminCommand::Dial { dn, number } => {
                return self.dial(now, &dn, &number).map(AdminReply::Dialing);
            }
        }
        Ok(AdminReply::Accepted)
    }

    fn known(&mut self, id: CallId) -> Result<&mut Self, AdminRefusal> {
        if self.calls.contains_key(&id) {
            Ok(self)
        } else {
            Err(AdminRefusal::UnknownCall)
        }
    }

    /// Every configured agent, in the order of the DNs.
    #[must_use]
    pub fn agents(&self) -> Vec<AgentStatus> {
        self.agents
            .values()
            .map(|agent| self.agent_status(agent))
            .collect()
    }

    /// One agent.
    #[must_use]
    pub fn agent(&self, dn: &str) -> Option<AgentStatus> {
        self.agents.get(dn).map(|agent| self.agent_status(agent))
    }

    /// The calls that are up and those that ended last, oldest first.
    #[must_use]
    pub fn calls(&self) -> Vec<CallRecord> {
        self.ended
            .iter()
            .cloned()
            .chain(self.calls.values().map(Call::record))
            .collect()
    }

    /// One call, up or ended not long ago.
    #[must_use]
    pub fn call(&self, id: CallId) -> Option<CallRecord> {
        let up = self.calls.get(&id).map(Call::record);
        up.or_else(|| self.ended_call(id).cloned())
    }

    /// The same as its page sees it.
    #[must_use]
    pub fn call_view(&self, id: CallId) -> Option<CallView> {
        let up = self.calls.get(&id).map(Call::view);
        up.or_else(|| self.ended_call(id).map(|record| record.call.clone()))
    }

    /// It is mostly the one that ended last.
    fn ended_call(&self, id: CallId) -> Option<&CallRecord> {
        let name = id.to_string();
        self.ended
            .iter()
            .rev()
            .find(|record| record.call.id == name)
    }

    /// Numbers at this moment.
    #[must_use]
    pub fn gauges(&self) -> Gauges {
        let states = [
            CallState::Offered,
            CallState::Ringing,
            CallState::Answering,
            CallState::Talking,
            CallState::Held,
            CallState::Ending,
        ];
        let count = |state| {
            self.calls
                .values()
                .filter(|call| call.state() == state)
                .count()
        };
        let registered = |dn: &&String| self.ua.is_registered(dn);
        Gauges {
            dns_registered: self.agents.keys().filter(registered).count(),
            dns_missing: self.missing(),
            dns_configured: self.agents.len(),
            sip_servers: self.sites.tally(),
            calls: states
                .into_iter()
                .map(|state| (state, count(state)))
                .collect(),
            ports_in_use: self.ports.in_use(),
            ports_quarantined: self.ports.resting(self.turn),
            pages: self.pages.len(),
            draining: self.draining,
            tables: self.tables(),
            workers: self.worker_gauges(),
        }
    }

    /// Everything that comes and goes with calls and pages.
    fn tables(&self) -> Vec<(&'static str, usize)> {
        let sip = self.ua.counts();
        let sessions = self.agents.values().filter(|agent| agent.session.is_some());
        vec![
            ("calls", self.calls.len()),
            ("dialogs", self.dialogs.len()),
            ("last_words", self.last_words.len()),
            ("legs", self.legs.len()),
            ("pages", self.pages.len()),
            ("recording_files", self.files.len()),
            ("referrals", self.referrals.len()),
            ("registrations", sip.registrations),
            ("sessions", sessions.count()),
            ("sip_dialogs", sip.dialogs),
            ("sip_transactions", sip.transactions),
            ("taps", self.taps.len()),
        ]
    }

    /// DNs in the configuration.
    #[must_use]
    pub fn dns_configured(&self) -> usize {
        self.agents.len()
    }

    /// All goodbyes of a shutdown are said and heard: no call, no page and no registration is left, and no record is owed.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.calls.is_empty()
            && self.pages.is_empty()
            && self.leaving.is_empty()
            && self.records_owed() == 0
            && !self.agents.keys().any(|dn| self.ua.is_registered(dn))
    }

    /// Nothing is left to end, in the SIP user agent either.
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        let counts = self.ua.counts();
        let registrations = if self.shutting_down {
            counts.registrations
        } else {
            0
        };
        self.calls.is_empty() && counts.dialogs == 0 && registrations == 0
    }

    /// How much the SIP user agent holds.
    #[must_use]
    pub fn sip_counts(&self) -> sip::ua::Counts {
        self.ua.counts()
    }

    fn agent_status(&self, agent: &Agent) -> AgentStatus {
        let dn = &agent.config.dn;
        let session = agent.session.as_ref();
        AgentStatus {
            dn: dn.clone(),
            name: agent.config.name.clone(),
            signed_in: session.is_some(),
            away: session.is_some_and(|session| session.page().is_none()),
            muted: session.is_some_and(|session| session.muted),
            microphone: session.and_then(|session| session.microphone.clone()),
            registration: self.registration_view(dn),
            media: session.and_then(media_state),
            media_failure: session.and_then(|session| session.leg_failure),
            calls: agent
                .calls
                .iter()
                .filter_map(|id| self.calls.get(id))
                .map(Call::view)
                .collect(),
        }
    }
}

fn media_state(session: &Session) -> Option<control::MediaState> {
    session.leg?.state.map(BrowserState::shown)
}
