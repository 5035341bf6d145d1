//! The model's own view of what is going on, for oracles, tests and the desk.

use super::call::{Call, PartyKind};
use super::io::{CallUuid, PartyState};
use super::machine::TServer;
use super::text;

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// A customer called.
    Inbound,
    /// A customer was called.
    Outbound,
    /// Between two DNs.
    Internal,
    /// A consultation.
    Consult,
}

/// How far a dialog is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegState {
    /// INVITE sent or received, no dialog yet.
    Calling,
    /// A provisional answer with a tag made the dialog.
    Early,
    /// A 2xx was received or sent, its ACK is missing.
    Answered,
    /// The first ACK is through.
    Confirmed,
    /// BYE, CANCEL or refusal.
    Terminated,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Its identity.
    pub call: CallUuid,
    /// Its older identity.
    pub conn_id: String,
    /// What kind.
    pub kind: CallKind,
    /// The number that was called.
    pub dialled: String,
    /// The main call of a consultation.
    pub consult_of: Option<CallUuid>,
    /// Caller first.
    pub parties: Vec<PartyView>,
}

/// One party of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyView {
    /// DN or customer number.
    pub number: String,
    /// Its state as the desktop shows it.
    pub state: PartyState,
    /// The SIP leg; `None` for a model customer.
    pub leg: Option<LegView>,
}

/// One SIP dialog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegView {
    /// The DN.
    pub dn: String,
    /// The call.
    pub call: Option<CallUuid>,
    /// SIP Call-ID.
    pub call_id: String,
    /// State of the dialog.
    pub state: LegState,
    /// Our last CSeq.
    pub cseq: u32,
    /// The endpoint's last CSeq; 0 if it sent no request.
    pub remote_cseq: u32,
    /// The endpoint's last description.
    pub remote_sdp: Option<String>,
    /// The last description it got.
    pub local_sdp: Option<String>,
    /// The endpoint's last description is one of a holding side.
    pub endpoint_holds: bool,
    /// It was put on hold by our black hole.
    pub black_hole: bool,
    /// Nothing is under way: no INVITE, no missing ACK.
    pub idle: bool,
}

/// One binding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegistrationView {
    /// The DN.
    pub dn: String,
    /// Its Contact URI.
    pub contact: String,
    /// Address of record as in To of the REGISTER.
    pub aor: String,
    /// Call-ID of the REGISTER that holds the binding.
    pub call_id: String,
    /// Granted seconds.
    pub expires_s: u32,
}

/// How much is alive; all but `registrations` and `appointments` come back to zero at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Calls.
    pub calls: usize,
    /// SIP dialogs that are not terminated.
    pub legs: usize,
    /// Requests of ours without a final answer, or kept for repetitions.
    pub client_transactions: usize,
    /// Requests of endpoints, kept for repetitions.
    pub server_transactions: usize,
    /// Bindings.
    pub registrations: usize,
    /// Entries of the agenda.
    pub appointments: usize,
    /// Messages that could not be read, since the beginning.
    pub unreadable: u64,
    /// Messages swallowed on demand, since the beginning.
    pub dropped: u64,
}

impl TServer {
    /// Every call.
    #[must_use]
    pub fn calls(&self) -> Vec<CallView> {
        self.calls
            .values()
            .map(|call| self.call_view(call))
            .collect()
    }

    fn call_view(&self, call: &Call) -> CallView {
        CallView {
            call: call.uuid.clone(),
            conn_id: call.conn_id.clone(),
            kind: call.kind,
            dialled: call.dialled.clone(),
            consult_of: call
                .consult_of
                .and_then(|main| self.calls.get(&main))
                .map(|main| main.uuid.clone()),
            parties: call.parties.iter().map(|p| self.party_view(p)).collect(),
        }
    }

    /// One call.
    #[must_use]
    pub fn call(&self, uuid: &CallUuid) -> Option<CallView> {
        let call = self.calls.get(self.uuids.get(uuid)?)?;
        Some(self.call_view(call))
    }

    fn party_view(&self, party: &super::call::Party) -> PartyView {
        PartyView {
            number: party.number.clone(),
            state: party.state,
            leg: match &party.kind {
                PartyKind::Endpoint(leg) => self.legs.get(leg).map(|leg| self.leg_view(leg)),
                PartyKind::Customer(_) => None,
            },
        }
    }

    fn leg_view(&self, leg: &super::leg::Leg) -> LegView {
        LegView {
            dn: leg.dn.clone(),
            call: self.calls.get(&leg.call).map(|call| call.uuid.clone()),
            call_id: leg.frame.call_id.clone(),
            state: leg.state,
            cseq: leg.cseq,
            remote_cseq: leg.remote_cseq,
            remote_sdp: leg.remote_sdp.clone(),
            local_sdp: leg.local_sdp.clone(),
            endpoint_holds: leg.remote_audio().is_some_and(|audio| audio.holds()),
            black_hole: leg.black_hole,
            idle: leg.idle(),
        }
    }

    /// Every SIP dialog that is still known, terminated ones until their BYE is answered.
    #[must_use]
    pub fn legs(&self) -> Vec<LegView> {
        self.legs.values().map(|leg| self.leg_view(leg)).collect()
    }

    /// Every binding.
    #[must_use]
    pub fn registrations(&self) -> Vec<RegistrationView> {
        self.registrar
            .bindings()
            .map(|(dn, binding)| RegistrationView {
                dn: dn.clone(),
                contact: text::uri_of(&binding.contact).to_owned(),
                aor: binding.aor.clone(),
                call_id: binding.call_id.clone(),
                expires_s: binding.expires_s,
            })
            .collect()
    }

    /// How much is alive.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            calls: self.calls.len(),
            legs: self.legs.values().filter(|leg| leg.alive()).count(),
            client_transactions: self.clients.len(),
            server_transactions: self.servers.len(),
            registrations: self.registrar.bindings().count(),
            appointments: self.agenda.len(),
            unreadable: self.unreadable,
            dropped: self.dropped,
        }
    }

    /// The dialogs that are not over, with their state, and whether their call is.
    #[must_use]
    pub fn open_dialogs(&self) -> Vec<String> {
        let open = self.legs.values().filter(|leg| leg.alive());
        let shown = open.map(|leg| {
            let (id, state) = (&leg.frame.call_id, leg.state);
            let call = self.calls.contains_key(&leg.call);
            format!("{id} of {} is {state:?}, its call is there: {call}", leg.dn)
        });
        shown.collect()
    }
}
