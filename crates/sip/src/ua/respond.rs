//! What the application answers: ringing, answer and refusal of a call, and every other response.

use std::time::Instant;

use super::UserAgent;
use super::event::{DialogId, TransactionId};
use super::tables::Hop;
use crate::dialog::{Accepted, Dialog, Provisional, Stage};
use crate::session_timer::{Session, Terms};
use crate::wire::Refresher;
use crate::{HeaderName, Method, Response, StatusCode, body};

const SDP: &str = "application/sdp";

impl UserAgent {
    /// 180 to a call, with our tag and the DN in Contact: from now on SIP Server may send NOTIFY
    /// `talk`. Does nothing once the call is answered.
    pub fn ring(&mut self, now: Instant, dialog: DialogId) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        let Some(transaction) = call.invite_in.filter(|_| call.stage == Stage::Early) else {
            return;
        };
        let server = self.servers.get(&transaction);
        let unreliable = server.is_some_and(|server| !server.hop.transport.is_reliable());
        let may_be_lost = unreliable && !call.wants_reliable;
        call.provisional = Some(Provisional::new(now, StatusCode::RINGING, may_be_lost));
        self.send_provisional(now, dialog, transaction, StatusCode::RINGING);
        self.settle_dialog(dialog);
    }

    pub(super) fn send_provisional(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        status: StatusCode,
    ) {
        let (Some(call), Some(server)) = (self.dialogs.get(&id), self.servers.get(&transaction))
        else {
            return;
        };
        let mut response = Response::for_request(&server.request, status);
        self.describe(&mut response.headers, call);
        self.sign(&mut response);
        if call.wants_reliable {
            self.send_reliable(now, id, transaction, response);
        } else {
            self.send_response(now, transaction, &response);
        }
    }

    /// 200 to a call; repeated until its ACK comes, for 64*T1, on every transport.
    pub fn answer(&mut self, now: Instant, dialog: DialogId, sdp: Vec<u8>) {
        let Some(call) = self.dialogs.get(&dialog) else {
            return;
        };
        let Some(transaction) = call.invite_in.filter(|_| call.stage == Stage::Early) else {
            return;
        };
        self.respond(now, transaction, StatusCode::OK, &[], Some((SDP, sdp)));
    }

    /// Refuses a call with a final response from 300 to 699; anything else is sent as 480. The
    /// dialog is over.
    pub fn reject(
        &mut self,
        now: Instant,
        dialog: DialogId,
        status: StatusCode,
        headers: &[(HeaderName, Vec<u8>)],
    ) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        if call.stage != Stage::Early {
            return;
        }
        let Some(transaction) = call.invite_in.take() else {
            return;
        };
        let status = if status.is_failure() {
            status
        } else {
            StatusCode::TEMPORARILY_UNAVAILABLE
        };
        self.send_status(now, transaction, status, headers);
        self.finish(dialog);
    }

    /// Answers a request of the peer. A transaction that is over or unknown is ignored: its
    /// request was cancelled, or nobody waits any longer.
    pub fn respond(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        status: StatusCode,
        headers: &[(HeaderName, Vec<u8>)],
        body: Option<(&str, Vec<u8>)>,
    ) {
        let Some(server) = self.servers.get(&transaction) else {
            return;
        };
        if !server.machine.is_unanswered() {
            return;
        }
        let mut response = Response::for_request(&server.request, status);
        let method = server.request.method.clone();
        let id = server.dialog;
        let call = id.and_then(|id| self.dialogs.get(&id));
        self.dress(&mut response, &method, call);
        let request = &server.request.headers;
        let wish_s = self.config.session_expires_s;
        let unsaid = || match call {
            Some(call) if call.stage == Stage::Early => Terms::of_ours(request, wish_s?),
            Some(call) => Some(call.session?.carried_on(request)),
            None => None,
        };
        let terms = session_terms(&mut response, &method, request, unsaid);
        // The application's own header takes the place of ours.
        for (name, _) in headers {
            response.headers.remove(name);
        }
        for (name, value) in headers {
            response.headers.push(name.clone(), value.clone());
        }
        self.sign(&mut response);
        if let Some((content_type, body)) = body {
            response.set_body(content_type, body);
        }
        let asked = Asked {
            hop: server.hop,
            cseq: server.request.headers.cseq().map_or(0, |cseq| cseq.number),
            offer_came: body::sdp(&server.request.headers, &server.request.body).is_some(),
            method,
            terms,
        };
        self.send_response(now, transaction, &response);
        if let Some(id) = id {
            self.after_response(now, id, transaction, asked, &response);
        }
    }

    /// The headers that a response has by its method.
    fn dress(&self, response: &mut Response, method: &Method, call: Option<&Dialog>) {
        let status = response.status;
        let opens = matches!(method, Method::Invite | Method::Update)
            && status > StatusCode::TRYING
            && !status.is_failure();
        match call {
            Some(call) if opens => self.describe(&mut response.headers, call),
            Some(call) if status.is_success() && *method != Method::Bye => {
                // Contact is optional here; SIP Server's own endpoint sends it with NOTIFY.
                if let Some(contact) = self.contact(call) {
                    response.headers.push(HeaderName::CONTACT, contact);
                }
            }
            _ => {}
        }
        let asks_what_we_can = *method == Method::Options && status.is_success();
        if asks_what_we_can || status == StatusCode::METHOD_NOT_ALLOWED {
            response.headers.push(HeaderName::ALLOW, self.allow);
        }
        if asks_what_we_can {
            response.headers.push(HeaderName::ACCEPT, SDP);
            let supported = super::SUPPORTED_RELIABLE;
            response.headers.push(HeaderName::SUPPORTED, supported);
        }
        if asks_what_we_can || status == StatusCode::BAD_EVENT {
            response
                .headers
                .push(HeaderName::ALLOW_EVENTS, super::ALLOW_EVENTS);
        }
    }

    /// What a response to a request within a dialog changes in it.
    fn after_response(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        asked: Asked,
        response: &Response,
    ) {
        if response.status.is_provisional() {
            return;
        }
        let timers = self.config.timers;
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if call.update_in == Some(transaction) {
            call.update_in = None;
        }
        let refreshes = matches!(asked.method, Method::Invite | Method::Update);
        let ours = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
        if refreshes && response.status.is_success() {
            call.session = asked.terms.map(|terms| {
                Session::start(now, terms.interval_s, terms.refresher == Refresher::Uas)
            });
            if ours.is_some() {
                call.reinvites.session_changed();
                call.last_sdp.clone_from(&ours);
            }
        }
        if call.invite_in == Some(transaction) {
            call.invite_in = None;
            call.provisional = None;
            if let Some(reliable) = &mut call.reliable {
                reliable.hush();
            }
            let opens_dialog = call.stage == Stage::Early;
            if response.status.is_success() {
                // The dialog repeats it, the transaction does not (RFC 6026 section 7.1).
                let server = self.servers.get_mut(&transaction);
                let sent = server.and_then(|server| server.last_response.take());
                let bytes = sent.unwrap_or_else(|| response.to_bytes());
                let mut accepted = Accepted::new(now, &timers, asked.cseq, asked.hop, bytes);
                accepted.opens_dialog = opens_dialog;
                accepted.carries_offer = ours.is_some() && !asked.offer_came;
                call.accepted.push(accepted);
                call.stage = Stage::Confirmed;
            } else if opens_dialog {
                return self.finish(id);
            }
        }
        self.next_reinvite(now, id);
        self.settle_dialog(id);
    }
}

/// What the peer asked, as far as it matters once it is answered.
struct Asked {
    method: Method,
    hop: Hop,
    cseq: u32,
    /// It came with an offer, so that the answer has none.
    offer_came: bool,
    /// The session timer that was agreed to.
    terms: Option<Terms>,
}

/// Agrees to the session timer that an INVITE or UPDATE asks for, or where it is `unsaid` asks for that one (RFC 4028 section 9).
fn session_terms(
    response: &mut Response,
    method: &Method,
    request: &crate::Headers,
    unsaid: impl FnOnce() -> Option<Terms>,
) -> Option<Terms> {
    if !matches!(method, Method::Invite | Method::Update) || !response.status.is_success() {
        return None;
    }
    let terms = Terms::of_request(request).ok()?.or_else(unsaid)?;
    if terms.refresher == Refresher::Uac {
        response.headers.push(HeaderName::REQUIRE, "timer");
    }
    response
        .headers
        .push(HeaderName::SESSION_EXPIRES, terms.header());
    Some(terms)
}
