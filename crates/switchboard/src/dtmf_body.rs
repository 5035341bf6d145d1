//! Digits that SIP Server asks for by `NOTIFY Event: dtmf`.
//!
//! The exact body is not documented, so every form that endpoints are known to take is read:
//! `application/dtmf-relay` (`Signal=` lines), `application/dtmf` and `text/plain` (the digits themselves),
//! `audio/telephone-event` (four octets of RFC 4733), and a parameter of the Event header.

use sip::wire::{HeaderName, Request};

use crate::limits::DIGITS_MAX;

/// The digits of the request; `None` where none can be read.
pub(crate) fn digits(request: &Request) -> Option<String> {
    let content_type = request.headers.get(&HeaderName::CONTENT_TYPE).map(|value| {
        String::from_utf8_lossy(value)
            .split(';')
            .next()
            .unwrap_or_default()
            .trim()
            .to_lowercase()
    });
    let body = request.body.as_slice();
    let digits = match content_type.as_deref() {
        Some("application/dtmf-relay") => signals(body),
        Some("application/dtmf" | "text/plain") => text(body),
        Some("audio/telephone-event" | "telephone-event") => event(body),
        _ => event_parameter(request),
    };
    digits.filter(|digits| (1..=DIGITS_MAX).contains(&digits.len()))
}

fn signals(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    text.lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(key, _)| key.trim().eq_ignore_ascii_case("signal"))
        .map(|(_, value)| digit(value.trim()))
        .collect()
}

/// One digit, or its RFC 4733 event number from 10 on (`*` may be told as 10, `#` as 11).
fn digit(value: &str) -> Option<char> {
    match value {
        "10" => Some('*'),
        "11" => Some('#'),
        _ => {
            let mut chars = value.chars();
            let only = chars.next().filter(|_| chars.next().is_none())?;
            valid(only.to_ascii_uppercase())
        }
    }
}

fn text(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if let Some((key, value)) = text.split_once('=')
        && key.trim().eq_ignore_ascii_case("signal")
    {
        return digit(value.trim()).map(String::from);
    }
    text.chars()
        .map(|c| valid(c.to_ascii_uppercase()))
        .collect()
}

fn event(body: &[u8]) -> Option<String> {
    let [event, _, _, _] = body else { return None };
    "0123456789*#ABCD"
        .chars()
        .nth(usize::from(*event))
        .map(String::from)
}

fn event_parameter(request: &Request) -> Option<String> {
    let value = String::from_utf8_lossy(request.headers.get(&HeaderName::EVENT)?).into_owned();
    value
        .split(';')
        .skip(1)
        .find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            let known = ["digits", "digit", "signal", "dtmf"];
            let key = key.trim().to_ascii_lowercase();
            known
                .contains(&key.as_str())
                .then(|| value.trim().trim_matches('"').to_owned())
        })
        .and_then(|digits| {
            digits
                .chars()
                .map(|c| valid(c.to_ascii_uppercase()))
                .collect()
        })
}

fn valid(c: char) -> Option<char> {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D').then_some(c)
}
