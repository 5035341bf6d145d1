//! What the switchboard is told at birth.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::time::Duration;

use secrecy::SecretString;
use sip::HeaderName;
use sip::ua::{SiteId, Transport, UaConfig};

pub use crate::overload::OverloadPolicy;
pub use crate::turn::TurnConfig;

/// Everything the switchboard needs to know.
#[derive(Clone, Debug)]
pub struct Config {
    /// The SIP user agent: listening addresses, allowed peers, timers.
    pub sip: UaConfig,
    /// Where each DN is registered, in order of preference; never empty.
    pub sites: Vec<SiteConfig>,
    /// The SIP side of the media.
    pub media: MediaConfig,
    /// ICE servers handed to pages in `welcome`.
    pub ice_servers: Vec<control::IceServer>,
    /// The TURN server for whose use pages get credentials of their own.
    pub turn: Option<TurnConfig>,
    /// The agents.
    pub agents: Vec<AgentConfig>,
    /// Times, limits and choices an administrator may set.
    pub policy: Policy,
}

/// One SIP Server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its transport.
    pub transport: Transport,
    /// Its address.
    pub address: SocketAddr,
    /// Host part of the address of record: `192.0.2.81` or `192.0.2.81:5061`.
    pub domain: String,
}

/// SIP Servers of which one at a time holds the registrations: a primary and its backup, or a single one. With several sites a DN
/// is registered at each of them at the same time (Business Continuity).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// Shown to agents and administrators; `None` where there is only one site.
    pub name: Option<String>,
    /// In order of preference. Empty until [`crate::Input::SipServers`] names some, where a site is known by name only.
    pub servers: Vec<Server>,
}

/// How registrations move between the servers of a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailoverPolicy {
    /// What happens when a preferred server is back.
    pub failback: Failback,
    /// How long a preferred server has to answer before registrations go back to it.
    pub failback_after: Duration,
    /// How often each server is asked by OPTIONS whether it lives. `None` asks every [`Self::PROBE_INTERVAL`], and only where there is more
    /// than one server; zero never asks.
    pub probe_interval: Option<Duration>,
    /// How long a server may take to answer a probe before it counts as dead.
    pub answer_within: Duration,
    /// While no server of a site answers: the pause between two rounds of the list. It doubles.
    pub pause: Duration,
    /// The longest of those pauses.
    pub pause_max: Duration,
}

impl FailoverPolicy {
    /// Two unanswered repetitions and this are less than a caller's patience, and two servers cost nothing to ask.
    pub const PROBE_INTERVAL: Duration = Duration::from_secs(10);
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        Self {
            failback: Failback::Auto,
            failback_after: Duration::from_secs(30),
            probe_interval: None,
            answer_within: Duration::from_secs(4),
            pause: Duration::from_secs(5),
            pause_max: Duration::from_secs(300),
        }
    }
}

/// What happens when a preferred SIP Server is back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failback {
    /// Registrations go back to it.
    Auto,
    /// They stay where they are until that server fails.
    Stay,
}

/// The SIP side of the media.
#[derive(Clone, Debug)]
pub struct MediaConfig {
    /// Address in our SDP and of the RTP sockets.
    pub address: IpAddr,
    /// RTP and RTCP ports; pairs start at even ports.
    pub ports: RangeInclusive<u16>,
    /// Codecs in order of preference; never empty.
    pub codecs: Vec<sdp::Codec>,
    /// How it is secured.
    pub srtp: SrtpConfig,
    /// Number of media workers, at least 1.
    pub workers: usize,
    /// How long a released pair of ports rests, so that a late packet of one call never reaches the next.
    pub quarantine: Duration,
}

/// How the media of the SIP side is secured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SrtpConfig {
    /// Whether it is, where the site says nothing else.
    pub policy: sdp::SrtpPolicy,
    /// The same for each site that does, by its number.
    pub of_sites: BTreeMap<SiteId, sdp::SrtpPolicy>,
    /// By what, the preferred suite first; never empty where SRTP is not off.
    pub suites: Vec<sdp::CryptoSuite>,
}

impl Default for SrtpConfig {
    /// Off, with every suite for whoever changes that alone.
    fn default() -> Self {
        Self {
            policy: sdp::SrtpPolicy::Off,
            of_sites: BTreeMap::new(),
            suites: sdp::CryptoSuite::ALL.to_vec(),
        }
    }
}

/// Times, limits and choices an administrator may set.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How long session, registration and calls are kept after the page's connection is lost.
    pub resume_grace: Duration,
    /// How long an answer waits for the browser leg before the call fails.
    pub media_wait: Duration,
    /// Calls one DN may have at a time.
    pub calls_per_agent: usize,
    /// Calls of the whole gateway.
    pub calls: usize,
    /// From which load on a media worker gets no further calls.
    pub overload: OverloadPolicy,
    /// Which headers of SIP Server the page is shown, and which are believed.
    pub headers: HeaderPolicy,
    /// What becomes of digits where the other side takes no telephone events.
    pub dtmf_fallback: DtmfFallback,
    /// What OPTIONS for a DN is answered with.
    pub options: OptionsPolicy,
    /// What becomes of MESSAGE.
    pub messages: MessagePolicy,
    /// Which REFERs of SIP Server are obeyed.
    pub refer: ReferPolicy,
    /// How registrations move between SIP Servers.
    pub failover: FailoverPolicy,
    /// Whether BYE and its answer tell in `X-RTP-Stat` how the call's media was.
    pub rtp_stat: bool,
    /// Whether records of calls name the other party.
    pub record_numbers: bool,
    /// How calls are recorded; `None` where they are not.
    pub recording: Option<RecordingPolicy>,
}

/// How calls are recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordingPolicy {
    /// Every call, from the answer on; else those that somebody asks for.
    pub always: bool,
    /// Pages may ask for it, and pause it.
    pub agents_may: bool,
    /// Samples per second of each direction, 8000 or 16000.
    pub rate_hz: u32,
    /// Both parties are told by a beep at these intervals.
    pub beep: Option<Duration>,
    /// What files' names end in, with the dot.
    pub extension: &'static str,
}

/// What OPTIONS for a DN is answered with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OptionsPolicy {
    /// 200, whatever becomes of a call.
    #[default]
    AlwaysOk,
    /// What a call would be answered with: 200 while somebody is signed in, else 480; 404 for an unknown DN.
    SignedInOnly,
}

/// What becomes of MESSAGE (RFC 3428).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MessagePolicy {
    /// 405.
    #[default]
    Refuse,
    /// Its text is shown on the page.
    Show,
}

/// Which REFERs of SIP Server are obeyed; the others get 603 (`docs/transfer.md#sip-server-asks-us-to-call`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReferPolicy {
    /// Outside of calls (`refer-enabled`) and within them (`transfer-complete-by-refer`).
    #[default]
    All,
    /// Within calls only: nobody makes the agent's endpoint call out of the blue.
    WithinCalls,
    /// None.
    None,
}

impl ReferPolicy {
    /// Whether a REFER is obeyed that came within a call, or outside of any.
    pub(crate) fn obeys(self, within_call: bool) -> bool {
        match self {
            Self::All => true,
            Self::WithinCalls => within_call,
            Self::None => false,
        }
    }
}

/// What becomes of digits where telephone-event (RFC 4733) was not agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DtmfFallback {
    /// INFO with `application/dtmf-relay`.
    #[default]
    Info,
    /// Two sines in the audio.
    Inband,
    /// They are refused.
    None,
}

/// Which headers of SIP Server the page is shown, and which are believed.
#[derive(Clone, Debug)]
pub struct HeaderPolicy {
    /// `P-Asserted-Identity` (RFC 3325) names the caller where it is there. Whoever may speak SIP to us is trusted.
    pub trust_asserted_identity: bool,
    /// Headers shown as they are, beside those with a meaning of their own.
    pub pass: Vec<HeaderName>,
}

impl Default for HeaderPolicy {
    fn default() -> Self {
        Self {
            trust_asserted_identity: true,
            pass: Vec::new(),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            resume_grace: Duration::from_secs(30),
            media_wait: Duration::from_secs(5),
            calls_per_agent: 2,
            calls: 2_000,
            overload: OverloadPolicy::default(),
            headers: HeaderPolicy::default(),
            dtmf_fallback: DtmfFallback::default(),
            options: OptionsPolicy::default(),
            messages: MessagePolicy::default(),
            refer: ReferPolicy::default(),
            failover: FailoverPolicy::default(),
            rtp_stat: false,
            record_numbers: false,
            recording: None,
        }
    }
}

/// One agent DN.
#[derive(Clone, Debug)]
pub struct AgentConfig {
    /// The DN: the user part of its address of record.
    pub dn: String,
    /// Shown on the page.
    pub name: Option<String>,
    /// Digest password; `None` where SIP Server does not ask.
    pub password: Option<SecretString>,
    /// When the DN is registered.
    pub register: RegisterPolicy,
    /// Which calls are answered without anyone's click.
    pub auto_answer: AutoAnswer,
    /// What her browser speaks.
    pub codec_policy: CodecPolicy,
}

/// What an agent's browser speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CodecPolicy {
    /// What the SIP side speaks wherever it can: packets are handed over as they are, and nothing waits.
    #[default]
    RelayFirst,
    /// Opus, for agents on networks that lose packets.
    Opus,
}

/// When a DN is registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterPolicy {
    /// While its agent is signed in.
    OnSignIn,
    /// From start to end.
    Always,
}

/// Which calls are answered without anyone's click.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoAnswer {
    /// None.
    Never,
    /// Those whose INVITE asks for it: `Alert-Info`, `Call-Info: answer-after`, `Answer-Mode: Auto`.
    Headers,
    /// Every call.
    Always,
}
