//! JSON in the form that a workspace desktop gets from Genesys Web Services.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde_json::{Value, json};
use sim::tserver::{
    CallKind, CallUuid, CallView, Event, EventKind, LegView, PartyState, RegistrationView,
};

use crate::media::Report;
use crate::net::Sockets;
use crate::shell::Traced;

/// Where everything is, for people and harnesses.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    udp: Option<SocketAddr>,
    tcp: Option<SocketAddr>,
    http: SocketAddr,
}

impl Addresses {
    pub(crate) fn new(sockets: &Sockets, http: SocketAddr) -> Self {
        Self {
            udp: sockets.udp_address(),
            tcp: sockets.tcp_address(),
            http,
        }
    }

    pub(crate) fn value(&self) -> Value {
        json!({
            "ready": true,
            "sip_udp": self.udp,
            "sip_tcp": self.tcp,
            "http": format!("http://{}", self.http),
            "desk": format!("http://{}/desk", self.http),
        })
    }

    pub(crate) fn line(&self) -> String {
        self.value().to_string()
    }
}

pub(crate) fn state_name(state: PartyState) -> &'static str {
    match state {
        PartyState::Initiated | PartyState::Dialing => "Dialing",
        PartyState::Ringing => "Ringing",
        PartyState::Established => "Established",
        PartyState::Held => "Held",
        PartyState::Released => "Released",
    }
}

fn call_type(kind: CallKind) -> &'static str {
    match kind {
        CallKind::Inbound => "Inbound",
        CallKind::Outbound => "Outbound",
        CallKind::Internal => "Internal",
        CallKind::Consult => "Consult",
    }
}

/// What ends a consultation, or goes to and fro in it.
const CONSULTING: [&str; 4] = [
    "CompleteTransfer",
    "CompleteConference",
    "SwapCalls",
    "Reconnect",
];

/// What a desktop may do in a state, without the operations on user data.
fn capabilities(state: PartyState, consulting: bool) -> Vec<&'static str> {
    match state {
        PartyState::Initiated | PartyState::Dialing => vec!["Hangup"],
        PartyState::Ringing => vec!["Answer"],
        PartyState::Established => {
            let mut list = vec!["Hangup", "Hold", "SendDtmf"];
            list.extend(if consulting {
                &CONSULTING[..]
            } else {
                &["InitiateTransfer", "SingleStepTransfer"]
            });
            list
        }
        PartyState::Held => {
            let mut list = vec!["Retrieve", "Hangup"];
            list.extend(if consulting {
                &CONSULTING[..]
            } else {
                &["InitiateTransfer"]
            });
            list
        }
        PartyState::Released => Vec::new(),
    }
}

/// The unchanging facts of a call, kept for its last notification.
#[derive(Debug, Clone)]
struct Known {
    kind: CallKind,
    dialled: String,
    conn_id: String,
    parent: Option<CallUuid>,
}

/// Calls that notifications were sent about.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    known: BTreeMap<(CallUuid, String), Known>,
}

impl Journal {
    /// The notifications that an event makes.
    pub(crate) fn notifications(&mut self, event: &Event, call: Option<&CallView>) -> Vec<String> {
        let value = match (&event.kind, &event.call) {
            (EventKind::ContactChanged { contact }, _) => device(&event.this_dn, contact.is_some()),
            (EventKind::InService, _) => return Vec::new(),
            (EventKind::Error { request, message }, call) => json!({
                "messageType": "ErrorMessage",
                "request": request,
                "errorMessage": message,
                "phoneNumber": event.this_dn,
                "callId": call.as_ref().map(|call| call.0.clone()),
            }),
            (_, Some(uuid)) => self.call_changed(event, uuid, call),
            (_, None) => return Vec::new(),
        };
        vec![value.to_string()]
    }

    fn call_changed(&mut self, event: &Event, uuid: &CallUuid, call: Option<&CallView>) -> Value {
        let key = (uuid.clone(), event.this_dn.clone());
        if let Some(call) = call {
            self.known.insert(
                key.clone(),
                Known {
                    kind: call.kind,
                    dialled: call.dialled.clone(),
                    conn_id: call.conn_id.clone(),
                    parent: call.consult_of.clone(),
                },
            );
        }
        let known = self.known.get(&key).cloned().unwrap_or(Known {
            kind: CallKind::Internal,
            dialled: event.this_dn.clone(),
            conn_id: event.conn_id.clone().unwrap_or_default(),
            parent: None,
        });
        let state = event.state.unwrap_or(PartyState::Released);
        if state == PartyState::Released {
            self.known.remove(&key);
        }
        let notification = match event.kind {
            EventKind::DtmfSent { .. } => "DtmfSent",
            EventKind::PartyChanged => "ParticipantsUpdated",
            _ => "StatusChange",
        };
        let mut value = json!({
            "messageType": "CallStateChangeMessage",
            "notificationType": notification,
            "phoneNumber": event.this_dn,
            "call": call_object(uuid, &known, state, event.other_dn.as_deref()),
        });
        if let EventKind::Released {
            sip_status: Some(status),
        } = event.kind
        {
            value["sipStatus"] = json!(status);
        }
        value
    }
}

fn device(dn: &str, registered: bool) -> Value {
    json!({
        "messageType": "DeviceStateChangeMessage",
        "devices": [{
            "phoneNumber": dn,
            "deviceState": if registered { "Active" } else { "Inactive" },
            "channels": ["voice"],
        }],
    })
}

fn call_object(uuid: &CallUuid, known: &Known, state: PartyState, other: Option<&str>) -> Value {
    let participants: Vec<Value> = other
        .map(|number| {
            json!({
                "e164Number": "",
                "formattedPhoneNumber": number,
                "phoneNumber": number,
                "digits": number,
            })
        })
        .into_iter()
        .collect();
    let consulting = known.parent.is_some();
    let mut value = json!({
        "id": uuid.0,
        "state": state_name(state),
        "callUuid": uuid.0,
        "connId": known.conn_id,
        "participants": participants,
        "dnis": known.dialled,
        "callType": call_type(known.kind),
        "capabilities": capabilities(state, consulting),
        "userData": {},
        "mute": "Off",
        "supervisorListeningIn": false,
        "monitoring": false,
        "uri": format!("/api/v2/me/calls/{uuid}"),
        "path": format!("/calls/{uuid}"),
    });
    if let Some(parent) = &known.parent {
        value["parentCallUri"] = json!(format!("/api/v2/me/calls/{parent}"));
    }
    value
}

/// The calls of one DN as `GET /api/v2/me/calls` lists them.
pub(crate) fn calls_of(dn: &str, calls: &[CallView]) -> Vec<Value> {
    calls
        .iter()
        .filter_map(|call| {
            let own = call
                .parties
                .iter()
                .position(|party| party.number == dn && party.leg.is_some())?;
            let other = (0..call.parties.len()).find(|&index| index != own);
            let other = other.map_or(call.dialled.as_str(), |index| &call.parties[index].number);
            let known = Known {
                kind: call.kind,
                dialled: call.dialled.clone(),
                conn_id: call.conn_id.clone(),
                parent: call.consult_of.clone(),
            };
            let state = call.parties[own].state;
            Some(call_object(&call.call, &known, state, Some(other)))
        })
        .collect()
}

/// A call with everything the machine and its customers know about it.
pub(crate) fn sim_call(call: &CallUuid, view: Option<&CallView>, reports: &[Report]) -> Value {
    let media: Vec<Value> = reports
        .iter()
        .filter(|report| report.call == *call)
        .map(report)
        .collect();
    let first = media.last().cloned().unwrap_or(Value::Null);
    json!({
        "id": call.0,
        "callUuid": call.0,
        "ended": view.is_none(),
        "callType": view.map(|view| call_type(view.kind)),
        "dnis": view.map(|view| view.dialled.clone()),
        "parties": view.map(|view| view.parties.iter().map(|party| json!({
            "number": party.number,
            "state": state_name(party.state),
            "leg": party.leg.as_ref().map(leg),
        })).collect::<Vec<_>>()),
        "media": media,
        // The customer's ear, for tests with one customer.
        "heard_hz": first["heard_hz"],
        "rms": first["rms"],
        "packets": first["packets"],
        "digits": first["digits"],
    })
}

fn report(report: &Report) -> Value {
    json!({
        "number": report.number,
        "local": report.local,
        "remote": report.remote,
        "payload_type": report.payload_type,
        "sent": report.sent,
        "ended": report.ended,
        "heard_hz": report.heard.hz,
        "rms": report.heard.rms.round(),
        "packets": report.heard.packets,
        "foreign": report.heard.foreign,
        "lost": report.heard.lost,
        "digits": report.heard.digits,
    })
}

/// One dialog.
pub(crate) fn leg(leg: &LegView) -> Value {
    json!({
        "dn": leg.dn,
        "call": leg.call.as_ref().map(|call| call.0.clone()),
        "call_id": leg.call_id,
        "state": format!("{:?}", leg.state).to_lowercase(),
        "cseq": leg.cseq,
        "remote_cseq": leg.remote_cseq,
        "remote_sdp": leg.remote_sdp,
        "local_sdp": leg.local_sdp,
        "endpoint_holds": leg.endpoint_holds,
        "black_hole": leg.black_hole,
        "idle": leg.idle,
    })
}

/// One binding.
pub(crate) fn registration(view: &RegistrationView) -> Value {
    json!({
        "dn": view.dn,
        "contact": view.contact,
        "aor": view.aor,
        "call_id": view.call_id,
        "expires_s": view.expires_s,
    })
}

/// One SIP message that went by.
pub(crate) fn traced(entry: &Traced) -> Value {
    json!({
        "at_ms": entry.at_ms,
        "direction": if entry.inbound { "in" } else { "out" },
        "transport": format!("{:?}", entry.transport).to_lowercase(),
        "peer": entry.peer,
        "text": entry.text,
    })
}
