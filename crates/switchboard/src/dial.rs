//! Calls that the agent makes herself, by an INVITE of ours (first-party call control).

use std::time::Instant;

use control::{AnsweredBy, RegistrationState, Remote};
use sdp::Direction;
use sip::ua::{DialogId, OutgoingInvite, Reason, SiteId};
use sip::uri::Uri;
use sip::wire::HeaderName;
use sip::{StatusCode, Tag};

use crate::Switchboard;
use crate::call::{Birth, Call, Early, End, Phase};
use crate::config::Server;
use crate::ending::reason_text;
use crate::failure::Cause;
use crate::ids::CallId;
use crate::incoming::cause_of;
use crate::io::{AdminRefusal, Fact, MediaCommand};
use crate::registration::credentials;

/// Who dials what, wherever the INVITE goes.
pub(crate) struct Dialled<'a> {
    pub(crate) dn: &'a str,
    pub(crate) number: &'a str,
    /// Further header lines.
    pub(crate) headers: &'a [(HeaderName, Vec<u8>)],
}

impl Switchboard {
    /// Dials a number from a DN. Any call of the agent that is up is held first.
    pub(crate) fn dial(
        &mut self,
        now: Instant,
        dn: &str,
        number: &str,
    ) -> Result<CallId, AdminRefusal> {
        self.may_dial(dn, 0)?;
        let id = self.place_call(now, (dn, None), number, Vec::new())?;
        self.turn_to(now, id);
        Ok(id)
    }

    /// Sends the INVITE of a call that may be dialled, with further header lines; to the SIP Server of `site`, where the DN is registered there. Other calls of
    /// the agent stay as they are.
    pub(crate) fn place_call(
        &mut self,
        now: Instant,
        (dn, site): (&str, Option<SiteId>),
        number: &str,
        headers: Vec<(HeaderName, Vec<u8>)>,
    ) -> Result<CallId, AdminRefusal> {
        let agent = self.agents.get(dn).ok_or(AdminRefusal::UnknownDn)?;
        let session = agent.session.as_ref().ok_or(AdminRefusal::NotSignedIn)?;
        let worker = session.worker;
        // A site whose servers have changed their addresses may be left by its last registration at this moment.
        let server = self.outgoing_server(dn, site);
        let server = server.ok_or(AdminRefusal::NotRegistered)?;
        // Refused before a port is taken.
        target(number, &server.domain).ok_or(AdminRefusal::BadNumber)?;
        if !self.ua.has_room_for_a_call() {
            // Found out only by trying, the call that is up would be on hold for nothing.
            return Err(AdminRefusal::NoRoom);
        }
        let port = self
            .ports
            .take(now, &mut self.rng)
            .ok_or(AdminRefusal::NoPort)?;
        let srtp = self.srtp_policy(server.address);
        let mut negotiation = self.negotiation(port, srtp);
        let sdp = negotiation.offer(Direction::SendRecv);
        let invite = Dialled {
            dn,
            number,
            headers: &headers,
        };
        let dialog = self
            .place(now, &invite, &server, sdp)
            .expect("the agent and the number were looked at above");
        let id = self.next_call();
        let call = Call::new(Birth {
            id,
            dn: dn.to_owned(),
            dialog,
            site: self.sites.site_of(server.address),
            call_uuid: None,
            remote: Remote {
                number: number.to_owned(),
                ..Remote::default()
            },
            worker,
            port,
            negotiation,
            phase: Phase::Dialing {
                ringing: false,
                early: None,
                tried: vec![server.address],
                headers,
                gives_up_at: now + crate::limits::RINGING_MAX,
            },
            at: now,
            at_ms: self.clock.ms(now),
        });
        let number = number.to_owned();
        self.fact(Fact::CallOffered {
            call: call.reference(),
            outbound: true,
            number,
        });
        self.dialogs.insert(dialog, id);
        self.calls.insert(id, call);
        self.agents
            .get_mut(dn)
            .expect("looked up above")
            .calls
            .push(id);
        self.tell_worker(worker, MediaCommand::OpenPort { call: id, port });
        self.show(id);
        self.arm_call(id);
        Ok(id)
    }

    /// Sends the INVITE of a call to one SIP Server; `None` without such an agent, or where the number cannot be dialled.
    pub(crate) fn place(
        &mut self,
        now: Instant,
        call: &Dialled<'_>,
        server: &Server,
        sdp: Vec<u8>,
    ) -> Option<DialogId> {
        let credentials = credentials(&self.agents.get(call.dn)?.config);
        let target = target(call.number, &server.domain)?;
        let invite = OutgoingInvite {
            dn: call.dn.to_owned(),
            target,
            to: server.address,
            transport: server.transport,
            sdp: Some(sdp),
            headers: call.headers.to_vec(),
            credentials,
        };
        Some(self.ua.invite(now, invite))
    }

    /// What stands in the way of a call of this agent. `instead` of her calls will be over when the new one is up.
    pub(crate) fn may_dial(&self, dn: &str, instead: usize) -> Result<(), AdminRefusal> {
        let agent = self.agents.get(dn).filter(|agent| !agent.removed);
        let agent = agent.ok_or(AdminRefusal::UnknownDn)?;
        let session = agent.session.as_ref().ok_or(AdminRefusal::NotSignedIn)?;
        if self.draining {
            return Err(AdminRefusal::Draining);
        }
        if instead == 0 && self.has_no_time_for_a_call(session.worker) {
            return Err(AdminRefusal::Overload);
        }
        if self.calls.len() >= self.config.policy.calls {
            return Err(AdminRefusal::Overload);
        }
        if agent.calls.len() >= self.config.policy.calls_per_agent + instead {
            return Err(AdminRefusal::Busy);
        }
        if !session.is_media_ready() {
            // The callee would answer to silence.
            return Err(AdminRefusal::MediaNotReady);
        }
        if self.registration_view(dn).state != RegistrationState::Registered {
            // SIP Server would not know whose call it is, and nobody could call the agent back.
            return Err(AdminRefusal::NotRegistered);
        }
        Ok(())
    }

    /// An 18x to the agent's INVITE. With a description it is early media, heard at once; the newest branch of a forked call that
    /// brings one is the one that is heard (`docs/dialling.md#early-media`). Without one it changes nothing of what is heard.
    pub(crate) fn on_progress(
        &mut self,
        now: Instant,
        id: CallId,
        fork: Option<Tag>,
        sdp: Option<Vec<u8>>,
    ) {
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Phase::Dialing { ringing, early, .. } = &mut call.phase else {
            return;
        };
        let first = !std::mem::replace(ringing, true);
        let mut negotiation = call.negotiation.clone();
        // A description that cannot be used is silence; the answer may bring a better one.
        if let Some(sdp) = sdp.filter(|sdp| negotiation.accept(sdp).is_ok()) {
            *early = Some(Box::new(Early {
                fork,
                negotiation,
                sdp,
                settled: false,
            }));
        }
        let reference = call.reference();
        let after = now.saturating_duration_since(call.created);
        if first {
            self.fact(Fact::CallRinging {
                call: reference,
                outbound: true,
                after,
            });
        }
        self.forget_stale_digits(id);
        self.update_media_of(id);
        self.show(id);
    }

    /// The callee answered. An answer without a description stands by the one that its branch sent before (RFC 3261 section
    /// 13.2.1); one that brings another one replaces it.
    pub(crate) fn on_dial_answered(
        &mut self,
        now: Instant,
        id: CallId,
        fork: Option<&Tag>,
        sdp: Option<Vec<u8>>,
    ) {
        let now_ms = self.clock.ms(now);
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Phase::Dialing { early, .. } = &mut call.phase else {
            return;
        };
        let early = early.take().filter(|early| early.fork.as_ref() == fork);
        call.phase = Phase::Up { acknowledged: true };
        // Where a REFER asked for it the word that nobody sent one would be there by now. A SIP Server that says nothing of the news leaves no agent unheard.
        call.prove();
        let settled = early.as_ref().is_some_and(|early| early.settled);
        let accepted = match (sdp.filter(|_| !settled), early) {
            (Some(sdp), _) => {
                let accepted = call.negotiation.accept(&sdp);
                accepted
                    .map(|agreed| (sdp, agreed))
                    .map_err(|error| cause_of(&error))
            }
            (None, Some(early)) => {
                let Early {
                    negotiation, sdp, ..
                } = *early;
                call.negotiation = negotiation;
                let agreed = call.negotiation.agreed().cloned();
                agreed.map(|agreed| (sdp, agreed)).ok_or(Cause::BadSdp)
            }
            (None, None) => Err(Cause::BadSdp),
        };
        match accepted {
            Ok((sdp, agreed)) => {
                call.remote_sdp = sdp;
                call.hold.settle(Direction::SendRecv, &agreed);
                call.talking = Some((now, now_ms));
                let reference = call.reference();
                self.fact(Fact::CallAnswered {
                    call: reference,
                    by: AnsweredBy::Agent,
                    talk_to_ok: None,
                });
                self.after_negotiation(now, id);
            }
            Err(cause) => self.end_call(now, id, End::from(cause)),
        }
    }

    /// The agent's call was refused, or nobody answered the INVITE, and no other SIP Server takes it.
    pub(crate) fn on_dial_failed(
        &mut self,
        now: Instant,
        id: CallId,
        status: Option<StatusCode>,
        reason: Option<&Reason>,
    ) {
        let cause = if status.is_some() {
            Cause::RemoteRejected
        } else {
            Cause::NoResponse
        };
        let reason = reason_text(reason).or_else(|| Some(status?.default_reason().to_owned()));
        let end = End {
            cause,
            sip_status: status.map(StatusCode::as_u16),
            reason,
        };
        self.on_remote_end(now, id, end);
    }
}

/// `sip:<number>@<domain>`; a number is what `control` lets through, and `#` is escaped as RFC 3261 section 25.1 asks.
pub(crate) fn target(number: &str, domain: &str) -> Option<Uri> {
    let number = control::dial_number(number).ok()?;
    let user = number.replace('#', "%23");
    Uri::parse(format!("sip:{user}@{domain}").as_bytes()).ok()
}
