//! A second opinion on what everybody is shown of a call: predicted from the operations alone, compared with the page and the administration.
//!
//! The model knows four things of a call: how far its dialog is (from the wire), whether SIP Server holds it (its last description that was
//! settled), what the agent's side wants (the last click, NOTIFY, or call that needed her voice), and what SIP Server calls it by. It reads what was put into talkbridge and
//! what came out, and none of its state. Where an operation has more than one rightful outcome (a refused re-INVITE), the wish is not certain
//! until the next operation that settles it, and nothing is compared meanwhile.

mod known;
mod names;
mod news;
mod ring;
mod transfers;
mod voice;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use control::{AnsweredBy, CallState, CallView, HeldBy, PageMessage};
use switchboard::{AutoAnswer, CallId};

use known::{Known, Stage, Wish, holds, is_two_way, sdp};

use super::coverage::Coverage;
use super::wire::{self, Kind};

/// What was put into talkbridge, as far as the model looks at it.
#[derive(Debug)]
pub(super) enum Happened {
    Sip(String),
    /// An open page of this DN said something.
    Page(String, PageMessage),
    /// The media of a call brought a key.
    Key(CallId, char),
    /// A connection is gone, or did not come up.
    StreamLost,
    Other,
}

/// All calls that talkbridge should show.
#[derive(Debug, Default)]
pub(super) struct Reference {
    calls: BTreeMap<CallId, Known>,
    /// Requests that were obeyed: a repetition is none of its own.
    obeyed: BTreeSet<(String, String)>,
    /// Messages of ours with a description, by branch and first line: the same of those.
    described: BTreeSet<(String, String)>,
    /// DNs with a call whose messages are taken for another one's: it may take the voice from any other call.
    blind: BTreeSet<String>,
    /// The call within which a REFER was accepted in this turn.
    referred: Option<CallId>,
    /// The REFER outside of any call that comes in this turn.
    asked: Option<String>,
    /// Calls that such a REFER asked for, by its Call-ID, until the news of it was answered, and since when.
    news: BTreeMap<String, (CallId, Instant)>,
    /// How talkbridge answers calls to a DN by itself.
    auto_answer: BTreeMap<String, AutoAnswer>,
    /// talkbridge's tables are so small that a request of its own may find no room.
    small_tables: bool,
    /// How often a prediction was compared.
    pub(super) compared: usize,
}

impl Reference {
    pub(super) fn new(small_tables: bool, auto_answer: BTreeMap<String, AutoAnswer>) -> Self {
        Self {
            small_tables,
            auto_answer,
            ..Self::default()
        }
    }

    /// Something was put into talkbridge, and these messages came out of it.
    pub(super) fn step(
        &mut self,
        now: Instant,
        happened: &Happened,
        sent: &[String],
        coverage: &Coverage,
        dns: &BTreeMap<CallId, String>,
    ) {
        self.is_overdue(now);
        // Whoever clicks in the instant in which a call would answer itself is first; a message is not.
        match happened {
            Happened::Sip(text) => {
                self.answer_themselves(now);
                self.asked = news::asked_for(text);
                self.hears_of_the_news(text);
                self.received(now, text, sent, coverage, dns);
            }
            Happened::Page(dn, message) => {
                self.clicked(dn, message);
                self.answer_themselves(now);
            }
            Happened::StreamLost => {
                self.answer_themselves(now);
                self.may_have_failed(sent, coverage);
            }
            Happened::Key(..) | Happened::Other => self.answer_themselves(now),
        }
        for text in sent {
            self.sent(now, text, coverage, dns);
        }
        (self.referred, self.asked) = (None, None);
        if self.small_tables {
            self.without_room(sent, coverage);
        }
    }

    /// Where tables are small a request of ours may find no room, and what it was for is undone: a wish that SIP Server was to be told of now, and
    /// was not, is not certain until the next operation that settles it. Nothing else is: messages do not say how full a table is.
    fn without_room(&mut self, sent: &[String], coverage: &Coverage) {
        for (id, known) in &mut self.calls {
            let waits = known.inviting.is_some() || known.offered.is_some();
            let up = known.stage == Stage::Up;
            if up && !known.told && !waits && !is_invited(*id, sent, coverage) {
                known.wish = Wish::Unsure;
            }
        }
    }

    /// A re-INVITE that is not sent once more has another connection, or has failed with its second one: what it was for is not certain.
    fn may_have_failed(&mut self, sent: &[String], coverage: &Coverage) {
        for (id, known) in &mut self.calls {
            let waits = known.stage == Stage::Up && known.inviting.is_some();
            if waits && !is_invited(*id, sent, coverage) {
                known.wish = Wish::Unsure;
            }
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
        self.is_left(id, view);
        self.compare_name(id, view)?;
        let Some(known) = self.calls.get(&id) else {
            return Ok(());
        };
        // Time-outs and lost browsers end calls too, before anything leaves. What is ending stays so, and SIP Server hears of it.
        if matches!(view.state, CallState::Ending | CallState::Ended) && known.stage != Stage::Over
        {
            self.over(id);
        }
        let Some(known) = self.calls.get_mut(&id) else {
            return Ok(());
        };
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
                && (known.stage == Stage::Over || view.answered_by == known.answered_by)
                && view.details.ring == known.ring;
        if same {
            return Ok(());
        }
        Err(format!(
            "call {id} should be {state:?}, held by {held_by:?}, answered by {:?}; it is shown as {view:?}",
            known.answered_by
        ))
    }

    /// Calls whose INVITE wanted it, or whose DN does, are answered without a click.
    fn answer_themselves(&mut self, now: Instant) {
        for known in self.calls.values_mut() {
            let due = known.answers_itself_at.is_some_and(|at| at <= now);
            if due && known.stage == Stage::Ringing {
                known.stage = Stage::Waiting(AnsweredBy::Auto);
            }
        }
    }

    fn received(
        &mut self,
        now: Instant,
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
                let again = is_invited(id, sent, coverage);
                self.named_by_response(id, cseq, status, text);
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
                    self.obey(id, method, cseq, text, (now, status, dns, coverage));
                    self.named(id, text, !matches!(method, "BYE" | "PRACK" | "CANCEL"));
                } else if status >= 300 {
                    self.named(id, text, false);
                }
                // Whatever becomes of it, it bears our tag. The dialog itself takes PRACK, and refuses what is out of turn.
                let is_ours = !matches!(
                    (method, status),
                    (_, 481 | 500) | ("INVITE" | "PRACK" | "BYE" | "CANCEL", _)
                );
                let describes = method == "UPDATE" && sdp(text).is_some();
                if is_ours && !describes && wire::tag(text, "To").is_some() {
                    self.prove(id);
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
        (now, status, dns, coverage): (Instant, u16, &BTreeMap<CallId, String>, &Coverage),
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
                known.replaces = replaced.filter(|_| old.is_some());
                known.first = Some(cseq);
                known.ring = ring::wish(text);
                let policy = self.auto_answer.get(dn);
                known.answers_itself_at =
                    policy.and_then(|policy| Some(now + ring::answer_after(*policy, text)?));
                sdp(text)
                    .unwrap_or_default()
                    .clone_into(&mut known.description);
                self.calls.entry(id).or_insert(known);
            }
            ("INVITE", _) if status >= 200 => {
                // What it has to say of the call counts before the voice is given.
                let known = self.calls.get_mut(&id);
                let proven = known.is_some_and(|known| {
                    known.proven = true;
                    std::mem::take(&mut known.unproven)
                });
                self.reinvited(id, cseq, sdp(text));
                if proven {
                    self.one_voice(id);
                }
            }
            ("UPDATE", _) if status >= 200 && sdp(text).is_some() => self.prove(id),
            // One that was tried elsewhere may end, late, where it was tried before.
            ("BYE", _) if self.is_in_its_dialog(id, text) => self.over(id),
            ("REFER", _) => self.referred = Some(id),
            ("NOTIFY", Some("talk")) => {
                self.prove(id);
                self.talk(id);
            }
            ("NOTIFY", Some("hold")) => {
                self.prove(id);
                self.hold(id, HeldBy::TalkControl);
            }
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
                // A hold that it was never told of is not meant.
                let untold = known.wish != Wish::Talk && !known.told;
                known.wish = if untold { Wish::Unsure } else { Wish::Talk };
            }
            known.offered = Some(cseq);
            return;
        };
        if known.description == offer {
            return;
        }
        known.settle(offer);
        if is_two_way(offer) && known.retrying && known.wish != Wish::Talk {
            // What comes again is the hold, or a retrieval that she has thought better of: SIP Server knows of the hold then.
            known.wish = Wish::Unsure;
        }
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
        // The ACK of a refusal has the branch of its INVITE: where there was no room, and then some for a repetition, it may come late.
        let of_refusal = wire::branch(text) == Some(&known.asked_in);
        if known.unproven && known.first == Some(cseq) && known.stage == Stage::Up {
            return self.prove(id);
        }
        if known.offered != Some(cseq) || of_refusal {
            return;
        }
        known.offered = None;
        known.unproven = false;
        if let Some(description) = sdp(text) {
            known.settle_answered(description);
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
                // Of a hold that was wished for while it was under way it says nothing.
                known.told = known.offers_hold || !matches!(known.wish, Wish::Hold(_));
                if let Some(description) = sdp(text) {
                    known.settle_answered(description);
                }
                if matches!(known.stage, Stage::Dialling { .. }) {
                    known.stage = Stage::Up;
                    known.unproven = false;
                    known.instead_of = None;
                    known.branch = wire::tag(text, "To").map(str::to_owned);
                }
                self.one_voice(id);
            }
            // Challenged, redirected, sent to another server: or over.
            (300.., Stage::Dialling { .. }) if again => {}
            (300.., Stage::Dialling { .. }) => {
                let instead_of = known.instead_of;
                self.calls.remove(&id);
                self.stays_after_all(instead_of);
            }
            (300.., Stage::Over) => {
                known.inviting = None;
                let instead_of = known.instead_of.take();
                self.stays_after_all(instead_of);
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
            PageMessage::Transfer { call, to, to_call } => {
                if let Some(id) = self.own(dn, call) {
                    self.hands_on(id, to.as_deref(), to_call.as_deref());
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

    fn over(&mut self, id: CallId) {
        if let Some(known) = self.calls.get_mut(&id) {
            known.stage = Stage::Over;
            let instead_of = known.instead_of;
            self.may_stay_after_all(instead_of);
        }
    }

    /// A request of SIP Server's side is in the dialog that the call has: not where it was tried before, and not with another one that answered its INVITE.
    fn is_in_its_dialog(&self, id: CallId, text: &str) -> bool {
        let Some(known) = self.calls.get(&id) else {
            return false;
        };
        let is_last_try =
            known.dialog.is_empty() || wire::header(text, "Call-ID") == Some(&known.dialog);
        let branch = known.branch.as_deref();
        is_last_try && branch.is_none_or(|branch| wire::tag(text, "From") == Some(branch))
    }

    /// A message of talkbridge.
    fn sent(
        &mut self,
        now: Instant,
        text: &str,
        coverage: &Coverage,
        dns: &BTreeMap<CallId, String>,
    ) {
        let Some(id) = coverage.call_of(text.as_bytes()) else {
            return;
        };
        let Some((cseq, method)) = wire::cseq(text) else {
            return;
        };
        if let (Some(known), "INVITE", Some(ours)) = (self.calls.get_mut(&id), method, sdp(text)) {
            // What is repeated is not the last word.
            let line = text.lines().next().unwrap_or_default();
            let message = (
                wire::branch(text).unwrap_or_default().to_owned(),
                line.to_owned(),
            );
            if self.described.insert(message) {
                known.offers_hold = ours.contains("a=sendonly");
            }
        }
        match wire::kind(text) {
            Some(Kind::Request { method: "INVITE" }) => {
                if let (None, Some(dn)) = (self.calls.get(&id), dns.get(&id)) {
                    let mut known = Known::new(dn.clone(), Stage::Dialling { ringing: false });
                    known.takes = self.referred;
                    known.instead_of = self.referred.and_then(|old| self.takes_place_of(old));
                    self.calls.insert(id, known);
                    match self.asked.take() {
                        Some(news) => self.tells_of(now, id, news),
                        None => self.is_turned_to(id),
                    }
                }
                if let Some(known) = self.calls.get_mut(&id) {
                    known.inviting = Some(cseq);
                    known.dialog = wire::header(text, "Call-ID").unwrap_or_default().to_owned();
                    known.retrying = false;
                }
            }
            Some(Kind::Request {
                method: "BYE" | "CANCEL",
            }) => {
                // One that was tried elsewhere is told, late, that nobody waits there; and so is whoever answers beside the one who has.
                let ours = self.calls.get(&id).is_some_and(|known| {
                    let branch = known.branch.as_deref();
                    branch.is_none() || wire::tag(text, "To") == branch
                });
                if ours && self.is_in_its_dialog(id, text) {
                    self.over(id);
                }
            }
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
                    known.asked_in = wire::branch(text).unwrap_or_default().to_owned();
                    known.stage = Stage::AwaitingAck;
                } else {
                    known.theirs = holds(&known.description);
                    known.stage = Stage::Up;
                }
                let of_itself = by == AnsweredBy::Auto && known.replaces.is_none();
                known.unproven = of_itself && !known.proven;
                self.inherits(id);
                self.is_turned_to(id);
            }
            Stage::Ringing | Stage::Waiting(_) => known.stage = Stage::Over,
            _ => {}
        }
    }
}

/// Whether one of these is an INVITE of a call.
fn is_invited(id: CallId, sent: &[String], coverage: &Coverage) -> bool {
    let of = |text: &String| {
        text.starts_with("INVITE ") && coverage.call_of(text.as_bytes()) == Some(id)
    };
    sent.iter().any(of)
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
