//! Remote control: the in-dialog NOTIFY by which SIP Server hands us the desktop's clicks.
//!
//! The 200 to the NOTIFY leaves first, whatever becomes of the click: SIP Server repeats what is not answered, and acts on
//! the INVITE's answer alone (`docs/talk-and-hold.md#talk`).

use std::time::Instant;

use control::{AnsweredBy, HeldBy, RemoteEvent};
use sip::StatusCode;
use sip::ua::TransactionId;
use sip::wire::{HeaderName, Method, Request};

use crate::Switchboard;
use crate::answer::Answered;
use crate::call::Phase;
use crate::dtmf_body;
use crate::ids::CallId;
use crate::io::{Fact, MediaCommand, TalkResult};

impl Switchboard {
    /// A request inside a dialog of ours that is neither re-INVITE, UPDATE nor BYE.
    pub(crate) fn on_dialog_request(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        match request.method {
            Method::Notify => self.on_notify(now, id, transaction, request),
            Method::Info => self.on_info(now, id, transaction, request),
            Method::Refer => self.reply(now, transaction, StatusCode::DECLINE, &[]),
            Method::Subscribe => self.refuse_event(now, transaction),
            Method::Message => self.reply(now, transaction, StatusCode::METHOD_NOT_ALLOWED, &[]),
            _ => self.reply(now, transaction, StatusCode::OK, &[]),
        }
    }

    fn on_notify(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let package = event_package(request);
        let event = match package.as_deref() {
            Some("talk") => RemoteEvent::Talk,
            Some("hold") => RemoteEvent::Hold,
            Some("dtmf") => RemoteEvent::Dtmf,
            Some("beep") => RemoteEvent::Beep,
            Some("refer") => return self.on_refer_notify(now, id, transaction, request),
            _ => return self.refuse_event(now, transaction),
        };
        self.learn(id, request);
        match event {
            RemoteEvent::Talk | RemoteEvent::Hold => {
                self.reply(now, transaction, StatusCode::OK, &[]);
                self.tell_remote_control(id, event, None);
                let result = if event == RemoteEvent::Talk {
                    self.talk(now, id)
                } else {
                    self.remote_hold(now, id)
                };
                if let Some(call) = self.calls.get(&id) {
                    let call = call.reference();
                    self.fact(Fact::Talk { call, result });
                }
            }
            RemoteEvent::Dtmf => self.remote_dtmf(now, id, transaction, request),
            RemoteEvent::Beep => {
                self.reply(now, transaction, StatusCode::OK, &[]);
                self.tell_remote_control(id, event, None);
            }
        }
    }

    /// `talk` means answer, retrieve or nothing, by the state of its call.
    fn talk(&mut self, now: Instant, id: CallId) -> TalkResult {
        let Some(call) = self.calls.get(&id) else {
            return TalkResult::NoOp;
        };
        match &call.phase {
            Phase::Ringing { .. } => match self.answer_call(now, id, AnsweredBy::Talk) {
                Answered::Now => TalkResult::Answered,
                Answered::Waiting => TalkResult::Waiting,
                Answered::NoOp => TalkResult::NoOp,
                Answered::Failed => TalkResult::Failed,
            },
            Phase::Up { .. } => {
                if self.retrieve_call(now, id) {
                    TalkResult::Retrieved
                } else {
                    TalkResult::NoOp
                }
            }
            // Repeated because our 200 was lost, or clicked twice: the state is there already.
            _ => TalkResult::NoOp,
        }
    }

    fn remote_hold(&mut self, now: Instant, id: CallId) -> TalkResult {
        if self.hold_call(now, id, HeldBy::TalkControl) {
            TalkResult::Held
        } else {
            TalkResult::NoOp
        }
    }

    fn remote_dtmf(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let Some(digits) = dtmf_body::digits(request) else {
            return self.reply(now, transaction, StatusCode::UNSUPPORTED_MEDIA_TYPE, &[]);
        };
        self.reply(now, transaction, StatusCode::OK, &[]);
        self.tell_remote_control(id, RemoteEvent::Dtmf, Some(digits.clone()));
        self.send_digits(now, id, digits);
    }

    /// TSendDTMF comes by INFO where `sip-cti-control` lacks `dtmf`. Nothing else in an INFO concerns an endpoint. The digits go into
    /// the media only: sent on by INFO they could come back for ever.
    fn on_info(&mut self, now: Instant, id: CallId, transaction: TransactionId, request: &Request) {
        self.reply(now, transaction, StatusCode::OK, &[]);
        let by_media = self.calls.get(&id).is_some_and(|call| {
            let agreed = call.negotiation.agreed();
            agreed.is_some_and(|agreed| agreed.telephone_event.is_some())
        });
        if let Some(digits) = dtmf_body::digits(request).filter(|_| by_media) {
            self.tell_remote_control(id, RemoteEvent::Dtmf, Some(digits.clone()));
            self.send_digits(now, id, digits);
        }
    }

    /// Digits to the other party: RFC 4733 in the media, or INFO where telephone-event was not agreed. A held call is silent and
    /// takes none.
    pub(crate) fn send_digits(&mut self, now: Instant, id: CallId, digits: String) -> bool {
        let Some(call) = self.calls.get(&id) else {
            return false;
        };
        // An announcement before the answer may ask for digits too.
        let open = call.is_up() || call.early().is_some();
        let Some(agreed) = call.agreed().filter(|_| open && call.hold.by().is_none()) else {
            return false;
        };
        let (worker, dialog) = (call.worker, call.dialog);
        if agreed.telephone_event.is_some() {
            self.tell_worker(worker, MediaCommand::SendDigits { call: id, digits });
            return true;
        }
        for digit in digits.chars() {
            let body = format!("Signal={digit}\r\nDuration=160\r\n");
            let body = Some(("application/dtmf-relay", body.into_bytes()));
            self.ua.request(now, dialog, Method::Info, &[], body);
        }
        true
    }

    /// 489 with the packages we know (RFC 6665 section 8.3.2).
    pub(crate) fn refuse_event(&mut self, now: Instant, transaction: TransactionId) {
        let allow = [(HeaderName::other("Allow-Events"), b"talk, hold".to_vec())];
        self.reply(now, transaction, StatusCode::BAD_EVENT, &allow);
    }
}

/// The event package without its parameters, in lower case.
pub(crate) fn event_package(request: &Request) -> Option<String> {
    let value = request.headers.get(&HeaderName::EVENT)?;
    let text = String::from_utf8_lossy(value);
    Some(
        text.split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_ascii_lowercase(),
    )
}
