//! What SIP Server says that moves no call, and what becomes of it: the status that it gets, and what pages are told. Nothing else of the picture
//! moves; that is what the reference model says, which takes no notice of it.

use std::collections::{BTreeMap, BTreeSet};

use control::{CallState, GatewayMessage, MessageWaiting};
use rand::RngExt;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha12Rng;
use switchboard::{CallId, Input, MediaEvent, MessagePolicy, OptionsPolicy};

use super::reference::Happened;
use super::wire::{self, Kind};
use super::{Step, World};
use crate::tserver::{Aside, Control, Remark};

/// Event packages that no endpoint of ours has asked for.
const EVENTS: [&str; 3] = ["presence", "dialog", "x-genesys-mediaserver-status"];
/// What somebody writes.
const TEXT: &str = "Please call back.";

/// What talkbridge is configured to do with such requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Manners {
    pub(super) messages: MessagePolicy,
    pub(super) options: OptionsPolicy,
}

impl Manners {
    pub(super) fn draw(rng: &mut ChaCha12Rng) -> Self {
        Self {
            messages: if rng.random_bool(0.3) {
                MessagePolicy::Show
            } else {
                MessagePolicy::Refuse
            },
            options: if rng.random_bool(0.3) {
                OptionsPolicy::SignedInOnly
            } else {
                OptionsPolicy::AlwaysOk
            },
        }
    }

    /// Which statuses a request may get; none where that is not looked at here.
    pub(super) fn answers(self, method: &str, text: &str) -> Vec<u16> {
        let inside = wire::tag(text, "To").is_some();
        let event = wire::header(text, "Event").map(|event| event.split(';').next());
        let own: &[u16] = match (method, event.flatten()) {
            ("NOTIFY", Some("talk" | "hold" | "beep")) if inside => &[200],
            ("NOTIFY", Some("dtmf")) if inside => &[200, 415],
            // Of a REFER of ours, or of none.
            ("NOTIFY", Some("refer")) if inside => &[200, 415, 489],
            ("NOTIFY", Some("message-summary")) if !inside => &[200],
            ("NOTIFY", Some("talk" | "hold" | "beep" | "dtmf")) => &[481],
            ("NOTIFY" | "SUBSCRIBE", _) => &[489],
            ("OPTIONS", _) if !inside && self.options == OptionsPolicy::SignedInOnly => &[200, 480],
            ("OPTIONS" | "UPDATE", _) => &[200],
            ("INFO", _) => &[200, 415],
            ("MESSAGE", _) if self.messages == MessagePolicy::Refuse => &[405],
            ("MESSAGE", _) => &[200, 480],
            _ => &[],
        };
        let mut own = own.to_vec();
        // The dialog is over, or a later request has overtaken this one.
        if inside && !own.is_empty() {
            own.extend([481, 500]);
        }
        own
    }
}

/// What pages ought to have been told.
#[derive(Debug, Default)]
pub(super) struct Asides {
    /// The messages that wait at each DN.
    waiting: BTreeMap<String, MessageWaiting>,
    /// DNs of which that is not certain: what was said before may have been said again after the life of its transaction.
    uncertain: BTreeSet<String>,
    /// Requests that were obeyed: a repetition is none of its own.
    obeyed: BTreeSet<String>,
}

/// A page is told something that is no call's picture, and that nothing but a message of SIP Server may cause.
pub(super) fn told(message: &GatewayMessage) -> Option<GatewayMessage> {
    let caused = matches!(
        message,
        GatewayMessage::InstantMessage { .. }
            | GatewayMessage::DtmfReceived { .. }
            | GatewayMessage::MessageWaiting(_)
    );
    caused.then(|| message.clone())
}

impl World {
    pub(super) fn any_aside(&mut self) -> Aside {
        match self.rng.random_range(0..6) {
            0 => Aside::Options,
            1 => Aside::Message(TEXT.to_owned()),
            2 => Aside::Event(self.any_event()),
            3 => Aside::Target,
            _ => Aside::Keys("4#".to_owned()),
        }
    }

    fn any_event(&mut self) -> &'static str {
        EVENTS.choose(&mut self.rng).expect("not empty")
    }

    /// Something outside of any call.
    pub(super) fn somebody_remarks(&mut self) -> Step {
        let (dn, server) = (self.any_dn(), self.any_server());
        let remark = match self.rng.random_range(0..6) {
            0 => Remark::Message(TEXT.to_owned()),
            1 => Remark::Event(self.any_event()),
            2 => Remark::Subscribe(self.any_event()),
            _ => Remark::Messages {
                new: self.rng.random_range(0..3),
                old: self.rng.random_range(0..100),
            },
        };
        if self.is_asleep(server) {
            return Ok(());
        }
        self.control(server, Control::Remark { dn, remark })
    }

    /// Pages are told what SIP Server said, once, and nothing that it did not say.
    pub(super) fn asides_hold(
        &mut self,
        happened: &Happened,
        sent: &[String],
        told: &[GatewayMessage],
    ) -> Step {
        if let Happened::Key(call, digit) = happened {
            return self.key_is_shown(*call, *digit, told);
        }
        let Happened::Sip(text) = happened else {
            let told = told.first();
            return told.map_or(Ok(()), |message| {
                Err(format!("a page was told {message:?} for nothing"))
            });
        };
        let obeyed = is_obeyed(text, sent);
        let first = obeyed && self.asides.obeyed.insert(transaction(text));
        if let (true, Some(summary), Some(dn)) = (obeyed, summary(text), wire::target(text)) {
            if first {
                self.asides.uncertain.remove(dn);
                self.asides.waiting.insert(dn.to_owned(), summary);
            } else if self.oracle.counts_twice(text) {
                self.asides.uncertain.insert(dn.to_owned());
            }
        }
        if let Some(message) = told.iter().find(|message| !is_wanted(message, text)) {
            return Err(format!("a page was told {message:?} for nothing"));
        }
        let again = !first && !told.is_empty();
        if again && !self.oracle.counts_twice(text) {
            return Err(format!("a page was told again of:\n{text}"));
        }
        if first && text.starts_with("MESSAGE ") && told.is_empty() {
            return Err(format!("no page was told of:\n{text}"));
        }
        if let (true, Some(call)) = (first, self.coverage.call_of(text.as_bytes())) {
            self.info_is_shown(call, text, told)?;
        }
        self.waiting_is_shown()
    }

    /// A key that SIP Server tells of by INFO is shown once where its media carries none, and not at all where it does: there it goes to the
    /// other party.
    fn info_is_shown(&self, call: CallId, text: &str, told: &[GatewayMessage]) -> Step {
        if !text.starts_with("INFO ") || !text.contains("Signal=") {
            return Ok(());
        }
        let plan = self.workers.plans.get(&call);
        let wanted = match plan.map(|plan| plan.sip.telephone_event) {
            Some(None) if self.is_shown_up(call) => 1,
            Some(Some(_)) => 0,
            _ => return Ok(()),
        };
        if told.len() == wanted {
            return Ok(());
        }
        Err(format!(
            "pages were told {told:?} and not {wanted} keys of:\n{text}"
        ))
    }

    /// A key that the media worker has heard is shown once.
    fn key_is_shown(&self, call: CallId, digit: char, told: &[GatewayMessage]) -> Step {
        let shown = |message: &GatewayMessage| match message {
            GatewayMessage::DtmfReceived {
                call: of,
                digit: key,
            } => *of == call.to_string() && *key == digit.to_string(),
            _ => false,
        };
        let once = told.len() == 1 && told.iter().all(shown);
        if once || told.is_empty() && !self.is_shown_up(call) {
            return Ok(());
        }
        Err(format!(
            "pages were told {told:?} of the key {digit} in call {call}"
        ))
    }

    /// An open page shows this call, answered.
    fn is_shown_up(&self, call: CallId) -> bool {
        let id = call.to_string();
        let mut pages = self.browsers.open().filter(|page| page.resume.is_some());
        pages.any(|page| {
            let view = page.calls.get(&id);
            view.is_some_and(|view| matches!(view.state, CallState::Talking | CallState::Held))
        })
    }

    /// The other party presses a key, and the telephone event is in the media: `sip-dtmf-send-rtp`, or a customer's own telephone.
    pub(super) fn a_key_is_in_the_media(&mut self) -> Step {
        let plans = self.workers.plans.values();
        let heard = plans.filter(|plan| plan.to_agent && plan.sip.telephone_event.is_some());
        let calls: Vec<CallId> = heard.map(|plan| plan.call).collect();
        let Some(&call) = calls.choose(&mut self.rng) else {
            return Ok(());
        };
        let digit = *['1', '9', '#'].choose(&mut self.rng).expect("not empty");
        self.note(|| format!("the key {digit} is in the media of call {call}"));
        self.board_handles(Input::Media(MediaEvent::Digit { call, digit }))
    }

    /// The pages show the messages that wait, as they were told of last, also by a page before them.
    fn waiting_is_shown(&self) -> Step {
        for page in self.browsers.open().filter(|page| page.resume.is_some()) {
            let wanted = self.asides.waiting.get(&page.dn);
            let certain = !self.asides.uncertain.contains(&page.dn);
            if certain && page.message_waiting.as_ref() != wanted {
                let shown = &page.message_waiting;
                return Err(format!("{} is shown {shown:?}, not {wanted:?}", page.dn));
            }
        }
        Ok(())
    }
}

/// Whether a message of SIP Server is one that a page is told like this for.
fn is_wanted(told: &GatewayMessage, text: &str) -> bool {
    let Some(Kind::Request { method }) = wire::kind(text) else {
        return false;
    };
    match told {
        GatewayMessage::InstantMessage { text: shown, .. } => method == "MESSAGE" && shown == TEXT,
        GatewayMessage::DtmfReceived { digit, .. } => {
            method == "INFO" && text.contains(&format!("Signal={digit}\r\n"))
        }
        GatewayMessage::MessageWaiting(shown) => summary(text) == Some(*shown),
        _ => true,
    }
}

/// A request that got a 200 in this turn.
fn is_obeyed(text: &str, sent: &[String]) -> bool {
    sent.iter().any(|answer| {
        matches!(wire::kind(answer), Some(Kind::Response { status: 200 }))
            && wire::branch(answer) == wire::branch(text)
            && wire::cseq(answer) == wire::cseq(text)
    })
}

fn transaction(text: &str) -> String {
    let method = wire::cseq(text).map(|(_, method)| method);
    format!(
        "{} {}",
        method.unwrap_or_default(),
        wire::branch(text).unwrap_or_default()
    )
}

fn summary(text: &str) -> Option<MessageWaiting> {
    let (_, counts) = text.split_once("Voice-Message: ")?;
    let (new, old) = counts.split(' ').next()?.split_once('/')?;
    Some(MessageWaiting {
        waiting: text.contains("Messages-Waiting: yes"),
        new: new.parse().ok(),
        old: old.parse().ok(),
    })
}
