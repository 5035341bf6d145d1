//! A second opinion on what everybody is shown of a call: predicted from the operations alone, compared with the page and the administration.
//!
//! The model knows three things of a call: how far its dialog is (from the wire), whether SIP Server holds it (its last description that was
//! settled), and what the agent's side wants (the last click, NOTIFY, or call that needed her voice). It reads what was put into talkbridge and
//! what came out, and none of its state. Where an operation has more than one rightful outcome (a refused re-INVITE, a transfer), the
//! wish is not certain until the next operation that settles it, and nothing is compared meanwhile.

use std::collections::{BTreeMap, BTreeSet};

use control::{AnsweredBy, CallState, CallView, HeldBy, PageMessage};
use switchboard::CallId;

use super::coverage::Coverage;
use super::wire::{self, Kind};

/// What was put into talkbridge, as far as the model looks at it.
#[derive(Debug)]
pub(super) enum Happened {
    Sip(String),
    /// An open page of this DN said something.
    Page(String, PageMessage),
    Other,
}

/// All calls that talkbridge should show.
#[derive(Debug, Default)]
pub(super) struct Reference {
    calls: BTreeMap<CallId, Known>,
    /// Requests that were obeyed: a repetition is none of its own.
    obeyed: BTreeSet<(String, String)>,
    /// DNs with a call whose messages are taken for another one's: it may take the voice from any other call.
    blind: BTreeSet<String>,
    /// How often a prediction was compared.
    pub(super) compared: usize,
}

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Ringing,
    /// Somebody has answered; the 200 waits for the browser.
    Waiting(AnsweredBy),
    /// Our 200 carried the offer.
    AwaitingAck,
    Dialling {
        ringing: bool,
    },
    Up,
    Over,
}

/// What the agent's side wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    Talk,
    Hold(HeldBy),
    /// One of them: the operations do not say which.
    Unsure,
}

#[derive(Debug)]
struct Known {
    dn: String,
    stage: Stage,
    /// CSeq of the INVITE that opened the dialog, when it was SIP Server's.
    first: Option<u32>,
    answered_by: Option<AnsweredBy>,
    wish: Wish,
    /// SIP Server holds the call.
    theirs: bool,
    /// Its last description.
    description: String,
    /// CSeq of our INVITE that has no final response.
    inviting: Option<u32>,
    /// The Call-ID that it has: a call that is tried at another SIP Server has another one.
    dialog: String,
    /// CSeq of our 200 with an offer whose ACK has not come.
    offered: Option<u32>,
    /// Our re-INVITE met one of SIP Server's and comes again.
    retrying: bool,
    /// SIP Server has accepted a re-INVITE that told it of the wish.
    told: bool,
    /// A transfer holds and retrieves by itself.
    transferring: bool,
    /// Nothing is predicted: SIP Server knows its dialog no more.
    given_up: bool,
}

impl Known {
    fn new(dn: String, stage: Stage) -> Self {
        Self {
            dn,
            stage,
            first: None,
            answered_by: None,
            wish: Wish::Talk,
            theirs: false,
            description: String::new(),
            inviting: None,
            dialog: String::new(),
            offered: None,
            retrying: false,
            told: false,
            transferring: false,
            given_up: false,
        }
    }

    const fn is_connected(&self) -> bool {
        matches!(
            self.stage,
            Stage::Up | Stage::AwaitingAck | Stage::Dialling { .. }
        )
    }

    /// SIP Server and talkbridge have settled on this description.
    fn settle(&mut self, description: &str) {
        description.clone_into(&mut self.description);
        self.theirs = holds(description);
    }

    /// No transaction is in flight, and there is one rightful outcome.
    fn is_certain(&self) -> bool {
        self.inviting.is_none()
            && self.offered.is_none()
            && !self.retrying
            && !self.transferring
            && self.wish != Wish::Unsure
    }

    /// State and holder, or `None` while they are not certain.
    fn expected(&self) -> Option<(CallState, Option<HeldBy>)> {
        if self.given_up {
            return None;
        }
        Some(match self.stage {
            Stage::Ringing | Stage::Dialling { ringing: true } => (CallState::Ringing, None),
            Stage::Dialling { ringing: false } => (CallState::Offered, None),
            Stage::Waiting(_) | Stage::AwaitingAck => (CallState::Answering, None),
            Stage::Up if !self.is_certain() => return None,
            Stage::Up => match self.wish {
                Wish::Hold(by) => (CallState::Held, Some(by)),
                _ if self.theirs => (CallState::Held, Some(HeldBy::Remote)),
                _ => (CallState::Talking, None),
            },
            Stage::Over => (CallState::Ending, None),
        })
    }
}

impl Reference {
    /// Something was put into talkbridge, and these messages came out of it.
    pub(super) fn step(
        &mut self,
        happened: &Happened,
        sent: &[String],
        coverage: &Coverage,
        dns: &BTreeMap<CallId, String>,
    ) {
        match happened {
            Happened::Sip(text) => self.received(text, sent, coverage, dns),
            Happened::Page(dn, message) => self.clicked(dn, message),
            Happened::Other => {}
        }
        for text in sent {
            self.sent(text, coverage, dns);
        }
    }

    /// Nothing is predicted of a call any more.
    pub(super) fn give_up(&mut self, call: Option<CallId>) {
        if let Some(known) = call.and_then(|id| self.calls.get_mut(&id)) {
            known.given_up = true;
        }
    }

    /// Nothing is predicted for a DN any more with two calls in one dialog.
    pub(super) fn two_in_one_dialog(&mut self, first: Option<CallId>, dn: &str) {
        if first.is_some() {
            self.blind.insert(dn.to_owned());
        }
    }

    /// What a page or an administrator is shown of a call is what is expected.
    pub(super) fn compare(&mut self, id: CallId, view: &CallView) -> Result<(), String> {
        let Some(known) = self.calls.get_mut(&id) else {
            return Ok(());
        };
        // Time-outs and lost browsers end calls too, before anything leaves. What is ending stays so, and SIP Server hears of it.
        if matches!(view.state, CallState::Ending | CallState::Ended) {
            known.stage = Stage::Over;
        }
        if self.blind.contains(&known.dn) {
            return Ok(());
        }
        let Some((state, held_by)) = known.expected() else {
            return Ok(());
        };
        self.compared += 1;
        let ended = known.stage == Stage::Over && view.state == CallState::Ended;
        let same = ended
            || view.state == state
                && view.held_by == held_by
                && (known.stage == Stage::Over || view.answered_by == known.answered_by);
        if same {
            return Ok(());
        }
        Err(format!(
            "call {id} should be {state:?}, held by {held_by:?}, answered by {:?}; it is shown as {view:?}",
            known.answered_by
        ))
    }

    fn received(
        &mut self,
        text: &str,
        sent: &[String],
        coverage: &Coverage,
        dns: &BTreeMap<CallId, String>,
    ) {
        let Some(id) = coverage.call_of(text.as_bytes()) else {
            return;
        };
        let Some((cseq, method)) = wire::cseq(text) else {
            return;
        };
        match wire::kind(text) {
            Some(Kind::Response { status }) if method == "INVITE" => {
                let again = |sent: &String| {
                    sent.starts_with("INVITE ") && coverage.call_of(sent.as_bytes()) == Some(id)
                };
                let again = sent.iter().any(again);
                self.answered(id, cseq, status, text, again);
            }
            // The dialog is gone at SIP Server. Its BYE, which says why, is waited for, and then the call ends by itself.
            Some(Kind::Response { status: 481 }) if method != "BYE" => self.give_up(Some(id)),
            Some(Kind::Request { method: "ACK" }) => self.acknowledged(id, cseq, text),
            Some(Kind::Request { method }) => {
                let Some(status) = response_to(text, sent) else {
                    return;
                };
                let branch = wire::branch(text).unwrap_or_default();
                if status < 300 && self.obeyed.insert((branch.to_owned(), method.to_owned())) {
                    self.obey(id, method, cseq, text, (status, dns, coverage));
                }
            }
            _ => {}
        }
    }

    /// A request of SIP Server that was not refused.
    fn obey(
        &mut self,
        id: CallId,
        method: &str,
        cseq: u32,
        text: &str,
        (status, dns, coverage): (u16, &BTreeMap<CallId, String>, &Coverage),
    ) {
        match (method, wire::header(text, "Event")) {
            ("INVITE", _) if wire::tag(text, "To").is_none() => {
                let Some(dn) = dns.get(&id) else { return };
                let replaced = wire::header(text, "Replaces").and_then(|it| it.split(';').next());
                let replaced = replaced.and_then(|call_id| coverage.call_of_dialog(call_id));
                let old = replaced.and_then(|old| self.calls.get(&old));
                // What takes the place of a call is answered without a click, and stays on hold where that was.
                let stage = match old {
                    Some(_) => Stage::Waiting(AnsweredBy::Auto),
                    None => Stage::Ringing,
                };
                let mut known = Known::new(dn.clone(), stage);
                known.wish = match old {
                    Some(old) if old.transferring => Wish::Unsure,
                    Some(old) => old.wish,
                    None => Wish::Talk,
                };
                known.first = Some(cseq);
                sdp(text)
                    .unwrap_or_default()
                    .clone_into(&mut known.description);
                self.calls.entry(id).or_insert(known);
            }
            ("INVITE", _) if status >= 200 => self.reinvited(id, cseq, sdp(text)),
            ("BYE", _) => self.over(id),
            // It is held for the new call, and retrieved when that fails.
            ("REFER", _) => {
                if let Some(known) = self.calls.get_mut(&id) {
                    known.transferring = true;
                }
            }
            ("NOTIFY", Some("talk")) => self.talk(id),
            ("NOTIFY", Some("hold")) => self.hold(id, HeldBy::TalkControl),
            _ => {}
        }
    }

    /// A re-INVITE that was answered with 200. Active media in a new description ends a hold of ours, unless our own was under way; without a
    /// description what SIP Server holds itself is retrieved.
    fn reinvited(&mut self, id: CallId, cseq: u32, offer: Option<&str>) {
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(offer) = offer else {
            if known.theirs {
                known.wish = Wish::Talk;
            }
            known.offered = Some(cseq);
            return;
        };
        if known.description == offer {
            return;
        }
        known.settle(offer);
        if is_two_way(offer) && known.inviting.is_none() && !known.retrying {
            // A hold that waits for an ACK before it can be told may come after all.
            let untold = known.wish != Wish::Talk && !known.told;
            known.wish = if untold { Wish::Unsure } else { Wish::Talk };
        }
        self.one_voice(id);
    }

    fn acknowledged(&mut self, id: CallId, cseq: u32, text: &str) {
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        if known.offered != Some(cseq) {
            return;
        }
        known.offered = None;
        if let Some(description) = sdp(text) {
            known.settle(description);
        }
        if known.stage == Stage::AwaitingAck {
            known.stage = Stage::Up;
        }
        self.one_voice(id);
    }

    /// A response to an INVITE of ours.
    fn answered(&mut self, id: CallId, cseq: u32, status: u16, text: &str, again: bool) {
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        if known.inviting != Some(cseq) || wire::header(text, "Call-ID") != Some(&known.dialog) {
            return;
        }
        match (status, known.stage) {
            (100, _) => {}
            (101..200, Stage::Dialling { .. }) => known.stage = Stage::Dialling { ringing: true },
            (200..300, _) => {
                known.inviting = None;
                known.told = true;
                if let Some(description) = sdp(text) {
                    known.settle(description);
                }
                if matches!(known.stage, Stage::Dialling { .. }) {
                    known.stage = Stage::Up;
                }
                self.one_voice(id);
            }
            // Challenged, redirected, sent to another server: or over.
            (300.., Stage::Dialling { .. }) if again => {}
            (300.., Stage::Dialling { .. }) => {
                self.calls.remove(&id);
            }
            (491, _) => {
                known.inviting = None;
                known.retrying = true;
            }
            (300.., _) => {
                known.inviting = None;
                known.wish = Wish::Unsure;
            }
            _ => {}
        }
    }

    fn clicked(&mut self, dn: &str, message: &PageMessage) {
        match message {
            PageMessage::Answer { call } => {
                let known = self.own(dn, call).and_then(|id| self.calls.get_mut(&id));
                if let Some(known) = known.filter(|known| known.stage == Stage::Ringing) {
                    known.stage = Stage::Waiting(AnsweredBy::Agent);
                }
            }
            PageMessage::Hangup { call } => {
                if let Some(id) = self.own(dn, call) {
                    self.over(id);
                }
            }
            PageMessage::Reject { call } => {
                let known = self.own(dn, call).and_then(|id| self.calls.get_mut(&id));
                let unanswered =
                    |known: &&mut Known| matches!(known.stage, Stage::Ringing | Stage::Waiting(_));
                if let Some(known) = known.filter(unanswered) {
                    known.stage = Stage::Over;
                }
            }
            PageMessage::Hold { call } => {
                if let Some(id) = self.own(dn, call) {
                    self.hold(id, HeldBy::Agent);
                }
            }
            PageMessage::Retrieve { call } => {
                if let Some(id) = self.own(dn, call) {
                    self.retrieve(id);
                }
            }
            PageMessage::Transfer { call, to_call, .. } => {
                for call in [Some(call), to_call.as_ref()].into_iter().flatten() {
                    if let Some(known) = self.own(dn, call).and_then(|id| self.calls.get_mut(&id)) {
                        known.transferring = true;
                    }
                }
            }
            _ => {}
        }
    }

    fn own(&self, dn: &str, call: &str) -> Option<CallId> {
        let id = CallId::parse(call)?;
        self.calls
            .get(&id)
            .filter(|known| known.dn == dn)
            .map(|_| id)
    }

    fn talk(&mut self, id: CallId) {
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        match known.stage {
            Stage::Ringing => known.stage = Stage::Waiting(AnsweredBy::Talk),
            Stage::Up => self.retrieve(id),
            _ => {}
        }
    }

    /// A call that is held already stays as it is.
    fn hold(&mut self, id: CallId, by: HeldBy) {
        let known = self.calls.get_mut(&id);
        if let Some(known) =
            known.filter(|known| known.stage == Stage::Up && known.wish == Wish::Talk)
        {
            known.wish = Wish::Hold(by);
            known.told = false;
        }
    }

    fn retrieve(&mut self, id: CallId) {
        let known = self.calls.get_mut(&id);
        if let Some(known) =
            known.filter(|known| known.stage == Stage::Up && known.wish != Wish::Talk)
        {
            known.wish = Wish::Talk;
            self.one_voice(id);
        }
    }

    /// An agent has one voice: where this call has it, every other that has it too is held.
    fn one_voice(&mut self, id: CallId) {
        let known = self.calls.get(&id);
        let may_have = |known: &&Known| {
            known.is_connected() && !known.theirs && !matches!(known.wish, Wish::Hold(_))
        };
        if let Some(known) = known.filter(may_have) {
            let sure = known.wish == Wish::Talk && !known.transferring;
            self.silence_others(id, sure);
        }
    }

    /// Other calls of the agent that have her voice are held, or may be. A call that she answers or dials takes it, whoever holds that.
    fn silence_others(&mut self, id: CallId, sure: bool) {
        let Some(dn) = self.calls.get(&id).map(|known| known.dn.clone()) else {
            return;
        };
        for (other, known) in &mut self.calls {
            let active = known.is_connected() && !known.theirs && known.wish == Wish::Talk;
            if *other == id || known.dn != dn || !active {
                continue;
            }
            known.told = false;
            known.wish = if sure {
                Wish::Hold(HeldBy::Agent)
            } else {
                Wish::Unsure
            };
        }
    }

    fn over(&mut self, id: CallId) {
        if let Some(known) = self.calls.get_mut(&id) {
            known.stage = Stage::Over;
        }
    }

    /// A message of talkbridge.
    fn sent(&mut self, text: &str, coverage: &Coverage, dns: &BTreeMap<CallId, String>) {
        let Some(id) = coverage.call_of(text.as_bytes()) else {
            return;
        };
        let Some((cseq, method)) = wire::cseq(text) else {
            return;
        };
        match wire::kind(text) {
            Some(Kind::Request { method: "INVITE" }) => {
                if let (None, Some(dn)) = (self.calls.get(&id), dns.get(&id)) {
                    let known = Known::new(dn.clone(), Stage::Dialling { ringing: false });
                    self.calls.insert(id, known);
                    self.silence_others(id, true);
                }
                if let Some(known) = self.calls.get_mut(&id) {
                    known.inviting = Some(cseq);
                    known.dialog = wire::header(text, "Call-ID").unwrap_or_default().to_owned();
                    known.retrying = false;
                }
            }
            Some(Kind::Request {
                method: "BYE" | "CANCEL",
            }) => self.over(id),
            Some(Kind::Response { status: 200.. }) if method == "INVITE" => {
                self.finally(id, cseq, text)
            }
            _ => {}
        }
    }

    /// A final response of ours to the INVITE that opened the dialog.
    fn finally(&mut self, id: CallId, cseq: u32, text: &str) {
        let Some(known) = self
            .calls
            .get_mut(&id)
            .filter(|known| known.first == Some(cseq))
        else {
            return;
        };
        let accepted = matches!(wire::kind(text), Some(Kind::Response { status: 200..300 }));
        match known.stage {
            Stage::Waiting(by) if accepted => {
                known.answered_by = Some(by);
                if known.description.is_empty() {
                    known.offered = Some(cseq);
                    known.stage = Stage::AwaitingAck;
                } else {
                    known.theirs = holds(&known.description);
                    known.stage = Stage::Up;
                }
                match known.wish {
                    Wish::Hold(_) => {}
                    wish => self.silence_others(id, wish == Wish::Talk),
                }
            }
            Stage::Ringing | Stage::Waiting(_) => known.stage = Stage::Over,
            _ => {}
        }
    }
}

/// The status of the last response among these to a request.
fn response_to(request: &str, sent: &[String]) -> Option<u16> {
    let same = |text: &&String| {
        wire::branch(text) == wire::branch(request) && wire::cseq(text) == wire::cseq(request)
    };
    sent.iter()
        .rev()
        .filter(same)
        .find_map(|text| match wire::kind(text)? {
            Kind::Response { status } if status > 100 => Some(status),
            _ => None,
        })
}

fn sdp(text: &str) -> Option<&str> {
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some(body).filter(|body| body.contains("m=audio"))
}

/// Whoever describes himself like this holds (RFC 3264 section 8.4, and 0.0.0.0 before it).
fn holds(sdp: &str) -> bool {
    has_no_address(sdp) || has_line(sdp, "a=sendonly") || has_line(sdp, "a=inactive")
}

fn is_two_way(sdp: &str) -> bool {
    !holds(sdp) && !has_line(sdp, "a=recvonly")
}

fn has_no_address(sdp: &str) -> bool {
    has_line(sdp, "c=IN IP4 0.0.0.0") || sdp.contains("\nm=audio 0 ")
}

fn has_line(sdp: &str, wanted: &str) -> bool {
    sdp.lines().any(|line| line == wanted)
}
