//! What SIP Server says that moves no call: in the dialog of one, and outside of any.
//!
//! None of it was seen in a trace; the methods are those of its `Allow`, and the forms those of their RFCs.

use std::time::Instant;

use super::io::{CallUuid, RequestError};
use super::leg::LegKey;
use super::machine::TServer;
use super::transaction::{ClientKey, Purpose};
use super::view::LegState;
use super::write::Body;

/// In the dialog of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Aside {
    /// OPTIONS: does the dialog live?
    Options,
    /// MESSAGE with this text (RFC 3428).
    Message(String),
    /// NOTIFY of an event package that nobody has asked for.
    Event(&'static str),
    /// UPDATE with another Contact (RFC 3311 section 5.2): a target refresh.
    Target,
    /// INFO: the other party has pressed these keys.
    Keys(String),
}

/// Outside of any call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// NOTIFY `message-summary` (RFC 3842): so many new and old voice messages.
    Messages {
        /// Nobody has heard them.
        new: u32,
        /// Somebody has.
        old: u32,
    },
    /// MESSAGE with this text.
    Message(String),
    /// NOTIFY of an event package that nobody has asked for.
    Event(&'static str),
    /// SUBSCRIBE to this event package.
    Subscribe(&'static str),
}

impl TServer {
    pub(super) fn say_aside(
        &mut self,
        now: Instant,
        dn: &str,
        call: CallUuid,
        aside: &Aside,
    ) -> Result<CallUuid, RequestError> {
        let (_, leg, state) = self.party_of(dn, &call)?;
        // Before the first 18x there is no dialog.
        let open = self.legs.get(&leg).is_some_and(|leg| {
            let open = match (aside, leg.state) {
                // Who is not answered presses no keys.
                (Aside::Keys(_), state) => state == LegState::Confirmed,
                (_, LegState::Calling | LegState::Terminated) => false,
                _ => true,
            };
            open && leg.remote_tag.is_some()
        });
        if !open {
            return Err(RequestError::State(state));
        }
        match aside {
            Aside::Options => self.send_aside(now, leg, "OPTIONS", &[], None),
            Aside::Message(text) => {
                let kind = "text/plain";
                self.send_aside(now, leg, "MESSAGE", &[], Some(Body { kind, text }));
            }
            Aside::Event(event) => {
                let lines = [("Event", *event), ("Subscription-State", "active")];
                self.send_aside(now, leg, "NOTIFY", &lines, None);
            }
            Aside::Target => self.moves_target(now, leg),
            Aside::Keys(keys) => {
                let kind = "application/dtmf-relay";
                for key in keys.chars() {
                    let text = &format!("Signal={key}\r\nDuration=160\r\n");
                    self.send_aside(now, leg, "INFO", &[], Some(Body { kind, text }));
                }
            }
        }
        Ok(call)
    }

    fn send_aside(
        &mut self,
        now: Instant,
        leg: LegKey,
        method: &'static str,
        lines: &[(&str, &str)],
        body: Option<Body<'_>>,
    ) {
        let purpose = Purpose::Aside(leg);
        self.send_in_dialog(now, leg, method, purpose, |frame, cseq, branch| {
            frame.other(method, cseq, branch, lines, body)
        });
    }

    /// From now on SIP Server wants the dialog's requests at another URI of its own, and says so.
    fn moves_target(&mut self, now: Instant, leg: LegKey) {
        let number = self.number();
        if let Some(entry) = self.legs.get_mut(&leg) {
            let bare = entry.frame.contact.trim_end_matches('>');
            let bare = bare.split(";hop=").next().unwrap_or(bare);
            entry.frame.contact = format!("{bare};hop={number}>");
        }
        let Some(entry) = self.legs.get(&leg) else {
            return;
        };
        // Before the answer there is no session that it could refresh; later one without its terms would end the timer (RFC 4028).
        if entry.state == LegState::Early {
            return self.send_aside(now, leg, "UPDATE", &[], None);
        }
        let terms = self.session_wish(&entry.dn);
        self.refresh_by_update(now, leg, &terms);
    }

    pub(super) fn remark(&mut self, now: Instant, dn: &str, remark: &Remark) {
        let Some((destination, frame)) = self.outside_of_calls(dn) else {
            return;
        };
        let state = ("Subscription-State", "active");
        let (method, lines, body): (_, Vec<(&str, &str)>, _) = match remark {
            Remark::Messages { new, old } => {
                let waiting = if *new > 0 { "yes" } else { "no" };
                let text =
                    format!("Messages-Waiting: {waiting}\r\nVoice-Message: {new}/{old} (0/0)\r\n");
                let body = Some(("application/simple-message-summary", text));
                ("NOTIFY", vec![("Event", "message-summary"), state], body)
            }
            Remark::Message(text) => ("MESSAGE", vec![], Some(("text/plain", text.clone()))),
            Remark::Event(event) => ("NOTIFY", vec![("Event", *event), state], None),
            Remark::Subscribe(event) => (
                "SUBSCRIBE",
                vec![("Event", *event), ("Expires", "600")],
                None,
            ),
        };
        let body = body.as_ref().map(|(kind, text)| Body { kind, text });
        let branch = self.ids.branch();
        let bytes = frame.other(method, 1, &branch, &lines, body);
        let key = ClientKey { branch, method };
        self.start_client(now, key, destination, (frame, 1), bytes, Purpose::Options);
    }
}
