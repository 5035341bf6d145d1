//! The sections of the configuration file.
//!
//! The documentation comments of this file are the text of `docs/configuration.md`: a test prints it from these types and
//! compares.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

use super::address::{DnsServer, PortRange, ServerAddress, SipListen, SipTransport};
use super::manners::{DtmfFallback, Messages, Options, Refer, Refuse};
use super::records::{Cdr, Recording};
use super::sites::{Failback, SipSite};
use super::srtp::{Srtp, SrtpSuite};
use super::web_rtc::{Codec, CodecPolicy, WebRtc};

/// The whole file.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The side of SIP Server: where we listen, whom we register at, whom we believe.
    pub sip: Sip,
    /// The side of the browsers: the UDP ports of WebRTC.
    pub webrtc: WebRtc,
    /// The media of the SIP side: RTP addresses, ports and codecs.
    pub media: Media,
    /// The listener of the agents' pages and WebSockets.
    pub http: Http,
    /// The listener of the administrators.
    #[serde(default)]
    pub admin: Admin,
    /// Who may sign in: the keys that sign agents' tokens.
    #[serde(default)]
    pub auth: Auth,
    /// Bounds on what callers, pages and strangers can make us keep.
    #[serde(default)]
    pub limits: Limits,
    /// Records of calls that are over.
    #[serde(default)]
    pub cdr: Cdr,
    /// Recordings of calls.
    #[serde(default)]
    pub recording: Recording,
    /// What is written to standard error.
    #[serde(default)]
    pub log: Log,
    /// One table per agent DN. Reloaded on SIGHUP.
    #[serde(default)]
    pub agents: Vec<Agent>,
}

/// The side of SIP Server: where we listen, whom we register at, whom we believe.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sip {
    /// Addresses to listen on: `udp:IP:port`, `tcp:IP:port`, `tls:IP:port`. With `tcp` or `tls` as transport SIP Server must
    /// be able to connect to us again after a broken connection, so a listener of that transport is required.
    pub listen: Vec<SipListen>,
    /// The IP address of ours that SIP Server reaches; written into Via and Contact together with the listening port. There must
    /// be no port translation on the way: SIP Server does not fill in `rport`.
    pub advertise: IpAddr,
    /// The SIP Servers in order of preference, as `IP:port`, `host:port`, or `domain` (RFC 3263: NAPTR, SRV and addresses are looked up,
    /// again whenever DNS says so): one of them at a time holds the registrations. SIP is accepted from these addresses only. Required
    /// unless there are `[[sip.sites]]`.
    #[serde(default)]
    pub servers: Vec<ServerAddress>,
    /// Several sites instead of `servers`, in order of preference: each DN is registered at all of them.
    #[serde(default)]
    pub sites: Vec<SipSite>,
    /// What happens when a preferred SIP Server is back: `auto` (registrations go back to it) or `stay`.
    #[serde(default)]
    pub failback: Failback,
    /// How long a preferred SIP Server has to answer before registrations go back to it, in seconds.
    #[serde(default = "default::failback_after_s")]
    pub failback_after_s: u32,
    /// How often each SIP Server is asked by OPTIONS whether it lives, in seconds; 0 never asks. 10 where there are several
    /// servers or sites, else 0, unless set.
    #[serde(default)]
    pub probe_interval_s: Option<u32>,
    /// How requests of ours travel to SIP Server: `udp`, `tcp` or `tls`. Unless set, `udp`, and for a `domain` of `servers` what DNS
    /// prefers (NAPTR) among those in `listen`.
    #[serde(default)]
    pub transport: Option<SipTransport>,
    /// The DNS servers that names in `servers` are looked up at: `IP` or `IP:port`. Those of the operating system (`/etc/resolv.conf`)
    /// unless set.
    #[serde(default)]
    pub resolvers: Vec<DnsServer>,
    /// Host, with an optional port, of the agents' addresses of record (`sip:DN@domain`). The server's entry in `servers` unless set.
    #[serde(default)]
    pub domain: Option<String>,
    /// The realm of SIP Server's challenges, where `authenticate-requests` of a DN holds `invite` without `register`: the realm is
    /// otherwise learned from the challenge to REGISTER, and a challenge in any other one is not answered.
    #[serde(default)]
    pub realm: Option<String>,
    /// The session timer that we ask for (RFC 4028), in seconds: a call whose other side has silently gone is ended after it. 0 asks for
    /// none; SIP Server's own wish is granted all the same.
    #[serde(default = "default::session_expires_s")]
    pub session_expires_s: u32,
    /// What a stranger hears: `silent` (nothing at all) or `forbidden` (403).
    #[serde(default)]
    pub refuse: Refuse,
    /// The User-Agent header of our requests.
    #[serde(default = "default::user_agent")]
    pub user_agent: String,
    /// What OPTIONS for a DN is answered with: `always_200`, or `signed_in_only` (what a call would get: 200 while somebody is signed in, else
    /// 480, and 404 for a DN that is not configured). With the latter and `oos-check` SIP Server puts a DN that nobody is signed in
    /// at out of service, also one that is registered always.
    #[serde(default)]
    pub options: Options,
    /// What becomes of instant messages (MESSAGE): `refuse` (405) or `show` (the page shows the text).
    #[serde(default)]
    pub messages: Messages,
    /// Which REFERs of SIP Server are obeyed: `all`, `within_calls` (those of `transfer-complete-by-refer`, but none that makes an agent's
    /// endpoint call somebody out of the blue, as `refer-enabled` does) or `none`. The others get 603.
    #[serde(default)]
    pub refer: Refer,
    /// Whether `P-Asserted-Identity` names the caller on the page, where it is there and `Privacy` lets it; else it is always From.
    #[serde(default = "default::yes")]
    pub trust_asserted_identity: bool,
    /// Headers of an INVITE that the page is shown as they are (`headers` of `call`), beside those that have a field of their own:
    /// `["X-Site"]`.
    #[serde(default)]
    pub pass_headers: Vec<String>,
    /// Whether BYE, and the answer to SIP Server's, tell in a header `X-RTP-Stat` how the audio of the SIP side was
    /// ([end-record.md](end-record.md#in-sip-messages)). They then wait for the last figures, for 0.2 s at most.
    #[serde(default)]
    pub rtp_stat: bool,
    /// How DNs are registered.
    #[serde(default)]
    pub register: Register,
    /// The base timers of RFC 3261; touch them in laboratories only.
    #[serde(default)]
    pub timers: Timers,
    /// How connections over TCP and TLS are kept alive, and a dead one is noticed.
    #[serde(default)]
    pub keep_alive: KeepAlive,
    /// Certificates of the SIP side; required when a `tls:` listener or `transport = "tls"` is set.
    #[serde(default)]
    pub tls: Option<SipTls>,
}

/// How DNs are registered.
#[derive(Debug, Clone, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Register {
    /// The life asked for, in seconds; SIP Server grants what is asked. Refreshed well before.
    pub expires_s: u32,
    /// Registrations a second, first ones and refreshes, so that ten thousand DNs do not start as one burst: in no second, wherever it begins, do more of
    /// them leave, and refreshes leave first. Where it is above 50, those that are due within 20 ms leave together; a start that comes late is made good by
    /// 100 ms at most, and never beyond the rate. The answer to a challenge and the repetition of what was lost come on top.
    pub start_rate_per_s: u32,
    /// The first pause after a failed registration, in seconds. It doubles with each further failure.
    pub retry_s: u32,
    /// The longest pause between two attempts, in seconds.
    pub retry_max_s: u32,
}

impl Default for Register {
    fn default() -> Self {
        Self {
            expires_s: 1800,
            start_rate_per_s: 200,
            retry_s: 10,
            retry_max_s: 300,
        }
    }
}

/// How a SIP connection over TCP or TLS is kept alive. UDP needs none of it: there is no translation of ports on the way.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct KeepAlive {
    /// Seconds of silence after which the operating system asks the other end whether it lives; 0 for never. A connection through
    /// a firewall that forgets idle ones is kept, and one whose other end is gone is noticed.
    pub tcp_s: u32,
    /// Seconds between two pings of line ends (RFC 5626 section 3.5.1); 0 for none. Only where the other side answers them: a
    /// connection whose ping stays without an answer for 10 s is closed and opened again.
    pub ping_s: u32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self {
            tcp_s: 60,
            ping_s: 0,
        }
    }
}

/// The base timers of RFC 3261 section 17.1.1.1, for laboratories.
#[derive(Debug, Clone, Copy, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timers {
    /// T1, the estimate of a round trip, in milliseconds.
    pub t1_ms: u32,
    /// T2, the longest interval between two transmissions of a request, in milliseconds.
    pub t2_ms: u32,
    /// T4, how long a message may stay in the network, in milliseconds.
    pub t4_ms: u32,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            t1_ms: 500,
            t2_ms: 4000,
            t4_ms: 5000,
        }
    }
}

/// Certificates of the SIP side.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SipTls {
    /// Our certificate chain, PEM. Read again on SIGHUP, like everything in this table.
    pub certificate_file: PathBuf,
    /// Its private key, PEM.
    pub key_file: PathBuf,
    /// The authorities that sign SIP Server's certificate, PEM. On connections that we open it must be signed by one of them; on
    /// connections that SIP Server opens a certificate is asked for, and one that is shown must be.
    pub ca_file: PathBuf,
    /// Mutual TLS: refuse connections whose opener shows no certificate. SIP Server must be set up to show its own.
    #[serde(default)]
    pub require_client_certificate: bool,
    /// The name in SIP Server's certificate; its IP address unless set.
    #[serde(default)]
    pub server_name: Option<String>,
}

/// The media of the SIP side.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// Our RTP address: bound, and written into the SDP.
    pub address: IpAddr,
    /// UDP ports for RTP and RTCP, lowest and highest; two for each call.
    #[serde(default = "default::ports")]
    pub ports: PortRange,
    /// Codecs on the SIP side, in order: `pcmu`, `pcma`, `g722`, `opus`. Of those that SIP Server offers, its first that is in this list is
    /// taken.
    #[serde(default = "super::web_rtc::g711")]
    pub codecs: Vec<Codec>,
    /// How digits reach a far end that takes no telephone events (RFC 4733): `info` (INFO with `application/dtmf-relay`), `inband` (the tones
    /// themselves, in the audio) or `none` (they are refused).
    #[serde(default)]
    pub dtmf_fallback: DtmfFallback,
    /// SRTP on the SIP side, with keys in the session description (RFC 4568): `off` (an offer of SRTP is refused with 488), `optional` (whoever can
    /// is secured) or `required` (plain RTP is refused with 488); see [srtp.md](srtp.md).
    #[serde(default)]
    pub srtp: Srtp,
    /// Crypto suites of SRTP on the SIP side, the preferred one first. Of those that an offer names, the first in this list is taken. Our own offers
    /// leave out those with a tag of 32 bits, unless there are no others.
    #[serde(default = "SrtpSuite::all")]
    pub srtp_suites: Vec<SrtpSuite>,
    /// Media workers, a thread each. 0 means one for each processor core but one, and at least one.
    #[serde(default)]
    pub workers: u16,
    /// How long a released pair of ports rests, in seconds, so that late packets of one call never reach the next.
    #[serde(default = "default::quarantine_s")]
    pub quarantine_s: u32,
}

/// The listener of the agents' pages and WebSockets.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// Address and port to listen on.
    pub listen: SocketAddr,
    /// Certificate chain, PEM; with `key_file` it makes the listener HTTPS and WSS. Reloaded on SIGHUP.
    #[serde(default)]
    pub certificate_file: Option<PathBuf>,
    /// Its private key, PEM. Reloaded on SIGHUP.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
    /// Says that plain HTTP beyond loopback is meant, because a proxy in front speaks TLS. Without it such a listener is warned
    /// of: browsers give no microphone to a page on plain HTTP, and tokens would cross the network in the open.
    #[serde(default)]
    pub insecure_http: bool,
    /// Origins (`https://desk.example.com`) whose pages may open the WebSocket besides our own. `"*"` allows every page.
    #[serde(default)]
    pub allowed_origins: Vec<String>,
    /// Whether a client that sends no Origin header, so no browser, may open the WebSocket with a valid token.
    #[serde(default = "default::yes")]
    pub allow_missing_origin: bool,
}

/// The listener of the administrators: health, metrics, agents, calls.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Address and port to listen on. Anything but loopback needs a token.
    pub listen: SocketAddr,
    /// The bearer token that every request to the listener must carry (`Authorization: Bearer ...`), `/livez` and `/readyz`
    /// excepted. Or set `token_file`, or the environment variable `TALKBRIDGE_ADMIN_TOKEN`.
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// A file that holds the bearer token.
    pub token_file: Option<PathBuf>,
    /// Says that plain HTTP beyond loopback is meant. Without it such a listener is warned of: the token crosses the network in the open, and so does
    /// what live taps hear.
    pub insecure_http: bool,
}

impl Default for Admin {
    fn default() -> Self {
        let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090);
        Self {
            listen,
            token: None,
            token_file: None,
            insecure_http: false,
        }
    }
}

/// Who may sign in.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Auth {
    /// Keys that sign agents' tokens: JWTs whose `sub` is the DN and whose `exp` is set. Any of the keys may have signed.
    /// Reloaded on SIGHUP.
    pub token_keys: Vec<TokenKey>,
}

/// One key that signs tokens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// The one algorithm this key is good for: `HS256`, `RS256` or `ES256`.
    pub alg: TokenAlgorithm,
    /// The key id (`kid`) that tokens of this key carry. A token that carries a `kid` is checked with the keys of that id only.
    #[serde(default)]
    pub kid: Option<String>,
    /// For `HS256`: the shared secret, 32 octets or more. Or set `secret_file`, or the environment variable
    /// `TALKBRIDGE_TOKEN_SECRET`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub secret: Option<SecretString>,
    /// For `HS256`: a file that holds the shared secret.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// For `RS256` and `ES256`: the public key, PEM.
    #[serde(default)]
    pub public_key_file: Option<PathBuf>,
    /// If set, the token's `iss` must be this.
    #[serde(default)]
    pub issuer: Option<String>,
    /// If set, the token's `aud` must hold this.
    #[serde(default)]
    pub audience: Option<String>,
}

/// The algorithms of tokens. `none` does not exist here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
pub enum TokenAlgorithm {
    /// HMAC with SHA-256 and a shared secret.
    #[serde(rename = "HS256")]
    Hs256,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(rename = "RS256")]
    Rs256,
    /// ECDSA with P-256 and SHA-256.
    #[serde(rename = "ES256")]
    Es256,
}

/// Bounds on what callers, pages and strangers can make us keep.
#[derive(Debug, Clone, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long a lost page may stay away before its calls end and its DN is unregistered, in seconds.
    pub resume_grace_s: u32,
    /// How long an answer waits for the agent's browser connection before the call fails, in seconds.
    pub media_wait_s: u32,
    /// Calls that one DN may have at a time: a call and its consultation, and on a wire that loses packets those whose BYE is late while
    /// SIP Server offers the next one already.
    pub calls_per_agent: usize,
    /// Calls in all. Where there are more agents, set it: who has not is warned.
    pub calls: usize,
    /// How busy a media worker may be, in percent of its time, before its agents get no further calls: new ones are refused with 503 until there
    /// is time again, so that those who talk go on being heard: from there on transcoded calls wait for one another. It is as well how much of a CPU quota
    /// (a container's limit, `CPUQuota=`) the process may take. 0 refuses every call (a drill), 100 none.
    pub media_busy_percent: u8,
    /// The same for its lateness: the share of its time, in percent, in which a packet would wait for 20 ms and more. It is what shows that other
    /// programs leave the worker too little of the processor.
    pub media_late_percent: u8,
    /// WebSockets at a time.
    pub web_sockets: usize,
    /// HTTP connections, WebSockets included, at a time from one address, and 16 times as many from one IPv6 network of 64 bits. A proxy or a terminal server is one
    /// address: behind it set the number of agents and some hundred more.
    pub http_connections_per_source: usize,
    /// Messages a second that a page may send in the long run; short bursts of four times as many are taken.
    pub messages_per_s: u32,
    /// SIP streams (TCP and TLS) at a time.
    pub sip_connections: usize,
    /// SIP transactions that are remembered, for repetitions of what was answered: four or more for a call, each for half a minute over UDP. The last
    /// quarter takes no new calls. One costs 2 KB at most.
    pub sip_transactions: usize,
    /// How long shutting down waits for calls to end by themselves, in seconds. 0 ends them at once.
    pub drain_s: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            resume_grace_s: 30,
            media_wait_s: 5,
            calls_per_agent: 4,
            calls: 2000,
            media_busy_percent: 80,
            media_late_percent: 5,
            web_sockets: 12_000,
            http_connections_per_source: 1024,
            messages_per_s: 20,
            sip_connections: 256,
            sip_transactions: 50_000,
            drain_s: 0,
        }
    }
}

/// What is written to standard error.
#[derive(Debug, Clone, Default, Deserialize, serde::Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`. Callers' numbers appear from `debug` on, SIP messages in `trace`.
    /// Reloaded on SIGHUP.
    pub level: Level,
    /// `text` for people, `json` for collectors.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// What somebody must act on.
    Error,
    /// What an administrator should see.
    Warn,
    /// The story of each call and registration.
    #[default]
    Info,
    /// With numbers of callers.
    Debug,
    /// With every message.
    Trace,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A line for people.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// One agent DN.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Agent {
    /// The number of the Extension DN in SIP Server's configuration.
    pub dn: String,
    /// The agent's name, for people.
    #[serde(default)]
    pub name: Option<String>,
    /// The password of the DN, if SIP Server asks for one. Or set `password_file`, or the environment variable
    /// `TALKBRIDGE_PASSWORD_<DN>`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub password: Option<SecretString>,
    /// A file that holds the password.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// When the DN is registered: `on_sign_in` (while a page is signed in) or `always`.
    #[serde(default)]
    pub register: RegisterWhen,
    /// Which calls are answered without a click: `never`, `headers` (those whose INVITE asks for it) or `always`.
    #[serde(default)]
    pub auto_answer: AutoAnswer,
    /// What her browser speaks: `relay-first` or `opus`. Unless set, what `[webrtc] codec_policy` says.
    #[serde(default)]
    pub codec_policy: Option<CodecPolicy>,
}

/// Which calls are answered without anyone's click.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutoAnswer {
    /// None.
    Never,
    /// Those whose INVITE asks for it: `Alert-Info`, `Call-Info` with `answer-after`, `Answer-Mode: Auto`.
    #[default]
    Headers,
    /// Every call.
    Always,
}

/// When a DN is registered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegisterWhen {
    /// While a page is signed in.
    #[default]
    OnSignIn,
    /// From start to end of the process.
    Always,
}

/// Values that serde asks for by path.
mod default {
    use super::PortRange;

    pub(super) fn failback_after_s() -> u32 {
        30
    }

    /// What SIP Server itself asks for.
    pub(super) fn session_expires_s() -> u32 {
        1_800
    }

    pub(super) fn user_agent() -> String {
        concat!("talkbridge/", env!("CARGO_PKG_VERSION")).to_owned()
    }

    pub(super) fn ports() -> PortRange {
        PortRange {
            first: 16384,
            last: 32767,
        }
    }

    pub(super) fn quarantine_s() -> u32 {
        30
    }

    pub(super) fn yes() -> bool {
        true
    }
}
