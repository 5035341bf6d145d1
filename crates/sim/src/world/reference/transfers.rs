//! Calls that change hands: by the page (our REFER), or by SIP Server's order (its REFER in the dialog of the call).
//!
//! Either way the call is held meanwhile, like one that makes way for another, and is the agent's again when it fails.

use control::{CallView, HeldBy, TransferState};
use switchboard::CallId;

use super::Reference;
use super::known::{Known, Stage, Wish};

impl Reference {
    /// The page hands a call on, to a number or to the other party of another call.
    pub(super) fn hands_on(&mut self, id: CallId, to: Option<&str>, to_call: Option<&str>) {
        let Some(known) = self.calls.get(&id) else {
            return;
        };
        if known.stage != Stage::Up || self.is_moving(id) {
            return;
        }
        if self.may_be_moving(id) {
            return self.unsure(id);
        }
        let other = to_call.and_then(CallId::parse).filter(|_| to.is_none());
        if to.is_none() {
            let joined =
                |known: &Known, other: &Known| other.dn == known.dn && other.stage == Stage::Up;
            let moves = |other: &CallId| self.is_moving(*other) || self.may_be_moving(*other);
            let other = other.filter(|other| *other != id && !moves(other));
            let other = other.and_then(|other| self.calls.get(&other));
            if !other.is_some_and(|other| joined(known, other)) {
                return;
            }
        }
        // What is held already stays as it is, and what may be is not certain after it either.
        let held = known.wish == Wish::Talk && !known.theirs;
        if held {
            self.hold(id, HeldBy::Agent);
        }
        if let Some(known) = self.calls.get_mut(&id) {
            // Whether it is held for this nobody knows, nor whether SIP Server has heard of it then.
            known.told &= known.wish != Wish::Unsure;
            known.leaving = Some(held);
            known.joins = other;
        }
    }

    /// It changes hands already: by its own transfer, by one that joins another call with it, or since SIP Server asked for a call in its place.
    fn is_moving(&self, id: CallId) -> bool {
        let joined =
            |it: &Known| it.joins == Some(id) && it.leaving.is_some() && it.stage == Stage::Up;
        let taken = |it: &Known| it.takes == Some(id) && it.stage != Stage::Over;
        let own = self.calls.get(&id).is_some_and(|it| it.leaving.is_some());
        own || self.calls.values().any(|it| joined(it) || taken(it))
    }

    /// The call in its place is over: whether it was answered before, so that this one leaves all the same, or SIP Server has yet to hear of it, is not looked at.
    fn may_be_moving(&self, id: CallId) -> bool {
        let mut calls = self.calls.values();
        calls.any(|it| it.takes == Some(id) && it.stage == Stage::Over)
    }

    /// When a transfer has failed is told by what is shown: for want of news, or of an answer, it does so in silence. What becomes of the call is
    /// predicted.
    pub(super) fn is_left(&mut self, id: CallId, view: &CallView) {
        let Some(transfer) = &view.transfer else {
            return;
        };
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        if transfer.state != TransferState::Failed {
            // The call that another one was joined with leaves with it. So does one of which it was not certain that it could be asked for.
            if known.leaving.is_none() {
                known.leaving = Some(false);
                known.joins = transfer.to_call.as_deref().and_then(CallId::parse);
            }
        } else if let Some(held) = known.leaving.take() {
            known.joins = None;
            self.is_hers_again(id, held);
        }
    }

    /// A call that was held to change hands is retrieved, unless another one has the voice meanwhile.
    fn is_hers_again(&mut self, id: CallId, held: bool) {
        if !held {
            return;
        }
        match self.others_talk(id) {
            (true, _) => {}
            // The re-INVITE that retrieves it may wait for the one that held it, and find no room then.
            (false, false) if self.small_tables => self.unsure(id),
            (false, false) => self.retrieve(id),
            (false, true) => self.unsure(id),
        }
    }

    /// SIP Server lets the endpoint make another call in place of this one: whether it had the voice. Where that is not certain now, it is not
    /// when the other call fails either.
    pub(super) fn takes_place_of(&self, old: CallId) -> Option<(CallId, bool)> {
        let known = self.calls.get(&old)?;
        Some((old, known.wish == Wish::Talk))
    }

    /// The call that was to take the place of another one was refused.
    pub(super) fn stays_after_all(&mut self, instead_of: Option<(CallId, bool)>) {
        if let Some((old, held)) = instead_of {
            self.is_hers_again(old, held);
        }
    }

    /// It was given up: when its INVITE ends the old one is the agent's again, and nobody says when that is.
    pub(super) fn may_stay_after_all(&mut self, instead_of: Option<(CallId, bool)>) {
        if let Some((old, true)) = instead_of {
            self.unsure(old);
        }
    }

    /// Somebody holds or retrieves a call that made way for another: it stays as it is when that one comes to nothing.
    pub(super) fn is_moved_meanwhile(&mut self, id: CallId) {
        for other in self.calls.values_mut() {
            other.instead_of.take_if(|(old, _)| *old == id);
        }
    }

    fn unsure(&mut self, id: CallId) {
        if let Some(known) = self.calls.get_mut(&id) {
            known.wish = Wish::Unsure;
        }
    }
}
