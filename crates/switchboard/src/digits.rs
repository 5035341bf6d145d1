//! Digits: those that go to the other party, by whichever way it takes, and those that come from it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use control::{GatewayMessage, RemoteEvent};
use sip::StatusCode;
use sip::ua::TransactionId;
use sip::wire::{Method, Request};

use crate::Switchboard;
use crate::call::Call;
use crate::config::DtmfFallback;
use crate::dtmf_body::{self, Dtmf, KeyEvent, Press};
use crate::headers::shown;
use crate::ids::CallId;
use crate::io::{AdminRefusal, Fact, MediaCommand};
use crate::limits::DIGITS_MAX;
use crate::talk::event_package;

/// `Duration` of a digit by INFO unless another was asked for: what telephones write there.
const INFO_TONE: Duration = Duration::from_millis(160);

/// Digits of one call that go out by INFO: one at a time, since requests may overtake each other.
#[derive(Debug, Default)]
pub(crate) struct InfoDigits {
    waiting: VecDeque<Press>,
    /// Where the media of the party is that they were pressed for.
    party: Option<SocketAddr>,
    /// The one that is not answered yet.
    pending: Option<TransactionId>,
}

impl Switchboard {
    /// `NOTIFY Event: dtmf`: the desktop's keypad.
    pub(crate) fn remote_dtmf(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let presses = match dtmf_body::read(request) {
            Dtmf::Pressed(presses) => presses,
            Dtmf::Key(event) => self.key_event(now, id, event),
            Dtmf::Unreadable | Dtmf::None => {
                return self.refuse_digits(now, id, transaction, request);
            }
        };
        self.reply(now, transaction, StatusCode::OK, &[]);
        self.obey_presses(now, id, &presses);
    }

    /// The site's SIP Server has a form of its own: only the operator can find that out.
    fn refuse_digits(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        self.reply(now, transaction, status, &[]);
        if let Some(call) = self.calls.get(&id) {
            let call = call.reference();
            self.fact(Fact::DigitsUnreadable {
                call,
                method: request.method.to_string(),
                event: event_package(request).map(|package| shown(package.as_bytes())),
                content_type: dtmf_body::media_type(request).map(|name| shown(name.as_bytes())),
                body_bytes: request.body.len(),
            });
        }
    }

    /// Sends what SIP Server asks for, if anything; the page is told.
    fn obey_presses(&mut self, now: Instant, id: CallId, presses: &[Press]) {
        if presses.is_empty() {
            return;
        }
        self.tell_remote_control(id, RemoteEvent::Dtmf, Some(text_of(presses)));
        // The 200 has left: whether the digits can be sent is told to nobody at SIP Server.
        let _ = self.press(now, id, presses);
    }

    /// A key that goes down, stays down and goes up is one press.
    fn key_event(&mut self, now: Instant, id: CallId, event: KeyEvent) -> Vec<Press> {
        let call = self.calls.get_mut(&id);
        let press = call.and_then(|call| call.key_down.hear(now, event));
        press.into_iter().collect()
    }

    /// INFO within a call (`docs/talk-and-hold.md#digits-and-beep`). Where telephone-event was agreed the other party's digits come in the
    /// media, so this is SIP Server's wish to send some; else it is what the other party pressed. What it asks for goes into the media
    /// only: sent on by INFO it could come back for ever.
    pub(crate) fn on_info(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let presses = match dtmf_body::read(request) {
            Dtmf::Pressed(presses) => presses,
            Dtmf::Key(event) => self.key_event(now, id, event),
            Dtmf::Unreadable => return self.refuse_digits(now, id, transaction, request),
            // Nothing else in an INFO concerns an endpoint, and none of it is an error (RFC 6086 section 4.2.1).
            Dtmf::None => return self.reply(now, transaction, StatusCode::OK, &[]),
        };
        self.reply(now, transaction, StatusCode::OK, &[]);
        let events = self.calls.get(&id).is_some_and(takes_events);
        if events {
            self.obey_presses(now, id, &presses);
        } else {
            for press in presses {
                self.on_digit(id, press.digit);
            }
        }
    }

    /// The page's keypad, and the administrator's.
    pub(crate) fn key(
        &mut self,
        now: Instant,
        id: CallId,
        digits: &str,
    ) -> Result<(), AdminRefusal> {
        control::check_digits(digits).map_err(|_| AdminRefusal::BadNumber)?;
        let press = |digit| Press { digit, tone: None };
        let presses: Vec<Press> = digits.chars().map(press).collect();
        self.press(now, id, &presses)
    }

    /// Digits to the other party: RFC 4733 events where it takes them, else what the configuration says. A held call is silent and
    /// takes none.
    fn press(&mut self, now: Instant, id: CallId, presses: &[Press]) -> Result<(), AdminRefusal> {
        let fallback = self.config.policy.dtmf_fallback;
        let call = self.calls.get_mut(&id).ok_or(AdminRefusal::UnknownCall)?;
        if !takes_digits(call) {
            return Err(AdminRefusal::WrongState);
        }
        if takes_events(call) || fallback == DtmfFallback::Inband {
            let worker = call.worker;
            for alike in presses.chunk_by(|one, next| one.tone == next.tone) {
                let command = MediaCommand::SendDigits {
                    call: id,
                    digits: text_of(alike),
                    tone: alike.first().and_then(|press| press.tone),
                };
                self.tell_worker(worker, command);
            }
            return Ok(());
        }
        if fallback == DtmfFallback::None {
            return Err(AdminRefusal::NoDigits);
        }
        if call.info_digits.waiting.len() + presses.len() > DIGITS_MAX {
            return Err(AdminRefusal::WrongState);
        }
        call.info_digits.party = call.agreed().and_then(|agreed| agreed.remote);
        call.info_digits.waiting.extend(presses);
        self.send_info(now, id);
        Ok(())
    }

    /// Digits that wait are for the party they were pressed for: they are not sent after a hold, nor to another one
    /// (`docs/talk-and-hold.md#digits-and-beep`).
    pub(crate) fn forget_stale_digits(&mut self, id: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            let party = call.agreed().and_then(|agreed| agreed.remote);
            if !takes_digits(call) || party != call.info_digits.party {
                call.info_digits.waiting.clear();
            }
        }
    }

    /// The next digit that goes by INFO, when the one before it is answered.
    fn send_info(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if !takes_digits(call) {
            call.info_digits.waiting.clear();
            return;
        }
        if call.info_digits.pending.is_some() {
            return;
        }
        let Some(press) = call.info_digits.waiting.pop_front() else {
            return;
        };
        let (dialog, digit) = (call.dialog, press.digit);
        let duration = press.tone.unwrap_or(INFO_TONE).as_millis();
        let body = format!("Signal={digit}\r\nDuration={duration}\r\n");
        let body = Some(("application/dtmf-relay", body.into_bytes()));
        let sent = self.ua.request(now, dialog, Method::Info, &[], body);
        if let Some(call) = self.calls.get_mut(&id) {
            call.info_digits.pending = Some(sent);
        }
    }

    /// A request of ours within a call was answered, or was lost (`None`): if it was a digit, the next one follows. Whoever refuses one
    /// takes none.
    pub(crate) fn on_info_answered(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        status: Option<StatusCode>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call
            .info_digits
            .pending
            .take_if(|pending| *pending == transaction)
            .is_none()
        {
            return;
        }
        if !status.is_some_and(StatusCode::is_success) {
            call.info_digits.waiting.clear();
        }
        self.send_info(now, id);
    }

    /// The other party has pressed a key. The page shows it; which key it was is nobody else's business, and no log's.
    pub(crate) fn on_digit(&mut self, id: CallId, digit: char) {
        let Some(call) = self.calls.get(&id).filter(|call| has_media(call)) else {
            return;
        };
        let (dn, reference) = (call.dn.clone(), call.reference());
        let message = GatewayMessage::DtmfReceived {
            call: id.to_string(),
            digit: digit.to_string(),
        };
        self.tell_agent(&dn, message);
        self.fact(Fact::DigitReceived {
            call: reference,
            digit,
        });
    }
}

/// Its media is open; an announcement before the answer may ask for digits too.
fn has_media(call: &Call) -> bool {
    call.is_up() || call.early().is_some()
}

fn takes_digits(call: &Call) -> bool {
    has_media(call) && call.hold.by().is_none() && call.agreed().is_some()
}

fn takes_events(call: &Call) -> bool {
    call.agreed()
        .is_some_and(|agreed| agreed.telephone_event.is_some())
}

fn text_of(presses: &[Press]) -> String {
    presses.iter().map(|press| press.digit).collect()
}
