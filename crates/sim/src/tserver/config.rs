//! What the administrator of the simulated SIP Server configures: the application and its DNs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

/// The whole configuration of one simulated SIP Server.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address and port as written into Via, Contact, Call-ID and the `o=` line.
    pub advertise: SocketAddr,
    /// The SIP Proxy through which endpoints are reached (the DN `SIP Outbound Proxy`); `None` reaches them directly.
    pub outbound_proxy: Option<SocketAddr>,
    /// Unix time in seconds at the birth of the machine; the ids of `o=` lines count from it.
    pub unix_time_s: u64,
    /// Configured DNs by number. A REGISTER for another number is answered 404.
    pub dns: BTreeMap<String, DnConfig>,
    /// Behaviour of every number that is no DN: such numbers are customers.
    pub customer: CustomerConfig,
    /// Customers that behave in their own way, by number.
    pub customers: BTreeMap<String, CustomerConfig>,
    /// RTP addresses that model customers and the ports of the model Media Server may use, one for each at a time.
    pub customer_media: Vec<SocketAddr>,
    /// Delays that the machine adds on purpose.
    pub delays: Delays,
    /// RFC 3261 timer base values.
    pub timers: Timers,
    /// How REGISTER is treated.
    pub registrar: RegistrarConfig,
    /// Offerless re-INVITE to a destination right after its answer was acknowledged.
    pub reinvite_after_answer: bool,
    /// 100 to every request, not to INVITE alone (RFC 4320 advises against it; old servers do).
    pub trying_to_all: bool,
    /// `sip-enable-100rel`: 183 is reliable towards endpoints that support it.
    pub reliable_provisional: bool,
    /// The other site of a Business Continuity pair: where a 302 of a shutdown points to.
    pub peer_site: Option<SocketAddr>,
    /// Whoever transfers a call by REFER is told how the target rings (RFC 3515 section 2.4.4), and that it refuses; else of success at once.
    pub refer_progress: bool,
    /// An answer whose connection is gone goes by a new one to the address that its request named (RFC 3261 section 18.2.2); else nobody hears it. Which of both
    /// SIP Server does was not seen.
    pub answers_elsewhere: bool,
    /// The longest that anything rings (Timer C, RFC 3261 section 16.8), endpoint or customer; `None` rings for ever. It clears up what an
    /// endpoint has ended and could not tell.
    pub ring_max: Option<Duration>,
    /// Refresh sessions after half of `Session-Expires`, and end those that an endpoint ought to have refreshed.
    pub session_refresh: bool,
}

impl Config {
    /// A server at `advertise` with default behaviour and without DNs.
    #[must_use]
    pub fn new(advertise: SocketAddr) -> Self {
        Self {
            advertise,
            outbound_proxy: None,
            unix_time_s: 1_770_020_000,
            dns: BTreeMap::new(),
            customer: CustomerConfig::default(),
            customers: BTreeMap::new(),
            customer_media: Vec::new(),
            delays: Delays::default(),
            timers: Timers::default(),
            registrar: RegistrarConfig::default(),
            reinvite_after_answer: true,
            trying_to_all: false,
            reliable_provisional: true,
            peer_site: None,
            refer_progress: false,
            answers_elsewhere: false,
            ring_max: None,
            session_refresh: true,
        }
    }

    /// Adds a DN with the annex of a working agent DN.
    #[must_use]
    pub fn with_dn(mut self, dn: &str) -> Self {
        self.dns.insert(dn.to_owned(), DnConfig::default());
        self
    }
}

/// The annex of one DN (section `TServer`), as far as it shows on the wire.
#[derive(Debug, Clone)]
pub struct DnConfig {
    /// `sip-cti-control`: what the endpoint is asked for by NOTIFY.
    pub cti_control: CtiControl,
    /// `make-call-rfc3725-flow`.
    pub make_call_flow: MakeCallFlow,
    /// `password`; `None` accepts every request without a challenge.
    pub password: Option<String>,
    /// `authenticate-requests` holds `register` (only with a password).
    pub authenticate_register: bool,
    /// `authenticate-requests` holds `invite` (only with a password).
    pub authenticate_invite: bool,
    /// Whether the challenge offers `qop="auth"`.
    pub qop: bool,
    /// How DTMF reaches the endpoint when `dtmf` is not in `cti_control`.
    pub dtmf_by_info: bool,
    /// `no-answer-timeout`: CANCEL after this long of ringing. `None` rings for ever.
    pub no_answer_timeout: Option<Duration>,
    /// `dual-dialog-enabled`: a consultation has a dialog of its own; without it borrows the main call's.
    pub dual_dialog: bool,
    /// `sip-hold-rfc3264`: hold by `a=inactive` instead of 0.0.0.0.
    pub hold_rfc3264: bool,
    /// `reinvite-requires-hold`: a black hole goes before a re-INVITE to other media.
    pub reinvite_requires_hold: bool,
    /// `reuse-sdp-on-reinvite`: the other party's last description instead of a re-INVITE without SDP.
    pub reuse_sdp: bool,
    /// `record`: the Media Server comes in between when the call is answered.
    pub record: bool,
    /// A personal greeting of this length is played to the agent from the Media Server after the answer.
    pub greeting: Option<Duration>,
    /// `dr-forward`: which calls to the DN the peer site takes.
    pub dr_forward: DrForward,
    /// `reject-call-incall`: refuse a second call to a busy DN without asking the endpoint.
    pub reject_call_incall: bool,
    /// `reject-call-notready`: refuse calls to an agent who is not ready without asking the endpoint.
    pub reject_call_notready: bool,
    /// `recovery-timeout`: how long the DN is out of service behind an INVITE that failed.
    pub recovery_timeout: Option<Duration>,
    /// `refer-enabled`: TMakeCall is a REFER to the endpoint, which calls by itself.
    pub refer_enabled: bool,
    /// How the endpoint takes part in transfers in which it stays.
    pub transfer_by: TransferBy,
    /// INVITEs to the endpoint carry `Require: 100rel`.
    pub require_reliable: bool,
    /// Session timer (`session-refresh-interval` and its kind).
    pub session: SessionConfig,
    /// `oos-check`: OPTIONS to the registered endpoint this often.
    pub oos_check: Option<Duration>,
    /// `sip-alert-info` and its like: how INVITEs of calls to the DN want to ring.
    pub alert: Alert,
    /// `make-call-alert-info`: the same of the INVITE by which a TMakeCall begins.
    pub make_call_alert: Alert,
    /// `use-contact-as-dn`: whoever registers or calls is the user of Contact, whatever From and To say.
    pub use_contact_as_dn: bool,
}

impl Default for DnConfig {
    fn default() -> Self {
        Self {
            cti_control: CtiControl::default(),
            make_call_flow: MakeCallFlow::One,
            password: None,
            authenticate_register: true,
            authenticate_invite: false,
            qop: true,
            dtmf_by_info: true,
            no_answer_timeout: None,
            dual_dialog: true,
            hold_rfc3264: false,
            reinvite_requires_hold: false,
            reuse_sdp: false,
            record: false,
            greeting: None,
            dr_forward: DrForward::Off,
            reject_call_incall: false,
            reject_call_notready: false,
            recovery_timeout: None,
            refer_enabled: false,
            transfer_by: TransferBy::Reinvite,
            require_reliable: false,
            session: SessionConfig::default(),
            oos_check: None,
            alert: Alert::Plain,
            make_call_alert: Alert::Plain,
            use_contact_as_dn: false,
        }
    }
}

/// What an INVITE says about how it wants to ring, or whether it wants to be answered by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alert {
    /// Nothing.
    Plain,
    /// `Alert-Info` with a word that phones know a ring by.
    Ring(&'static str),
    /// `Alert-Info: ...;info=alert-autoanswer`.
    AutoAnswer,
    /// `Alert-Info: ring answer`.
    RingAnswer,
    /// `Call-Info: ...;answer-after=N`, in seconds.
    AnswerAfter(u32),
}

impl Alert {
    /// The header, where there is one.
    pub(super) fn line(self) -> Option<(&'static str, String)> {
        let alert = |value: String| Some(("Alert-Info", value));
        match self {
            Self::Plain => None,
            Self::Ring(word) => alert(format!("<http://127.0.0.1/ring>;info={word}")),
            Self::AutoAnswer => alert("<http://127.0.0.1/ring>;info=alert-autoanswer".to_owned()),
            Self::RingAnswer => alert("ring answer".to_owned()),
            Self::AnswerAfter(seconds) => Some((
                "Call-Info",
                format!("<http://127.0.0.1/>;answer-after={seconds}"),
            )),
        }
    }
}

/// `dr-forward`: when a call to a DN goes to the peer site of a Business Continuity pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DrForward {
    /// `off`.
    Off,
    /// `oos`: the DN has no binding here.
    OutOfService,
    /// `no-agent`: nobody is logged in at the DN here, registered or not.
    NoAgent,
}

/// What SIP Server asks for in `Session-Expires`, and how it refreshes (RFC 4028).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionConfig {
    /// Seconds; 1800 seen.
    pub interval_s: u32,
    /// SIP Server refreshes (`refresher=uac`, seen); else the endpoint is to.
    pub refreshes: bool,
    /// A refresh repeats the last description; without SDP otherwise.
    pub with_sdp: bool,
    /// A refresh is an UPDATE without SDP (RFC 4028 section 9).
    pub by_update: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            interval_s: 1_800,
            refreshes: true,
            with_sdp: false,
            by_update: false,
        }
    }
}

/// `sip-cti-control`: the event packages that the endpoint obeys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CtiControl {
    /// TAnswerCall and TRetrieveCall become `NOTIFY Event: talk`.
    pub talk: bool,
    /// THoldCall becomes `NOTIFY Event: hold`; otherwise a re-INVITE with `c=0.0.0.0`.
    pub hold: bool,
    /// TSendDTMF becomes `NOTIFY Event: dtmf`.
    pub dtmf: bool,
    /// A supervisor who joins is announced by `NOTIFY Event: beep`.
    pub beep: bool,
}

impl Default for CtiControl {
    fn default() -> Self {
        Self {
            talk: true,
            hold: true,
            dtmf: true,
            beep: true,
        }
    }
}

/// What the endpoint of a party that stays in a transfer is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferBy {
    /// Nothing but new media, by re-INVITE.
    Reinvite,
    /// `transfer-complete-by-refer`: to call the other party itself, by a REFER in its dialog.
    Refer,
    /// `sip-replaces-mode`: to take a new call for the one that it has, by an INVITE with `Replaces`.
    Replaces,
}

/// `make-call-rfc3725-flow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MakeCallFlow {
    /// The originator's ACK is withheld until the destination has answered.
    One,
    /// The originator is acknowledged at once with a black hole and re-INVITEd later.
    Two,
}

/// How a customer takes a call that is made to his number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomerConfig {
    /// How long he rings before `then`.
    pub ring: Duration,
    /// What he does then.
    pub then: CustomerAnswer,
    /// His network plays ring-back until then: an endpoint that calls him gets 183 with a description.
    pub early_media: bool,
    /// His number rings at a second phone too, which nobody answers: an endpoint that calls him gets the 18x of another branch as well.
    pub forks: bool,
    /// His phone describes telephone events; without them SIP Server tells of his keys by INFO.
    pub telephone_event: bool,
}

impl Default for CustomerConfig {
    fn default() -> Self {
        Self {
            ring: Duration::from_millis(1500),
            then: CustomerAnswer::Answer,
            early_media: false,
            forks: false,
            telephone_event: true,
        }
    }
}

/// What a called customer does after ringing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerAnswer {
    /// He answers.
    Answer,
    /// He rings on for ever.
    Never,
    /// He, or his network, refuses with this SIP status code.
    Refuse(u16),
}

/// Delays as they were seen on a live site.
#[derive(Debug, Clone, Copy)]
pub struct Delays {
    /// From the 200 of a called endpoint to its ACK (88 ms seen).
    pub ack: Duration,
    /// From that ACK to the offerless re-INVITE (12 ms seen).
    pub reinvite: Duration,
    /// From an endpoint's offer in a 200 to the ACK with the customer's answer (142 ms seen).
    pub customer_answer: Duration,
    /// From the 202 of a REFER to the first word of the target's network.
    pub first_news: Duration,
}

impl Default for Delays {
    fn default() -> Self {
        Self {
            ack: Duration::from_millis(88),
            reinvite: Duration::from_millis(12),
            customer_answer: Duration::from_millis(142),
            first_news: Duration::from_millis(60),
        }
    }
}

/// RFC 3261 section 17.1.1.1 base timers.
#[derive(Debug, Clone, Copy)]
pub struct Timers {
    /// Round trip estimate.
    pub t1: Duration,
    /// Longest interval between repetitions outside INVITE.
    pub t2: Duration,
    /// Only 100 received for this long: the INVITE has failed (`sip-trying-timeout`).
    pub trying: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1: Duration::from_millis(500),
            t2: Duration::from_secs(4),
            trying: Duration::from_secs(32),
        }
    }
}

impl Timers {
    /// `64*T1`: the life of a transaction, and of an unacknowledged 200.
    #[must_use]
    pub fn lifetime(&self) -> Duration {
        self.t1.saturating_mul(64)
    }
}

/// How REGISTER is treated.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistrarConfig {
    /// Shorter requests are answered 423 with `Min-Expires`.
    pub min_expires_s: Option<u32>,
}
