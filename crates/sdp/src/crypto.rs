//! `a=crypto`: keys of SRTP in a session description (RFC 4568), and the ring that our own come from.

use std::fmt;
use std::str::FromStr;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::base64;
use crate::codec::decimal;
use crate::limits;

/// Octets of the longest master key with its salt.
const KEY_MAX: usize = 32 + 14;

/// Digits of the longest tag (RFC 4568 section 9.1).
const TAG_DIGITS_MAX: usize = 9;

/// A crypto suite of SRTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CryptoSuite {
    /// AES-256 in Galois/counter mode (RFC 7714).
    AeadAes256Gcm,
    /// AES-128 in Galois/counter mode (RFC 7714).
    AeadAes128Gcm,
    /// AES-256 in counter mode, tag of 80 bits (RFC 6188).
    Aes256CmSha1_80,
    /// AES-256 in counter mode, tag of 32 bits (RFC 6188).
    Aes256CmSha1_32,
    /// AES-128 in counter mode, tag of 80 bits: the one that everybody has (RFC 4568 section 6.2.1).
    Aes128CmSha1_80,
    /// AES-128 in counter mode, tag of 32 bits (RFC 4568 section 6.2.2).
    Aes128CmSha1_32,
}

/// A name that is no suite of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown crypto suite; expected a name of RFC 4568, RFC 6188 or RFC 7714 such as AES_CM_128_HMAC_SHA1_80"
)]
pub struct UnknownSuite;

impl CryptoSuite {
    /// All of them, the strongest first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::Aes256CmSha1_80,
        Self::Aes128CmSha1_80,
        Self::Aes256CmSha1_32,
        Self::Aes128CmSha1_32,
    ];

    /// The registered name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::Aes256CmSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::Aes256CmSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::Aes128CmSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::Aes128CmSha1_32 => "AES_CM_128_HMAC_SHA1_32",
        }
    }

    /// Octets of its master key and master salt together.
    #[must_use]
    pub const fn key_and_salt_len(self) -> usize {
        match self {
            Self::AeadAes256Gcm => 32 + 12,
            Self::AeadAes128Gcm => 16 + 12,
            Self::Aes256CmSha1_80 | Self::Aes256CmSha1_32 => 32 + 14,
            Self::Aes128CmSha1_80 | Self::Aes128CmSha1_32 => 16 + 14,
        }
    }

    /// Whether our own offers name it. A tag of 32 bits is taken from who asks for it, and asked of nobody.
    const fn is_offered(self) -> bool {
        !matches!(self, Self::Aes256CmSha1_32 | Self::Aes128CmSha1_32)
    }
}

impl fmt::Display for CryptoSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for CryptoSuite {
    type Err = UnknownSuite;

    fn from_str(text: &str) -> Result<Self, UnknownSuite> {
        Self::ALL
            .into_iter()
            .find(|suite| suite.as_str().eq_ignore_ascii_case(text))
            .ok_or(UnknownSuite)
    }
}

/// What is wanted of SRTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SrtpPolicy {
    /// Plain RTP only.
    #[default]
    Off,
    /// SRTP with whoever can, plain RTP with the others (RFC 8643).
    Optional,
    /// SRTP with everybody.
    Required,
}

/// A master key with its salt. It is never printed but into a description.
#[derive(Clone, PartialEq, Eq)]
pub struct SrtpKey {
    octets: [u8; KEY_MAX],
    len: usize,
}

impl SrtpKey {
    /// Key and salt behind each other.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..self.len).unwrap_or_default()
    }

    fn decode(text: &[u8], len: usize) -> Option<Self> {
        let mut octets = [0; KEY_MAX];
        base64::decode(text, octets.get_mut(..len)?)?;
        Some(Self { octets, len })
    }
}

impl fmt::Debug for SrtpKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpKey(..)")
    }
}

/// The identifier that a peer's packets carry beside their tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyIdentifier {
    /// Its value.
    pub value: u64,
    /// Its octets on the wire, 1 to 128.
    pub octets: u8,
}

/// SRTP as an offer and its answer left it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgreedSrtp {
    /// The suite, both ways.
    pub suite: CryptoSuite,
    /// What we send is secured with this.
    pub ours: SrtpKey,
    /// What the peer sends is secured with this.
    pub theirs: SrtpKey,
    /// What the peer's packets carry beside their tag.
    pub their_identifier: Option<KeyIdentifier>,
}

/// An `a=crypto` line that we can use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CryptoLine {
    pub(crate) tag: u32,
    pub(crate) suite: CryptoSuite,
    pub(crate) key: SrtpKey,
    pub(crate) identifier: Option<KeyIdentifier>,
}

impl CryptoLine {
    /// Reads the value of the attribute. A line with a suite or a parameter that is not understood is to be passed over (RFC 4568 sections 6.3.7
    /// and 7.1.2), and so is one that breaks the grammar.
    pub(crate) fn parse(value: &[u8]) -> Option<Self> {
        let mut words = value
            .split(|byte| matches!(byte, b' ' | b'\t'))
            .filter(|word| !word.is_empty());
        let tag = words.next().filter(|tag| tag.len() <= TAG_DIGITS_MAX)?;
        let tag = decimal(tag)?;
        let suite = std::str::from_utf8(words.next()?).ok()?.parse().ok()?;
        let (key, identifier) = key_params(words.next()?, suite)?;
        words.all(session_param).then_some(Self {
            tag,
            suite,
            key,
            identifier,
        })
    }

    /// The usable lines of a media description; of two with one tag the first (a tag names one line, section 4.1).
    pub(crate) fn all<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<Self> {
        let mut lines: Vec<Self> = Vec::new();
        for line in values
            .take(limits::MAX_CRYPTO_LINES)
            .filter_map(Self::parse)
        {
            if !lines.iter().any(|known| known.tag == line.tag) {
                lines.push(line);
            }
        }
        lines
    }
}

/// `inline:<key||salt>["|" lifetime]["|" MKI ":" length]` (RFC 4568 section 6.1). Several keys, which an identifier would tell apart, are not
/// understood.
fn key_params(text: &[u8], suite: CryptoSuite) -> Option<(SrtpKey, Option<KeyIdentifier>)> {
    let (method, info) = text.split_at_checked("inline:".len())?;
    if !method.eq_ignore_ascii_case(b"inline:") || info.contains(&b';') {
        return None;
    }
    let mut parts = info.split(|byte| *byte == b'|');
    let key = SrtpKey::decode(parts.next()?, suite.key_and_salt_len())?;
    let mut part = parts.next();
    // How long the peer may use its key is for the peer to keep.
    if part.is_some_and(is_lifetime) {
        part = parts.next();
    }
    let identifier = match part {
        Some(text) => Some(identifier(text)?),
        None => None,
    };
    parts.next().is_none().then_some((key, identifier))
}

/// A number of packets, plain or as a power of two, up to 2^48.
fn is_lifetime(text: &[u8]) -> bool {
    match text.strip_prefix(b"2^") {
        Some(power) => decimal::<u8>(power).is_some_and(|power| power <= 48),
        None => decimal::<u64>(text).is_some_and(|packets| (1..=1 << 48).contains(&packets)),
    }
}

fn identifier(text: &[u8]) -> Option<KeyIdentifier> {
    let colon = text.iter().position(|byte| *byte == b':')?;
    let (value, octets) = text.split_at_checked(colon)?;
    let value: u64 = decimal(value)?;
    let octets: u8 = decimal(octets.strip_prefix(b":")?)?;
    let fits = octets >= 8 || value.checked_shr(8 * u32::from(octets)) == Some(0);
    ((1..=128).contains(&octets) && fits).then_some(KeyIdentifier { value, octets })
}

/// Whether a session parameter (RFC 4568 section 6.3) may stand on a line that we take. A hint about the replay window may: ours is wider. What
/// says that something is not encrypted or not authenticated, that keys are derived again, or that there is error correction, may not, nor what
/// is unknown unless its sender says that it may be passed over.
fn session_param(text: &[u8]) -> bool {
    match text.strip_prefix(b"-") {
        Some(extension) => !extension.is_empty(),
        None => text
            .split_at_checked("WSH=".len())
            .is_some_and(|(name, size)| {
                name.eq_ignore_ascii_case(b"WSH=") && decimal::<u32>(size).is_some()
            }),
    }
}

/// SRTP of one negotiation: what is wanted, and our own keys.
#[derive(Clone)]
pub(crate) struct Keyring {
    pub(crate) policy: SrtpPolicy,
    /// In order of preference.
    suites: Vec<CryptoSuite>,
    rng: ChaCha20Rng,
    keys: Vec<(CryptoSuite, SrtpKey)>,
    /// The next description of ours is to name other keys.
    outdated: bool,
}

impl Keyring {
    pub(crate) fn new(policy: SrtpPolicy, suites: Vec<CryptoSuite>, seed: [u8; 32]) -> Self {
        Self {
            policy,
            suites,
            rng: ChaCha20Rng::from_seed(seed),
            keys: Vec::new(),
            outdated: false,
        }
    }

    /// Nobody wants SRTP, so nobody draws a key.
    pub(crate) fn off() -> Self {
        Self::new(SrtpPolicy::Off, Vec::new(), [0; 32])
    }

    /// Our present key for a suite.
    pub(crate) fn key(&mut self, suite: CryptoSuite) -> SrtpKey {
        if let Some((_, key)) = self.keys.iter().find(|(known, _)| *known == suite) {
            return key.clone();
        }
        let mut octets = [0; KEY_MAX];
        let len = suite.key_and_salt_len();
        self.rng.fill_bytes(&mut octets[..len]);
        let key = SrtpKey { octets, len };
        self.keys.push((suite, key.clone()));
        key
    }

    /// The keys so far are used no more.
    pub(crate) fn renew(&mut self) {
        self.keys.clear();
        self.outdated = false;
    }

    /// The keys so far are used until the next description of ours, which is the first that can name others.
    pub(crate) const fn outdate(&mut self) {
        self.outdated = true;
    }

    /// A description of ours is about to be made.
    pub(crate) fn freshen(&mut self) {
        if self.outdated {
            self.renew();
        }
    }

    /// Those of the lines whose suites are wanted. One that names a key of ours is none: whoever hands it back would hear what we say as what he
    /// said, and both ways would share a key (RFC 4568 section 6.1).
    pub(crate) fn usable(&self, mut lines: Vec<CryptoLine>) -> Vec<CryptoLine> {
        let is_ours = |line: &CryptoLine| self.keys.iter().any(|(_, key)| *key == line.key);
        lines.retain(|line| self.suites.contains(&line.suite) && !is_ours(line));
        lines
    }

    /// The best of the lines.
    pub(crate) fn choose<'l>(&self, lines: &'l [CryptoLine]) -> Option<&'l CryptoLine> {
        self.suites
            .iter()
            .find_map(|suite| lines.iter().find(|line| line.suite == *suite))
    }

    /// What our offers name. Where only short tags are configured, these.
    pub(crate) fn offered(&self) -> Vec<CryptoSuite> {
        let long: Vec<_> = self
            .suites
            .iter()
            .copied()
            .filter(|suite| suite.is_offered())
            .collect();
        if long.is_empty() {
            self.suites.clone()
        } else {
            long
        }
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("policy", &self.policy)
            .field("suites", &self.suites)
            .finish_non_exhaustive()
    }
}
