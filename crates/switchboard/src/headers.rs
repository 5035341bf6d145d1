//! What an INVITE says beside its SDP: whom it is for, which call it is, whether it answers itself. Who calls is in
//! [`crate::identity`], what else is known of the call in [`crate::details`].
//!
//! Everything here was chosen by a peer: it is bounded, and cleaned of control characters, before anyone is shown it.

use std::time::Duration;

use sip::Uri;
use sip::wire::{HeaderName, Headers, Request};

use crate::limits::{ANSWER_AFTER_MAX, SHOWN_TEXT_MAX};

/// The DN a request is for: the user part of the Request-URI, which is our Contact; the one of To where a peer left it out. Its
/// escapes are undone: DN `#21` travels as `%2321`.
pub(crate) fn dn_of(request: &Request) -> Option<String> {
    dn_in(Some(&request.uri), &request.headers)
}

/// The same of a request of which only so much could be read.
pub(crate) fn dn_in(uri: Option<&Uri>, headers: &Headers) -> Option<String> {
    let from_uri = uri.and_then(Uri::user_unescaped);
    let from_to = || headers.to().ok()?.uri.user_unescaped();
    let user = from_uri.or_else(from_to)?;
    String::from_utf8(user).ok()
}

/// `X-Genesys-CallUUID`: 32 characters `[A-Z0-9]` in every trace; taken up to 64 alphanumerics, else ignored
/// (`docs/talk-and-hold.md#call-uuid`).
pub(crate) fn call_uuid(headers: &Headers) -> Option<String> {
    let value = headers.get(&HeaderName::other("X-Genesys-CallUUID"))?;
    let valid = (1..=64).contains(&value.len()) && value.iter().all(u8::is_ascii_alphanumeric);
    valid.then(|| String::from_utf8_lossy(value).into_owned())
}

/// Text of a peer as it may be shown: one line, bounded, Latin-1 where it is not UTF-8.
pub(crate) fn shown(bytes: &[u8]) -> String {
    shown_up_to(bytes, SHOWN_TEXT_MAX)
}

/// The same with a bound of its own, in characters.
pub(crate) fn shown_up_to(bytes: &[u8], max: usize) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    };
    text.chars().filter(|c| is_shown(*c)).take(max).collect()
}

/// Control characters and the marks that turn the direction of text around are not shown: a name could forge what stands beside it.
fn is_shown(c: char) -> bool {
    let turns =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !c.is_control() && !turns
}

/// How long after ringing the INVITE wants to be answered by itself; `None` where it does not ask.
///
/// `Call-Info: <...>;answer-after=N` wins over `Alert-Info` (`info=alert-autoanswer`, `ring answer`) and
/// `Answer-Mode: Auto` (RFC 5373); see `docs/talk-and-hold.md#auto-answer`.
pub(crate) fn auto_answer(headers: &Headers) -> Option<Duration> {
    for value in headers.list(&HeaderName::other("Call-Info")) {
        if let Some(after) = parameter(value, "answer-after") {
            let seconds: u64 = after.parse().ok()?;
            return Some(Duration::from_secs(seconds)).filter(|after| *after <= ANSWER_AFTER_MAX);
        }
    }
    let alert = headers
        .lines(&HeaderName::other("Alert-Info"))
        .any(|value| {
            let value = String::from_utf8_lossy(value).to_ascii_lowercase();
            value.contains("info=alert-autoanswer") || value.trim() == "ring answer"
        });
    let mode = headers
        .get(&HeaderName::other("Answer-Mode"))
        .is_some_and(|value| first_token(value).eq_ignore_ascii_case("auto"));
    (alert || mode).then_some(Duration::ZERO)
}

fn parameter(value: &[u8], name: &str) -> Option<String> {
    let text = String::from_utf8_lossy(value).into_owned();
    text.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"').to_owned())
    })
}

fn first_token(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(value);
    text.split(';').next().unwrap_or_default().trim().to_owned()
}
