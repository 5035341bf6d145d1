//! Transactions of RFC 3261 section 17: repetitions, their end, and who gets the answer.

use std::time::{Duration, Instant};

use super::agenda::Timer;
use super::io::{ConnectionId, Source};
use super::leg::{Destination, InvitePurpose, LegKey};
use super::limits::MAX_SERVER_TRANSACTIONS;
use super::machine::TServer;
use super::read::Incoming;
use super::referred::ReferralKey;
use super::text;
use super::write::{Frame, Reply};

/// Branch and method: a CANCEL has the branch of its INVITE.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ClientKey {
    pub(super) branch: String,
    pub(super) method: &'static str,
}

/// What a request of ours was for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    Invite(LegKey, InvitePurpose),
    /// NOTIFY talk or hold, on behalf of this T-Library request (none if SIP Server wants it itself).
    Notify {
        leg: LegKey,
        request: Option<&'static str>,
    },
    /// NOTIFY or INFO with digit `next` of `digits`; the event follows the last.
    Dtmf {
        leg: LegKey,
        digits: String,
        next: usize,
    },
    Bye(LegKey),
    /// PRACK of a provisional response.
    Prack(LegKey),
    Cancel,
    /// Out-of-service check.
    Options,
    /// REFER outside of any call.
    Refer(ReferralKey),
    /// REFER in the dialog of an endpoint that shall move.
    Move(LegKey),
    /// Progress of a REFER.
    ReferProgress,
    /// Whatever the answer, nothing follows from it.
    Aside(LegKey),
    /// UPDATE that refreshes the session of a dialog.
    Refresh(LegKey),
}

#[derive(Debug)]
pub(super) struct ClientTransaction {
    pub(super) purpose: Purpose,
    destination: Destination,
    bytes: Vec<u8>,
    interval: Duration,
    /// A provisional answer came.
    proceeding: bool,
    /// More than 100 came.
    ringing: bool,
    /// It was cancelled, or its dialog is gone: it ends after 64*T1 whatever was heard.
    abandoned: bool,
    /// The final answer came.
    done: bool,
    frame: Frame,
    cseq: u32,
    /// ACK of a refusal, for its repetitions.
    refusal_ack: Option<Vec<u8>>,
}

/// Branch, sent-by and method of a received request; ACK looks its INVITE up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ServerKey(String);

#[derive(Debug)]
pub(super) struct ServerTransaction {
    pub(super) request: Incoming,
    pub(super) source: Source,
    destination: Destination,
    invite: bool,
    leg: Option<LegKey>,
    response: Option<Vec<u8>>,
    pub(super) final_status: Option<u16>,
    acknowledged: bool,
    interval: Duration,
    ends: Option<Instant>,
}

impl ClientTransaction {
    /// The INVITE was cancelled: it no longer waits for ever. Gives what it was written with.
    pub(super) fn abandon(&mut self) -> Frame {
        self.abandoned = true;
        self.frame.clone()
    }
}

impl ServerTransaction {
    pub(super) fn leg(&self) -> Option<LegKey> {
        self.leg
    }
}

impl ServerKey {
    pub(super) fn of(message: &Incoming, method: &str) -> Self {
        let sent_by = message.via().split(';').next().unwrap_or_default();
        Self(format!("{method} {} {sent_by}", message.branch()))
    }
}

impl TServer {
    // Requests of ours.

    /// Sends a request and keeps it until its final answer.
    pub(super) fn start_client(
        &mut self,
        now: Instant,
        key: ClientKey,
        destination: Destination,
        (frame, cseq): (Frame, u32),
        bytes: Vec<u8>,
        purpose: Purpose,
    ) {
        let timers = self.config.timers;
        if !destination.transport.is_reliable() {
            self.later(now, timers.t1, Timer::ClientResend(key.clone()));
        }
        self.later(now, timers.lifetime(), Timer::ClientEnd(key.clone()));
        self.clients.insert(
            key,
            ClientTransaction {
                purpose,
                destination,
                bytes: bytes.clone(),
                interval: timers.t1,
                proceeding: false,
                ringing: false,
                abandoned: false,
                done: false,
                frame,
                cseq,
                refusal_ack: None,
            },
        );
        self.transmit(destination, bytes);
    }

    pub(super) fn client_resend(&mut self, now: Instant, key: &ClientKey) {
        let t2 = self.config.timers.t2;
        let Some(client) = self.clients.get_mut(key) else {
            return;
        };
        let invite = key.method == "INVITE";
        if client.done || (invite && client.proceeding) {
            return;
        }
        client.interval = client.interval.saturating_mul(2);
        if !invite {
            client.interval = if client.proceeding {
                t2
            } else {
                client.interval.min(t2)
            };
        }
        let (destination, bytes) = (client.destination, client.bytes.clone());
        let interval = client.interval;
        self.later(now, interval, Timer::ClientResend(key.clone()));
        self.transmit(destination, bytes);
    }

    /// Nobody knows what was read of a stream that is gone: what waits for its answer is sent once more on another one.
    pub(super) fn send_again(&mut self, lost: ConnectionId) {
        let by = |destination: &Destination| destination.connection == Some(lost);
        for server in self.servers.values_mut() {
            let gone = server.destination.connection.take_if(|it| *it == lost);
            let sent_by = server.request.sent_by();
            let elsewhere = gone.and(sent_by).filter(|_| self.config.answers_elsewhere);
            if let Some(sent_by) = elsewhere {
                server.destination.to.set_port(sent_by.port());
            }
        }
        let waiting = self
            .clients
            .values_mut()
            .filter(|client| by(&client.destination));
        let mut again = Vec::new();
        for client in waiting {
            client.destination.connection = None;
            if !client.done {
                again.push((client.destination, client.bytes.clone()));
            }
        }
        for (destination, bytes) in again {
            self.transmit(destination, bytes);
        }
    }

    /// Timer B, F or D.
    pub(super) fn client_end(&mut self, now: Instant, key: &ClientKey) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        // An INVITE that rings is bounded by no-answer supervision, not by Timer B.
        let rings = client.proceeding && !client.done && !client.abandoned;
        if key.method == "INVITE" && rings {
            return;
        }
        if let Some(client) = self.clients.remove(key).filter(|client| !client.done) {
            self.no_final_answer(now, client.purpose);
        }
    }

    pub(super) fn client_trying(&mut self, now: Instant, key: &ClientKey) {
        let waits = self
            .clients
            .get(key)
            .is_some_and(|client| !client.ringing && !client.done);
        if let Some(client) = waits.then(|| self.clients.remove(key)).flatten() {
            self.no_final_answer(now, client.purpose);
        }
    }

    pub(super) fn take_response(&mut self, now: Instant, status: u16, message: &Incoming) {
        let method = match message.cseq_method.as_str() {
            "INVITE" => "INVITE",
            "NOTIFY" => "NOTIFY",
            "BYE" => "BYE",
            "CANCEL" => "CANCEL",
            "INFO" => "INFO",
            "OPTIONS" => "OPTIONS",
            "PRACK" => "PRACK",
            "REFER" => "REFER",
            "UPDATE" => "UPDATE",
            "MESSAGE" => "MESSAGE",
            "SUBSCRIBE" => "SUBSCRIBE",
            _ => return,
        };
        let key = ClientKey {
            branch: message.branch().to_owned(),
            method,
        };
        let trying = self.config.timers.trying;
        let Some(client) = self.clients.get_mut(&key) else {
            return;
        };
        if client.done {
            self.repeated_answer(&key, status, message);
            return;
        }
        if status < 200 {
            let first = !client.proceeding;
            client.proceeding = true;
            client.ringing |= status > 100;
            let purpose = client.purpose.clone();
            if first && status == 100 && method == "INVITE" {
                self.later(now, trying, Timer::Trying(key));
            }
            if let (true, Purpose::Invite(leg, purpose)) = (status > 100, purpose) {
                self.provisional(now, leg, &purpose, message);
            }
            return;
        }
        client.done = true;
        let purpose = client.purpose.clone();
        let destination = client.destination;
        if method == "INVITE" {
            if status >= 300 {
                let ack = client
                    .frame
                    .ack_refusal(client.cseq, &key.branch, message.to());
                client.refusal_ack = Some(ack.clone());
                self.transmit(destination, ack);
            } else if let Purpose::Invite(leg, _) = &purpose
                && let Some(leg) = self.legs.get_mut(leg)
            {
                leg.told.clone_from(&client.frame.call_uuid);
            }
            // Timer D, and for 2xx the time in which it may be repeated.
            let lifetime = self.config.timers.lifetime();
            self.later(now, lifetime, Timer::ClientEnd(key));
        } else {
            self.clients.remove(&key);
        }
        self.final_answer(now, purpose, status, message);
    }

    fn repeated_answer(&mut self, key: &ClientKey, status: u16, message: &Incoming) {
        let Some(client) = self.clients.get(key) else {
            return;
        };
        let again = match (&client.purpose, status) {
            (Purpose::Invite(leg, _), 200..300) => self.legs.get(leg).and_then(|leg| {
                let bytes = leg.acks.get(&message.cseq)?;
                Some((leg.destination, bytes.clone()))
            }),
            (_, 300..) => client
                .refusal_ack
                .clone()
                .map(|bytes| (client.destination, bytes)),
            _ => None,
        };
        if let Some((destination, bytes)) = again {
            self.transmit(destination, bytes);
        }
    }

    /// Stops every repetition inside a dialog that is over. CANCEL and BYE go on.
    pub(super) fn forget_requests_of(&mut self, leg: LegKey) {
        self.clients.retain(|_, client| match &client.purpose {
            Purpose::Notify { leg: of, .. }
            | Purpose::Dtmf { leg: of, .. }
            | Purpose::Prack(of)
            | Purpose::Aside(of)
            | Purpose::Refresh(of)
            | Purpose::Move(of) => *of != leg,
            _ => true,
        });
    }

    // Requests of endpoints.

    /// Is it a repetition? Then what was answered is answered again.
    pub(super) fn repeated_request(&mut self, message: &Incoming, method: &str) -> bool {
        let key = ServerKey::of(message, method);
        let known = self.servers.contains_key(&key);
        if known {
            self.repeat_response(&key);
        }
        known
    }

    /// Sends the last response of a request once more.
    pub(super) fn repeat_response(&mut self, key: &ServerKey) {
        let Some(server) = self.servers.get(key) else {
            return;
        };
        if let Some(bytes) = server.response.clone() {
            let destination = server.destination;
            self.transmit(destination, bytes);
        }
    }

    /// Begins a server transaction; `None` when there are too many.
    pub(super) fn start_server(
        &mut self,
        source: Source,
        message: &Incoming,
        method: &str,
    ) -> Option<ServerKey> {
        if self.servers.len() >= MAX_SERVER_TRANSACTIONS {
            return None;
        }
        let key = ServerKey::of(message, method);
        let server = ServerTransaction {
            request: message.clone(),
            source,
            destination: answer_destination(source, message),
            invite: method == "INVITE",
            leg: None,
            response: None,
            final_status: None,
            acknowledged: false,
            interval: self.config.timers.t1,
            ends: None,
        };
        self.servers.insert(key.clone(), server);
        Some(key)
    }

    pub(super) fn set_server_leg(&mut self, key: &ServerKey, leg: LegKey) {
        if let Some(server) = self.servers.get_mut(key) {
            server.leg = Some(leg);
        }
    }

    /// Answers a request.
    pub(super) fn respond(&mut self, now: Instant, key: &ServerKey, mut reply: Reply<'_>) {
        let timers = self.config.timers;
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        if server.final_status.is_some() {
            return;
        }
        reply.received = Some(server.source.remote.ip());
        let bytes = reply.to(&server.request);
        server.response = Some(bytes.clone());
        let destination = server.destination;
        if reply.status >= 200 {
            server.final_status = Some(reply.status);
            server.ends = Some(now + timers.lifetime());
            let reliable = destination.transport.is_reliable();
            if server.invite && (reply.status < 300 || !reliable) {
                self.later(now, timers.t1, Timer::ServerResend(key.clone()));
            }
            self.later(now, timers.lifetime(), Timer::ServerEnd(key.clone()));
        }
        self.transmit(destination, bytes);
    }

    pub(super) fn server_resend(&mut self, now: Instant, key: &ServerKey) {
        let t2 = self.config.timers.t2;
        let Some(server) = self.servers.get_mut(key) else {
            return;
        };
        if server.acknowledged {
            return;
        }
        server.interval = server.interval.saturating_mul(2).min(t2);
        let (destination, interval) = (server.destination, server.interval);
        if let Some(bytes) = server.response.clone() {
            self.later(now, interval, Timer::ServerResend(key.clone()));
            self.transmit(destination, bytes);
        }
    }

    pub(super) fn server_end(&mut self, now: Instant, key: &ServerKey) {
        let Some(server) = self.servers.remove(key) else {
            return;
        };
        let accepted = server.final_status.is_some_and(|status| status < 300);
        if let (true, true, false, Some(leg)) =
            (server.invite, accepted, server.acknowledged, server.leg)
        {
            self.ack_missing(now, leg, key);
        }
    }

    /// An ACK: of a refusal by branch, of a 2xx by dialog.
    pub(super) fn take_ack(&mut self, now: Instant, message: &Incoming) {
        let key = ServerKey::of(message, "INVITE");
        let refused = self
            .servers
            .get_mut(&key)
            .filter(|server| server.final_status.is_some_and(|status| status >= 300));
        if let Some(server) = refused {
            server.acknowledged = true;
            return;
        }
        let Some(leg) = self.leg_of(message) else {
            return;
        };
        let Some(entry) = self.legs.get_mut(&leg) else {
            return;
        };
        let awaited = entry
            .awaiting_ack
            .take_if(|(cseq, _)| *cseq == message.cseq);
        let Some((_, key)) = awaited else {
            return;
        };
        if let Some(server) = self.servers.get_mut(&key) {
            server.acknowledged = true;
        }
        self.acknowledged(now, leg, message);
    }
}

/// Answers go to the source address, but to the port of the Via (no `rport`).
fn answer_destination(source: Source, message: &Incoming) -> Destination {
    let mut to = source.remote;
    if !source.transport.is_reliable() {
        to.set_port(message.sent_by().map_or_else(
            || via_port(message).unwrap_or(5060),
            |sent_by| sent_by.port(),
        ));
    }
    Destination {
        transport: source.transport,
        to,
        connection: source.connection,
    }
}

/// The port of a sent-by that is a name.
fn via_port(message: &Incoming) -> Option<u16> {
    let sent_by = message.via().split_whitespace().nth(1)?;
    let sent_by = sent_by.split(';').next()?;
    let host = text::address(sent_by);
    host.map(|address| address.port())
        .or_else(|| sent_by.rsplit_once(':')?.1.parse().ok())
}
