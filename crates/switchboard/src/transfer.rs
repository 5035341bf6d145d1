//! Transfers that the agent asks for: a REFER inside the dialog of the call, and what becomes of it (RFC 3515, RFC 5589;
//! `docs/transfer.md`).
//!
//! The call is held, SIP Server is asked, and its NOTIFYs tell what the target does. Until the target has taken the call over the
//! agent loses nothing: whatever fails leaves it to her, off hold again where we held it for this.

use std::time::Instant;

use control::{TransferState, TransferView};
use sip::ua::TransactionId;
use sip::wire::{HeaderName, Method, Request};
use sip::{StatusCode, sipfrag};

use crate::Switchboard;
use crate::call::{Call, End, Phase};
use crate::dial::target;
use crate::failure::Cause;
use crate::ids::CallId;
use crate::io::{AdminRefusal, Fact, TransferKind, TransferResult, TransferTo};
use crate::limits::{TRANSFER_MAX, TRANSFERRED_BYE_AFTER};
use crate::talk::event_id;

/// A transfer of one call. It stays with the call when it has failed, so that a page that comes back reads why.
#[derive(Debug)]
pub(crate) struct Transfer {
    to: TransferTo,
    stage: Stage,
    /// The agent has asked for it on this call. The call that it is joined with carries one too, which follows.
    leads: bool,
    /// We put the call on hold for it.
    held: bool,
    /// Our REFER, once it is sent, and its CSeq.
    refer: Option<(TransactionId, Option<u32>)>,
    /// Another one was asked for on this call before, and given up: its news may still come.
    follows_another: bool,
    /// When we wait no longer.
    deadline: Instant,
}

/// How far a transfer has come.
#[derive(Debug)]
enum Stage {
    /// The hold is being settled; the REFER comes after it.
    Holding,
    /// REFER waits for its answer.
    Asked,
    /// SIP Server has agreed and calls the target.
    Following { ringing: bool },
    /// The target has taken the call; the deadline is that of our BYE.
    Done,
    /// The agent keeps the call.
    Failed {
        sip_status: Option<u16>,
        reason: String,
    },
}

impl Transfer {
    pub(crate) const fn is_running(&self) -> bool {
        !matches!(self.stage, Stage::Failed { .. })
    }

    /// SIP Server has agreed to take the call over: from now on its BYE means that it has.
    const fn is_accepted(&self) -> bool {
        matches!(self.stage, Stage::Following { .. } | Stage::Done)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.is_running().then_some(self.deadline)
    }

    const fn kind(&self) -> TransferKind {
        match self.to {
            TransferTo::Number(_) => TransferKind::Blind,
            TransferTo::Call(_) => TransferKind::Attended,
        }
    }

    pub(crate) fn view(&self) -> TransferView {
        let (to, to_call) = match &self.to {
            TransferTo::Number(number) => (Some(number.clone()), None),
            TransferTo::Call(other) => (None, Some(other.to_string())),
        };
        let (state, sip_status, reason) = match &self.stage {
            Stage::Holding | Stage::Asked => (TransferState::Asking, None, None),
            Stage::Following { ringing: false } => (TransferState::Trying, None, None),
            Stage::Following { ringing: true } => (TransferState::Ringing, None, None),
            Stage::Done => (TransferState::Done, None, None),
            Stage::Failed { sip_status, reason } => {
                (TransferState::Failed, *sip_status, Some(reason.clone()))
            }
        };
        TransferView {
            state,
            to,
            to_call,
            sip_status,
            reason,
        }
    }
}

impl Switchboard {
    /// Hands a call to a number, or joins it with another call of the same agent. Asked twice it does nothing the second time.
    pub(crate) fn transfer(
        &mut self,
        now: Instant,
        id: CallId,
        to: TransferTo,
    ) -> Result<(), AdminRefusal> {
        let call = self.calls.get(&id).ok_or(AdminRefusal::UnknownCall)?;
        if !call.is_up() {
            return Err(AdminRefusal::WrongState);
        }
        let running = call.transfer.as_ref().filter(|other| other.is_running());
        if let Some(running) = running {
            let same = running.to == to;
            return if same {
                Ok(())
            } else {
                Err(AdminRefusal::Transferring)
            };
        }
        if self.is_moving(call) {
            return Err(AdminRefusal::Transferring);
        }
        match &to {
            TransferTo::Number(number) => {
                target(number, "localhost").ok_or(AdminRefusal::BadNumber)?;
            }
            TransferTo::Call(other) => self.may_be_joined(call, *other)?,
        }
        let held = call.hold.by().is_none();
        let former = call.transfer.as_ref();
        let follows_another = former.is_some_and(|it| it.refer.is_some() || it.follows_another);
        let transfer = Transfer {
            to,
            stage: Stage::Holding,
            leads: true,
            held,
            refer: None,
            follows_another,
            deadline: now + TRANSFER_MAX,
        };
        if let Some(call) = self.calls.get_mut(&id) {
            call.transfer = Some(transfer);
        }
        self.arm_call(id);
        if held {
            self.hold_for_now(now, id);
        }
        self.advance_transfer(now, id);
        self.show(id);
        Ok(())
    }

    /// The call is on its way elsewhere: by a transfer of its own, as the party that another one is joined with, or since SIP Server has asked for a call in
    /// its place. One at a time, or the customer is asked for twice.
    pub(crate) fn is_moving(&self, call: &Call) -> bool {
        let joined = |other: &CallId| {
            let other = self.calls.get(other).filter(|other| !other.is_ending());
            let transfer = other.and_then(|other| other.transfer.as_ref());
            transfer.is_some_and(|it| it.is_running() && it.to == TransferTo::Call(call.id))
        };
        call.transfer.as_ref().is_some_and(Transfer::is_running)
            || call.leaves_at.is_some()
            || self.is_referred_away(call.id)
            || self.calls_of(&call.dn).iter().any(joined)
    }

    /// The call that another one is joined with must be answered, the same agent's, and not under way elsewhere itself.
    fn may_be_joined(&self, call: &Call, other: CallId) -> Result<(), AdminRefusal> {
        let other = self.calls.get(&other).filter(|it| it.dn == call.dn);
        let other = other.ok_or(AdminRefusal::UnknownCall)?;
        if other.id == call.id || !other.is_up() || self.is_moving(other) {
            return Err(AdminRefusal::NotJoinable);
        }
        Ok(())
    }

    /// Sends the REFER once the hold before it is settled, refused or not.
    pub(crate) fn advance_transfer(&mut self, now: Instant, id: CallId) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let Some(Transfer {
            stage: Stage::Holding,
            to,
            ..
        }) = &call.transfer
        else {
            return;
        };
        let settled = matches!(call.phase, Phase::Up { acknowledged: true })
            && call.hold.pending.is_none()
            && call.hold.offered_in_ok.is_none();
        if !settled {
            return;
        }
        let Some(refer_to) = self.refer_to(call, to) else {
            let reason = "the other call is over".to_owned();
            return self.transfer_failed(now, id, None, reason);
        };
        let mut headers = vec![(HeaderName::REFER_TO, refer_to)];
        if let Some(by) = self.referred_by(call) {
            headers.push((HeaderName::REFERRED_BY, by));
        }
        let dialog = call.dialog;
        let refer = self.ua.request(now, dialog, Method::Refer, &headers, None);
        let cseq = self.ua.last_cseq(dialog);
        if let Some(transfer) = self.transfer_mut(id) {
            transfer.stage = Stage::Asked;
            transfer.refer = Some((refer, cseq));
        }
    }

    /// The number at the SIP Server of the call, or the dialog of the other call as SIP Server knows it.
    fn refer_to(&self, call: &Call, to: &TransferTo) -> Option<Vec<u8>> {
        let uri = match to {
            TransferTo::Number(number) => target(number, &self.domain_of(call)?)?,
            TransferTo::Call(other) => {
                let dialog = self.calls.get(other).filter(|call| call.is_up())?.dialog;
                let (uri, replaces) = self.ua.replaceable(dialog)?;
                uri.with_header("Replaces", &replaces.to_bytes())
            }
        };
        Some(format!("<{uri}>").into_bytes())
    }

    /// Who asks (RFC 3892): SIP Server and the target may want to know.
    fn referred_by(&self, call: &Call) -> Option<Vec<u8>> {
        let uri = target(&call.dn, &self.domain_of(call)?)?;
        Some(format!("<{uri}>").into_bytes())
    }

    fn domain_of(&self, call: &Call) -> Option<String> {
        let server = self.outgoing_server(&call.dn, call.site);
        server.map(|server| server.domain)
    }

    fn transfer_mut(&mut self, id: CallId) -> Option<&mut Transfer> {
        self.calls.get_mut(&id)?.transfer.as_mut()
    }

    /// The answer to our REFER; `None` when none came. Other requests of ours end here too and concern no transfer.
    pub(crate) fn on_refer_answered(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        answer: Option<(StatusCode, Option<String>)>,
    ) {
        let Some(transfer) = self.transfer_mut(id) else {
            return;
        };
        if transfer.refer.is_none_or(|(refer, _)| refer != transaction) {
            return;
        }
        let asked = matches!(transfer.stage, Stage::Asked);
        match answer {
            Some((status, _)) if status.is_success() && asked => {
                transfer.stage = Stage::Following { ringing: false };
                self.show(id);
            }
            Some((status, reason)) if !status.is_success() && transfer.is_running() => {
                let reason = reason.unwrap_or_else(|| status.default_reason().to_owned());
                self.transfer_failed(now, id, Some(status), reason);
            }
            None if asked => {
                let reason = "SIP Server did not answer".to_owned();
                self.transfer_failed(now, id, None, reason);
            }
            // A NOTIFY has told more than the answer that came late, or never.
            _ => {}
        }
    }

    /// News of the target (RFC 3515 section 2.4.4). The NOTIFY may come before the answer to the REFER. A NOTIFY for a REFER that
    /// we never sent finds no subscription.
    pub(crate) fn on_refer_notify(
        &mut self,
        now: Instant,
        id: CallId,
        transaction: TransactionId,
        request: &Request,
    ) {
        let transfer = self.transfer_mut(id);
        let Some((transfer, (_, cseq))) = transfer.and_then(|it| it.refer.map(|refer| (it, refer)))
        else {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            return self.reply(now, transaction, status, &[]);
        };
        // Of an earlier REFER, which has been given up: whose news it is its `id` says, the REFER's CSeq (RFC 3515 section 2.4.6). Later than that of
        // ours is that of its copy with credentials.
        let is_earlier = |id: u32| cseq.is_some_and(|cseq| id < cseq);
        if transfer.follows_another && event_id(request).is_some_and(is_earlier) {
            return self.reply(now, transaction, StatusCode::OK, &[]);
        }
        let running = transfer.is_running();
        let done = matches!(transfer.stage, Stage::Done);
        self.reply(now, transaction, StatusCode::OK, &[]);
        let fragment = sip::body::find(&request.headers, &request.body, sipfrag::CONTENT_TYPE);
        let news = fragment.and_then(sipfrag::status);
        let over = request
            .headers
            .subscription_state()
            .is_ok_and(|state| state.is_some_and(|state| &*state.state == "terminated"));
        match news {
            _ if done => {}
            // Also after we gave up waiting: the call is where it was wanted.
            Some((status, _)) if status.is_success() => self.transfer_done(now, id),
            Some((status, reason)) if !status.is_provisional() && running => {
                let reason = match reason {
                    [] => status.default_reason().to_owned(),
                    words => crate::headers::shown(words),
                };
                self.transfer_failed(now, id, Some(status), reason);
            }
            _ if !running => {}
            _ if over => {
                let reason = "SIP Server told no outcome".to_owned();
                self.transfer_failed(now, id, None, reason);
            }
            news => self.on_transfer_progress(id, news.map(|(status, _)| status)),
        }
    }

    fn on_transfer_progress(&mut self, id: CallId, status: Option<StatusCode>) {
        let Some(transfer) = self.transfer_mut(id) else {
            return;
        };
        let rang = matches!(transfer.stage, Stage::Following { ringing: true });
        let rings = status.is_some_and(|status| status > StatusCode::TRYING);
        transfer.stage = Stage::Following {
            ringing: rang || rings,
        };
        self.show(id);
    }

    /// The target has the call. SIP Server ends our part of it, and of the call that it was joined with; what it has not ended in a
    /// moment we end.
    fn transfer_done(&mut self, now: Instant, id: CallId) {
        let Some(transfer) = self.transfer_mut(id) else {
            return;
        };
        transfer.stage = Stage::Done;
        transfer.deadline = now + TRANSFERRED_BYE_AFTER;
        let kind = transfer.kind();
        let other = match transfer.to {
            TransferTo::Call(other) => Some(other),
            TransferTo::Number(_) => None,
        };
        self.tell_transfer_ended(id, kind, TransferResult::Done, None);
        self.arm_call(id);
        self.show(id);
        if let Some(other) = other {
            self.let_follow(other, id, Stage::Done, now + TRANSFERRED_BYE_AFTER);
        }
    }

    /// The call that another one was joined with ends as transferred too.
    fn let_follow(&mut self, id: CallId, leader: CallId, stage: Stage, deadline: Instant) {
        let Some(call) = self.calls.get_mut(&id).filter(|call| call.is_up()) else {
            return;
        };
        call.transfer = Some(Transfer {
            to: TransferTo::Call(leader),
            stage,
            leads: false,
            held: false,
            refer: None,
            follows_another: false,
            deadline,
        });
        self.arm_call(id);
        self.show(id);
    }

    fn transfer_failed(
        &mut self,
        now: Instant,
        id: CallId,
        status: Option<StatusCode>,
        reason: String,
    ) {
        let Some(transfer) = self.transfer_mut(id) else {
            return;
        };
        let sip_status = status.map(StatusCode::as_u16);
        let (kind, held) = (transfer.kind(), transfer.held);
        transfer.stage = Stage::Failed { sip_status, reason };
        self.tell_transfer_ended(id, kind, TransferResult::Failed, sip_status);
        if held && !self.is_dialog_gone(id) {
            self.retrieve_if_for_now(now, id);
        }
        self.show(id);
    }

    fn tell_transfer_ended(
        &mut self,
        id: CallId,
        kind: TransferKind,
        result: TransferResult,
        sip_status: Option<u16>,
    ) {
        if let Some(call) = self.calls.get(&id).map(Call::reference) {
            self.fact(Fact::TransferEnded {
                call,
                kind,
                result,
                sip_status,
            });
        }
    }

    /// No news of a transfer came in time, or no BYE after its success.
    pub(crate) fn transfer_due(&mut self, now: Instant, id: CallId) {
        let Some(transfer) = self.transfer_mut(id).filter(|it| it.deadline <= now) else {
            return;
        };
        match (&transfer.stage, transfer.leads) {
            (Stage::Done, _) => self.end_call(now, id, End::from(Cause::Transferred)),
            (Stage::Failed { .. }, _) => {}
            (_, true) => {
                let reason = "no outcome was told in time".to_owned();
                self.transfer_failed(now, id, None, reason);
            }
            (_, false) => {
                if let Some(call) = self.calls.get_mut(&id) {
                    call.transfer = None;
                }
                self.show(id);
            }
        }
    }

    /// What a BYE of SIP Server means: it releases the agent's part of a call whose transfer it has accepted, often before it tells
    /// the outcome, and so it does with the call that this one was joined with.
    pub(crate) fn cause_of_bye(&mut self, now: Instant, id: CallId) -> Cause {
        let Some(call) = self.calls.get(&id) else {
            return Cause::RemoteHangup;
        };
        if call.leaves_at.is_some() {
            return Cause::Replaced;
        }
        if let Some(transfer) = call.transfer.as_ref().filter(|it| it.is_accepted()) {
            let told = matches!(transfer.stage, Stage::Done) || !transfer.leads;
            let (kind, to) = (transfer.kind(), transfer.to.clone());
            if !told {
                self.tell_transfer_ended(id, kind, TransferResult::Done, None);
                if let Some(transfer) = self.transfer_mut(id) {
                    transfer.stage = Stage::Done;
                }
                if let TransferTo::Call(other) = to {
                    let stage = Stage::Following { ringing: false };
                    self.let_follow(other, id, stage, now + TRANSFER_MAX);
                }
            }
            return Cause::Transferred;
        }
        let leader = |other: &CallId| {
            let transfer = self.calls.get(other).and_then(|it| it.transfer.as_ref());
            transfer.is_some_and(|it| it.is_accepted() && it.to == TransferTo::Call(id))
        };
        if self.calls_of(&call.dn).iter().any(leader) {
            Cause::Transferred
        } else {
            Cause::RemoteHangup
        }
    }

    /// A call has ended with its transfer still under way: nobody will tell what came of it.
    pub(crate) fn transfer_abandoned(&mut self, call: &Call) {
        let Some(transfer) = &call.transfer else {
            return;
        };
        if transfer.leads && transfer.is_running() && !matches!(transfer.stage, Stage::Done) {
            self.fact(Fact::TransferEnded {
                call: call.reference(),
                kind: transfer.kind(),
                result: TransferResult::Abandoned,
                sip_status: None,
            });
        }
    }
}
