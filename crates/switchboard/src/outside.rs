//! Requests that belong to no call: SIP Server's question whether a DN lives, waiting messages, and text
//! (`docs/talk-and-hold.md#what-is-answered-to-everything-else`).

use std::time::Instant;

use control::{GatewayMessage, MessageWaiting};
use sip::StatusCode;
use sip::ua::TransactionId;
use sip::wire::{HeaderName, Request};

use crate::Switchboard;
use crate::agent::Agent;
use crate::config::{MessagePolicy, OptionsPolicy};
use crate::headers::{dn_of, shown_up_to};
use crate::identity;
use crate::ids::CallId;
use crate::limits::{MESSAGE_LINES_MAX, MESSAGE_TEXT_MAX};

const TEXT: &str = "text/plain";

impl Switchboard {
    /// OPTIONS, by which SIP Server watches its DNs (`oos-check`). A question to the gateway itself names no DN.
    pub(crate) fn on_options(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        request: &Request,
    ) {
        let dn =
            dn_of(request).filter(|_| self.config.policy.options == OptionsPolicy::SignedInOnly);
        let status = match dn {
            Some(dn) => self.can_ring(&dn),
            None => StatusCode::OK,
        };
        self.reply(now, transaction, status, &[]);
    }

    /// What a call to this DN would be answered with for want of an agent.
    fn can_ring(&self, dn: &str) -> StatusCode {
        match self.agents.get(dn) {
            None => StatusCode::NOT_FOUND,
            Some(agent) if agent.session.is_none() => StatusCode::TEMPORARILY_UNAVAILABLE,
            Some(_) => StatusCode::OK,
        }
    }

    /// NOTIFY `message-summary` (RFC 3842), asked for or not: the page shows it, also one that signs in later.
    pub(crate) fn on_message_summary(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        request: &Request,
    ) {
        self.reply(now, transaction, StatusCode::OK, &[]);
        let Some(summary) = message_summary(&request.body) else {
            return;
        };
        let dn = dn_of(request).unwrap_or_default();
        let Some(agent) = self.agents.get_mut(&dn) else {
            return;
        };
        if agent.message_waiting.replace(summary) != Some(summary) {
            self.tell_agent(&dn, GatewayMessage::MessageWaiting(summary));
        }
    }

    /// MESSAGE (RFC 3428), inside a call or outside of any. It is refused unless the configuration wants it shown.
    pub(crate) fn on_message(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        request: &Request,
        call: Option<CallId>,
    ) {
        if self.config.policy.messages == MessagePolicy::Refuse {
            return self.reply(now, transaction, StatusCode::METHOD_NOT_ALLOWED, &[]);
        }
        let dn = match call.and_then(|call| self.calls.get(&call)) {
            Some(call) => call.dn.clone(),
            None => dn_of(request).unwrap_or_default(),
        };
        if !self.agents.contains_key(&dn) {
            return self.reply(now, transaction, StatusCode::NOT_FOUND, &[]);
        }
        let content_type = request.headers.content_type().ok().flatten();
        if content_type.is_none_or(|found| *found.essence != *TEXT) {
            let accept = [(HeaderName::ACCEPT, TEXT.into())];
            let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            return self.reply(now, transaction, status, &accept);
        }
        if self.agents.get(&dn).and_then(Agent::page).is_none() {
            return self.reply(now, transaction, StatusCode::TEMPORARILY_UNAVAILABLE, &[]);
        }
        self.reply(now, transaction, StatusCode::OK, &[]);
        let message = GatewayMessage::InstantMessage {
            call: call.map(|call| call.to_string()),
            from: identity::caller(&request.headers, &self.config.policy.headers),
            text: text_of(&request.body),
        };
        self.tell_agent(&dn, message);
    }
}

/// Text of several lines, each cleaned, bounded as a whole.
fn text_of(body: &[u8]) -> String {
    let mut room = MESSAGE_TEXT_MAX;
    let lines = body
        .split(|byte| *byte == b'\n')
        .take(MESSAGE_LINES_MAX)
        .map(|line| {
            let line = shown_up_to(line, room);
            room -= line.chars().count();
            line
        });
    lines.collect::<Vec<_>>().join("\n").trim_end().to_owned()
}

/// `Messages-Waiting` and `Voice-Message: new/old` of a summary (RFC 3842 section 5.2); `None` where the first is missing.
fn message_summary(body: &[u8]) -> Option<MessageWaiting> {
    let text = String::from_utf8_lossy(body);
    let field = |name: &str| {
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        let found = fields.find(|(key, _)| key.trim().eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    };
    let waiting = match field("Messages-Waiting")? {
        yes if yes.eq_ignore_ascii_case("yes") => true,
        no if no.eq_ignore_ascii_case("no") => false,
        _ => return None,
    };
    let counts = field("Voice-Message").and_then(|counts| counts.split_whitespace().next());
    let (new, old) = counts.and_then(|counts| counts.split_once('/')).unzip();
    Some(MessageWaiting {
        waiting,
        new: new.and_then(|count| count.parse().ok()),
        old: old.and_then(|count| count.parse().ok()),
    })
}
