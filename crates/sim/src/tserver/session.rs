//! Session timers (RFC 4028): who refreshes, and what becomes of a dialog that nobody refreshes.

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::config::SessionConfig;
use super::leg::{InvitePurpose, LegKey, Then};
use super::machine::TServer;
use super::read::Incoming;
use super::transaction::{Purpose, ServerKey};
use super::view::LegState;

/// An agreed session timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Session {
    interval_s: u32,
    /// SIP Server refreshes.
    ours: bool,
    generation: u64,
}

impl Session {
    /// Half of the interval for whoever refreshes, the whole but the margin of RFC 4028 section 10 for the other.
    fn wait(self) -> Duration {
        let seconds = if self.ours {
            self.interval_s / 2
        } else {
            self.interval_s - (self.interval_s / 3).min(32)
        };
        Duration::from_secs(u64::from(seconds))
    }
}

impl TServer {
    fn session_config(&self, dn: &str) -> SessionConfig {
        let settings = self.config.dns.get(dn);
        settings.map_or(SessionConfig::default(), |dn| dn.session)
    }

    /// `Session-Expires` of INVITEs to a DN.
    pub(super) fn session_wish(&self, dn: &str) -> String {
        let config = self.session_config(dn);
        let refresher = if config.refreshes { "uac" } else { "uas" };
        format!("{};refresher={refresher}", config.interval_s)
    }

    /// The endpoint's 2xx says what it takes. One that says nothing knows no timers: SIP Server refreshes all the same (seen with
    /// Softphones), where that is its part.
    pub(super) fn session_granted(&mut self, now: Instant, leg: LegKey, message: &Incoming) {
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        let config = self.session_config(&entry.dn);
        let granted = message.get("Session-Expires").map(|value| {
            let interval_s = seconds(value).unwrap_or(config.interval_s);
            (interval_s, !value.contains("refresher=uas"))
        });
        let terms = granted.or_else(|| config.refreshes.then_some((config.interval_s, true)));
        self.start_session(now, leg, terms);
    }

    /// What our 2xx to an endpoint's INVITE adds. Whoever it names as refresher is.
    pub(super) fn session_grant(
        &mut self,
        now: Instant,
        leg: LegKey,
        key: &ServerKey,
    ) -> Vec<(&'static str, String)> {
        let asked = self.servers.get(key).and_then(|server| {
            let supported = server
                .request
                .all("Supported")
                .any(|tags| tags.contains("timer"));
            let value = server.request.get("Session-Expires")?;
            supported.then(|| (seconds(value), value.contains("refresher=uas")))
        });
        let Some((Some(interval_s), ours)) = asked else {
            self.start_session(now, leg, None);
            return Vec::new();
        };
        self.start_session(now, leg, Some((interval_s, ours)));
        let refresher = if ours { "uas" } else { "uac" };
        vec![
            ("Require", "timer".to_owned()),
            (
                "Session-Expires",
                format!("{interval_s};refresher={refresher}"),
            ),
        ]
    }

    fn start_session(&mut self, now: Instant, leg: LegKey, terms: Option<(u32, bool)>) {
        let generation = self.number();
        let session = terms.map(|(interval_s, ours)| Session {
            interval_s,
            ours,
            generation,
        });
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.session = session;
        }
        if let (Some(session), true) = (session, self.config.session_refresh) {
            self.later(now, session.wait(), Timer::Session(leg, generation));
        }
    }

    /// Refreshes that the primary had under way are the backup's, each in its time.
    pub(super) fn take_over_refreshes(&mut self, now: Instant) {
        let under_way = self.legs.values().filter_map(|leg| {
            let session = leg.session.filter(|session| session.ours)?;
            let lost = !self.agenda.awaits_session(session.generation);
            lost.then_some((leg.key, session.interval_s))
        });
        let under_way: Vec<(LegKey, u32)> = under_way.collect();
        for (leg, interval_s) in under_way {
            self.start_session(now, leg, Some((interval_s, true)));
        }
    }

    pub(super) fn session_due(&mut self, now: Instant, leg: LegKey, generation: u64) {
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        let due = entry
            .session
            .filter(|session| session.generation == generation);
        let (Some(session), LegState::Confirmed) = (due, entry.state) else {
            return;
        };
        // An INVITE of the endpoint that is not answered by now never will be: a partition has swallowed what the answer waited for.
        if !session.ours || entry.invited.is_some() {
            return self.party_lost(now, leg, Some(408));
        }
        let config = self.session_config(&entry.dn);
        if config.by_update {
            return self.refresh_by_update(now, leg, &self.session_wish(&entry.dn));
        }
        let purpose = if config.with_sdp && entry.local_sdp.is_some() {
            InvitePurpose::Refresh
        } else {
            InvitePurpose::Offerless { then: Then::Resync }
        };
        self.reinvite(now, leg, purpose);
    }
}

impl TServer {
    pub(super) fn refresh_by_update(&mut self, now: Instant, leg: LegKey, terms: &str) {
        let lines = [
            ("Session-Expires", terms),
            ("Min-SE", "90"),
            ("Supported", "timer"),
        ];
        self.send_in_dialog(
            now,
            leg,
            "UPDATE",
            Purpose::Refresh(leg),
            |frame, cseq, branch| frame.other("UPDATE", cseq, branch, &lines, None),
        );
    }

    /// A refresh by UPDATE that was refused for the moment is made up for by a re-INVITE.
    pub(super) fn session_refreshed(
        &mut self,
        now: Instant,
        leg: LegKey,
        status: u16,
        message: &Incoming,
    ) {
        match status {
            ..300 => self.session_granted(now, leg, message),
            408 | 481 => self.dialog_lost(now, leg, status),
            _ => self.reinvite(now, leg, InvitePurpose::Offerless { then: Then::Resync }),
        }
    }
}

fn seconds(value: &str) -> Option<u32> {
    value.split(';').next()?.trim().parse().ok()
}
