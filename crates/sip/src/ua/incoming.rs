//! Requests of the peer: new calls, ACK, CANCEL and everything within a dialog.

use std::time::Instant;

use super::config::Source;
use super::event::{DialogId, Event, RefusedReason, TransactionId};
use super::prack::RELIABLE;
use super::tables::Hop;
use super::transactions::Incoming;
use super::{UserAgent, limits};
use crate::dialog::{Birth, Dialog, DialogKey, Role, RouteSet, Stage};
use crate::session_timer::{MIN_SE_S, Terms, TooShort};
use crate::transaction::ServerKey;
use crate::wire::{HeaderError, HeaderFault};
use crate::{HeaderName, Method, Request, Response, StatusCode, Tag, Via, body};

impl UserAgent {
    /// An INVITE outside of any dialog: the dialog is born early, with our tag.
    pub(super) fn on_invite(&mut self, now: Instant, incoming: Incoming) {
        if self.dialogs.len() >= self.capacity.dialogs {
            let wait = limits::FULL_RETRY_AFTER_S.to_string().into_bytes();
            let headers = vec![(HeaderName::RETRY_AFTER, wait)];
            let why = (StatusCode::SERVICE_UNAVAILABLE, RefusedReason::Limit);
            return self.refuse_call(now, incoming, why, headers, None);
        }
        let Some(incoming) = self.refuse_short_session(now, incoming) else {
            return;
        };
        let headers = &incoming.request.headers;
        let wants_reliable = headers.require().iter().any(|option| &**option == RELIABLE);
        if wants_reliable && body::sdp(headers, &incoming.request.body).is_none() {
            // The 180 would have to carry our offer (RFC 3262 section 5), before anybody has answered.
            return self.refuse_extension(now, incoming, RELIABLE);
        }
        let mut incoming = incoming;
        let tag = self.ids.tag();
        let shown = Box::new(incoming.request.clone());
        let trying = Response::for_request(&incoming.request, StatusCode::TRYING);
        incoming.request.headers.add_to_tag(&tag);
        let id = DialogId(self.next_id());
        let peer = Hop::to_sender(&incoming.source, incoming.hop);
        let Some(mut dialog) = callee_dialog(id, &incoming.request, peer, tag) else {
            let why = (StatusCode::BAD_REQUEST, RefusedReason::Parse);
            let fault = Some(contact_fault(&incoming.request));
            return self.refuse_call(now, incoming, why, Vec::new(), fault);
        };
        let peer = incoming.source;
        dialog.opened_by.clone_from(&incoming.merge);
        dialog.wants_reliable = wants_reliable;
        let transaction = self.start_server(now, incoming, Some(id));
        dialog.invite_in = Some(transaction);
        self.file_dialog(dialog);
        self.send_response(now, transaction, &trying);
        self.emit(Event::Invite {
            dialog: id,
            request: shown,
            peer,
        });
    }

    /// 422 to a session timer below the minimum (RFC 4028 section 9).
    fn refuse_short_session(&mut self, now: Instant, incoming: Incoming) -> Option<Incoming> {
        if Terms::of_request(&incoming.request.headers) != Err(TooShort) {
            return Some(incoming);
        }
        let least = vec![(HeaderName::MIN_SE, MIN_SE_S.to_string().into_bytes())];
        let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
        self.refuse(now, incoming, status, least, RefusedReason::SessionInterval);
        None
    }

    /// CANCEL finds its INVITE by the branch; it has no effect once that is answered (RFC 3261
    /// section 9.2).
    pub(super) fn on_cancel(&mut self, now: Instant, mut incoming: Incoming, via: &Via) {
        let found = self.cancelled_by(&incoming.request, via);
        let Some((invite, server)) = found.and_then(|id| Some((id, self.servers.get(&id)?))) else {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.refuse(
                now,
                incoming,
                status,
                Vec::new(),
                RefusedReason::NoTransaction,
            );
        };
        let unanswered = server.machine.is_unanswered();
        let dialog = server.dialog;
        if let Some(tag) = server.request.headers.to_tag() {
            incoming.request.headers.add_to_tag(&tag);
        }
        let reason = incoming.request.headers.reason().ok().flatten();
        incoming.merge = None;
        let cancel = self.start_server(now, incoming, dialog);
        self.send_status(now, cancel, StatusCode::OK, &[]);
        if !unanswered {
            return;
        }
        self.send_status(now, invite, StatusCode::REQUEST_TERMINATED, &[]);
        let Some(id) = dialog else { return };
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        call.invite_in = None;
        if call.stage == Stage::Early {
            self.emit(Event::Cancelled { dialog: id, reason });
            self.finish(id);
        } else {
            self.emit(Event::ReinviteCancelled {
                dialog: id,
                transaction: invite,
            });
            self.next_reinvite(now, id);
            self.settle_dialog(id);
        }
    }

    /// The INVITE of the peer that a CANCEL is for, answered or not.
    pub(super) fn cancelled_by(&self, cancel: &Request, via: &Via) -> Option<TransactionId> {
        let key = ServerKey::new(cancel, via, &Method::Invite)?;
        self.server_keys.get(&key).copied()
    }

    /// The ACK of a 2xx. Only the first one is told; a stray one is counted and nothing else.
    pub(super) fn on_dialog_ack(&mut self, now: Instant, source: &Source, request: &Request) {
        let local = request.headers.to_tag();
        let Some(id) = local.and_then(|local| self.dialog_of(request, local)) else {
            return self.refused(RefusedReason::NoTransaction, source.remote);
        };
        let Ok(cseq) = request.headers.cseq() else {
            return;
        };
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        let waiting = dialog
            .accepted
            .iter()
            .position(|accepted| accepted.cseq == cseq.number);
        let Some(index) = waiting else { return };
        let accepted = dialog.accepted.swap_remove(index);
        // Nobody begins another INVITE before the answer to the last one is there (RFC 3261 section 14.1): the ACKs of former ones were
        // sent and lost. One that owes an answer is still waited for.
        let before = dialog.accepted.len();
        dialog
            .accepted
            .retain(|former| former.cseq > cseq.number || former.carries_offer);
        let implied = before - dialog.accepted.len();
        let stage = dialog.stage;
        // Only the answer to our offer counts: any other SDP in an ACK breaks RFC 3264.
        let answer = body::sdp(&request.headers, &request.body).filter(|_| accepted.carries_offer);
        if stage == Stage::Ending {
            self.send_bye_when_due(now, id);
        } else {
            for _ in 0..implied {
                self.emit(Event::Ack {
                    dialog: id,
                    to_offer: false,
                    sdp: None,
                });
            }
            self.emit(Event::Ack {
                dialog: id,
                to_offer: accepted.carries_offer,
                sdp: answer.map(<[u8]>::to_vec),
            });
            self.next_reinvite(now, id);
        }
        self.settle_dialog(id);
    }

    /// The dialog of ours with this local tag that a request names.
    pub(super) fn dialog_of(&self, request: &Request, local: Tag) -> Option<DialogId> {
        let headers = &request.headers;
        self.find_dialog(headers.call_id().ok()?, local, headers.from().ok()?.tag())
    }

    /// A request with a To tag, ACK and CANCEL apart. Call-ID and both tags make it the dialog's; which host of the list of SIP
    /// Servers it comes from does not matter: after a switch-over it is the other one of the pair, and the instances of a proxy
    /// take turns (docs/security.md#whom-talkbridge-trusts).
    pub(super) fn on_in_dialog_request(&mut self, now: Instant, incoming: Incoming) {
        let number = incoming
            .request
            .headers
            .cseq()
            .map_or(0, |cseq| cseq.number);
        let method = incoming.request.method.clone();
        let tag = incoming
            .request
            .headers
            .from()
            .ok()
            .and_then(|from| from.tag());
        let dialog = incoming.dialog.and_then(|id| self.dialogs.get_mut(&id));
        // A callee must not end an early dialog, and one that we have ended takes only BYE.
        let alive = |dialog: &&mut Dialog| match (dialog.stage, &method) {
            (Stage::Ending, method) => *method == Method::Bye,
            (Stage::Early, Method::Bye) => dialog.role == Role::Callee,
            _ => true,
        };
        let Some(dialog) = dialog.filter(alive) else {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.refuse(now, incoming, status, Vec::new(), RefusedReason::NoDialog);
        };
        if !dialog.counts(number, tag) {
            let status = StatusCode::SERVER_INTERNAL_ERROR;
            return self.refuse(now, incoming, status, Vec::new(), RefusedReason::Sequence);
        }
        dialog.seen_at(Hop::to_sender(&incoming.source, incoming.hop));
        let id = dialog.id;
        match method {
            Method::Invite => self.on_reinvite(now, id, incoming),
            Method::Update => self.on_update(now, id, incoming),
            Method::Bye => self.on_bye(now, id, incoming),
            Method::Prack => self.on_prack(now, id, incoming),
            _ => {
                let request = Box::new(incoming.request.clone());
                let transaction = self.start_server(now, incoming, Some(id));
                self.emit(Event::Request {
                    dialog: id,
                    transaction,
                    request,
                });
            }
        }
        self.settle_dialog(id);
    }

    fn on_reinvite(&mut self, now: Instant, id: DialogId, incoming: Incoming) {
        let Some(dialog) = self.dialogs.get(&id) else {
            return;
        };
        // RFC 3261 section 14.2: a former INVITE of theirs is unanswered, or one of ours is.
        let unanswered = dialog.stage == Stage::Early && dialog.role == Role::Callee;
        if unanswered || dialog.invite_in.is_some() {
            return self.refuse_overlap(now, incoming);
        }
        let ours = dialog.invite_out.is_some() || dialog.owed_ack.is_some();
        if ours || dialog.offer_is_out() || dialog.accepted.len() >= limits::UNACKED_MAX {
            let status = StatusCode::REQUEST_PENDING;
            return self.refuse(now, incoming, status, Vec::new(), RefusedReason::Glare);
        }
        let Some(incoming) = self.refuse_short_session(now, incoming) else {
            return;
        };
        let request = Box::new(incoming.request.clone());
        let transaction = self.start_server(now, incoming, Some(id));
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        dialog.refresh_target(&request.headers);
        dialog.invite_in = Some(transaction);
        self.emit(Event::Reinvite {
            dialog: id,
            transaction,
            request,
        });
    }

    /// UPDATE (RFC 3311 section 5.2). Without an offer nothing can collide.
    fn on_update(&mut self, now: Instant, id: DialogId, incoming: Incoming) {
        let Some(dialog) = self.dialogs.get(&id) else {
            return;
        };
        let offers = body::sdp(&incoming.request.headers, &incoming.request.body).is_some();
        if offers && (dialog.invite_in.is_some() || dialog.update_in.is_some()) {
            return self.refuse_overlap(now, incoming);
        }
        if offers && (dialog.offer_is_out() || dialog.owed_ack.is_some()) {
            let status = StatusCode::REQUEST_PENDING;
            return self.refuse(now, incoming, status, Vec::new(), RefusedReason::Glare);
        }
        let Some(incoming) = self.refuse_short_session(now, incoming) else {
            return;
        };
        let request = Box::new(incoming.request.clone());
        let transaction = self.start_server(now, incoming, Some(id));
        let Some(dialog) = self.dialogs.get_mut(&id) else {
            return;
        };
        dialog.refresh_target(&request.headers);
        if offers {
            dialog.update_in = Some(transaction);
        }
        self.emit(Event::Update {
            dialog: id,
            transaction,
            request,
        });
    }

    /// 500 with a `Retry-After` of 0 to 10 s (RFC 3261 section 14.2).
    fn refuse_overlap(&mut self, now: Instant, incoming: Incoming) {
        let wait = (self.ids.next_u64() % 11).to_string().into_bytes();
        let headers = vec![(HeaderName::RETRY_AFTER, wait)];
        let status = StatusCode::SERVER_INTERNAL_ERROR;
        self.refuse(now, incoming, status, headers, RefusedReason::Glare);
    }
}

/// What is wrong with the Contact of an INVITE that opens no dialog.
fn contact_fault(request: &Request) -> String {
    let missing = HeaderError {
        name: HeaderName::CONTACT,
        fault: HeaderFault::Missing,
    };
    request
        .headers
        .contact()
        .err()
        .unwrap_or(missing)
        .to_string()
}

/// The dialog that an INVITE or REFER of the peer opens; `None` without a usable Contact.
pub(super) fn callee_dialog(
    id: DialogId,
    request: &Request,
    peer: Hop,
    tag: Tag,
) -> Option<Dialog> {
    let headers = &request.headers;
    let from = headers.from().ok()?;
    let to = headers.to().ok()?;
    let remote_target = headers.contact().ok()??.uri;
    // SIP Server's Request-URI is the Contact we registered; its user part is the DN.
    let named = if request.uri.user().is_some() {
        &request.uri
    } else {
        &to.uri
    };
    let key = DialogKey {
        call_id: headers.call_id().ok()?,
        local: tag,
        remote: from.tag(),
    };
    let mut dialog = Dialog::new(Birth {
        id,
        role: Role::Callee,
        stage: Stage::Early,
        visible: true,
        dn: named.user().unwrap_or_default().to_vec(),
        account: String::from_utf8_lossy(&named.user_unescaped().unwrap_or_default()).into_owned(),
        key,
        local: headers.get(&HeaderName::TO)?.to_vec(),
        remote: headers.get(&HeaderName::FROM)?.to_vec(),
        local_cseq: 0,
        remote_cseq: Some(headers.cseq().ok()?.number),
        route_set: RouteSet::from_request(headers),
        remote_target,
        peer,
    });
    dialog.refresh_target(headers);
    Some(dialog)
}
