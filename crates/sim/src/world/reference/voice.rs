//! Who has the agent's voice: clicks that hold and retrieve, and what they do to her other calls.

use control::{AnsweredBy, HeldBy};
use switchboard::CallId;

use super::Reference;
use super::known::{Known, Stage, Wish};

impl Reference {
    /// A call that answered itself is SIP Server's: it takes the agent's voice.
    pub(super) fn prove(&mut self, id: CallId) {
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        known.proven = true;
        if std::mem::take(&mut known.unproven) {
            self.one_voice(id);
        }
    }

    /// A call that is answered in the place of another one is on hold where that is at this moment, unless it was only for the time of a transfer.
    pub(super) fn inherits(&mut self, id: CallId) {
        let old = self.calls.get(&id).and_then(|known| known.replaces);
        let Some(known) = old.and_then(|old| self.calls.get(&old)) else {
            return;
        };
        let referred = |other: &Known| {
            other
                .instead_of
                .is_some_and(|(it, held)| Some(it) == old && held)
        };
        let for_now = known.leaving == Some(true) || self.calls.values().any(referred);
        let wish = match (known.stage, known.wish) {
            (Stage::Over, _) => Wish::Talk,
            (_, Wish::Hold(by)) if for_now => match self.others_talk(id) {
                (true, _) => Wish::Hold(by),
                (false, true) => Wish::Unsure,
                (false, false) => Wish::Talk,
            },
            (_, wish) => wish,
        };
        if let Some(known) = self.calls.get_mut(&id) {
            known.wish = wish;
            known.told = wish == Wish::Talk;
        }
    }

    /// Whether another call of the agent has her voice, or may have it.
    pub(super) fn others_talk(&self, id: CallId) -> (bool, bool) {
        let dn = self.calls.get(&id).map(|known| &known.dn);
        let others = self
            .calls
            .iter()
            .filter(|(other, it)| **other != id && Some(&it.dn) == dn && !it.unproven);
        let (mut active, mut unsure) = (false, false);
        for (_, other) in others {
            active |= other.is_active();
            unsure |= other.is_connected() && other.wish == Wish::Unsure;
        }
        (active, unsure)
    }

    /// The agent answers or dials a call: it takes her voice, and one that waits to be proven comes up held.
    pub(super) fn is_turned_to(&mut self, id: CallId) {
        let Some(known) = self.calls.get(&id) else {
            return;
        };
        if known.unproven || matches!(known.wish, Wish::Hold(_)) {
            return;
        }
        let (dn, sure) = (known.dn.clone(), known.wish == Wish::Talk);
        self.silence_others(id, sure);
        for (other, known) in &mut self.calls {
            let waits = known.unproven && known.is_connected() && known.wish == Wish::Talk;
            if *other != id && known.dn == dn && waits {
                known.told = false;
                known.wish = match sure {
                    true => Wish::Hold(HeldBy::Agent),
                    false => Wish::Unsure,
                };
            }
        }
    }

    pub(super) fn talk(&mut self, id: CallId) {
        let Some(known) = self.calls.get_mut(&id) else {
            return;
        };
        match known.stage {
            Stage::Ringing => known.stage = Stage::Waiting(AnsweredBy::Talk),
            Stage::Up => self.retrieve(id),
            // What was to be held with the ACK is not.
            Stage::AwaitingAck => (known.wish, known.told) = (Wish::Talk, true),
            _ => {}
        }
    }

    /// A call that is held already stays as it is.
    pub(super) fn hold(&mut self, id: CallId, by: HeldBy) {
        let known = self.calls.get_mut(&id);
        // The desktop's hold may overtake the ACK.
        let early = by == HeldBy::TalkControl;
        let answered = |known: &&mut Known| match known.stage {
            Stage::AwaitingAck => early,
            stage => stage == Stage::Up,
        };
        let Some(known) = known.filter(answered) else {
            return;
        };
        match known.wish {
            Wish::Talk => {
                known.wish = Wish::Hold(by);
                known.told = false;
            }
            // It may be hers, and then SIP Server has yet to hear of it.
            Wish::Unsure => known.told = false,
            Wish::Hold(_) => {}
        }
        // It is her own hold from now on, whatever fails.
        known.gives_nothing_back();
        self.is_moved_meanwhile(id);
    }

    pub(super) fn retrieve(&mut self, id: CallId) {
        let known = self.calls.get_mut(&id);
        if let Some(known) =
            known.filter(|known| known.stage == Stage::Up && known.wish != Wish::Talk)
        {
            known.wish = Wish::Talk;
            known.told = false;
            // There is nothing to be given back when a transfer fails.
            known.gives_nothing_back();
            self.is_moved_meanwhile(id);
            self.one_voice(id);
        }
    }

    /// An agent has one voice: where this call has it, every other that has it too is held.
    pub(super) fn one_voice(&mut self, id: CallId) {
        let known = self.calls.get(&id);
        let may_have = |known: &&Known| {
            let wants = !known.unproven && !matches!(known.wish, Wish::Hold(_));
            known.is_connected() && !known.theirs && wants
        };
        if let Some(known) = known.filter(may_have) {
            let sure = known.wish == Wish::Talk;
            self.silence_others(id, sure);
        }
    }

    /// Other calls of the agent that have her voice are held, or may be. A call that she answers or dials takes it, whoever holds that.
    pub(super) fn silence_others(&mut self, id: CallId, sure: bool) {
        let Some(dn) = self.calls.get(&id).map(|known| known.dn.clone()) else {
            return;
        };
        let mut silenced = Vec::new();
        for (other, known) in &mut self.calls {
            if *other == id || known.dn != dn || known.unproven {
                continue;
            }
            known.told &= known.wish != Wish::Unsure;
            if !known.is_active() {
                continue;
            }
            known.told = false;
            known.wish = if sure {
                // Whatever it was to be given back for: it makes way for this one now.
                known.gives_nothing_back();
                silenced.push(*other);
                Wish::Hold(HeldBy::Agent)
            } else {
                Wish::Unsure
            };
        }
        let others = self.calls.iter_mut().filter(|(other, _)| **other != id);
        for (_, known) in others {
            known.instead_of.take_if(|(old, _)| silenced.contains(old));
        }
    }
}
