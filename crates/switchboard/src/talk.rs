//! Remote control: the in-dialog NOTIFY by which SIP Server hands us the desktop's clicks.
//!
//! The 200 to the NOTIFY leaves first, whatever becomes of the click: SIP Server repeats what is not answered, and acts on
//! the INVITE's answer alone (`docs/talk-and-hold.md#talk`).

use std::time::Instant;

use control::{AnsweredBy, HeldBy, RemoteEvent};
use sip::StatusCode;
use sip::ua::TransactionId;
use sip::wire::{EventPackage, HeaderName, Method, Request};

use crate::Switchboard;
use crate::answer::Answered;
use crate::call::{Call, Phase};
use crate::ids::CallId;
use crate::io::{Fact, MediaCommand, TalkResult};

impl Switchboard {
    /// A request inside a dialog of ours that does not end it.
    pub(crate) fn on_dialog_request(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        self.learn(id, request);
        match request.method {
            Method::Invite => return self.on_reinvite(now, id, transaction, request),
            Method::Update => return self.on_update(now, id, transaction, request),
            Method::Notify => self.on_notify(now, id, transaction, request),
            Method::Info => self.on_info(now, id, transaction, request),
            Method::Refer => {
                let site = self.calls.get(&id).and_then(|call| call.site);
                self.on_refer(now, transaction, request, (Some(id), site));
            }
            Method::Subscribe => self.refuse_event(now, transaction),
            Method::Message => self.on_message(now, transaction, request, Some(id)),
            _ => self.reply(now, transaction, StatusCode::OK, &[]),
        }
        self.prove_now(now, id);
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
            // The second is the name of it at gateways that relay keys.
            Some("dtmf" | "telephone-event") => RemoteEvent::Dtmf,
            Some("beep") => RemoteEvent::Beep,
            Some("refer") => return self.on_refer_notify(now, id, transaction, request),
            _ => return self.refuse_event(now, transaction),
        };
        match event {
            RemoteEvent::Talk | RemoteEvent::Hold => {
                self.reply(now, transaction, StatusCode::OK, &[]);
                self.tell_remote_control(id, event, None);
                self.prove_now(now, id);
                let result = if event == RemoteEvent::Talk {
                    self.talk(now, id)
                } else {
                    self.remote_hold(now, id)
                };
                if let Some(call) = self.calls.get(&id) {
                    let call = call.reference();
                    self.fact(Fact::RemoteControl {
                        call,
                        event,
                        result,
                    });
                }
            }
            RemoteEvent::Dtmf => self.remote_dtmf(now, id, transaction, request),
            RemoteEvent::Beep => {
                self.reply(now, transaction, StatusCode::OK, &[]);
                self.tell_remote_control(id, event, None);
                self.beep(id);
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
            Phase::Up { .. } | Phase::AwaitingAck => {
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

    /// A short tone for the agent, in the media of the call: it is heard wherever the call is, and only where it is.
    fn beep(&mut self, id: CallId) {
        let heard = |call: &&Call| call.is_up() && call.hold.local.is_none();
        if let Some(call) = self.calls.get(&id).filter(heard) {
            let worker = call.worker;
            self.tell_worker(worker, MediaCommand::Beep { call: id });
        }
    }

    /// 489 with the packages we know (RFC 6665 section 8.3.2).
    pub(crate) fn refuse_event(&mut self, now: Instant, transaction: TransactionId) {
        let allow = [(HeaderName::other("Allow-Events"), b"talk, hold".to_vec())];
        self.reply(now, transaction, StatusCode::BAD_EVENT, &allow);
    }
}

/// The `id` of the event, where it has one that is a number (RFC 6665 section 8.2.1).
pub(crate) fn event_id(request: &Request) -> Option<u32> {
    let id = event(request)?.id?;
    std::str::from_utf8(&id).ok()?.parse().ok()
}

/// The event package without its parameters, in lower case: SIP Server means `talk`, however it is spelt.
pub(crate) fn event_package(request: &Request) -> Option<String> {
    event(request).map(|event| event.package.to_ascii_lowercase())
}

/// The one Event of the request; of several nobody knows which is meant.
pub(crate) fn event(request: &Request) -> Option<EventPackage> {
    request.headers.event().ok().flatten()
}
