//! A call that SIP Server rings: from the INVITE to `ringing`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use control::{GatewayMessage, Remote};
use sdp::{Direction, LocalMedia, Negotiation, NegotiationError, SrtpPolicy};
use sip::StatusCode;
use sip::ua::{DialogId, RefusedInvite, RefusedReason};
use sip::wire::{HeaderName, Request};

use crate::Switchboard;
use crate::call::{Birth, Call, End, Phase};
use crate::config::AutoAnswer;
use crate::details;
use crate::failure::Cause;
use crate::headers;
use crate::identity;
use crate::ids::{CallId, WorkerId};
use crate::io::{CallRef, Fact, MediaCommand};

/// Seconds after which a caller may try again while we drain: the length of a usual restart.
const DRAINING_RETRY_AFTER_S: &str = "30";

/// Seconds after which a caller may try again while there is too much to do: a media worker that is relieved at once gets calls again after five.
const OVERLOAD_RETRY_AFTER_S: &str = "5";

impl Switchboard {
    /// A new call. It rings in the same turn, or is refused in the same turn.
    pub(crate) fn on_invite(
        &mut self,
        now: Instant,
        dialog: DialogId,
        request: &Request,
        peer: SocketAddr,
    ) {
        let dn = headers::dn_of(request).unwrap_or_default();
        let id = self.next_call();
        let call_uuid = headers::call_uuid(&request.headers);
        let reference = CallRef {
            call: id,
            call_uuid: call_uuid.clone(),
            dn: dn.clone(),
        };
        let remote = identity::caller(&request.headers, &self.config.policy.headers);
        let offer = sip::body::sdp(&request.headers, &request.body).map(<[u8]>::to_vec);
        let srtp = self.srtp_policy(peer);
        let admitted = self.replaced_by(request, &dn).and_then(|replaced| {
            let offer = (offer.as_deref(), srtp);
            let place = self.admit(now, &dn, offer, replaced.is_some())?;
            Ok((place, replaced))
        });
        match admitted {
            Err(cause) => self.refuse_invite(dialog, reference, remote, (cause, srtp), now),
            Ok(((port, worker), replaced)) => {
                self.fact(Fact::CallOffered {
                    call: reference,
                    outbound: false,
                    number: remote.number.clone(),
                });
                let negotiation = self.negotiation(port, srtp);
                let mut call = Call::new(Birth {
                    id,
                    dn,
                    dialog,
                    site: self.sites.site_of(peer),
                    call_uuid,
                    remote,
                    worker,
                    port,
                    negotiation,
                    phase: Phase::Ringing {
                        offer,
                        auto_answer_at: None,
                        gives_up_at: now + crate::limits::RINGING_MAX,
                    },
                    at: now,
                    at_ms: self.clock.ms(now),
                });
                call.details = Arc::new(details::of(&request.headers, &self.config.policy.headers));
                call.last_from = identity::from(&request.headers);
                self.ring(now, call, request);
                if let Some(old) = replaced {
                    self.take_place(now, id, old);
                }
            }
        }
    }

    /// Everything that can refuse a call, the caller's fault before ours. On success a port is taken.
    fn admit(
        &mut self,
        now: Instant,
        dn: &str,
        (offer, srtp): (Option<&[u8]>, SrtpPolicy),
        replaces: bool,
    ) -> Result<(u16, WorkerId), Cause> {
        // A call that takes another one's place is none more.
        if self.draining && !replaces {
            return Err(Cause::Draining);
        }
        let agent = self.agents.get(dn).filter(|agent| !agent.removed);
        let agent = agent.ok_or(Cause::UnknownDn)?;
        let session = agent.session.as_ref().ok_or(Cause::NotSignedIn)?;
        if agent.calls.len() >= self.config.policy.calls_per_agent + usize::from(replaces) {
            return Err(Cause::Busy);
        }
        if self.calls.len() >= self.config.policy.calls {
            return Err(Cause::Overload);
        }
        let worker = session.worker;
        if !replaces && self.has_no_time_for_a_call(worker) {
            return Err(Cause::Overload);
        }
        if let Some(offer) = offer {
            // A call that cannot be answered must not ring.
            self.negotiation(0, srtp)
                .answer(offer, Direction::SendRecv)
                .map_err(|error| cause_of(&error))?;
        }
        let port = self.ports.take(now, &mut self.rng).ok_or(Cause::NoPort)?;
        Ok((port, worker))
    }

    fn ring(&mut self, now: Instant, mut call: Call, request: &Request) {
        let id = call.id;
        let dn = call.dn.clone();
        let auto_answer = self.auto_answer_delay(&dn, request);
        if let (Some(delay), Phase::Ringing { auto_answer_at, .. }) = (auto_answer, &mut call.phase)
        {
            *auto_answer_at = Some(now + delay);
        }
        let reference = call.reference();
        self.ua.ring(now, call.dialog);
        self.dialogs.insert(call.dialog, id);
        self.tell_worker(
            call.worker,
            MediaCommand::OpenPort {
                call: id,
                port: call.port,
            },
        );
        self.calls.insert(id, call);
        self.agents
            .get_mut(&dn)
            .expect("the agent admitted this call above")
            .calls
            .push(id);
        self.fact(Fact::CallRinging {
            call: reference,
            outbound: false,
            after: Duration::ZERO,
        });
        self.show(id);
        self.arm_call(id);
    }

    fn auto_answer_delay(&self, dn: &str, request: &Request) -> Option<Duration> {
        match self.agents.get(dn)?.config.auto_answer {
            AutoAnswer::Never => None,
            AutoAnswer::Always => Some(Duration::ZERO),
            AutoAnswer::Headers => headers::auto_answer(&request.headers),
        }
    }

    /// Refuses an INVITE that never becomes a call; it is counted and logged like the end of one.
    fn refuse_invite(
        &mut self,
        dialog: DialogId,
        call: CallRef,
        remote: Remote,
        (cause, srtp): (Cause, SrtpPolicy),
        now: Instant,
    ) {
        let status = cause
            .outcome()
            .sip
            .expect("every cause that refuses an INVITE has a status");
        let status = StatusCode::new(status).expect("the failure table holds statuses");
        let retry_after = |s: &str| vec![(HeaderName::RETRY_AFTER, s.as_bytes().to_vec())];
        let headers = match cause {
            Cause::Draining => retry_after(DRAINING_RETRY_AFTER_S),
            Cause::Overload => retry_after(OVERLOAD_RETRY_AFTER_S),
            _ => warning(cause, srtp),
        };
        self.ua.reject(now, dialog, status, &headers);
        self.tell_refusal(now, call, remote, (cause, status, None));
    }

    /// The user agent has refused an INVITE by itself: whoever asks what became of the call finds it like any other that was refused.
    pub(crate) fn on_invite_refused(&mut self, now: Instant, refused: &RefusedInvite) {
        let headers = &refused.headers;
        let call = CallRef {
            call: self.next_call(),
            call_uuid: headers::call_uuid(headers),
            dn: headers::dn_in(refused.uri.as_ref(), headers).unwrap_or_default(),
        };
        let cause = match refused.reason {
            RefusedReason::Limit => Cause::TablesFull,
            RefusedReason::Extension => Cause::BadExtension,
            _ => Cause::BadRequest,
        };
        let fault = refused.fault.as_deref();
        let fault = fault.map(|fault| headers::shown(fault.as_bytes()));
        let remote = identity::caller(headers, &self.config.policy.headers);
        self.tell_refusal(now, call, remote, (cause, refused.status, fault));
    }

    fn tell_refusal(
        &mut self,
        now: Instant,
        call: CallRef,
        remote: Remote,
        (cause, status, reason): (Cause, StatusCode, Option<String>),
    ) {
        let number = remote.number.clone();
        let sip_status = status.as_u16();
        let end = End {
            cause,
            sip_status: Some(sip_status),
            reason,
        };
        let record = self.record_of_refusal(now, &call, remote, &end);
        self.fact(Fact::CallRefused {
            call,
            number,
            cause,
            sip_status,
            record,
        });
    }

    /// A fresh offer/answer state for a call whose media is at `port`.
    pub(crate) fn negotiation(&mut self, port: u16, srtp: SrtpPolicy) -> Negotiation {
        use rand::Rng;
        // RFC 8866 section 5.2: a number that is unlikely to repeat; 53 bits survive every reader.
        let session_id = self.rng.next_u64() >> 11;
        let mut seed = [0; 32];
        self.rng.fill_bytes(&mut seed);
        let local = LocalMedia {
            address: self.config.media.address,
            port,
            codecs: self.config.media.codecs.clone(),
            telephone_event: true,
        };
        let suites = self.config.media.srtp.suites.clone();
        Negotiation::new(session_id, local).with_srtp(srtp, suites, seed)
    }

    /// What is wanted of SRTP on calls with this SIP Server: its site's own wish, else everybody's.
    pub(crate) fn srtp_policy(&self, server: SocketAddr) -> SrtpPolicy {
        let srtp = &self.config.media.srtp;
        let own = self
            .sites
            .site_of(server)
            .and_then(|site| srtp.of_sites.get(&site));
        own.copied().unwrap_or(srtp.policy)
    }

    /// The pair is ours: a call that was answered at once, or instead of another, has waited for it.
    pub(crate) fn on_port_opened(&mut self, now: Instant, id: CallId, port: u16) {
        if let Some(call) = self.calls.get_mut(&id)
            && call.port == port
        {
            call.port_is_open = true;
            self.answer_if_ready(now, id);
        }
    }

    /// The pair could not be bound. Where a port of it is taken by somebody else another is tried, while our description has not left yet; out of descriptors
    /// the next one would fail as well, and rest for nothing.
    pub(crate) fn on_port_failed(&mut self, now: Instant, id: CallId, port: u16, taken: bool) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if call.port != port || call.is_ending() {
            return;
        }
        let address = self.config.media.address;
        call.port_tries += 1;
        let srtp = call.negotiation.srtp_policy();
        let unsaid = matches!(call.phase, Phase::Ringing { .. } | Phase::Waiting { .. });
        let may_try = taken && unsaid && call.port_tries < crate::limits::PORT_TRIES_MAX;
        if taken {
            self.fact(Fact::PortTaken { address, port });
        }
        let next = if may_try {
            self.ports.take(now, &mut self.rng)
        } else {
            None
        };
        let Some(next) = next else {
            self.end_call(now, id, End::from(Cause::NoPort));
            return;
        };
        self.ports.release(now, port);
        let negotiation = self.negotiation(next, srtp);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        call.port = next;
        call.negotiation = negotiation;
        let worker = call.worker;
        self.tell_worker(
            worker,
            MediaCommand::OpenPort {
                call: id,
                port: next,
            },
        );
    }

    /// Sends `remote_control` to the agent's page.
    pub(crate) fn tell_remote_control(
        &mut self,
        id: CallId,
        event: control::RemoteEvent,
        digits: Option<String>,
    ) {
        let Some(call) = self.calls.get(&id) else {
            return;
        };
        let dn = call.dn.clone();
        let message = GatewayMessage::RemoteControl {
            call: id.to_string(),
            event,
            digits,
        };
        self.tell_agent(&dn, message);
    }
}

/// What a 488 says beside its status to whoever looks at the message: a call that fails for want of encryption, or because of it, is a matter of
/// configuration. RFC 3261 section 20.43, code 302.
pub(crate) fn warning(cause: Cause, srtp: SrtpPolicy) -> Vec<(HeaderName, Vec<u8>)> {
    if cause != Cause::SrtpMismatch {
        return Vec::new();
    }
    let text = match srtp {
        SrtpPolicy::Off => "SRTP is off here",
        SrtpPolicy::Optional => "SRTP needs a suite in common",
        SrtpPolicy::Required => "SRTP is required here",
    };
    let warning = format!("302 talkbridge \"{text}\"");
    vec![(HeaderName::WARNING, warning.into_bytes())]
}

/// The row of the failure table for a description that cannot be answered.
pub(crate) const fn cause_of(error: &NegotiationError) -> Cause {
    match error {
        NegotiationError::NoCommonCodec => Cause::NoCommonCodec,
        NegotiationError::SrtpOff
        | NegotiationError::SrtpRequired
        | NegotiationError::NoCommonSuite
        | NegotiationError::ForeignKey => Cause::SrtpMismatch,
        _ => Cause::BadSdp,
    }
}
