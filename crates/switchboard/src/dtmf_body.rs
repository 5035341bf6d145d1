//! Digits in a request of SIP Server's: `NOTIFY Event: dtmf`, or INFO.
//!
//! The exact body is not documented, so every form that endpoints are known to take is read:
//! `application/dtmf-relay` (`Signal=` and `Duration=` lines), `application/dtmf` and `text/plain` (the digits themselves, or the
//! former), `audio/telephone-event` (four octets of RFC 4733, once or twice for each key), and a parameter of the Event header.

use std::time::{Duration, Instant};

use sip::wire::{HeaderName, Params, Request};

use crate::limits::{DIGITS_MAX, KEY_DOWN_MAX};
use crate::talk;

/// The clock of telephone-event where no `rate` names another, in hertz: what a duration of four octets counts in.
const CLOCK_HZ: u64 = 8_000;

/// The bit of the second octet that says that the key is up again (RFC 4733 section 2.3.2).
const END: u8 = 0x80;

/// One digit, and how long it shall sound; `None` leaves that to the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Press {
    pub(crate) digit: char,
    pub(crate) tone: Option<Duration>,
}

/// Four octets of RFC 4733: a key goes down, stays down or goes up. Gateways that relay keys by NOTIFY send two of them for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyEvent {
    /// How long it sounds is known with its end only: a beginning announces the longest time until the next message.
    press: Press,
    /// In ticks of its clock, as it was sent.
    duration: u16,
    /// It is up again.
    ended: bool,
}

/// The key of one call that was last told to go down, until it is told to go up.
#[derive(Debug, Default)]
pub(crate) struct KeyDown {
    /// The key, its duration so far, and when nothing more is to be expected of it.
    held: Option<(char, u16, Instant)>,
    /// The other side tells of ends too: without one the key is still the same.
    ends_are_told: bool,
}

impl KeyDown {
    /// The press that this message tells of, unless an earlier one has told of it.
    pub(crate) fn hear(&mut self, now: Instant, event: KeyEvent) -> Option<Press> {
        let same = self
            .held
            .filter(|(digit, _, until)| *digit == event.press.digit && now < *until);
        self.held = (!event.ended).then(|| {
            let until = now + KEY_DOWN_MAX;
            (event.press.digit, event.duration, until)
        });
        let Some((_, duration, _)) = same else {
            return Some(event.press);
        };
        if event.ended {
            self.ends_are_told = true;
            return None;
        }
        // A key that is held is told with a growing duration (RFC 4733 section 2.5.1.2), or again and again until its end.
        let goes_on = self.ends_are_told || event.duration > duration;
        (!goes_on).then_some(event.press)
    }
}

/// What a request says about digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dtmf {
    /// These, in this order; at least one.
    Pressed(Vec<Press>),
    /// One of the messages that tell of one key: down, still down, up.
    Key(KeyEvent),
    /// It is about digits, and cannot be read.
    Unreadable,
    /// It is about something else.
    None,
}

/// Type and subtype of the request's body.
pub(crate) fn media_type(request: &Request) -> Option<String> {
    request.headers.get(&HeaderName::CONTENT_TYPE).map(|value| {
        let text = String::from_utf8_lossy(value).to_ascii_lowercase();
        text.split(';').next().unwrap_or_default().trim().to_owned()
    })
}

/// The digits of the request, by its body or its Event header.
pub(crate) fn read(request: &Request) -> Dtmf {
    let content_type = media_type(request);
    let body = request.body.as_slice();
    let presses = match content_type.as_deref() {
        Some("application/dtmf-relay" | "application/dtmf" | "text/plain") => text(body),
        Some("audio/telephone-event" | "telephone-event") => {
            return event(body, clock(request)).map_or(Dtmf::Unreadable, Dtmf::Key);
        }
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
        .filter(|c| !matches!(c, ' ' | ','))
        .map(|c| {
            Some(Press {
                digit: valid(c.to_ascii_uppercase())?,
                tone,
            })
        })
        .collect()
}

/// Any number of `Signal=` lines, of one key or several; a `Duration=` (in milliseconds) belongs to the signal above it.
fn signals(text: &str) -> Option<Vec<Press>> {
    let mut presses: Vec<Press> = Vec::new();
    let mut last_signal = 0;
    for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
        let (key, value) = (key.trim(), value.trim());
        if key.eq_ignore_ascii_case("signal") {
            last_signal = presses.len();
            presses.extend(signal(value)?);
        } else if key.eq_ignore_ascii_case("duration") {
            let tone = milliseconds(value);
            for press in presses.iter_mut().skip(last_signal) {
                press.tone = tone;
            }
        }
    }
    Some(presses)
}

/// A duration that cannot be read is none: the digit is what counts.
fn milliseconds(value: &str) -> Option<Duration> {
    value.parse().ok().map(Duration::from_millis)
}

/// Keys, or the RFC 4733 event number of one from 10 on (`*` may be told as 10, `#` as 11). The other event numbers may be two keys as well.
fn signal(value: &str) -> Option<Vec<Press>> {
    match value {
        "10" => plain("*", None),
        "11" => plain("#", None),
        "12" | "13" | "14" | "15" | "16" => None,
        keys => plain(keys, None),
    }
}

fn event(body: &[u8], clock_hz: u64) -> Option<KeyEvent> {
    let [event, flags, high, low] = *body else {
        return None;
    };
    let digit = "0123456789*#ABCD".chars().nth(usize::from(event))?;
    let duration = u16::from_be_bytes([high, low]);
    let ended = flags & END != 0;
    let told = (ended && duration > 0).then(|| u64::from(duration) * 1_000 / clock_hz);
    let tone = told.map(Duration::from_millis);
    let press = Press { digit, tone };
    Some(KeyEvent {
        press,
        duration,
        ended,
    })
}

/// The clock that `Event: telephone-event;rate=1000` or the content type names.
fn clock(request: &Request) -> u64 {
    [event_params(request), content_params(request)]
        .iter()
        .flatten()
        .find_map(|params| params.get("rate").map(<[u8]>::to_vec))
        .and_then(|rate| String::from_utf8_lossy(&rate).parse().ok())
        .filter(|rate| *rate > 0)
        .unwrap_or(CLOCK_HZ)
}

fn event_params(request: &Request) -> Option<Params> {
    talk::event(request).map(|event| event.params)
}

/// The parameters of the body's type, which may be one without a slash.
fn content_params(request: &Request) -> Option<Params> {
    let value = request.headers.get(&HeaderName::CONTENT_TYPE)?;
    let behind = value.iter().position(|byte| *byte == b';')?;
    Params::parse(value.get(behind..)?)
}

/// Digits in a parameter of Event; `None` where there is no such parameter.
fn event_parameter(request: &Request) -> Option<Option<Vec<Press>>> {
    let params = event_params(request)?;
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
