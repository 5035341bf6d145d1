//! A message comes in: is it SIP, may its sender speak to us, and what is it for?

use std::time::Instant;

use super::config::{Refusal, Source};
use super::event::{Event, RefusedInvite, RefusedReason};
use super::prack::RELIABLE;
use super::tables::Hop;
use super::transactions::Incoming;
use super::{UserAgent, limits};
use crate::transaction::{MergeKey, ServerKey};
use crate::{
    HeaderName, Headers, Message, Method, ParseError, ParseFault, Request, Response, StatusCode,
    Tag, Uri,
};

/// Option tags of `Require` that we keep to.
const EXTENSIONS: [&str; 3] = ["timer", "replaces", RELIABLE];

impl UserAgent {
    /// Takes one whole SIP message: a datagram, or a frame of a stream.
    pub fn receive(&mut self, now: Instant, source: &Source, bytes: &[u8]) {
        if self.outputs.len() >= limits::QUEUED_OUTPUTS_MAX {
            return;
        }
        // A stranger who is to hear nothing does not cost us the reading.
        let unheard =
            self.config.refusal == Refusal::Silent && !self.peers.hears(source.remote.ip());
        if unheard && !bytes.starts_with(b"SIP/2.0 ") && !bytes.iter().all(u8::is_ascii_control) {
            return self.refused(RefusedReason::Source, source.remote);
        }
        match Message::parse(bytes) {
            Ok(Message::Request(request)) => self.on_request(now, source, request, bytes.len()),
            Ok(Message::Response(response)) => self.on_response(now, source, response),
            Err(error) => self.on_malformed(source, &error),
        }
    }

    fn on_malformed(&mut self, source: &Source, error: &ParseError) {
        if *error.fault() == ParseFault::Empty {
            return;
        }
        if !self.peers.hears(source.remote.ip()) {
            return self.refused(RefusedReason::Source, source.remote);
        }
        if let Some(response) = error.reply() {
            let status = response.status;
            self.reply_stateless(source, response);
            self.lose_broken_invite(error, status);
        }
        self.refused(RefusedReason::Parse, source.remote);
    }

    /// An INVITE outside of any dialog that cannot be processed was a call as well.
    fn lose_broken_invite(&mut self, error: &ParseError, status: StatusCode) {
        let Some(invite) = error.invite() else {
            return;
        };
        if invite.headers.to_tag().is_some() {
            return;
        }
        let fault = Some(error.to_string());
        let reason = RefusedReason::Parse;
        self.lose_invite(
            invite.uri.as_ref(),
            &invite.headers,
            (status, reason),
            fault,
        );
    }

    /// An INVITE outside of any dialog is refused, and no other will come in its place: a call is lost.
    fn lose_invite(
        &mut self,
        uri: Option<&Uri>,
        headers: &Headers,
        (status, reason): (StatusCode, RefusedReason),
        fault: Option<String>,
    ) {
        let invite = Box::new(RefusedInvite {
            uri: uri.cloned(),
            headers: headers.clone(),
            status,
            reason,
            fault,
        });
        self.emit(Event::InviteRefused { invite });
    }

    fn on_request(&mut self, now: Instant, source: &Source, mut request: Request, octets: usize) {
        if !self.peers.hears(source.remote.ip()) {
            if self.config.refusal == Refusal::Forbidden && request.method != Method::Ack {
                request.headers.note_source(source.remote);
                let response = Response::for_request(&request, StatusCode::FORBIDDEN);
                self.reply_stateless(source, response);
            }
            return self.refused(RefusedReason::Source, source.remote);
        }
        request.headers.note_source(source.remote);
        let Ok(via) = request.headers.top_via() else {
            return self.refused(RefusedReason::Parse, source.remote);
        };
        let hop = Hop::for_response(source, &via);
        let of = match request.method {
            Method::Ack => Method::Invite,
            _ => request.method.clone(),
        };
        let Some(key) = ServerKey::new(&request, &via, &of) else {
            return self.refused(RefusedReason::Parse, source.remote);
        };
        let known = self.server_keys.get(&key).copied();
        if request.method == Method::Ack {
            let for_dialog = known.is_none_or(|id| self.on_transaction_ack(now, id));
            if for_dialog {
                self.on_dialog_ack(now, source, &request);
            }
            return;
        }
        if let Some(id) = known {
            return self.on_repeated_request(now, id, hop);
        }
        let local = request.headers.to_tag();
        let in_dialog = local.is_some();
        let dialog = local.and_then(|local| self.dialog_of(&request, local));
        if !self.has_room_for(&request, &via, dialog) {
            let mut response = Response::for_request(&request, StatusCode::SERVICE_UNAVAILABLE);
            let wait = limits::FULL_RETRY_AFTER_S.to_string();
            response.headers.push(HeaderName::RETRY_AFTER, wait);
            self.reply_stateless(source, response);
            if request.method == Method::Invite && !in_dialog {
                let why = (StatusCode::SERVICE_UNAVAILABLE, RefusedReason::Limit);
                self.lose_invite(Some(&request.uri), &request.headers, why, None);
            }
            return self.refused(RefusedReason::Limit, source.remote);
        }
        let merge = MergeKey::new(&request);
        let incoming = Incoming {
            request,
            in_dialog,
            dialog,
            source: *source,
            hop,
            key,
            merge,
            octets,
        };
        self.on_new_request(now, incoming, &via);
    }

    /// The checks of RFC 3261 section 8.2, in its order.
    fn on_new_request(&mut self, now: Instant, incoming: Incoming, via: &crate::Via) {
        let request = &incoming.request;
        match request.method {
            Method::Cancel => return self.on_cancel(now, incoming, via),
            Method::Register | Method::Publish => {
                let allow = vec![(HeaderName::ALLOW, self.allow.into())];
                let status = StatusCode::METHOD_NOT_ALLOWED;
                return self.refuse(now, incoming, status, allow, RefusedReason::Method);
            }
            Method::Other(_) => {
                let allow = vec![(HeaderName::ALLOW, self.allow.into())];
                let status = StatusCode::NOT_IMPLEMENTED;
                return self.refuse(now, incoming, status, allow, RefusedReason::Method);
            }
            _ => {}
        }
        let first = incoming.merge.as_ref();
        let first = first.and_then(|key| self.merge_keys.get(key)).copied();
        if let Some(first) = first {
            if incoming.in_dialog {
                return self.on_other_way(now, first, incoming);
            }
            // The key stays with the request that came first.
            let incoming = Incoming {
                merge: None,
                ..incoming
            };
            let status = StatusCode::LOOP_DETECTED;
            return self.refuse(now, incoming, status, Vec::new(), RefusedReason::Merged);
        }
        let unknown: Vec<_> = request
            .headers
            .require()
            .into_iter()
            .filter(|tag| !EXTENSIONS.contains(&&**tag))
            .collect();
        if !unknown.is_empty() {
            let unknown = unknown.join(", ");
            return self.refuse_extension(now, incoming, &unknown);
        }
        self.dispatch(now, incoming);
    }

    /// 420: what the request insists on is not there (RFC 3261 section 8.2.2.3).
    pub(super) fn refuse_extension(&mut self, now: Instant, incoming: Incoming, unknown: &str) {
        let why = (StatusCode::BAD_EXTENSION, RefusedReason::Extension);
        let unsupported = vec![(HeaderName::UNSUPPORTED, unknown.into())];
        if incoming.request.method == Method::Invite && !incoming.in_dialog {
            let fault = Some(format!("Require: {unknown}"));
            return self.refuse_call(now, incoming, why, unsupported, fault);
        }
        self.refuse(now, incoming, why.0, unsupported, why.1);
    }

    /// Refuses an INVITE outside of any dialog, in whose place no other will come.
    pub(super) fn refuse_call(
        &mut self,
        now: Instant,
        incoming: Incoming,
        (status, reason): (StatusCode, RefusedReason),
        headers: Vec<(HeaderName, Vec<u8>)>,
        fault: Option<String>,
    ) {
        let request = &incoming.request;
        self.lose_invite(
            Some(&request.uri),
            &request.headers,
            (status, reason),
            fault,
        );
        self.refuse(now, incoming, status, headers, reason);
    }

    fn dispatch(&mut self, now: Instant, incoming: Incoming) {
        if incoming.in_dialog {
            return self.on_in_dialog_request(now, incoming);
        }
        match incoming.request.method {
            Method::Invite => self.on_invite(now, incoming),
            Method::Options
            | Method::Notify
            | Method::Message
            | Method::Refer
            | Method::Subscribe => {
                let peer = incoming.source;
                let shown = Box::new(incoming.request.clone());
                let mut incoming = incoming;
                let tag = self.ids.tag();
                incoming.request.headers.add_to_tag(&tag);
                let transaction = self.start_server(now, incoming, None);
                self.emit(Event::OutOfDialog {
                    transaction,
                    request: shown,
                    peer,
                });
            }
            // BYE, INFO, PRACK and UPDATE live in dialogs only.
            _ => {
                let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
                self.refuse(now, incoming, status, Vec::new(), RefusedReason::NoDialog);
            }
        }
    }

    /// Answers a request with a failure of our own and counts it.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        mut incoming: Incoming,
        status: StatusCode,
        headers: Vec<(HeaderName, Vec<u8>)>,
        reason: RefusedReason,
    ) {
        let peer = incoming.source.remote;
        let tag = self.ids.tag();
        incoming.request.headers.add_to_tag(&tag);
        let mut response = Response::for_request(&incoming.request, status);
        for (name, value) in headers {
            response.headers.push(name, value);
        }
        self.sign(&mut response);
        let id = self.start_server(now, incoming, None);
        self.send_response(now, id, &response);
        self.refused(reason, peer);
    }

    /// Answers without a transaction. The tag is the same for each repetition, as RFC 3261 section
    /// 8.2.7 wants it.
    fn reply_stateless(&mut self, source: &Source, mut response: Response) {
        response.headers.note_source(source.remote);
        let Ok(via) = response.headers.top_via() else {
            return;
        };
        let names = via.branch.as_ref().map_or(&[][..], crate::Branch::as_bytes);
        response
            .headers
            .add_to_tag(&Tag::new(format!("{:016x}", fnv1a(names))));
        self.sign(&mut response);
        let hop = Hop::for_response(source, &via);
        self.transmit(&hop, response.to_bytes());
    }
}

/// A spread-out number of these octets; nothing rests on its being hard to guess.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}
