//! `refer-enabled`: a TMakeCall asks the endpoint to call by itself, by a REFER outside of any call (RFC 3515).
//!
//! No trace of this exists. SIP Server waits for the endpoint's INVITE, which gets the CallUUID of the request, and hears of its
//! progress by NOTIFY.

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::call::CallKey;
use super::io::{CallUuid, EventKind, RequestError};
use super::machine::TServer;
use super::read::Incoming;
use super::text;
use super::transaction::{ClientKey, Purpose, ServerKey};
use super::write::Frame;

/// A subscription whose end is never told is forgotten after this.
const REFERRAL_LIFE: Duration = Duration::from_secs(400);

/// Call-ID and our tag of the REFER's dialog.
pub(super) type ReferralKey = (String, String);

/// An endpoint that was asked to call somebody.
#[derive(Debug)]
pub(super) struct Referred {
    dn: String,
    number: String,
    /// The call of the request, until the endpoint's INVITE has taken it.
    call: Option<CallUuid>,
}

impl TServer {
    pub(super) fn refer_endpoint(
        &mut self,
        now: Instant,
        dn: &str,
        to: String,
    ) -> Result<CallUuid, RequestError> {
        let binding = self
            .registrar
            .binding(dn)
            .cloned()
            .ok_or_else(|| RequestError::NotRegistered(dn.to_owned()))?;
        let (destination, routes) = self.way_to(&binding);
        let server = self.config.advertise;
        let tag = self.ids.tag();
        let uuid = self.ids.call_uuid();
        let call_id = self.ids.call_id(&server.ip().to_string());
        let frame = Frame {
            uri: text::uri_of(&binding.contact).to_owned(),
            from: format!("sip:{server};tag={tag}"),
            to: binding.aor,
            call_id: call_id.clone(),
            transport: destination.transport,
            routes,
            sent_by: server.to_string(),
            contact: format!("<sip:{server}>"),
            call_uuid: uuid.0.clone(),
            session: String::new(),
            reliable: false,
            replaces: String::new(),
            alert: None,
        };
        let branch = self.ids.branch();
        let bytes = frame.refer(1, &branch, &format!("<sip:{to}@{server}>"));
        let referral = (call_id, tag);
        let referred = Referred {
            dn: dn.to_owned(),
            number: to,
            call: Some(uuid.clone()),
        };
        self.referrals.insert(referral.clone(), referred);
        self.later(now, REFERRAL_LIFE, Timer::ReferralOver(referral.clone()));
        let key = ClientKey {
            branch,
            method: "REFER",
        };
        let purpose = Purpose::Refer(referral);
        self.start_client(now, key, destination, (frame, 1), bytes, purpose);
        Ok(uuid)
    }

    /// The endpoint would not, or is not there.
    pub(super) fn refer_refused(&mut self, referral: &ReferralKey, message: String) {
        if let Some(referred) = self.referrals.remove(referral) {
            let kind = EventKind::Error {
                request: "TMakeCall",
                message,
            };
            self.dn_event(&referred.dn, kind);
        }
    }

    /// The endpoint calls as it was asked to: its call has the CallUUID of the request.
    pub(super) fn call_as_referred(&mut self, key: CallKey, dn: &str) {
        let Some(call) = self.calls.get_mut(&key) else {
            return;
        };
        let asked = self.referrals.values_mut().find(|referred| {
            referred.dn == dn && referred.number == call.dialled && referred.call.is_some()
        });
        if let Some(uuid) = asked.and_then(|referred| referred.call.take()) {
            self.uuids.remove(&call.uuid);
            self.uuids.insert(uuid.clone(), key);
            call.uuid = uuid;
        }
    }

    /// NOTIFY about a REFER of ours; `false` where there is none.
    pub(super) fn take_refer_news(
        &mut self,
        now: Instant,
        key: &ServerKey,
        message: &Incoming,
    ) -> bool {
        let Some(tag) = message.to_tag() else {
            return false;
        };
        let referral = (message.call_id().to_owned(), tag.to_owned());
        if !self.referrals.contains_key(&referral) {
            return false;
        }
        let state = message.get("Subscription-State").unwrap_or_default();
        if state.starts_with("terminated") {
            self.referrals.remove(&referral);
        }
        self.simple(now, key, 200, Vec::new());
        true
    }
}
