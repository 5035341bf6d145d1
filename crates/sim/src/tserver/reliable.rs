//! Reliable provisional responses (RFC 3262) and early media: those of endpoints get their PRACK, ours wait for one.

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::call::{CallKey, PartyKind};
use super::leg::LegKey;
use super::machine::TServer;
use super::read::Incoming;
use super::sdp::Audio;
use super::transaction::{Purpose, ServerKey};
use super::view::LegState;
use super::write::Reply;

/// The option tag.
const RELIABLE: &str = "100rel";

/// What one INVITE has seen of reliable responses, whoever sent it.
#[derive(Debug, Default)]
pub(super) struct Provisional {
    /// `RSeq` of the endpoint's last response that got its PRACK.
    acknowledged: Option<u32>,
    /// Ours that waits for its PRACK: `RSeq`, and the interval after which it is repeated.
    waits: Option<(u32, Duration)>,
    /// When waiting has been long enough.
    gives_up_at: Option<Instant>,
    /// The description in our 183; the 200 repeats it.
    pub(super) early: Option<String>,
    /// The answer that may not leave before the PRACK is here (section 3).
    answer: Option<String>,
}

impl TServer {
    /// PRACK for a reliable response of an endpoint. One that came before, or out of order, gets none.
    pub(super) fn acknowledge_provisional(
        &mut self,
        now: Instant,
        leg: LegKey,
        message: &Incoming,
    ) {
        let required = message.all("Require").any(|tags| tags.contains(RELIABLE));
        let rseq: Option<u32> = message.get("RSeq").and_then(|rseq| rseq.parse().ok());
        let Some(rseq) = rseq.filter(|_| required) else {
            return;
        };
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let last = &mut entry.provisional_responses.acknowledged;
        if last.is_some_and(|last| rseq != last.saturating_add(1)) {
            return;
        }
        *last = Some(rseq);
        let rack = format!("{rseq} {} INVITE", message.cseq);
        let purpose = Purpose::Prack(leg);
        self.send_in_dialog(now, leg, "PRACK", purpose, |frame, cseq, branch| {
            frame.prack(cseq, branch, &rack)
        });
    }

    /// A PRACK that a later request of ours overtook was refused: the next repetition of the response gets another.
    pub(super) fn prack_refused(&mut self, leg: LegKey) {
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.provisional_responses.acknowledged = None;
        }
    }

    /// The customer's network plays ring-back before he answers: 183 with his description, to be acknowledged where both sides
    /// know how.
    pub(super) fn early_media(&mut self, now: Instant, key: CallKey, index: usize) {
        let leg = self.calls.get(&key).and_then(|call| call.parties.first());
        let Some(leg) = leg.and_then(super::call::Party::leg) else {
            return;
        };
        let open = self
            .legs
            .get(&leg)
            .filter(|entry| !entry.ours && entry.state == LegState::Early)
            .and_then(|entry| Some((entry.invited.clone()?, entry.remote_sdp.clone()?)));
        let Some((server, offer)) = open else {
            return;
        };
        let answer = self.calls.get_mut(&key).and_then(|call| {
            let PartyKind::Customer(customer) = &mut call.parties.get_mut(index)?.kind else {
                return None;
            };
            customer.answer(&Audio::read(&offer)?)
        });
        let Some(answer) = answer else {
            return;
        };
        self.media(key, index, false);
        self.session_progress(now, leg, &server, &answer);
    }

    fn session_progress(&mut self, now: Instant, leg: LegKey, server: &ServerKey, answer: &str) {
        let known = self.servers.get(server).is_some_and(|server| {
            let mut tags = server.request.all("Supported");
            tags.any(|tags| tags.contains(RELIABLE))
        });
        let reliable = known && self.config.reliable_provisional;
        let rseq = 1 + self.ids.below(1 << 20) as u32;
        let timers = self.config.timers;
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let sdp = entry.origin.pass(answer);
        let mut lines = vec![
            ("Contact", entry.frame.contact.clone()),
            ("X-Genesys-CallUUID", entry.frame.call_uuid.clone()),
        ];
        let responses = &mut entry.provisional_responses;
        responses.early = Some(sdp.clone());
        if reliable {
            responses.waits = Some((rseq, timers.t1));
            responses.gives_up_at = Some(now + timers.lifetime());
            lines.push(("Require", RELIABLE.to_owned()));
            lines.push(("RSeq", rseq.to_string()));
            self.later(now, timers.t1, Timer::Unacknowledged(leg));
        }
        let tag = self.legs.get(&leg).map(|entry| entry.local_tag.clone());
        self.respond(
            now,
            server,
            Reply {
                status: 183,
                to_tag: tag.as_deref(),
                lines,
                sdp: Some(&sdp),
                ..Reply::default()
            },
        );
    }

    /// Repeats a reliable response until its PRACK comes; after 64*T1 the call is given up (section 3).
    pub(super) fn provisional_unacknowledged(&mut self, now: Instant, leg: LegKey) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let responses = &mut entry.provisional_responses;
        let (Some((_, interval)), Some(invited)) = (&mut responses.waits, entry.invited.clone())
        else {
            return;
        };
        if responses.gives_up_at.is_none_or(|at| at <= now) {
            responses.waits = None;
            return self.party_lost(now, leg, Some(500));
        }
        *interval = interval.saturating_mul(2);
        let interval = *interval;
        let left = responses
            .gives_up_at
            .map(|at| at.saturating_duration_since(now));
        let pause = left.map_or(interval, |left| left.min(interval));
        self.later(now, pause, Timer::Unacknowledged(leg));
        self.repeat_response(&invited);
    }

    /// PRACK of an endpoint: 200 when it fits, and what waited for it may go.
    pub(super) fn take_prack(
        &mut self,
        now: Instant,
        key: &ServerKey,
        leg: LegKey,
        message: &Incoming,
    ) {
        let rack = message.get("RAck").unwrap_or_default();
        let rseq: Option<u32> = rack.split(' ').next().and_then(|rseq| rseq.parse().ok());
        let responses = self
            .legs
            .get_mut(&leg)
            .map(|entry| &mut entry.provisional_responses);
        let Some(responses) = responses else {
            return self.simple(now, key, 481, Vec::new());
        };
        let hit = responses
            .waits
            .is_some_and(|(waits, _)| Some(waits) == rseq);
        if !hit {
            return self.simple(now, key, 481, Vec::new());
        }
        responses.waits = None;
        let answer = responses.answer.take();
        self.simple(now, key, 200, Vec::new());
        if let Some(answer) = answer {
            self.accept_call(now, leg, &answer);
        }
    }

    /// 200 to an endpoint's own call, as soon as nothing that carries a description waits for its PRACK.
    pub(super) fn accept_call(&mut self, now: Instant, leg: LegKey, answer: &str) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let responses = &mut entry.provisional_responses;
        if responses.waits.is_some() {
            responses.answer = Some(answer.to_owned());
            return;
        }
        let answer = match responses.early.take() {
            Some(early) => early,
            None => entry.origin.pass(answer),
        };
        entry.state = LegState::Answered;
        let call = entry.call;
        if let Some(server) = entry.invited.take() {
            self.accept(now, leg, &server, &answer);
        }
        self.establish(call, leg);
    }
}
