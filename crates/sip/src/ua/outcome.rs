//! What comes of our requests, for whoever owns them.

use std::time::Instant;

use super::UserAgent;
use super::config::Source;
use super::event::{Outcome, TransactionId};
use super::tables::Owner;
use crate::{Response, StatusCode};

impl UserAgent {
    /// A response for whoever owns its request.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        source: &Source,
        response: Response,
    ) {
        let Some(client) = self.clients.get(&transaction) else {
            return;
        };
        let owner = &client.owner;
        if owner.dialog().is_some() && !owner.stands_alone() {
            if self.is_passed_on(now, transaction, source, &response) {
                return;
            }
            self.stay_at_next_host(transaction);
        }
        self.settle(now, transaction, source, response);
    }

    /// What a response means to the owner of its request.
    fn settle(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        source: &Source,
        response: Response,
    ) {
        let Some(client) = self.clients.get(&transaction) else {
            return;
        };
        let owner = client.owner.clone();
        match owner {
            Owner::Invite(id) => self.on_invite_response(now, id, transaction, source, response),
            Owner::Reinvite(id) => {
                self.on_reinvite_response(now, id, transaction, source, &response);
            }
            Owner::Register(key) => {
                self.on_register_response(now, &key, transaction, source, &response);
            }
            Owner::Probe => self.on_probe_answered(now, transaction),
            Owner::Cancel => {}
            Owner::Bye(_) | Owner::Request(..) | Owner::Refresh(_) | Owner::Prack(_)
                if response.status.is_provisional() => {}
            Owner::Bye(_) | Owner::Request(..) | Owner::Refresh(_) | Owner::Prack(_)
                if self
                    .answer_challenge(now, transaction, source, &response)
                    .is_some() => {}
            Owner::Bye(id) => self.finish(id),
            Owner::Request(id, handle) => self.on_request_answered(now, id, handle, response),
            Owner::Refresh(id) => self.on_refreshed(now, id, transaction, &response),
            // What becomes of the call, its INVITE says.
            Owner::Prack(_) => {}
        }
    }

    /// No final response came. Where nobody has said anything, another host may.
    pub(super) fn on_no_response(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        owner: Owner,
        sent: bool,
    ) {
        let unheard = self.clients.get(&transaction).is_some_and(|it| !it.heard);
        if unheard && self.ask_next_host(now, transaction, sent).is_some() {
            return;
        }
        // Nobody is left who might do better than one who has said something.
        let client = self.clients.get_mut(&transaction);
        if let Some(word) = client.and_then(|client| client.refused_before.take()) {
            let (source, response) = *word;
            return self.settle(now, transaction, &source, response);
        }
        let id = match &owner {
            Owner::Register(key) => return self.on_register_silence(now, key, transaction, sent),
            other => other.dialog(),
        };
        let Some(id) = id.filter(|id| self.dialogs.contains_key(id)) else {
            return;
        };
        // What could not even be sent is as if the host served nobody (RFC 3261 section 8.1.3.1): that ends no call that talks.
        let status = (!sent).then_some(StatusCode::SERVICE_UNAVAILABLE);
        match owner {
            Owner::Invite(_) => self.fail_call(id, None),
            Owner::Reinvite(_) => {
                let call = self.dialogs.get_mut(&id);
                let failed =
                    call.and_then(|call| call.invite_out.take_if(|(id, _)| *id == transaction));
                if let Some((_, reinvite)) = failed {
                    self.fail_reinvite(now, id, &reinvite, status);
                }
                self.end_if_dead(now, id, status);
            }
            Owner::Bye(_) => self.finish(id),
            Owner::Request(_, handle) => {
                self.close_update(id, handle);
                self.tell(
                    id,
                    Outcome::RequestFailed {
                        transaction: handle,
                    },
                );
            }
            Owner::Refresh(_) => self.on_refresh_failed(now, id, status),
            Owner::Prack(_) | Owner::Cancel | Owner::Register(_) | Owner::Probe => {}
        }
    }
}
