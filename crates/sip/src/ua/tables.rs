//! What a user agent remembers of each transaction.

use std::net::SocketAddr;

use super::config::{ConnectionId, SiteId, Source, Transmit, Transport};
use super::event::{DialogId, TransactionId};
use crate::transaction::{ClientKey, ClientMachine, MergeKey, ServerKey, ServerMachine};
use crate::wire::Via;
use crate::{Request, Response, Tag};

/// The next hop of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hop {
    pub(crate) transport: Transport,
    pub(crate) to: SocketAddr,
    pub(crate) connection: Option<ConnectionId>,
}

impl Hop {
    /// Where the peer that sent this is reached, when none of its URIs names an address. Datagrams go back to where they came from. A stream
    /// is used while it is up; the port that it was opened from is nobody's afterwards, so then it is the one that the Via names, at which its sender
    /// has to listen (RFC 3261 section 18.2.2).
    pub(crate) fn to_sender(source: &Source, for_response: Self) -> Self {
        if source.transport.is_reliable() {
            return for_response;
        }
        Self {
            transport: source.transport,
            to: source.remote,
            connection: source.connection,
        }
    }

    /// Where a response goes (RFC 3261 section 18.2.2, RFC 3581 section 4): back on the
    /// connection, else to the host that sent the request, at the port of its Via. SIP Server
    /// listens there; `rport` counts only when it was asked for. A `maddr` is not obeyed: it would
    /// send responses to a third party.
    pub(crate) fn for_response(source: &Source, via: &Via) -> Self {
        let asked = via.rport.is_some() && !source.transport.is_reliable();
        let port = if asked {
            source.remote.port()
        } else {
            via.port.unwrap_or(source.transport.default_port())
        };
        Self {
            transport: source.transport,
            to: SocketAddr::new(source.remote.ip(), port),
            connection: source.connection,
        }
    }

    /// Whether messages for here went by `connection`, whose other end is `peer`: it was named, or none was and it led to their address.
    pub(crate) fn went_by(
        &self,
        connection: ConnectionId,
        transport: Transport,
        peer: SocketAddr,
    ) -> bool {
        match self.connection {
            Some(named) => named == connection,
            None => self.transport == transport && self.to == peer,
        }
    }

    pub(crate) fn transmit(&self, bytes: Vec<u8>) -> Transmit {
        Transmit {
            transport: self.transport,
            to: self.to,
            connection: self.connection,
            bytes,
        }
    }
}

/// Names a registration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RegistrationKey {
    pub(crate) dn: String,
    pub(crate) site: SiteId,
}

/// Whom the outcome of a request of ours concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Owner {
    /// It opens the dialog.
    Invite(DialogId),
    Reinvite(DialogId),
    Cancel,
    Bye(DialogId),
    /// The application's own request, with the handle it was given.
    Request(DialogId, TransactionId),
    /// UPDATE for the session timer.
    Refresh(DialogId),
    /// PRACK of a provisional response.
    Prack(DialogId),
    /// REGISTER of the DN at the site.
    Register(RegistrationKey),
    /// OPTIONS that asks whether a SIP Server lives.
    Probe,
}

impl Owner {
    /// Whether it belongs to no dialog that has begun, so that it may as well be asked of another host.
    pub(crate) const fn stands_alone(&self) -> bool {
        matches!(self, Self::Invite(_) | Self::Register(_) | Self::Probe)
    }

    pub(crate) fn dialog(&self) -> Option<DialogId> {
        match self {
            Self::Invite(id)
            | Self::Reinvite(id)
            | Self::Bye(id)
            | Self::Request(id, _)
            | Self::Refresh(id)
            | Self::Prack(id) => Some(*id),
            Self::Cancel | Self::Register(_) | Self::Probe => None,
        }
    }
}

/// Challenges answered in one chain.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answered {
    pub(crate) once: bool,
    pub(crate) stale: bool,
}

#[derive(Debug)]
pub(crate) struct ClientTransaction {
    pub(crate) key: ClientKey,
    pub(crate) machine: ClientMachine,
    /// With its Via.
    pub(crate) request: Request,
    pub(crate) bytes: Vec<u8>,
    pub(crate) hop: Hop,
    pub(crate) owner: Owner,
    /// ACK of a failure.
    pub(crate) failure_ack: Option<Vec<u8>>,
    /// ACK of each 2xx, by its To tag: a repeated 2xx gets the same again.
    pub(crate) acks: Vec<(Option<Tag>, Hop, Vec<u8>)>,
    pub(crate) answered: Answered,
    /// The connection broke once already, and the request was sent on another one.
    pub(crate) sent_again: bool,
    /// Somebody has said something to it.
    pub(crate) heard: bool,
    /// The hosts that were asked before the one of this transaction.
    pub(crate) tried: Vec<SocketAddr>,
    /// What one of them said: that it serves nobody at present.
    pub(crate) refused_before: Option<Box<(Source, Response)>>,
    /// The last attempt to send it found no way.
    pub(crate) unsent: bool,
    /// A connection that it went by was up, or it left for one of the hosts before and was not answered: it may have been read, and that the next
    /// one is not reached takes nothing back.
    pub(crate) may_be_read: bool,
}

#[derive(Debug)]
pub(crate) struct ServerTransaction {
    pub(crate) key: ServerKey,
    pub(crate) merge: Option<MergeKey>,
    pub(crate) machine: ServerMachine,
    /// With our tag in To and the true source in Via, so that each response begins right.
    pub(crate) request: Request,
    pub(crate) hop: Hop,
    pub(crate) last_response: Option<Vec<u8>>,
    /// The connection broke once after the last response, which was sent on another one.
    pub(crate) sent_again: bool,
    /// What it is counted with among all that is held.
    pub(crate) octets: usize,
    pub(crate) dialog: Option<DialogId>,
}
