//! Requests that endpoints send: registrations, calls of their own, and what they do inside a dialog.

use std::time::Instant;

use super::call::{Party, PartyKind};
use super::io::{EventKind, PartyState, Source};
use super::leg::{LegKey, Waiter};
use super::machine::TServer;
use super::read::{Incoming, Start};
use super::register::Proof;
use super::sdp::Audio;
use super::text;
use super::transaction::ServerKey;
use super::view::{CallKind, LegState};
use super::write::Reply;

/// `Allow` of our answers, as in our own INVITEs.
const ALLOW: &str =
    "ACK, BYE, CANCEL, INFO, INVITE, MESSAGE, NOTIFY, OPTIONS, PRACK, REFER, UPDATE";

impl TServer {
    pub(super) fn take_request(&mut self, now: Instant, source: Source, message: &Incoming) {
        let Start::Request { method, .. } = &message.start else {
            return;
        };
        let method = method.to_ascii_uppercase();
        if method == "ACK" {
            return self.take_ack(now, message);
        }
        if self.repeated_request(message, &method) {
            return;
        }
        if method == "REGISTER" {
            return self.take_register(now, source, message);
        }
        let Some(key) = self.start_server(source, message, &method) else {
            return;
        };
        if self.config.trying_to_all && !matches!(method.as_str(), "INVITE" | "CANCEL") {
            let trying = Reply {
                status: 100,
                ..Reply::default()
            };
            self.respond(now, &key, trying);
        }
        if method == "CANCEL" {
            return self.take_cancel(now, &key, message);
        }
        if message.to_tag().is_some() {
            return self.take_in_dialog(now, &key, &method, message);
        }
        match method.as_str() {
            "INVITE" => self.take_call(now, &key, source, message),
            "OPTIONS" => self.simple(now, &key, 200, vec![("Allow", ALLOW.to_owned())]),
            "MESSAGE" | "PUBLISH" => self.simple(now, &key, 200, Vec::new()),
            "SUBSCRIBE" => self.simple(now, &key, 489, Vec::new()),
            "NOTIFY" | "BYE" | "INFO" | "UPDATE" | "PRACK" | "REFER" => {
                self.simple(now, &key, 481, Vec::new());
            }
            _ => self.simple(now, &key, 405, vec![("Allow", ALLOW.to_owned())]),
        }
    }

    /// An answer without a dialog and without a body.
    pub(super) fn simple(
        &mut self,
        now: Instant,
        key: &ServerKey,
        status: u16,
        lines: Vec<(&'static str, String)>,
    ) {
        let tag = self.ids.tag();
        self.respond(
            now,
            key,
            Reply {
                status,
                to_tag: Some(&tag),
                lines,
                ..Reply::default()
            },
        );
    }

    /// The leg that a received request belongs to.
    pub(super) fn leg_of(&self, message: &Incoming) -> Option<LegKey> {
        let tag = message.to_tag()?;
        let key = (message.call_id().to_owned(), tag.to_owned());
        self.dialogs.get(&key).copied()
    }

    fn take_in_dialog(&mut self, now: Instant, key: &ServerKey, method: &str, message: &Incoming) {
        let known = self.leg_of(message);
        let Some(leg) = known.and_then(|leg| self.legs.get_mut(&leg)) else {
            if method == "NOTIFY" && self.take_refer_news(now, key, message) {
                return;
            }
            return self.simple(now, key, 481, Vec::new());
        };
        // RFC 3261 section 12.2.2: a lower one; an equal one is a repetition that a backup gets.
        if message.cseq < leg.remote_cseq {
            return self.simple(now, key, 500, vec![("Retry-After", "1".to_owned())]);
        }
        leg.remote_cseq = message.cseq;
        let leg = leg.key;
        match method {
            "BYE" => self.take_bye(now, key, leg),
            "INVITE" => self.take_reinvite(now, key, leg, message),
            "REFER" => self.take_refer(now, key, leg, message),
            "PRACK" => self.take_prack(now, key, leg, message),
            "INFO" | "NOTIFY" | "UPDATE" | "MESSAGE" | "OPTIONS" => {
                let contact = self.legs.get(&leg).map(|leg| leg.frame.contact.clone());
                let mut lines: Vec<_> = contact.map(|it| ("Contact", it)).into_iter().collect();
                if method == "UPDATE" {
                    // Without a description it is a session refresh (RFC 4028 section 9).
                    lines.extend(self.session_grant(now, leg, key));
                }
                self.simple(now, key, 200, lines);
                if method == "NOTIFY" {
                    self.move_news(now, leg, message);
                }
            }
            _ => self.simple(now, key, 405, vec![("Allow", ALLOW.to_owned())]),
        }
    }

    fn take_bye(&mut self, now: Instant, key: &ServerKey, leg: LegKey) {
        let alive = self.legs.get(&leg).is_some_and(|entry| entry.alive());
        // RFC 3261 section 15.1.2: also when our own BYE crosses it.
        self.simple(now, key, 200, Vec::new());
        if !alive {
            return;
        }
        self.endpoint_left(now, leg);
        for call in self.calls_of_leg(leg) {
            let by = self
                .calls
                .get(&call)
                .and_then(|call| call.index_of_leg(leg));
            self.end_call(now, call, by, None);
        }
        self.remove_leg(now, leg);
    }

    fn take_reinvite(&mut self, now: Instant, key: &ServerKey, leg: LegKey, message: &Incoming) {
        self.set_server_leg(key, leg);
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if entry.invited.is_some() {
            return self.simple(now, key, 500, vec![("Retry-After", "1".to_owned())]);
        }
        if entry.inviting.is_some() || entry.unacknowledged.is_some() {
            return self.simple(now, key, 491, Vec::new());
        }
        if entry.state != LegState::Confirmed {
            return self.simple(now, key, 481, Vec::new());
        }
        if let Some(uri) = message.get("Contact").map(text::uri_of) {
            entry.frame.uri = uri.to_owned();
        }
        entry.invited = Some(key.clone());
        match message.sdp() {
            Some(offer) => {
                entry.offered = Some(offer.to_owned());
                self.seek_answer(now, leg, offer, Waiter::Reply(leg));
            }
            None => self.offer_again(now, leg, key),
        }
    }

    /// A re-INVITE without SDP: our 200 offers what the endpoint had before, the ACK answers.
    fn offer_again(&mut self, now: Instant, leg: LegKey, key: &ServerKey) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let sdp = match entry.local_sdp.clone() {
            Some(last) => entry.origin.pass(&last),
            None => entry.origin.black_hole(),
        };
        entry.invited = None;
        self.accept(now, leg, key, &sdp);
    }

    /// Our 200 with SDP to an endpoint's INVITE, to be acknowledged.
    pub(super) fn accept(&mut self, now: Instant, leg: LegKey, key: &ServerKey, sdp: &str) {
        let cseq = self.servers.get(key).map(|server| server.request.cseq);
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        entry.local_sdp = Some(sdp.to_owned());
        entry.awaiting_ack = cseq.map(|cseq| (cseq, key.clone()));
        let contact = entry.frame.contact.clone();
        let uuid = entry.frame.call_uuid.clone();
        let tag = entry.local_tag.clone();
        let mut lines = vec![
            ("Contact", contact),
            ("Allow", ALLOW.to_owned()),
            ("X-Genesys-CallUUID", uuid),
        ];
        lines.extend(self.session_grant(now, leg, key));
        self.respond(
            now,
            key,
            Reply {
                status: 200,
                to_tag: Some(&tag),
                lines,
                sdp: Some(sdp),
                ..Reply::default()
            },
        );
    }

    /// The ACK of a 2xx of ours.
    pub(super) fn acknowledged(&mut self, now: Instant, leg: LegKey, message: &Incoming) {
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        if entry.state == LegState::Answered {
            entry.state = LegState::Confirmed;
        }
        if let Some(answer) = message.sdp() {
            entry.remote_sdp = Some(answer.to_owned());
            self.tell_customer(leg);
        }
        let wanted = self
            .legs
            .get_mut(&leg)
            .and_then(|entry| entry.bye_after_ack.take());
        if let Some(reason) = wanted {
            self.send_bye(now, leg, reason.as_deref());
            return;
        }
        self.leg_free(now, leg);
    }

    fn take_cancel(&mut self, now: Instant, key: &ServerKey, message: &Incoming) {
        let invite = ServerKey::of(message, "INVITE");
        let Some(server) = self.servers.get(&invite) else {
            return self.simple(now, key, 481, Vec::new());
        };
        let (open, leg) = (server.final_status.is_none(), server.leg());
        self.simple(now, key, 200, Vec::new());
        let Some(leg) = leg.filter(|_| open) else {
            return;
        };
        let tag = self.legs.get(&leg).map(|leg| leg.local_tag.clone());
        self.respond(
            now,
            &invite,
            Reply {
                status: 487,
                to_tag: tag.as_deref(),
                ..Reply::default()
            },
        );
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        entry.invited = None;
        if entry.state == LegState::Confirmed {
            // A cancelled re-INVITE changes nothing.
            entry.offered = None;
            return self.leg_free(now, leg);
        }
        entry.state = LegState::Terminated;
        let call = entry.call;
        let by = self
            .calls
            .get(&call)
            .and_then(|call| call.index_of_leg(leg));
        self.end_call(now, call, by, None);
        self.remove_leg(now, leg);
    }

    /// 1PCC: an endpoint calls.
    fn take_call(&mut self, now: Instant, key: &ServerKey, source: Source, message: &Incoming) {
        if let Some(status) = self.refuse_calls {
            let lines = match (status, self.config.peer_site) {
                (300..400, Some(peer)) => {
                    let number = dialled_number(message);
                    vec![("Contact", format!("<sip:{number}@{peer}>"))]
                }
                _ => Vec::new(),
            };
            return self.simple(now, key, status, lines);
        }
        let dn = self.dn_named_by(message, text::uri_of(message.from()));
        let Some(settings) = self.config.dns.get(&dn) else {
            return self.simple(now, key, 403, Vec::new());
        };
        if settings.authenticate_invite {
            match self.prove(&dn, "INVITE", message) {
                Proof::Good => {}
                Proof::Missing => return self.challenge(now, key, &dn, false),
                Proof::Stale => return self.challenge(now, key, &dn, true),
                Proof::Wrong => return self.simple(now, key, 403, Vec::new()),
            }
        }
        if self.registrar.binding(&dn).is_none() {
            return self.simple(now, key, 403, Vec::new());
        }
        let Some(offer) = message.sdp().filter(|sdp| Audio::read(sdp).is_some()) else {
            return self.simple(now, key, 488, Vec::new());
        };
        if self
            .take_replacing(now, key, source, message, &dn)
            .is_some()
        {
            return;
        }
        let number = dialled_number(message);
        let Some(call) = self.new_call(CallKind::Outbound, number) else {
            return self.simple(now, key, 503, Vec::new());
        };
        self.call_as_referred(call, &dn);
        self.respond(
            now,
            key,
            Reply {
                status: 100,
                ..Reply::default()
            },
        );
        let leg = self.leg_from_endpoint(now, call, &dn, source, message);
        if let Some(entry) = self.legs.get_mut(&leg) {
            entry.invited = Some(key.clone());
            entry.remote_sdp = Some(offer.to_owned());
        }
        self.set_server_leg(key, leg);
        if let Some(entry) = self.calls.get_mut(&call) {
            entry.parties.push(Party::new(
                dn,
                PartyKind::Endpoint(leg),
                PartyState::Dialing,
            ));
        }
        self.call_event(call, 0, EventKind::Dialing);
        self.call_destination(now, call);
    }
}

/// The user of the Request-URI, else of To.
fn dialled_number(message: &Incoming) -> String {
    let uri = match &message.start {
        Start::Request { uri, .. } => uri.as_str(),
        Start::Response { .. } => "",
    };
    text::user_of(uri)
        .or_else(|| text::user_of(text::uri_of(message.to())))
        .unwrap_or_default()
        .to_owned()
}
