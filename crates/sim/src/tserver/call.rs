//! A call and its parties: endpoints behind a SIP leg, and model customers.

use std::net::SocketAddr;

use super::io::{CallUuid, PartyState};
use super::leg::LegKey;
use super::sdp::{self, Audio, Direction};
use super::view::CallKind;

/// Number of a call, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct CallKey(pub(super) u64);

#[derive(Debug)]
pub(super) struct Call {
    pub(super) key: CallKey,
    pub(super) uuid: CallUuid,
    pub(super) conn_id: String,
    pub(super) kind: CallKind,
    /// The number that was called.
    pub(super) dialled: String,
    /// Caller first. A TMakeCall has one party until its originator has answered.
    pub(super) parties: Vec<Party>,
    /// The call that waits while this one consults.
    pub(super) consult_of: Option<CallKey>,
}

#[derive(Debug)]
pub(super) struct Party {
    pub(super) number: String,
    pub(super) kind: PartyKind,
    pub(super) state: PartyState,
    /// The port of the Media Server that stands in for everybody else of the call.
    pub(super) bridge: Option<Customer>,
}

#[derive(Debug)]
pub(super) enum PartyKind {
    Endpoint(LegKey),
    Customer(Customer),
}

impl Call {
    pub(super) fn index_of_leg(&self, leg: LegKey) -> Option<usize> {
        self.parties
            .iter()
            .position(|party| party.leg() == Some(leg))
    }

    pub(super) fn index_of_dn(&self, dn: &str) -> Option<usize> {
        self.parties
            .iter()
            .position(|party| party.leg().is_some() && party.number == dn)
    }

    /// The party on the other side of `index`.
    pub(super) fn other(&self, index: usize) -> Option<usize> {
        (0..self.parties.len()).find(|&other| other != index)
    }

    /// The number to show to the party at `index`.
    pub(super) fn other_number(&self, index: usize) -> Option<String> {
        self.other(index).map_or_else(
            || (index == 0).then(|| self.dialled.clone()),
            |other| Some(self.parties[other].number.clone()),
        )
    }
}

impl Party {
    pub(super) const fn new(number: String, kind: PartyKind, state: PartyState) -> Self {
        Self {
            number,
            kind,
            state,
            bridge: None,
        }
    }

    pub(super) fn leg(&self) -> Option<LegKey> {
        match self.kind {
            PartyKind::Endpoint(leg) => Some(leg),
            PartyKind::Customer(_) => None,
        }
    }

    pub(super) fn customer_mut(&mut self) -> Option<&mut Customer> {
        match &mut self.kind {
            PartyKind::Customer(customer) => Some(customer),
            PartyKind::Endpoint(_) => None,
        }
    }
}

/// The media side of a model customer.
#[derive(Debug, Clone)]
pub(super) struct Customer {
    pub(super) local: SocketAddr,
    pub(super) remote: Option<SocketAddr>,
    pub(super) payload_type: u8,
    pub(super) telephone_event: Option<u8>,
    formats: &'static [u8],
    events: Option<u8>,
}

/// What a customer can do: mu-law, A-law, and events under the number that endpoints use.
const FORMATS: [u8; 2] = [0, 8];
const TELEPHONE_EVENT: u8 = 101;

/// The Media Server prefers A-law, and has another number for events: both change in mid-call.
const BRIDGE_FORMATS: [u8; 2] = [8, 0];
const BRIDGE_TELEPHONE_EVENT: u8 = 96;

impl Customer {
    /// A phone, with or without telephone events.
    pub(super) fn new(local: SocketAddr, telephone_event: bool) -> Self {
        Self {
            local,
            remote: None,
            payload_type: FORMATS[0],
            telephone_event: None,
            formats: &FORMATS,
            events: telephone_event.then_some(TELEPHONE_EVENT),
        }
    }

    /// A port of the Media Server.
    pub(super) fn bridge(local: SocketAddr) -> Self {
        Self {
            payload_type: BRIDGE_FORMATS[0],
            formats: &BRIDGE_FORMATS,
            events: Some(BRIDGE_TELEPHONE_EVENT),
            ..Self::new(local, true)
        }
    }

    /// His offer.
    pub(super) fn offer(&self) -> String {
        sdp::customer(self.local, self.formats, self.events, Direction::SendRecv)
    }

    /// Takes over what the other side described; `None` if there is nothing in common.
    pub(super) fn hear(&mut self, audio: &Audio) -> Option<()> {
        let format = audio.formats.iter().find(|f| FORMATS.contains(f))?;
        self.payload_type = *format;
        self.telephone_event = audio.telephone_event.filter(|_| self.events.is_some());
        let listens = matches!(audio.direction, Direction::SendRecv | Direction::RecvOnly);
        self.remote = audio.address.filter(|_| listens);
        Some(())
    }

    /// His answer to an offer: the first common codec.
    pub(super) fn answer(&mut self, offer: &Audio) -> Option<String> {
        self.hear(offer)?;
        Some(sdp::customer(
            self.local,
            &[self.payload_type],
            self.telephone_event,
            offer.direction.reversed(),
        ))
    }
}
