//! Reliable provisional responses (RFC 3262): those to our INVITE are acknowledged by PRACK, ours wait for the peer's.

use std::time::Instant;

use super::UserAgent;
use super::event::{DialogId, Event, Outcome, RefusedReason, TransactionId};
use super::tables::Owner;
use super::transactions::Incoming;
use crate::dialog::{AcceptedDue, Progress, Reliable};
use crate::wire::RAck;
use crate::{HeaderName, Method, Response, StatusCode, body};

/// The option tag.
pub(super) const RELIABLE: &str = "100rel";

/// First `RSeq` is drawn below this, so that counting up stays below 2^31.
const FIRST_RSEQ_MAX: u64 = 1 << 30;

impl UserAgent {
    /// A provisional response above 100 to our INVITE: it opens or continues the early dialog of its branch.
    pub(super) fn on_progress(&mut self, now: Instant, id: DialogId, response: &Response) {
        let fork = response.headers.to_tag();
        let sdp = body::sdp(&response.headers, &response.body).map(<[u8]>::to_vec);
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        if let Some(tag) = &fork {
            let required = response.headers.require();
            let reliable = required.iter().any(|option| &**option == RELIABLE);
            let rseq = response.headers.rseq().filter(|_| reliable);
            let progress = call.forks.take(tag, rseq);
            if progress == Progress::Ignored {
                return;
            }
            if progress == Progress::Reliable && sdp.is_some() {
                call.forks.answered(tag);
            }
            self.on_early_dialog(id, response);
            if let Some(rseq) = rseq {
                self.send_prack(now, id, rseq, response);
            }
        }
        let reason = response.headers.reason().ok().flatten();
        self.tell(
            id,
            Outcome::Progress {
                status: response.status,
                fork,
                sdp,
                reason,
                headers: Box::new(response.headers.clone()),
            },
        );
    }

    fn send_prack(&mut self, now: Instant, id: DialogId, rseq: u32, response: &Response) {
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let rack = RAck {
            rseq,
            cseq: call.local_cseq_of(&response.headers),
            method: Method::Invite,
        };
        let mut request = call.request(Method::Prack);
        request.headers.push(HeaderName::RACK, rack.to_string());
        let Some(call) = self.dialogs.get(&id) else {
            return;
        };
        let hop = self.next_hop(call);
        self.sign_request(&mut request.headers);
        // Without room the peer repeats its response, and gives the call up in the end.
        self.start_client(now, request, hop, Owner::Prack(id));
    }

    /// 180 to an INVITE that requires it to be reliable: repeated until its PRACK comes. One at a time.
    pub(super) fn send_reliable(
        &mut self,
        now: Instant,
        id: DialogId,
        transaction: TransactionId,
        mut response: Response,
    ) {
        let drawn = self.ids.next_u64() % FIRST_RSEQ_MAX;
        let Some(server) = self.servers.get(&transaction) else {
            return;
        };
        let hop = server.hop;
        let cseq = server.request.headers.cseq().map_or(0, |cseq| cseq.number);
        let Some(call) = self.dialogs.get_mut(&id) else {
            return;
        };
        let rseq = match &call.reliable {
            Some(former) if former.is_unacknowledged() => return,
            Some(former) => former.rseq + 1,
            None => u32::try_from(drawn).unwrap_or_default() + 1,
        };
        response.headers.push(HeaderName::REQUIRE, RELIABLE);
        response.headers.push(HeaderName::RSEQ, rseq.to_string());
        let bytes = response.to_bytes();
        let timers = self.config.timers;
        call.reliable = Some(Reliable::new(now, &timers, rseq, cseq, hop, bytes));
        self.send_response(now, transaction, &response);
    }

    /// Repeats a reliable 18x, and tells when nobody acknowledged it for 64*T1.
    pub(super) fn repeat_reliable(&mut self, now: Instant, id: DialogId) {
        let Some(reliable) = self
            .dialogs
            .get_mut(&id)
            .and_then(|call| call.reliable.as_mut())
        else {
            return;
        };
        match reliable.due(now) {
            Some(AcceptedDue::Resend) => {
                let (hop, bytes) = reliable.message();
                self.transmit(&hop, bytes);
            }
            Some(AcceptedDue::GiveUp) => self.emit(Event::PrackMissing { dialog: id }),
            None => {}
        }
    }

    /// PRACK: 200 when it acknowledges our response, else 481 (section 3). A description in it has nothing to answer, as our 18x
    /// carries none.
    pub(super) fn on_prack(&mut self, now: Instant, id: DialogId, incoming: Incoming) {
        let rack = incoming.request.headers.rack();
        let reliable = self
            .dialogs
            .get_mut(&id)
            .and_then(|call| call.reliable.as_mut());
        let hit = match (reliable, rack) {
            (Some(reliable), Some(rack)) => reliable.acknowledge(&rack),
            _ => false,
        };
        if !hit {
            let status = StatusCode::CALL_OR_TRANSACTION_DOES_NOT_EXIST;
            let reason = RefusedReason::NoTransaction;
            return self.refuse(now, incoming, status, Vec::new(), reason);
        }
        let transaction = self.start_server(now, incoming, Some(id));
        self.send_status(now, transaction, StatusCode::OK, &[]);
    }
}
