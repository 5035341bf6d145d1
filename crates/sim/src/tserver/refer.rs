//! 1PCC transfer: REFER from an endpoint, blind or with Replaces.
//!
//! No trace of this exists; it follows RFC 3515 and RFC 3891 as SIP Server is documented to support.

use std::time::Instant;

use super::agenda::Timer;
use super::call::CallKey;
use super::config::CustomerAnswer;
use super::io::{CallUuid, RequestError};
use super::leg::{Leg, LegKey};
use super::machine::TServer;
use super::read::Incoming;
use super::text;
use super::transaction::{Purpose, ServerKey};
use super::view::LegState;
use super::write::{self, Body};

/// A transfer that an endpoint has asked for.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    leg: LegKey,
    number: String,
    /// The Call-ID of the dialog of its that the target is to take over.
    replaces: Option<String>,
    /// The endpoint was told that the target rings.
    rung: bool,
}

impl TServer {
    pub(super) fn take_refer(
        &mut self,
        now: Instant,
        key: &ServerKey,
        leg: LegKey,
        message: &Incoming,
    ) {
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        if entry.state != LegState::Confirmed {
            return self.simple(now, key, 481, Vec::new());
        }
        let contact = entry.frame.contact.clone();
        let target = message
            .get("Refer-To")
            .map(text::uri_of)
            .unwrap_or_default();
        let Some(number) = text::user_of(target).map(str::to_owned) else {
            return self.simple(now, key, 400, Vec::new());
        };
        let replaces = replaced_dialog(target);
        self.simple(now, key, 202, vec![("Contact", contact)]);
        let wanted = Wanted {
            leg,
            number,
            replaces,
            rung: !self.config.refer_progress,
        };
        if wanted.rung {
            return self.transfer_ends(now, &wanted);
        }
        self.tell_referrer(now, leg, 100, false);
        self.later(now, self.config.delays.first_news, Timer::Transfer(wanted));
    }

    /// The target rings, and then does whatever it does.
    pub(super) fn transfer_goes_on(&mut self, now: Instant, mut wanted: Wanted) {
        let leg = wanted.leg;
        let confirmed = |leg: &Leg| leg.state == LegState::Confirmed;
        if !self.legs.get(&leg).is_some_and(confirmed) {
            return;
        }
        if wanted.replaces.is_some() || self.config.dns.contains_key(&wanted.number) {
            return self.transfer_ends(now, &wanted);
        }
        let target = self.customer_config(&wanted.number);
        if !wanted.rung {
            wanted.rung = true;
            self.tell_referrer(now, leg, 180, false);
            return self.later(now, target.ring, Timer::Transfer(wanted));
        }
        match target.then {
            CustomerAnswer::Answer => self.transfer_ends(now, &wanted),
            CustomerAnswer::Refuse(status) => self.tell_referrer(now, leg, status, true),
            CustomerAnswer::Never => {}
        }
    }

    /// The target has the call. The news comes before the BYE that ends the dialog and its subscription.
    fn transfer_ends(&mut self, now: Instant, wanted: &Wanted) {
        let Some(entry) = self.legs.get(&wanted.leg) else {
            return;
        };
        let (dn, call) = (entry.dn.clone(), entry.call);
        let Some(uuid) = self.calls.get(&call).map(|call| call.uuid.clone()) else {
            return;
        };
        let possible = match &wanted.replaces {
            Some(call_id) => self.dialog_of(&dn, call_id).is_some(),
            None => true,
        };
        self.tell_referrer(now, wanted.leg, if possible { 200 } else { 481 }, true);
        if possible {
            let (number, replaces) = (wanted.number.clone(), wanted.replaces.clone());
            // The endpoint has its answer already; a failure shows as an event.
            let _ = self.refer(now, &dn, (call, uuid), number, replaces);
        }
    }

    /// NOTIFY of how far the target is; the last one ends the subscription.
    fn tell_referrer(&mut self, now: Instant, leg: LegKey, status: u16, last: bool) {
        let fragment = format!("SIP/2.0 {status} {}\r\n", write::reason(status));
        let state = if last && self.config.refer_progress {
            "terminated;reason=noresource"
        } else {
            "active"
        };
        let lines = [("Event", "refer"), ("Subscription-State", state)];
        let purpose = Purpose::ReferProgress;
        self.send_in_dialog(now, leg, "NOTIFY", purpose, |frame, cseq, branch| {
            let body = Body {
                kind: "message/sipfrag",
                text: &fragment,
            };
            frame.other("NOTIFY", cseq, branch, &lines, Some(body))
        });
    }

    fn refer(
        &mut self,
        now: Instant,
        dn: &str,
        (call, uuid): (CallKey, CallUuid),
        number: String,
        replaces: Option<String>,
    ) -> Result<CallUuid, RequestError> {
        match replaces.and_then(|call_id| self.dialog_of(dn, &call_id)) {
            Some(other) => self.join(now, dn, call, other),
            None => self.single_step_transfer(now, dn, uuid, number),
        }
    }

    /// The call of the dialog with this Call-ID at a DN.
    fn dialog_of(&self, dn: &str, call_id: &str) -> Option<CallKey> {
        self.legs
            .values()
            .find(|leg| leg.dn == dn && leg.frame.call_id == call_id && leg.alive())
            .map(|leg| leg.call)
    }
}

/// The Call-ID in `?Replaces=` of a Refer-To URI.
fn replaced_dialog(uri: &str) -> Option<String> {
    let (_, headers) = uri.split_once('?')?;
    let value = headers.split('&').find_map(|header| {
        let (name, value) = header.split_once('=')?;
        name.eq_ignore_ascii_case("Replaces").then_some(value)
    })?;
    let decoded = unescape(value);
    Some(decoded.split(';').next().unwrap_or_default().to_owned())
}

fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        out.push_str(before);
        let code = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match code {
            Some(code) => {
                out.push(char::from(code));
                rest = &after[2..];
            }
            None => {
                out.push('%');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_replaced_call_id_is_unescaped() {
        let uri = "sip:1003@192.0.2.81?Replaces=a-1%40192.0.2.81%3Bto-tag%3Dx%3Bfrom-tag%3Dy";
        assert_eq!(replaced_dialog(uri).as_deref(), Some("a-1@192.0.2.81"));
        assert_eq!(replaced_dialog("sip:1003@192.0.2.81"), None);
        assert_eq!(unescape("100%"), "100%");
        assert_eq!(unescape("%zz"), "%zz");
    }
}
