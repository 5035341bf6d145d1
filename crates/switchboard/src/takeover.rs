//! A call that takes the place of another one: INVITE with `Replaces` (RFC 3891; `docs/transfer.md#a-call-takes-the-place-of-another`).

use std::time::Instant;

use control::AnsweredBy;
use sip::ua::Replaced;
use sip::wire::Request;

use crate::Switchboard;
use crate::call::End;
use crate::failure::Cause;
use crate::ids::CallId;

impl Switchboard {
    /// The call whose place an INVITE for `dn` wants to take, or why there is none (RFC 3891 section 3). Only a call of the
    /// same DN can be replaced: what rings one agent must not end another one's call.
    pub(crate) fn replaced_by(&self, request: &Request, dn: &str) -> Result<Option<CallId>, Cause> {
        let named = request.headers.replaces();
        let Some(replaces) = named.map_err(|_| Cause::ReplacesUnreadable)? else {
            return Ok(None);
        };
        let dialog = match self.ua.replaced(&replaces) {
            None | Some(Replaced::Ringing(_)) => return Err(Cause::ReplacesUnknown),
            Some(Replaced::Ended) => return Err(Cause::ReplacesEnded),
            Some(Replaced::Confirmed(_)) if replaces.early_only => {
                return Err(Cause::ReplacesAnswered);
            }
            Some(Replaced::Confirmed(dialog) | Replaced::Calling(dialog)) => dialog,
        };
        let old = self.call_of(dialog).and_then(|id| self.calls.get(&id));
        let old = old.filter(|old| old.dn == dn && !old.is_ending());
        old.map(|old| Some(old.id)).ok_or(Cause::ReplacesUnknown)
    }

    /// Answers a call that takes the place of another one, at once: to the agent it is the same conversation.
    pub(crate) fn take_place(&mut self, now: Instant, id: CallId, old: CallId) {
        if let Some(call) = self.calls.get_mut(&id) {
            call.replaces = Some(old);
        }
        self.answer_call(now, id, AnsweredBy::Auto);
    }

    /// The call is being answered in the place of another one: what the agent holds at this moment stays on hold. A hold that was only for a transfer
    /// of the call that goes is nobody's wish.
    pub(crate) fn inherit_hold(&mut self, id: CallId) {
        let replaced = self.calls.get(&id).and_then(|call| call.replaces);
        let old = replaced.and_then(|old| self.calls.get(&old));
        let Some(old) = old.filter(|old| !old.is_ending()) else {
            return;
        };
        let is_wanted = !old.hold.for_now || self.is_another_active(id);
        let held = old.hold.local.filter(|_| is_wanted);
        if let Some(call) = self.calls.get_mut(&id)
            && call.hold.local.is_none()
        {
            call.hold.local = held;
        }
    }

    /// The call is answered: the one whose place it takes is over.
    pub(crate) fn end_replaced(&mut self, now: Instant, id: CallId) {
        let replaced = self
            .calls
            .get_mut(&id)
            .and_then(|call| call.replaces.take());
        if let Some(old) = replaced {
            self.end_call(now, old, End::from(Cause::Replaced));
        }
    }

    /// The call whose place this one takes when it is answered, by `Replaces` or by a REFER.
    pub(crate) fn takes_place_of(&self, id: CallId) -> Option<CallId> {
        let replaced = self.calls.get(&id).and_then(|call| call.replaces);
        replaced.or_else(|| self.referred_away_by(id))
    }
}
