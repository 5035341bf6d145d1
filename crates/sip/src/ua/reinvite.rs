//! Our re-INVITEs: one at a time, and again after 491.

use std::time::Instant;

use super::UserAgent;
use super::config::Source;
use super::event::{DialogId, Outcome, TransactionId};
use super::limits::REINVITE_PROGRESS_MAX;
use super::refresh::keep_session;
use super::tables::Owner;
use crate::dialog::{OwedAck, Reinvite, Stage};
use crate::session_timer::{Session, Terms};
use crate::wire::Refresher;
use crate::{Method, Response, StatusCode, body};

impl UserAgent {
    /// Changes the session; with `None` the other side makes the offer. Waits behind any INVITE
    /// transaction of the dialog, and is tried again after 491.
    pub fn reinvite(&mut self, now: Instant, dialog: DialogId, sdp: Option<Vec<u8>>) {
        let Some(call) = self.dialogs.get_mut(&dialog) else {
            return;
        };
        let taken =
            call.stage == Stage::Confirmed && call.reinvites.push(Reinvite::new(sdp, false));
        if !taken {
            return self.tell(
                dialog,
                Outcome::ReinviteFailed {
                    status: Some(StatusCode::SERVICE_UNAVAILABLE),
                },
            );
        }
        self.next_reinvite(now, dialog);
        self.settle_dialog(dialog);
    }

    /// Sends the next re-INVITE when its turn has come.
    pub(super) fn next_reinvite(&mut self, now: Instant, id: DialogId) {
        loop {
            let Some(call) = self.dialogs.get_mut(&id) else {
                return;
            };
            call.reinvites.watch(now);
            if !call.may_invite() {
                return;
            }
            let Some(mut next) = call.reinvites.pop(now) else {
                return;
            };
            if next.refresh && !next.is_stale() {
                // What was said last by now: a hold that was under way when the refresh fell due may have been accepted since.
                next.sdp.clone_from(&call.last_sdp);
            }
            if next.is_stale() {
                // The change of the session that made a refresh stale has refreshed it.
                if !next.refresh {
                    self.fail_reinvite(now, id, &next, Some(StatusCode::REQUEST_PENDING));
                }
            } else if self.send_reinvite(now, id, next.clone()).is_none() {
                self.fail_reinvite(now, id, &next, Some(StatusCode::SERVICE_UNAVAILABLE));
            }
        }
    }

    fn send_reinvite(&mut self, now: Instant, id: DialogId, reinvite: Reinvite) -> Option<()> {
        let call = self.dialogs.get_mut(&id)?;
        let mut request = call.request(Method::Invite);
        let call = self.dialogs.get(&id)?;
        self.describe(&mut request.headers, call);
        keep_session(&mut request.headers, call);
        self.sign_request(&mut request.headers);
        if let Some(sdp) = &reinvite.sdp {
            request.set_body("application/sdp", sdp.clone());
        }
        let hop = self.next_hop(call);
        let transaction = self.start_client(now, request, hop, Owner::Reinvite(id))?;
        let call = self.dialogs.get_mut(&id)?;
        call.invite_out = Some((transaction, reinvite));
        Some(())
    }

    /// The failure of a refresh concerns the session timer and not the application.
    pub(super) fn fail_reinvite(
        &mut self,
        now: Instant,
        id: DialogId,
        reinvite: &Reinvite,
        status: Option<StatusCode>,
    ) {
        if reinvite.refresh {
            self.on_refresh_failed(now, id, status);
        } else {
            self.tell(id, Outcome::ReinviteFailed { status });
        }
    }

    pub(super) fn on_reinvite_response(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        source: &Source,
        response: &Response,
    ) {
        let status = response.status;
        if status.is_provisional() {
            // Nobody cancels a re-INVITE, and a peer that went down after its 100 would leave it open for ever.
            if let Some(client) = self.clients.get_mut(&transaction) {
                client.machine.expect_final_by(now + REINVITE_PROGRESS_MAX);
            }
            return;
        }
        let tag = response.headers.to_tag();
        if status.is_success() && self.repeat_ack(transaction, tag.as_ref()) {
            return;
        }
        let Some(call) = self.dialogs.get_mut(&id) else {
            if status.is_success() {
                self.acknowledge_late(transaction, tag);
            }
            return;
        };
        let Some((_, reinvite)) = call.invite_out.take_if(|(t, _)| *t == transaction) else {
            return;
        };
        let owns_call_id = call.owns_call_id();
        if status.is_success() {
            let owed = OwedAck {
                transaction,
                cseq: call.local_cseq_of(&response.headers),
                remote: tag,
            };
            self.on_reinvite_accepted(now, id, &reinvite, owed, response);
        } else if call.stage == Stage::Ending {
            return;
        } else if status == StatusCode::REQUEST_PENDING {
            let back_off = call
                .reinvites
                .back_off(now, reinvite, owns_call_id, &mut self.ids);
            if let Err(reinvite) = back_off {
                self.fail_reinvite(now, id, &reinvite, Some(status));
            }
        } else if let Some(again) = self
            .lengthen_session(now, transaction, response)
            .or_else(|| self.answer_challenge(now, transaction, source, response))
        {
            if let Some(call) = self.dialogs.get_mut(&id) {
                call.invite_out = Some((again, reinvite));
            }
        } else {
            self.fail_reinvite(now, id, &reinvite, Some(status));
            self.end_if_dead(now, id, Some(status));
        }
        self.next_reinvite(now, id);
        self.settle_dialog(id);
    }

    fn on_reinvite_accepted(
        &mut self,
        now: Instant,
        id: DialogId,
        reinvite: &Reinvite,
        owed: OwedAck,
        response: &Response,
    ) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        call.refresh_target(&response.headers);
        call.session = Terms::of_response(&response.headers)
            .map(|terms| Session::start(now, terms.interval_s, terms.refresher == Refresher::Uac));
        if reinvite.sdp.is_some() {
            call.last_sdp.clone_from(&reinvite.sdp);
        }
        let ending = call.stage == Stage::Ending;
        let sdp = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
        let at_once = ending || reinvite.sdp.is_some() || sdp.is_none();
        self.acknowledge_or_wait(id, owed, at_once);
        match (ending, reinvite.refresh, sdp) {
            (true, ..) | (_, true, None) => {}
            (_, true, Some(sdp)) => self.tell(id, Outcome::Refreshed { sdp }),
            (_, false, sdp) => self.tell(id, Outcome::ReinviteAnswered { sdp }),
        }
    }
}
