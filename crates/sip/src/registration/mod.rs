//! The registration of one DN at one SIP Server (RFC 3261 section 10).
//!
//! A machine that builds REGISTER requests and judges their answers; sending them, and waiting its
//! turn among thousands, is the business of the user agent.

#[cfg(feature = "coverage")]
mod coverage;
mod pacer;
pub mod words;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

pub(crate) use pacer::{Lane, Pacer};
pub use words::RegistrationFault;

use crate::digest::{Challenge, Credentials};
use crate::ids::IdSource;
use crate::ua::limits::{
    REASON_BYTES_MAX, REGISTRATION_EXPIRES_S_MAX, REGISTRATION_EXPIRES_S_MIN, RETRY_AFTER_S_MAX,
};
use crate::ua::{
    Answered, ConnectionId, RegisterDn, RegistrationPolicy, RegistrationState, RegistrationStatus,
    Source, TransactionId,
};
use crate::{CallId, HeaderName, Host, Method, NameAddr, Request, Response, StatusCode, Tag, Uri};

/// What the user agent has to do after an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Send another REGISTER at once: an answer to a challenge, or a longer expiry.
    Again,
    /// Register from the beginning, when its turn has come.
    Start,
    /// Come back then.
    Wait(Instant),
    /// The registration is over; forget it.
    Over,
}

/// What the registration is about to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Waits for its turn to send.
    Queued,
    /// A REGISTER is on its way since then.
    InFlight(TransactionId, Instant),
    /// Waits for its refresh or its next try.
    Resting,
}

/// Attempts within one chain of challenges.
#[derive(Debug, Clone, Copy, Default)]
struct Chain {
    answered: Answered,
    lengthened: bool,
}

/// A challenge in use. Its nonce is used again with a higher count, so that a refresh costs one
/// round trip.
#[derive(Debug)]
struct Proof {
    challenge: Challenge,
    cnonce: String,
    uses: u32,
    header: HeaderName,
}

/// What all REGISTERs of one DN at one registrar have in common from the process's start to its end (RFC 3261 section 10.2.4): a copy of
/// an earlier one that comes late is told by it, and changes nothing (section 10.3, step 7). The domain is the registrar's name: hosts of one domain,
/// as those of a proxy are, have one registrar behind them, and each may keep a copy back.
#[derive(Debug)]
pub(crate) struct Series {
    call_id: CallId,
    cseq: u32,
}

/// One DN at one SIP Server.
#[derive(Debug)]
pub(crate) struct Registration {
    order: RegisterDn,
    aor: Uri,
    contact: Vec<u8>,
    contact_uri: Uri,
    address: SocketAddr,
    series: Series,
    from_tag: Tag,
    phase: Phase,
    /// The application wants it gone.
    leaving: bool,
    chain: Chain,
    /// The last challenge, to be answered in each request until it fails.
    proof: Option<Proof>,
    /// The realm of the registrar's challenges: the one that our credentials are for.
    realm: Option<Vec<u8>>,
    /// The REGISTER on its way has `Expires: 0`.
    farewell: bool,
    /// The stream on which SIP Server answered last.
    connection: Option<ConnectionId>,
    asked_s: u32,
    /// Until when the last 200 that listed us holds.
    bound_until: Option<Instant>,
    /// When the last 200 that listed us came.
    confirmed_at: Option<Instant>,
    failures: u32,
    status: RegistrationStatus,
}

impl Registration {
    /// `None` when the domain or the DN makes no URI. `former` is the series of the DN's last registration in this domain.
    pub(crate) fn new(
        order: RegisterDn,
        address: SocketAddr,
        policy: &RegistrationPolicy,
        former: Option<Series>,
        ids: &mut IdSource,
    ) -> Option<Self> {
        let domain = Uri::parse(format!("sip:{}", order.domain).as_bytes()).ok()?;
        let host = domain.host()?.clone();
        if domain.user().is_some() || order.dn.is_empty() {
            return None;
        }
        let aor = Uri::sip(Some(order.dn.as_bytes()), &host, domain.port()).ok()?;
        let own = address.ip().into();
        let contact_uri = Uri::sip(Some(order.dn.as_bytes()), &own, Some(address.port())).ok()?;
        let contact = format!("<{contact_uri}{}>", order.transport.contact_param()).into_bytes();
        let contact_uri = match order.transport.contact_param().split_once('=') {
            Some((_, value)) => contact_uri.with_param("transport", Some(value.as_bytes())),
            None => contact_uri,
        };
        let status = RegistrationStatus {
            state: RegistrationState::Registering,
            sip_status: None,
            reason: String::new(),
            fault: None,
            server: order.server,
            expires_s: None,
            note: None,
        };
        let asked_s = policy
            .expires_s
            .clamp(REGISTRATION_EXPIRES_S_MIN, REGISTRATION_EXPIRES_S_MAX);
        Some(Self {
            series: former.unwrap_or_else(|| Series {
                call_id: ids.call_id(&own),
                cseq: 0,
            }),
            from_tag: ids.tag(),
            order,
            aor,
            contact,
            contact_uri,
            address,
            phase: Phase::Queued,
            leaving: false,
            chain: Chain::default(),
            proof: None,
            realm: None,
            farewell: false,
            connection: None,
            asked_s,
            bound_until: None,
            confirmed_at: None,
            failures: 0,
            status,
        })
    }

    /// For the DN's next registration.
    pub(crate) fn into_series(self) -> Series {
        self.series
    }

    pub(crate) fn order(&self) -> &RegisterDn {
        &self.order
    }

    pub(crate) fn status(&self) -> &RegistrationStatus {
        &self.status
    }

    pub(crate) fn is_in_flight(&self) -> bool {
        self.in_flight().is_some()
    }

    /// Whether it does what `order` asks for and will go on doing it.
    pub(crate) fn is_for(&self, order: &RegisterDn) -> bool {
        !self.leaving && self.does(order)
    }

    fn does(&self, order: &RegisterDn) -> bool {
        let ours = &self.order;
        ours.server == order.server
            && ours.transport == order.transport
            && ours.domain == order.domain
            && ours.credentials == order.credentials
    }

    /// The stream to SIP Server, while it is open.
    pub(crate) fn connection(&self) -> Option<ConnectionId> {
        self.connection
    }

    /// SIP Server has answered by this way.
    pub(crate) fn came_by(&mut self, source: &Source) {
        self.connection = source.connection;
    }

    /// The credentials for `realm`, when its registrar asked for that very realm.
    pub(crate) fn credentials_for(&self, realm: &[u8]) -> Option<&Credentials> {
        let same = self.realm.as_deref() == Some(realm);
        self.order.credentials.as_ref().filter(|_| same)
    }

    /// `host[:port]` of the address of record.
    pub(crate) fn aor(&self) -> &Uri {
        &self.aor
    }

    /// The REGISTER on its way.
    pub(crate) fn in_flight(&self) -> Option<TransactionId> {
        match self.phase {
            Phase::InFlight(transaction, _) => Some(transaction),
            Phase::Queued | Phase::Resting => None,
        }
    }

    /// Since when a REGISTER waits for its answer.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::InFlight(_, since) => Some(since),
            Phase::Queued | Phase::Resting => None,
        }
    }

    /// A REGISTER has been sent.
    pub(crate) fn sent(&mut self, now: Instant, transaction: TransactionId) {
        self.phase = Phase::InFlight(transaction, now);
    }

    /// Whether it rests between two REGISTERs, so that the next may come earlier.
    fn may_come_earlier(&self) -> bool {
        self.phase == Phase::Resting && !self.leaving
    }

    /// Whether the next REGISTER may come earlier, and no 200 has listed us at or after `since`.
    pub(crate) fn is_older_than(&self, since: Instant) -> bool {
        self.may_come_earlier() && self.confirmed_at.is_none_or(|at| at < since)
    }

    /// The application wants the DN after all, while its farewell or an earlier REGISTER is on
    /// its way. Whether nothing else is to be done: the answer decides what follows, since two
    /// REGISTERs that overtake each other could leave the DN without a binding.
    pub(crate) fn stay(&mut self, order: &RegisterDn) -> bool {
        #[cfg(feature = "coverage")]
        self.cover("it is wanted again");
        let stays = self.is_in_flight() && self.does(order);
        if stays {
            self.leaving = false;
        }
        stays
    }

    /// A new chain begins: a start, a refresh or a farewell.
    pub(crate) fn begin(&mut self) {
        #[cfg(feature = "coverage")]
        self.cover("its time comes");
        self.chain = Chain::default();
        self.phase = Phase::Queued;
    }

    /// The next REGISTER, without Via.
    pub(crate) fn request(&mut self, user_agent: &str) -> Request {
        self.series.cseq = self.series.cseq.saturating_add(1);
        let registrar = format!("sip:{}", self.order.domain);
        let uri = Uri::parse(registrar.as_bytes()).unwrap_or_else(|_| self.aor.clone());
        let mut request = Request::new(Method::Register, uri);
        let headers = &mut request.headers;
        headers.push(HeaderName::MAX_FORWARDS, "70");
        headers.push(
            HeaderName::FROM,
            format!("<{}>;tag={}", self.aor, self.from_tag),
        );
        headers.push(HeaderName::TO, format!("<{}>", self.aor));
        headers.push(HeaderName::CALL_ID, self.series.call_id.as_bytes());
        headers.push(HeaderName::CSEQ, format!("{} REGISTER", self.series.cseq));
        headers.push(HeaderName::CONTACT, self.contact.clone());
        self.farewell = self.leaving;
        let expires_s = if self.leaving { 0 } else { self.asked_s };
        headers.push(HeaderName::EXPIRES, expires_s.to_string());
        if !user_agent.is_empty() {
            headers.push(HeaderName::USER_AGENT, user_agent);
        }
        self.authorize(&mut request);
        request
    }

    /// Adds the answer to the last challenge.
    fn authorize(&mut self, request: &mut Request) {
        let Some(credentials) = &self.order.credentials else {
            return;
        };
        let Some(proof) = &mut self.proof else { return };
        proof.uses = proof.uses.saturating_add(1);
        let (method, uri) = (&request.method, request.uri.as_bytes());
        let value = proof
            .challenge
            .answer(credentials, method, uri, &proof.cnonce, proof.uses);
        request.headers.push(proof.header.clone(), value);
    }

    /// The application wants the DN gone. Whether a REGISTER with `Expires: 0` has to be sent: it
    /// removes whatever binding there is, so it is only sent while the last 200 that listed us
    /// holds, never after another endpoint took the DN over.
    pub(crate) fn leave(&mut self, now: Instant) -> bool {
        #[cfg(feature = "coverage")]
        self.cover("it is wanted no more");
        self.leaving = true;
        let bound = self.is_bound(now);
        if !bound && !self.is_in_flight() {
            self.status.state = RegistrationState::Unregistered;
            self.status.expires_s = None;
        }
        bound
    }

    /// The last 200 that listed us holds.
    fn is_bound(&self, now: Instant) -> bool {
        self.bound_until.is_some_and(|until| until > now)
    }

    /// A final response.
    pub(crate) fn on_response(
        &mut self,
        now: Instant,
        response: &Response,
        policy: &RegistrationPolicy,
        ids: &mut IdSource,
    ) -> Next {
        #[cfg(feature = "coverage")]
        self.cover(self.answer(response));
        self.phase = Phase::Resting;
        self.status.sip_status = Some(response.status);
        self.note_translation(response);
        let status = response.status;
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::PROXY_AUTHENTICATION_REQUIRED
        {
            if self.takes_challenge(response, ids) {
                if self.leaving && !self.farewell && !self.is_bound(now) {
                    // Nothing of ours is there: `Expires: 0` would remove what another endpoint has.
                    self.status.state = RegistrationState::Unregistered;
                    return Next::Over;
                }
                return Next::Again;
            }
            return self.failed(now, response, policy, ids);
        }
        if status == StatusCode::INTERVAL_TOO_BRIEF && self.lengthens(response) {
            return Next::Again;
        }
        if status.is_success() {
            return self.accepted(now, response, policy, ids);
        }
        self.failed(now, response, policy, ids)
    }

    /// No final response: nobody answered, or the network refused the message.
    pub(crate) fn on_silence(
        &mut self,
        now: Instant,
        sent: bool,
        policy: &RegistrationPolicy,
        ids: &mut IdSource,
    ) -> Next {
        #[cfg(feature = "coverage")]
        self.cover(if sent { "silence" } else { "no way there" });
        self.phase = Phase::Resting;
        self.status.sip_status = None;
        let fault = if sent {
            RegistrationFault::Silent
        } else {
            RegistrationFault::Unreachable
        };
        let reason = fault.words(&self.order.dn, self.order.server, None);
        self.back_off(now, fault, reason, None, policy, ids)
    }

    /// Whether `connection`, which broke, was ours and has to be replaced: SIP Server needs a
    /// connection to call on.
    pub(crate) fn on_connection_lost(&mut self, connection: ConnectionId) -> bool {
        let ours = self.connection.take_if(|ours| *ours == connection);
        let registered = self.status.state == RegistrationState::Registered;
        ours.is_some() && registered && self.may_come_earlier()
    }

    /// At most one answer in a chain, plus one when the server says that only the nonce was old.
    fn takes_challenge(&mut self, response: &Response, ids: &mut IdSource) -> bool {
        self.proof = None;
        if self.order.credentials.is_none() {
            return false;
        }
        let Some(challenge) = Challenge::choose(&response.headers) else {
            return false;
        };
        let Some(answered) = self.chain.answered.next(challenge.is_stale()) else {
            return false;
        };
        self.chain.answered = answered;
        self.realm = Some(challenge.realm().to_vec());
        let header = if response.status == StatusCode::UNAUTHORIZED {
            HeaderName::AUTHORIZATION
        } else {
            HeaderName::PROXY_AUTHORIZATION
        };
        self.proof = Some(Proof {
            challenge,
            cnonce: ids.cnonce(),
            uses: 0,
            header,
        });
        true
    }

    /// 423 names the shortest expiry; asked for once in a chain.
    fn lengthens(&mut self, response: &Response) -> bool {
        let Ok(Some(wanted)) = response.headers.min_expires() else {
            return false;
        };
        let possible = wanted > self.asked_s && wanted <= REGISTRATION_EXPIRES_S_MAX;
        if !possible || self.leaving || self.chain.lengthened {
            return false;
        }
        self.chain.lengthened = true;
        self.asked_s = wanted;
        true
    }

    fn accepted(
        &mut self,
        now: Instant,
        response: &Response,
        policy: &RegistrationPolicy,
        ids: &mut IdSource,
    ) -> Next {
        self.failures = 0;
        if self.farewell {
            self.bound_until = None;
            self.status.expires_s = None;
            self.status.reason.clear();
            self.status.fault = None;
            if !self.leaving {
                self.status.state = RegistrationState::Registering;
                return Next::Start;
            }
            self.status.state = RegistrationState::Unregistered;
            return Next::Over;
        }
        let Some(granted_s) = self.granted_s(response) else {
            self.bound_until = None;
            let (dn, server) = (&self.order.dn, self.order.server);
            let (fault, reason) = match others(response) {
                Some(others) => (
                    RegistrationFault::TakenOver,
                    words::taken_over(dn, server, &others),
                ),
                None => (RegistrationFault::Refused, words::not_kept(dn, server)),
            };
            return self.back_off(now, fault, reason, None, policy, ids);
        };
        // Less than the minimum makes a storm, more than was asked for is not relied on.
        let expires_s = granted_s.clamp(REGISTRATION_EXPIRES_S_MIN, self.asked_s);
        let seconds = |s: u32| Duration::from_secs(u64::from(s));
        self.bound_until = Some(now + seconds(expires_s));
        self.confirmed_at = Some(now);
        self.status.state = RegistrationState::Registered;
        self.status.reason.clear();
        self.status.fault = None;
        self.status.expires_s = Some(expires_s);
        if self.leaving {
            // The application gave the DN up while this REGISTER was on its way.
            self.begin();
            return Next::Again;
        }
        let jitter = ids.jitter(Duration::ZERO..=seconds(expires_s) / 10);
        Next::Wait(now + (seconds(expires_s) * 2 / 3).saturating_sub(jitter))
    }

    /// What our Contact is granted, seconds; `None` when the response does not list it, or lists
    /// it as gone.
    fn granted_s(&self, response: &Response) -> Option<u32> {
        let contacts = response.headers.contacts().ok()?;
        let same = |contact: &&NameAddr| contact.uri.equivalent(&self.contact_uri);
        let leads_here = |contact: &&NameAddr| self.leads_here(&contact.uri);
        let mut all = contacts.iter();
        let ours = all.clone().find(same).or_else(|| all.find(leads_here))?;
        let own = ours.params.get("expires").map(number);
        let all = response.headers.expires().ok().flatten();
        Some(own.or(all).unwrap_or(self.asked_s)).filter(|granted_s| *granted_s > 0)
    }

    /// Whether calls to this Contact come to us: the DN at our address. What stands between us and the registrar may spell it in its own way, with the
    /// default port or without, the transport in capitals or left out, which by RFC 3261 section 19.1.4 is another URI, and nobody else's.
    fn leads_here(&self, uri: &Uri) -> bool {
        let port = uri.port().unwrap_or(self.order.transport.default_port());
        uri.user_unescaped().as_deref() == Some(self.order.dn.as_bytes())
            && uri.host().and_then(Host::ip) == Some(self.address.ip())
            && port == self.address.port()
    }

    fn failed(
        &mut self,
        now: Instant,
        response: &Response,
        policy: &RegistrationPolicy,
        ids: &mut IdSource,
    ) -> Next {
        let status = response.status;
        let fault = RegistrationFault::of_status(status, self.chain.answered.once)
            .unwrap_or(RegistrationFault::Refused);
        let reason = fault.words(&self.order.dn, self.order.server, Some(status));
        let wait = response.headers.retry_after().ok().flatten();
        let wait = wait.map(|s| s.min(RETRY_AFTER_S_MAX));
        self.back_off(now, fault, reason, wait, policy, ids)
    }

    /// Waits twice as long after each failure, by chance up to a half less, so that thousands of
    /// DNs do not come back in step.
    fn back_off(
        &mut self,
        now: Instant,
        fault: RegistrationFault,
        reason: String,
        retry_after_s: Option<u32>,
        policy: &RegistrationPolicy,
        ids: &mut IdSource,
    ) -> Next {
        self.status.expires_s = None;
        self.status.fault = Some(fault);
        if self.leaving {
            self.status.state = RegistrationState::Unregistered;
            self.status.reason = reason;
            return Next::Over;
        }
        self.status.state = RegistrationState::Failed;
        self.status.reason = reason;
        let doublings = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let longest = Duration::from_secs(u64::from(policy.retry_max_s.max(1)));
        let base = Duration::from_secs(u64::from(policy.retry_s.max(1)));
        let wait = base.saturating_mul(1 << doublings).min(longest);
        let wait = ids.jitter(wait / 2..=wait);
        let least = Duration::from_secs(u64::from(retry_after_s.unwrap_or(0)));
        // After Retry-After the DNs come back spread over a tenth of it, never before it.
        let least = ids.jitter(least..=least + least / 10);
        Next::Wait(now + wait.max(least))
    }

    /// `received` beside our Via tells what the other side sees.
    fn note_translation(&mut self, response: &Response) {
        let seen = response.headers.top_via().ok().and_then(|via| via.received);
        let ours = self.address.ip().to_canonical();
        let other = seen
            .map(|seen| seen.to_canonical())
            .filter(|seen| *seen != ours);
        self.status.note = other.map(|seen| words::translated(self.address, seen));
    }
}

/// The Contacts of a response, for a person to read; `None` where it has none.
fn others(response: &Response) -> Option<String> {
    let listed: Vec<String> = response
        .headers
        .list(&HeaderName::CONTACT)
        .map(|contact| contact.escape_ascii().to_string())
        .collect();
    if listed.is_empty() {
        return None;
    }
    let mut text = listed.join(", ");
    text.truncate(REASON_BYTES_MAX);
    Some(text)
}

/// Delta-seconds, also in quotes; what is too large for a number is as long as can be.
fn number(digits: &[u8]) -> u32 {
    let text = str::from_utf8(digits).unwrap_or_default();
    let text = text.trim_matches(|c: char| c == '"' || c.is_whitespace());
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return 0;
    }
    text.parse().unwrap_or(u32::MAX)
}
