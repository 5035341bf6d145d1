//! What the model knows of one call.

use std::time::Instant;

use control::{AnsweredBy, CallState, HeldBy, Ring};
use switchboard::CallId;

use super::names::Name;

/// How far a call is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
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
pub(super) enum Wish {
    Talk,
    Hold(HeldBy),
    /// One of them: the operations do not say which.
    Unsure,
}

#[derive(Debug)]
pub(super) struct Known {
    pub(super) dn: String,
    pub(super) stage: Stage,
    /// CSeq of the INVITE that opened the dialog, when it was SIP Server's.
    pub(super) first: Option<u32>,
    pub(super) answered_by: Option<AnsweredBy>,
    /// When it is answered without a click, unless somebody is faster.
    pub(super) answers_itself_at: Option<Instant>,
    /// The call that it takes the place of when it is answered.
    pub(super) replaces: Option<CallId>,
    /// Nothing has shown yet that it is SIP Server's, and not forged under its address: it has no voice before that.
    pub(super) unproven: bool,
    /// Something in its dialog has.
    pub(super) proven: bool,
    /// How it wants to ring.
    pub(super) ring: Option<Ring>,
    pub(super) wish: Wish,
    /// SIP Server holds the call.
    pub(super) theirs: bool,
    /// Its last description.
    pub(super) description: String,
    /// CSeq of our INVITE that has no final response.
    pub(super) inviting: Option<u32>,
    /// The Call-ID that it has: a call that is tried at another SIP Server has another one.
    pub(super) dialog: String,
    /// The tag of whoever answered our INVITE: another one that does so too, as after a switch-over, is told that nobody waits.
    pub(super) branch: Option<String>,
    /// Our last description was a hold.
    pub(super) offers_hold: bool,
    /// CSeq of our 200 with an offer whose ACK has not come.
    pub(super) offered: Option<u32>,
    /// The branch of the INVITE whose 200 that was, where it opened the dialog.
    pub(super) asked_in: String,
    /// Our re-INVITE met one of SIP Server's and comes again.
    pub(super) retrying: bool,
    /// SIP Server knows of the wish: a re-INVITE told it, or its own was answered by it.
    pub(super) told: bool,
    /// The page hands it on; whether it was held for that.
    pub(super) leaving: Option<bool>,
    /// The call whose party it is to be joined with.
    pub(super) joins: Option<CallId>,
    /// The call that it is to take the place of by SIP Server's order (REFER), and whether that had the voice.
    pub(super) instead_of: Option<(CallId, bool)>,
    /// The same call, whatever became of its voice.
    pub(super) takes: Option<CallId>,
    /// What SIP Server calls it by.
    pub(super) name: Name,
    /// Nothing is predicted: SIP Server knows its dialog no more.
    pub(super) given_up: bool,
}

impl Known {
    pub(super) fn new(dn: String, stage: Stage) -> Self {
        Self {
            dn,
            stage,
            first: None,
            answered_by: None,
            answers_itself_at: None,
            replaces: None,
            unproven: false,
            proven: false,
            ring: None,
            wish: Wish::Talk,
            theirs: false,
            description: String::new(),
            inviting: None,
            dialog: String::new(),
            branch: None,
            offered: None,
            offers_hold: false,
            asked_in: String::new(),
            retrying: false,
            told: true,
            leaving: None,
            joins: None,
            instead_of: None,
            takes: None,
            name: Name::default(),
            given_up: false,
        }
    }

    pub(super) const fn is_connected(&self) -> bool {
        matches!(
            self.stage,
            Stage::Up | Stage::AwaitingAck | Stage::Dialling { .. }
        )
    }

    /// Its voice is what the agent's side wants, whatever becomes of the transfer that it may have been held for.
    pub(super) fn gives_nothing_back(&mut self) {
        self.leaving = self.leaving.map(|_| false);
    }

    /// SIP Server and talkbridge have settled on this description.
    pub(super) fn settle(&mut self, description: &str) {
        description.clone_into(&mut self.description);
        self.theirs = holds(description);
    }

    /// The same where the description answers one of ours: silence as an answer to our own hold is no hold of SIP Server's.
    pub(super) fn settle_answered(&mut self, description: &str) {
        let before = self.theirs;
        self.settle(description);
        self.theirs &= before || !self.offers_hold;
    }

    /// No transaction is in flight, and there is one rightful outcome.
    pub(super) fn is_certain(&self) -> bool {
        self.inviting.is_none()
            && self.offered.is_none()
            && !self.retrying
            && self.wish != Wish::Unsure
    }

    /// It has the agent's voice, or will have it when it is answered.
    pub(super) fn is_active(&self) -> bool {
        self.is_connected() && !self.theirs && self.wish == Wish::Talk
    }

    /// State and holder, or `None` while they are not certain.
    pub(super) fn expected(&self) -> Option<(CallState, Option<HeldBy>)> {
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

pub(super) fn sdp(text: &str) -> Option<&str> {
    let (_, body) = text.split_once("\r\n\r\n")?;
    Some(body).filter(|body| body.contains("m=audio"))
}

/// Whoever describes himself like this holds (RFC 3264 section 8.4, and 0.0.0.0 before it).
pub(super) fn holds(sdp: &str) -> bool {
    has_no_address(sdp) || has_line(sdp, "a=sendonly") || has_line(sdp, "a=inactive")
}

pub(super) fn is_two_way(sdp: &str) -> bool {
    !holds(sdp) && !has_line(sdp, "a=recvonly")
}

pub(super) fn has_no_address(sdp: &str) -> bool {
    has_line(sdp, "c=IN IP4 0.0.0.0") || sdp.contains("\nm=audio 0 ")
}

pub(super) fn has_line(sdp: &str, wanted: &str) -> bool {
    sdp.lines().any(|line| line == wanted)
}
