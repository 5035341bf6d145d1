//! What a signed-in page asks for.

use std::time::Instant;

use control::{
    AnsweredBy, ErrorCode, GatewayMessage, HeldBy, MicrophoneView, PageMessage, PageRequest,
};

use crate::Switchboard;
use crate::answer::Answered;
use crate::call::{End, Phase};
use crate::failure::Cause;
use crate::headers::shown;
use crate::ids::{BrowserLegId, CallId, PageId};
use crate::io::{AdminRefusal, MediaCommand, Output, SignOutCause, TransferTo};

/// Why a request was refused: what the page is told.
type Refusal = (ErrorCode, String);

impl Switchboard {
    /// Every request gets its `ok` or `error`, if it carried an `id`.
    pub(crate) fn on_page_request(&mut self, now: Instant, page: PageId, request: PageRequest) {
        let Some(dn) = self.pages.get(&page).cloned() else {
            return;
        };
        let PageRequest { id, message } = request;
        let leaves = matches!(message, PageMessage::Bye);
        let reply = match self.obey_page(now, &dn, message) {
            Ok(()) => id.map(|id| GatewayMessage::Ok { id: Some(id) }),
            Err((code, message)) => Some(GatewayMessage::Error { id, code, message }),
        };
        if let Some(message) = reply {
            self.emit(Output::Page { page, message });
        }
        if leaves {
            // The connection closes with the session; what is said after that is heard by nobody.
            self.end_session(now, &dn, SignOutCause::Bye);
        }
    }

    fn obey_page(&mut self, now: Instant, dn: &str, message: PageMessage) -> Result<(), Refusal> {
        match message {
            PageMessage::Hello { .. } => Err((
                ErrorCode::AlreadySignedIn,
                "this page is signed in already".to_owned(),
            )),
            PageMessage::MediaAnswer { sdp, offer } => {
                let leg = match offer {
                    None => self.offered_leg(dn),
                    Some(offer) => match self.leg_of_offer(dn, offer) {
                        // Another offer has taken its place.
                        None if self.offered_leg(dn).is_some() => return Ok(()),
                        leg => leg,
                    },
                };
                self.tell_leg(dn, leg, |leg| MediaCommand::AnswerBrowser { leg, sdp })
            }
            PageMessage::MediaCandidate { candidate, .. } => {
                let leg = self.offered_leg(dn);
                let command = |leg| MediaCommand::CandidateBrowser { leg, candidate };
                self.tell_leg(dn, leg, command)
            }
            PageMessage::MediaRestart => {
                self.restart_media(dn);
                Ok(())
            }
            PageMessage::Dial { number } => self
                .dial(now, dn, &number)
                .map(|_| ())
                .map_err(|why| refusal(&why)),
            PageMessage::Mute { muted } => {
                if let Some(session) = self.session_mut(dn) {
                    session.muted = muted;
                }
                Ok(())
            }
            PageMessage::Microphone(said) => {
                if let Some(session) = self.session_mut(dn) {
                    let label = said.label.map(|label| shown(label.as_bytes()));
                    session.microphone = Some(MicrophoneView { label, ..said });
                }
                Ok(())
            }
            PageMessage::Stats { report } => {
                self.note_browser_stats(dn, &report);
                Ok(())
            }
            // Obeyed after its reply.
            PageMessage::Bye => Ok(()),
            PageMessage::Transfer { call, to, to_call } => {
                let to = transfer_to(to, to_call.as_deref()).map_err(|why| refusal(&why))?;
                self.on_own(dn, &call, |s, id| s.transfer(now, id, to))
            }
            PageMessage::Answer { call } => self.on_own(dn, &call, |s, id| s.answer(now, id)),
            PageMessage::Reject { call } => self.on_own(dn, &call, |s, id| s.reject(now, id)),
            PageMessage::Hangup { call } => self.on_own(dn, &call, |s, id| s.hang_up(now, id)),
            PageMessage::Hold { call } => self.on_own(dn, &call, |s, id| s.hold(now, id)),
            PageMessage::Retrieve { call } => self.on_own(dn, &call, |s, id| s.retrieve(now, id)),
            PageMessage::Record { call, action } => {
                self.on_own(dn, &call, |s, id| s.page_records(now, id, action))
            }
            PageMessage::Dtmf { call, digits } => {
                self.on_own(dn, &call, |s, id| s.key(now, id, &digits))
            }
        }
    }

    fn tell_leg(
        &mut self,
        dn: &str,
        leg: Option<BrowserLegId>,
        command: impl FnOnce(BrowserLegId) -> MediaCommand,
    ) -> Result<(), Refusal> {
        let none = || (ErrorCode::WrongState, "no media offer is open".to_owned());
        let leg = leg.ok_or_else(none)?;
        let worker = self.session_mut(dn).ok_or_else(none)?.worker;
        self.tell_worker(worker, command(leg));
        Ok(())
    }

    /// The browser's own view is kept with the record of each call that is up; it decides nothing.
    fn note_browser_stats(&mut self, dn: &str, report: &serde_json::Value) {
        let Some(agent) = self.agents.get_mut(dn) else {
            return;
        };
        if let Some(session) = &mut agent.session {
            session.browser_counts = control::BrowserCounts::read(report);
        }
        for id in &agent.calls {
            // A page's last word comes when the call is ending already.
            let heard = |call: &&mut crate::call::Call| {
                call.is_up() || call.is_ending() && call.talking.is_some()
            };
            if let Some(call) = self.calls.get_mut(id).filter(heard) {
                call.remembered.page_says(report);
                call.browser_stats = Some(report.clone());
            }
        }
    }

    /// A page commands the calls of its own DN and no others.
    fn on_own(
        &mut self,
        dn: &str,
        call: &str,
        verb: impl FnOnce(&mut Self, CallId) -> Result<(), AdminRefusal>,
    ) -> Result<(), Refusal> {
        let own = CallId::parse(call)
            .filter(|id| self.calls.get(id).is_some_and(|call| call.dn == dn))
            .ok_or_else(|| refusal(&AdminRefusal::UnknownCall))?;
        verb(self, own).map_err(|why| refusal(&why))
    }

    pub(crate) fn answer(&mut self, now: Instant, id: CallId) -> Result<(), AdminRefusal> {
        match self.answer_call(now, id, AnsweredBy::Agent) {
            Answered::Now | Answered::Waiting => Ok(()),
            // The desktop's talk may have been quicker: the call is answered, and that is what was asked for.
            Answered::NoOp if self.is_answered(id) => Ok(()),
            Answered::NoOp | Answered::Failed => Err(AdminRefusal::WrongState),
        }
    }

    fn is_answered(&self, id: CallId) -> bool {
        self.calls.get(&id).is_some_and(|call| {
            let waits = matches!(call.phase, Phase::Waiting { .. });
            waits || call.answered_by.is_some() && !call.is_ending()
        })
    }

    pub(crate) fn reject(&mut self, now: Instant, id: CallId) -> Result<(), AdminRefusal> {
        match self.calls.get(&id).map(|call| &call.phase) {
            Some(Phase::Ringing { .. } | Phase::Waiting { .. }) => {
                self.end_call(now, id, End::from(Cause::AgentReject));
                Ok(())
            }
            _ => Err(AdminRefusal::WrongState),
        }
    }

    /// Ends a call whatever its phase: a ringing one is rejected, a dialled one given up.
    pub(crate) fn hang_up(&mut self, now: Instant, id: CallId) -> Result<(), AdminRefusal> {
        let cause = match self.calls.get(&id).map(|call| &call.phase) {
            Some(Phase::Ringing { .. } | Phase::Waiting { .. }) => Cause::AgentReject,
            Some(Phase::Dialing { .. }) => Cause::AgentCancel,
            Some(Phase::AwaitingAck | Phase::Up { .. }) => Cause::AgentHangup,
            Some(Phase::Ending { .. }) | None => return Ok(()),
        };
        self.end_call(now, id, End::from(cause));
        Ok(())
    }

    pub(crate) fn hold(&mut self, now: Instant, id: CallId) -> Result<(), AdminRefusal> {
        let is_up = self.calls.get(&id).is_some_and(crate::call::Call::is_up);
        if !is_up {
            return Err(AdminRefusal::WrongState);
        }
        // Held already is what was asked for.
        self.hold_call(now, id, HeldBy::Agent);
        Ok(())
    }

    pub(crate) fn retrieve(&mut self, now: Instant, id: CallId) -> Result<(), AdminRefusal> {
        let is_up = self.calls.get(&id).is_some_and(crate::call::Call::is_up);
        if !is_up {
            return Err(AdminRefusal::WrongState);
        }
        self.retrieve_call(now, id);
        Ok(())
    }
}

/// The decoder has seen that exactly one of the two is given, and that the number can be dialled.
fn transfer_to(to: Option<String>, to_call: Option<&str>) -> Result<TransferTo, AdminRefusal> {
    match (to, to_call) {
        (Some(number), _) => Ok(TransferTo::Number(number)),
        (None, call) => call
            .and_then(CallId::parse)
            .map(TransferTo::Call)
            .ok_or(AdminRefusal::UnknownCall),
    }
}

fn refusal(why: &AdminRefusal) -> Refusal {
    let code = match why {
        AdminRefusal::UnknownCall => ErrorCode::UnknownCall,
        AdminRefusal::UnknownDn | AdminRefusal::NotSignedIn => ErrorCode::NotAllowed,
        AdminRefusal::WrongState | AdminRefusal::Transferring | AdminRefusal::NotJoinable => {
            ErrorCode::WrongState
        }
        AdminRefusal::Draining => ErrorCode::Draining,
        AdminRefusal::Busy => ErrorCode::Busy,
        AdminRefusal::BadNumber => ErrorCode::BadNumber,
        AdminRefusal::NoPort | AdminRefusal::NoRoom | AdminRefusal::Overload => ErrorCode::Overload,
        AdminRefusal::NotRegistered => ErrorCode::NotRegistered,
        AdminRefusal::MediaNotReady => ErrorCode::MediaNotReady,
        AdminRefusal::NoDigits | AdminRefusal::NoRecording => ErrorCode::NotSupported,
        AdminRefusal::NotAllowed => ErrorCode::NotAllowed,
        AdminRefusal::TooMany => ErrorCode::TooMany,
    };
    (code, why.to_string())
}
