//! Dialogs with endpoints: how they begin and what is sent inside them.

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

use super::call::CallKey;
use super::io::Source;
use super::leg::{Destination, Leg, LegKey};
use super::machine::TServer;
use super::read::Incoming;
use super::register::contact_destination;
use super::reliable::Provisional;
use super::route;
use super::sdp::Origin;
use super::text;
use super::transaction::{ClientKey, Purpose};
use super::view::LegState;
use super::write::{Body, Frame};

impl TServer {
    /// The address of record of a number as From shows it: a DN's as it registered.
    fn aor(&self, number: &str) -> String {
        self.registrar.binding(number).map_or_else(
            || format!("sip:{number}@{}", self.config.advertise),
            |binding| binding.aor.clone(),
        )
    }

    /// A new dialog of ours to a registered DN, showing `other` as the remote party.
    pub(super) fn leg_to_dn(
        &mut self,
        now: Instant,
        call: CallKey,
        dn: &str,
        other: &str,
    ) -> Option<LegKey> {
        let binding = self.reachable(now, dn).ok()?.clone();
        let tag = self.ids.tag();
        let server = self.config.advertise;
        let (destination, routes) = self.way_to(&binding);
        let frame = Frame {
            uri: text::uri_of(&binding.contact).to_owned(),
            from: format!("{};tag={tag}", self.aor(other)),
            to: binding.aor,
            call_id: self.ids.call_id(&server.ip().to_string()),
            transport: destination.transport,
            routes,
            sent_by: server.to_string(),
            contact: self.contact(other, destination.transport),
            call_uuid: self.uuid_text(call),
            session: self.session_wish(dn),
            reliable: self
                .config
                .dns
                .get(dn)
                .is_some_and(|dn| dn.require_reliable),
            replaces: String::new(),
            alert: self.config.dns.get(dn).and_then(|dn| dn.alert.line()),
        };
        Some(self.add_leg(now, call, dn, destination, frame, (tag, None)))
    }

    /// The dialog of an endpoint's own INVITE.
    pub(super) fn leg_from_endpoint(
        &mut self,
        now: Instant,
        call: CallKey,
        dn: &str,
        source: Source,
        message: &Incoming,
    ) -> LegKey {
        let tag = self.ids.tag();
        let uri = text::uri_of(message.get("Contact").unwrap_or_default()).to_owned();
        let user = text::user_of(text::uri_of(message.to())).unwrap_or_default();
        let routes = route::recorded(message);
        let destination =
            route::first_hop(&routes).unwrap_or_else(|| contact_destination(&uri, source));
        let frame = Frame {
            uri,
            from: format!("{};tag={tag}", message.to()),
            to: message.from().to_owned(),
            call_id: message.call_id().to_owned(),
            transport: destination.transport,
            routes,
            sent_by: self.config.advertise.to_string(),
            contact: self.contact(user, destination.transport),
            call_uuid: self.uuid_text(call),
            session: self.session_wish(dn),
            reliable: false,
            replaces: String::new(),
            alert: None,
        };
        let remote = message.tag_of_from().map(str::to_owned);
        let key = self.add_leg(now, call, dn, destination, frame, (tag, remote));
        if let Some(leg) = self.legs.get_mut(&key) {
            leg.ours = false;
            leg.remote_cseq = message.cseq;
        }
        key
    }

    fn uuid_text(&self, call: CallKey) -> String {
        self.calls
            .get(&call)
            .map(|call| call.uuid.0.clone())
            .unwrap_or_default()
    }

    fn add_leg(
        &mut self,
        now: Instant,
        call: CallKey,
        dn: &str,
        destination: Destination,
        frame: Frame,
        (local_tag, remote_tag): (String, Option<String>),
    ) -> LegKey {
        let key = LegKey(self.number());
        self.dialogs
            .insert((frame.call_id.clone(), local_tag.clone()), key);
        let origin = Origin::new(self.unix_time_s(now), self.config.advertise.ip());
        let leg = Leg {
            key,
            call,
            dn: dn.to_owned(),
            state: LegState::Calling,
            ours: true,
            told: frame.call_uuid.clone(),
            frame,
            local_tag,
            remote_tag,
            destination,
            cseq: 0,
            remote_cseq: 0,
            inviting: None,
            invite_cseq: 0,
            provisional: false,
            cancelled: false,
            unacknowledged: None,
            acks: BTreeMap::new(),
            invited: None,
            awaiting_ack: None,
            bye_after_ack: None,
            queue: VecDeque::new(),
            glare_retries: 0,
            backing_off: false,
            origin,
            remote_sdp: None,
            offered: None,
            offering: None,
            local_sdp: None,
            black_hole: false,
            provisional_responses: Provisional::default(),
            session: None,
        };
        self.legs.insert(key, leg);
        key
    }

    /// In-dialog NOTIFY without a body.
    pub(super) fn send_notify(
        &mut self,
        now: Instant,
        leg: LegKey,
        event: &str,
        request: Option<&'static str>,
    ) {
        let purpose = Purpose::Notify { leg, request };
        self.send_in_dialog(now, leg, "NOTIFY", purpose, |frame, cseq, branch| {
            frame.notify(event, cseq, branch, None)
        });
    }

    /// One DTMF digit by NOTIFY or INFO.
    pub(super) fn send_digit(&mut self, now: Instant, leg: LegKey, digits: String, next: usize) {
        let Some(digit) = digits.chars().nth(next) else {
            return;
        };
        let by_notify = self
            .legs
            .get(&leg)
            .and_then(|leg| self.config.dns.get(&leg.dn))
            .is_some_and(|dn| dn.cti_control.dtmf);
        let text = format!("Signal={digit}\r\nDuration=160\r\n");
        let method = if by_notify { "NOTIFY" } else { "INFO" };
        let purpose = Purpose::Dtmf { leg, digits, next };
        self.send_in_dialog(now, leg, method, purpose, |frame, cseq, branch| {
            let body = Body {
                kind: "application/dtmf-relay",
                text: &text,
            };
            if by_notify {
                frame.notify("dtmf", cseq, branch, Some(body))
            } else {
                frame.info(cseq, branch, body)
            }
        });
    }

    pub(super) fn send_in_dialog(
        &mut self,
        now: Instant,
        leg: LegKey,
        method: &'static str,
        purpose: Purpose,
        write: impl FnOnce(&Frame, u32, &str) -> Vec<u8>,
    ) {
        let branch = self.ids.branch();
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let cseq = entry.next_cseq();
        let frame = entry.frame.clone();
        let bytes = write(&frame, cseq, &branch);
        let destination = entry.destination;
        let key = ClientKey { branch, method };
        self.start_client(now, key, destination, (frame, cseq), bytes, purpose);
    }
}
