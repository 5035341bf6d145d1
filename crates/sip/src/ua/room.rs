//! Who may still come in when the table of transactions fills up.
//!
//! A flood of one kind must not shut the others out: requests that belong to no call stop first, then new calls, then the calls
//! that are up, and our own requests have the last places to themselves. REGISTER, BYE, CANCEL and the probes of SIP Servers leave
//! even when those are taken: while a SIP Server hangs, requests to it hold their places for 64*T1, and just then the DNs have to be
//! registered at another one.

use super::UserAgent;
use super::event::DialogId;
use super::limits::{ROOM_EIGHTHS_FOR_CALLS_UP, ROOM_EIGHTHS_FOR_NEW_CALLS, ROOM_EIGHTHS_FOR_REST};
use super::tables::Owner;
use crate::wire::Via;
use crate::{Method, Request};

impl UserAgent {
    /// Whether a new request of the peer gets a transaction; `dialog` is the one of ours that it names.
    pub(super) fn has_room_for(
        &self,
        request: &Request,
        via: &Via,
        dialog: Option<DialogId>,
    ) -> bool {
        let of_a_call = match request.method {
            Method::Cancel => self.cancelled_by(request, via).is_some(),
            _ => dialog.is_some(),
        };
        let eighths = if of_a_call {
            ROOM_EIGHTHS_FOR_CALLS_UP
        } else if request.method == Method::Invite {
            ROOM_EIGHTHS_FOR_NEW_CALLS
        } else {
            ROOM_EIGHTHS_FOR_REST
        };
        let used = self.clients.len() + self.servers.len();
        used < self.capacity.transactions * eighths / 8
            && self.held_octets < self.capacity.held_octets() / 8 * eighths
    }

    /// Whether a call of ours would find room in the tables.
    #[must_use]
    pub fn has_room_for_a_call(&self) -> bool {
        self.dialogs.len() < self.capacity.dialogs && !self.is_full()
    }

    /// Whether a request of ours gets a transaction. What exists once for each entry of another table is bounded there.
    pub(super) fn has_room_for_ours(&self, owner: &Owner) -> bool {
        match owner {
            Owner::Register(_) | Owner::Probe | Owner::Bye(_) | Owner::Cancel => true,
            Owner::Invite(_)
            | Owner::Reinvite(_)
            | Owner::Request(..)
            | Owner::Refresh(_)
            | Owner::Prack(_) => !self.is_full(),
        }
    }

    fn is_full(&self) -> bool {
        self.clients.len() + self.servers.len() >= self.capacity.transactions
    }
}
