//! Digits in a request of SIP Server's: `NOTIFY Event: dtmf`, or INFO.
//!
//! The exact body is not documented, so every form that endpoints are known to take is read:
//! `application/dtmf-relay` (`Signal=` and `Duration=` lines), `application/dtmf` and `text/plain` (the digits themselves, or the
//! former), `audio/telephone-event` (four octets of RFC 4733), and a parameter of the Event header.

use std::time::Duration;

use sip::wire::{HeaderName, Params, Request};

use crate::limits::DIGITS_MAX;

/// Ticks of the clock of telephone-event in a millisecond: what a duration of four octets counts in.
const TICKS_PER_MS: u64 = 8;

/// One digit, and how long it shall sound; `None` leaves that to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) digit: char,
    pub(crate) tone: Option<Duration>,
}

/// What a request says about digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dtmf {
    /// These, in this order; at least one.
    Pressed(Vec<Press>),
    /// It is about digits, and cannot be read.
    Unreadable,
    /// It is about something else.
    None,
}

/// The digits of the request, by its body or its Event header.
pub(crate) fn read(request: &Request) -> Dtmf {
    let content_type = request.headers.get(&HeaderName::CONTENT_TYPE).map(|value| {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        text.split(';').next().unwrap_or_default().trim().to_owned()
    });
    let body = request.body.as_slice();
    let presses = match content_type.as_deref() {
        Some("application/dtmf-relay" | "application/dtmf" | "text/plain") => text(body),
        Some("audio/telephone-event" | "telephone-event") => event(body),
        _ => match event_parameter(request) {
            Some(presses) => presses,
            None => return Dtmf::None,
        },
    };
    match presses.filter(|presses| (1..=DIGITS_MAX).contains(&presses.len())) {
        Some(presses) => Dtmf::Pressed(presses),
        None => Dtmf::Unreadable,
    }
}

/// `Signal=` lines, or the digits themselves.
fn text(body: &[u8]) -> Option<Vec<Press>> {
    let text = std::str::from_utf8(body).ok()?.trim();
    if text.contains('=') {
        return signals(text);
    }
    plain(text, None)
}

fn plain(digits: &str, tone: Option<Duration>) -> Option<Vec<Press>> {
    digits
        .chars()
        .map(|c| {
            Some(Press {
                digit: valid(c.to_ascii_uppercase())?,
                tone,
            })
        })
        .collect()
}

/// Any number of `Signal=` lines; a `Duration=` (in milliseconds) belongs to the signal above it.
fn signals(text: &str) -> Option<Vec<Press>> {
    let mut presses: Vec<Press> = Vec::new();
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("signal") {
            let digit = digit(value)?;
            presses.push(Press { digit, tone: None });
        } else if key.eq_ignore_ascii_case("duration")
            && let Some(last) = presses.last_mut()
        {
            last.tone = milliseconds(value);
        }
    }
    Some(presses)
}

/// A duration that cannot be read is none: the digit is what counts.
fn milliseconds(value: &str) -> Option<Duration> {
    value.parse().ok().map(Duration::from_millis)
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

fn event(body: &[u8]) -> Option<Vec<Press>> {
    let [event, _, high, low] = *body else {
        return None;
    };
    let digit = "0123456789*#ABCD".chars().nth(usize::from(event))?;
    let ticks = u64::from(u16::from_be_bytes([high, low]));
    let tone = (ticks > 0).then(|| Duration::from_millis(ticks / TICKS_PER_MS));
    Some(vec![Press { digit, tone }])
}

/// Digits in a parameter of Event; `None` where there is no such parameter.
fn event_parameter(request: &Request) -> Option<Option<Vec<Press>>> {
    let value = request.headers.get(&HeaderName::EVENT)?;
    let behind = value.iter().position(|byte| *byte == b';')?;
    let params = Params::parse(value.get(behind..)?)?;
    let text = |name: &str| {
        params
            .unquoted(name)
            .map(|value| String::from_utf8_lossy(&value).into_owned())
    };
    let digits = ["digits", "digit", "signal", "dtmf"]
        .into_iter()
        .find_map(text)?;
    let tone = text("duration").and_then(|value| milliseconds(&value));
    Some(plain(&digits, tone))
}

fn valid(c: char) -> Option<char> {
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D').then_some(c)
}
