//! What an INVITE says about its call beside the parties: whom it was for at first, what travels with it, how it wants to ring.
//!
//! The fields are described in `docs/agent-protocol.md#call`. Every value was chosen by somebody at the other side: cleaned, bounded
//! and counted before a page sees it.

use std::collections::BTreeMap;

use control::{CallDetails, DivertedFrom, Ring, UserToUser, UserToUserEncoding};
use sip::wire::{HeaderName, Headers, NameAddr, Params};

use crate::config::HeaderPolicy;
use crate::headers::{shown, shown_up_to};
use crate::identity::party;
use crate::limits::{
    PAIR_TEXT_MAX, PAIRS_BYTES_MAX, PAIRS_MAX, USER_TO_USER_MAX, USER_TO_USERS_MAX,
};

/// Attached data comes in headers of this prefix (`userdata-map-trans-prefix` of SIP Server).
const ATTACHED_PREFIX: &str = "X-Genesys-";

/// Everything that the headers say about the call.
pub(crate) fn of(headers: &Headers, policy: &HeaderPolicy) -> CallDetails {
    let mut room = Room::default();
    let mut user_to_user = headers
        .list(&HeaderName::USER_TO_USER)
        .filter_map(user_to_user)
        .take(USER_TO_USERS_MAX);
    CallDetails {
        diverted_from: diversion(headers).or_else(|| history(headers)),
        user_to_user: user_to_user.next(),
        more_user_to_user: user_to_user.collect(),
        ring: ring(headers),
        attached: attached(headers, &mut room),
        headers: passed(headers, policy, &mut room),
    }
}

/// The original called party of `Diversion` (RFC 5806 section 4.2): each diversion is put before those that came earlier.
fn diversion(headers: &Headers) -> Option<DivertedFrom> {
    let first = headers
        .list(&HeaderName::DIVERSION)
        .filter_map(NameAddr::parse)
        .last()?;
    let reason = first.params.unquoted("reason").map(|reason| shown(&reason));
    diverted(&first, reason)
}

/// The original called party of `History-Info`: the entry that all others descend from, when there are others
/// (RFC 7044 section 10.1).
fn history(headers: &Headers) -> Option<DivertedFrom> {
    let mut entries: Vec<NameAddr> = headers
        .list(&HeaderName::HISTORY_INFO)
        .filter_map(NameAddr::parse)
        .collect();
    // An index sorts as its numbers do; the list is in this order anyway, unless somebody has mixed it up.
    entries.sort_by_key(|entry| index(&entry.params));
    let [first, next, ..] = entries.as_slice() else {
        return None;
    };
    // The entry that was left says why (RFC 7044 section 10.2), or the one that was gone to (RFC 4458).
    let left = first.uri.header("Reason").and_then(|reason| {
        let behind = reason.iter().position(|byte| *byte == b';')?;
        Params::parse(reason.get(behind..)?)?.unquoted("cause")
    });
    let cause = left.or_else(|| next.uri.param("cause").map(<[u8]>::to_vec));
    diverted(first, cause.map(|cause| reason_of(&cause).to_owned()))
}

fn index(params: &Params) -> Vec<u32> {
    let text = params.get("index").unwrap_or_default();
    String::from_utf8_lossy(text)
        .split('.')
        .map(|number| number.parse().unwrap_or(u32::MAX))
        .collect()
}

fn diverted(address: &NameAddr, reason: Option<String>) -> Option<DivertedFrom> {
    let party = party(address, false);
    Some(DivertedFrom {
        number: Some(party.number).filter(|number| !number.is_empty())?,
        name: party.name,
        reason: reason.filter(|reason| !reason.is_empty()),
    })
}

/// The word of RFC 5806 for a cause of RFC 4458 section 2.
fn reason_of(cause: &[u8]) -> &'static str {
    match cause {
        b"302" => "unconditional",
        b"486" | b"600" => "user-busy",
        b"408" => "no-answer",
        b"480" | b"487" => "deflection",
        b"404" | b"503" => "unavailable",
        _ => "unknown",
    }
}

/// One `User-to-User` of several (RFC 7433 section 4.1). Without `encoding` the data is hexadecimal (RFC 7434 section 5), if it can be.
fn user_to_user(value: &[u8]) -> Option<UserToUser> {
    let (data, params) = user_to_user_parts(value)?;
    let octets = hex(&data);
    let says_hex = params
        .unquoted("encoding")
        .is_none_or(|encoding| encoding.eq_ignore_ascii_case(b"hex"));
    let shown_data = shown_up_to(&data, USER_TO_USER_MAX);
    if shown_data.is_empty() {
        return None;
    }
    let word = |name: &str| {
        let word = params.unquoted(name).map(|word| shown(&word));
        word.filter(|word| !word.is_empty())
    };
    let (purpose, content) = (word("purpose"), word("content"));
    let octets = octets.filter(|_| says_hex);
    let (data, encoding) = match octets {
        Some(_) => (shown_data.to_ascii_lowercase(), UserToUserEncoding::Hex),
        None => (shown_data, UserToUserEncoding::Text),
    };
    Some(UserToUser {
        data,
        encoding,
        text: octets.and_then(|octets| text_of(&octets)),
        purpose,
        content,
    })
}

/// The data, a token or a quoted string, and the parameters behind it (RFC 7433 section 4.1).
fn user_to_user_parts(value: &[u8]) -> Option<(Vec<u8>, Params)> {
    let quoted = value.starts_with(b"\"");
    let end = if quoted {
        let mut escaped = false;
        let close = value.iter().skip(1).position(|byte| {
            let closes = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            closes
        })?;
        close + 2
    } else {
        value
            .iter()
            .position(|byte| *byte == b';')
            .unwrap_or(value.len())
    };
    let (data, rest) = value.split_at_checked(end)?;
    let params = Params::parse(rest).unwrap_or_default();
    let data = data.trim_ascii();
    let data = match data
        .strip_prefix(b"\"")
        .and_then(|data| data.strip_suffix(b"\""))
    {
        Some(quoted) => unescaped(quoted),
        None => data.to_vec(),
    };
    Some((data, params))
}

fn unescaped(quoted: &[u8]) -> Vec<u8> {
    let mut escaped = false;
    quoted
        .iter()
        .copied()
        .filter(|byte| {
            escaped = *byte == b'\\' && !escaped;
            !escaped
        })
        .collect()
}

fn hex(data: &[u8]) -> Option<Vec<u8>> {
    if data.is_empty() || !data.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    data.chunks_exact(2)
        .map(|pair| match pair {
            [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
            _ => None,
        })
        .collect()
}

/// The text of user-to-user data. ISDN puts a protocol discriminator in front: 0 (user's own) or 4 (IA5 characters), ITU-T Q.931
/// section 4.5.30.
fn text_of(octets: &[u8]) -> Option<String> {
    let behind = match octets {
        [0 | 4, rest @ ..] => rest,
        all => all,
    };
    let text = std::str::from_utf8(behind).ok()?;
    let readable = !text.is_empty() && !text.contains(|c: char| c.is_control());
    readable.then(|| shown_up_to(behind, USER_TO_USER_MAX))
}

/// `Alert-Info` in the forms that phones know (`info=alert-internal`, `urn:alert:source:external` of RFC 7462, `Bellcore-dr2`), and
/// `Priority` (RFC 3261 section 20.26).
fn ring(headers: &Headers) -> Option<Ring> {
    let urgent = headers.get(&HeaderName::PRIORITY).is_some_and(|value| {
        ["urgent", "emergency"]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word.as_bytes()))
    });
    if urgent {
        return Some(Ring::Priority);
    }
    headers
        .lines(&HeaderName::ALERT_INFO)
        .find_map(|value| ring_of(&String::from_utf8_lossy(value).to_ascii_lowercase()))
}

/// What phones of several makers take these words for; the first that is found counts.
const RING_WORDS: [(&str, Ring); 10] = [
    ("urn:alert:priority:high", Ring::Priority),
    ("alert-priority", Ring::Priority),
    ("priority", Ring::Priority),
    ("urgent", Ring::Priority),
    ("bellcore-dr3", Ring::Priority),
    ("external", Ring::External),
    ("bellcore-dr2", Ring::External),
    ("internal", Ring::Internal),
    ("intercom", Ring::Internal),
    ("bellcore-dr1", Ring::Internal),
];

/// That a call is nothing special (RFC 7462 section 9.2).
const PLAIN_WORDS: [&str; 2] = ["urn:alert:priority:normal", "urn:alert:priority:low"];

fn ring_of(value: &str) -> Option<Ring> {
    let plain = |value: String, word: &&str| value.replace(word, "");
    let value = PLAIN_WORDS.iter().fold(value.to_owned(), plain);
    RING_WORDS
        .iter()
        .find(|(word, _)| value.contains(word))
        .map(|(_, ring)| *ring)
}

/// What attached data and passed headers of one call may still take.
struct Room {
    pairs: usize,
    bytes: usize,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            pairs: PAIRS_MAX,
            bytes: PAIRS_BYTES_MAX,
        }
    }
}

impl Room {
    /// Puts a pair where there is room for it. Of two headers of one name the first counts.
    fn put(&mut self, pairs: &mut BTreeMap<String, String>, key: &str, value: &[u8]) {
        let value = shown_up_to(value, PAIR_TEXT_MAX);
        let size = key.len() + value.len();
        if self.pairs == 0 || size > self.bytes || pairs.contains_key(key) {
            return;
        }
        self.pairs -= 1;
        self.bytes -= size;
        pairs.insert(key.to_owned(), value);
    }
}

fn attached(headers: &Headers, room: &mut Room) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for (name, value) in headers.iter() {
        let prefix = name.as_str().get(..ATTACHED_PREFIX.len());
        let key = name
            .as_str()
            .get(ATTACHED_PREFIX.len()..)
            .unwrap_or_default();
        let is_ours = prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(ATTACHED_PREFIX));
        if is_ours && !key.is_empty() && *name != HeaderName::X_GENESYS_CALL_UUID {
            room.put(&mut pairs, key, value);
        }
    }
    pairs
}

fn passed(headers: &Headers, policy: &HeaderPolicy, room: &mut Room) -> BTreeMap<String, String> {
    let mut pairs = BTreeMap::new();
    for name in &policy.pass {
        if let Some(value) = headers.get(name) {
            room.put(&mut pairs, name.as_str(), value);
        }
    }
    pairs
}
