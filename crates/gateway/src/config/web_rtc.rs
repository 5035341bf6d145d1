//! `[webrtc]`: the side of the browsers.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::SecretString;
use serde::Deserialize;

/// The side of the browsers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebRtc {
    /// UDP address of the first media worker; each further worker takes the next port.
    pub listen: SocketAddr,
    /// TCP address for browsers whose network lets no UDP out (ICE over TCP), one for all media workers: port 443 passes where nothing else
    /// does. Unset, there is none.
    #[serde(default)]
    pub tcp_listen: Option<SocketAddr>,
    /// The addresses that browsers are told to send to. Needed when `listen` is not an address they can reach, or is `0.0.0.0`.
    #[serde(default)]
    pub advertise: Vec<IpAddr>,
    /// Codecs offered to browsers, in order: `pcmu`, `pcma`, `g722`, `opus`. A browser sends the first. For agents whose `codec_policy` is
    /// `opus`, Opus stands before them.
    #[serde(default = "g711")]
    pub codecs: Vec<Codec>,
    /// What agents' browsers speak unless `[[agents]]` says otherwise: `relay-first` (what the SIP side speaks, so that audio is handed over as
    /// it is) or `opus` (for networks that lose packets; costs a transcoding for each call that is not Opus on the SIP side).
    #[serde(default)]
    pub codec_policy: CodecPolicy,
    /// STUN and TURN servers named to the page in `welcome`. None is needed when browsers reach `advertise` directly.
    #[serde(default)]
    pub ice_servers: Vec<IceServer>,
    /// A TURN server that shares a secret with this gateway (coturn: `use-auth-secret`, `static-auth-secret`), for browsers that cannot reach
    /// `advertise`. Each page gets credentials of its own that end soon, and others in good time.
    #[serde(default)]
    pub turn: Option<Turn>,
}

/// A TURN server that shares a secret with this gateway.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// `turn:` or `turns:` addresses of one server: `["turn:turn.example.com?transport=udp", "turns:turn.example.com?transport=tcp"]`.
    pub urls: Vec<String>,
    /// The shared secret; or `secret_file`, or the environment variable `TALKBRIDGE_TURN_SECRET`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub secret: Option<SecretString>,
    /// A file that holds it.
    #[serde(default)]
    pub secret_file: Option<PathBuf>,
    /// How long credentials are good for, in seconds. Pages get new ones after half of it. TURN servers that end what they relay for
    /// credentials that have ended want more than the longest call.
    #[serde(default = "turn_ttl_s")]
    pub ttl_s: u32,
}

/// A STUN or TURN server for the page.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IceServer {
    /// `stun:`, `turn:` or `turns:` addresses of one server.
    pub urls: Vec<String>,
    /// The user name at a TURN server.
    #[serde(default)]
    pub username: Option<String>,
    /// The credential at a TURN server. It is given to every signed-in page: make it a short-lived or a worthless one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub credential: Option<SecretString>,
}

/// A codec by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722, 16 kHz.
    G722,
    /// Opus.
    Opus,
}

/// What an agent's browser speaks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CodecPolicy {
    /// What the SIP side speaks, wherever the browser has it: audio is handed over as it is.
    #[default]
    RelayFirst,
    /// Opus, which bears lost packets; audio is decoded and encoded again.
    Opus,
}

/// Longer than a shift, and worthless on the next day.
fn turn_ttl_s() -> u32 {
    12 * 3_600
}

/// What every browser and every SIP Server speaks.
pub(super) fn g711() -> Vec<Codec> {
    vec![Codec::Pcmu, Codec::Pcma]
}
