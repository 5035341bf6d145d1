//! Who the other party is, and when that changes: `From`, and the network's word for it, `P-Asserted-Identity`.
//!
//! SIP Server is trusted by its address, so its word counts (RFC 3325 section 8). What it may not be shown to the agent stays hidden.

use control::Remote;
use sip::wire::{HeaderName, Headers, NameAddr, Request};

use crate::Switchboard;
use crate::call::Call;
use crate::config::HeaderPolicy;
use crate::headers::{call_uuid, shown};
use crate::ids::CallId;

/// The other party of an inbound call. For a call that the agent dialled on the desktop this is the dialled party,
/// because SIP Server puts it into From (`docs/talk-and-hold.md#flow-1`).
pub(crate) fn caller(headers: &Headers, policy: &HeaderPolicy) -> Remote {
    asserted(headers, policy).unwrap_or_else(|| from(headers).unwrap_or_default())
}

/// The party of From, with its wish for privacy.
pub(crate) fn from(headers: &Headers) -> Option<Remote> {
    let from = headers.from().ok()?;
    Some(party(&from, is_private(headers)))
}

/// The party that the network vouches for; `None` where it does not, is not believed, or the party asked not to be shown
/// (`Privacy: id`, RFC 3325 section 9.3).
fn asserted(headers: &Headers, policy: &HeaderPolicy) -> Option<Remote> {
    if !policy.trust_asserted_identity || is_private(headers) {
        return None;
    }
    // A SIP URI and a tel URI may stand side by side for one party (RFC 3325 section 9.1): either has its number.
    let mut named = headers
        .list(&HeaderName::P_ASSERTED_IDENTITY)
        .filter_map(NameAddr::parse)
        .map(|identity| party(&identity, false))
        .filter(|remote| !remote.number.is_empty());
    let mut first = named.next()?;
    if first.name.is_none() {
        first.name = named.find_map(|other| other.name);
    }
    if first.name.is_none() {
        // The network asserts a number; the name is still the caller's own.
        first.name = from(headers).and_then(|from| from.name);
    }
    Some(first)
}

/// A party as it is shown.
pub(crate) fn party(address: &NameAddr, privacy: bool) -> Remote {
    let number = address.uri.number().unwrap_or_default();
    let name = address.display.as_deref().map(shown);
    Remote {
        number: shown(&number),
        name: name
            .map(|name| name.trim().to_owned())
            .filter(|name| !name.is_empty()),
        privacy,
    }
}

/// `Privacy` asks for anything but `none` (RFC 3323 section 4.2, `id` by RFC 3325).
fn is_private(headers: &Headers) -> bool {
    headers.lines(&HeaderName::PRIVACY).any(|line| {
        line.split(|byte| matches!(byte, b';' | b','))
            .map(<[u8]>::trim_ascii)
            .any(|value| {
                ["id", "user", "header"]
                    .iter()
                    .any(|wish| value.eq_ignore_ascii_case(wish.as_bytes()))
            })
    })
}

/// The request says itself what may be shown.
fn says_privacy(headers: &Headers) -> bool {
    headers.lines(&HeaderName::PRIVACY).next().is_some()
}

impl Switchboard {
    /// SIP Server names a call that we have dialled in its first response, or the one that answers.
    pub(crate) fn learn_call_uuid(&mut self, id: CallId, headers: &Headers) {
        if let Some((call, uuid)) = self.calls.get_mut(&id).zip(call_uuid(headers)) {
            call.call_uuid = Some(uuid);
        }
    }

    /// A request of SIP Server's within the call may have news of it: a transfer or conference has joined somebody else, and gives
    /// the remaining legs one id. The asserted identity counts, else a From that has changed (RFC 4916 section 4.4.1).
    pub(crate) fn learn(&mut self, id: CallId, request: &Request) {
        let policy = &self.config.policy.headers;
        let headers = &request.headers;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        if let Some(uuid) = call_uuid(headers) {
            call.call_uuid = Some(uuid);
        }
        let named = from(headers);
        let changed = changed_from(call, named.as_ref());
        call.last_from = named.or_else(|| call.last_from.take());
        // The wish not to be named was said once, with the INVITE: it holds while the party is the same, unless it is said otherwise.
        let hidden = call.remote.privacy && changed.is_none();
        let news = asserted(headers, policy).or(changed);
        if let Some(remote) = news.filter(|_| !hidden || says_privacy(headers)) {
            call.remote = remote;
        }
        self.show(id);
    }
}

/// The party of From where it is another one than that of the request before. The first From after a call of our own says
/// nothing: SIP Server names the party there in its own words.
fn changed_from(call: &Call, named: Option<&Remote>) -> Option<Remote> {
    let before = call.last_from.as_ref()?;
    let same = |named: &Remote| named.number == before.number && named.name == before.name;
    named
        .filter(|named| !same(named) && !named.number.is_empty())
        .cloned()
}
