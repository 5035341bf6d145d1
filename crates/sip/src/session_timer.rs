//! Session timers (RFC 4028): a call whose peer has silently gone is ended.
//!
//! SIP Server sends `Session-Expires: 1800;refresher=uac` in each INVITE and refreshes itself.

use std::time::{Duration, Instant};

use crate::Headers;
use crate::wire::{Refresher, SessionExpires};

/// Shortest session interval, seconds (RFC 4028 section 5).
pub const MIN_SE_S: u32 = 90;

/// Shortest interval in an answer that is kept to, seconds. An answer below [`MIN_SE_S`] breaks RFC 4028, but a peer that gives it hangs up by
/// it; below this we would do little else than refresh.
const GRANTED_S_MIN: u32 = 10;

/// Longest session interval that is obeyed, seconds: a day is for ever in a call.
const INTERVAL_S_MAX: u32 = 86_400;

/// BYE goes out so long before the end, seconds, but not before two thirds of the interval (RFC
/// 4028 section 10).
const MARGIN_S: u32 = 32;

/// An agreed interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    pub(crate) interval_s: u32,
    pub(crate) refresher: Refresher,
}

/// The peer asks for a shorter interval than 90 s: 422.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooShort;

impl Terms {
    /// What an INVITE or UPDATE of the peer leads to. Without support at the peer there is no
    /// timer: nobody there would refresh, or knows what 422 asks for.
    pub(crate) fn of_request(headers: &Headers) -> Result<Option<Self>, TooShort> {
        let Some(asked) = read(headers) else {
            return Ok(None);
        };
        if !supports_timer(headers) {
            return Ok(None);
        }
        if asked.interval_s < MIN_SE_S {
            return Err(TooShort);
        }
        Ok(Some(asked))
    }

    /// What we ask for where an INVITE of the peer names no interval although it knows session timers: that we refresh, so that a
    /// call whose peer has gone is ended (section 9).
    pub(crate) fn of_ours(headers: &Headers, interval_s: u32) -> Option<Self> {
        let open = headers.session_expires().ok()?.is_none() && supports_timer(headers);
        let least_s = headers.min_se().ok()?.unwrap_or(0).min(INTERVAL_S_MAX);
        open.then_some(Self {
            interval_s: interval_s.max(least_s),
            refresher: Refresher::Uas,
        })
    }

    /// `Session-Expires` of a request that asked by `headers`, once its peer wants at least `least_s`. `None` when it asked for no
    /// less, or when nobody would wait so long.
    pub(crate) fn raised(headers: &Headers, least_s: u32) -> Option<Vec<u8>> {
        let asked = headers.session_expires().ok().flatten()?;
        let sensible = least_s > asked.seconds && least_s <= INTERVAL_S_MAX;
        let raised = SessionExpires {
            seconds: least_s,
            refresher: asked.refresher,
        };
        sensible.then(|| raised.to_bytes())
    }

    /// What a 2xx to our INVITE or UPDATE grants.
    pub(crate) fn of_response(headers: &Headers) -> Option<Self> {
        let granted = read(headers)?;
        Some(Self {
            interval_s: granted.interval_s.max(GRANTED_S_MIN),
            ..granted
        })
    }

    /// The value of our `Session-Expires`.
    pub(crate) fn header(&self) -> Vec<u8> {
        SessionExpires {
            seconds: self.interval_s,
            refresher: Some(self.refresher),
        }
        .to_bytes()
    }
}

/// `Session-Expires`; without a refresher it is the UAC (RFC 4028 section 9, table 2).
fn read(headers: &Headers) -> Option<Terms> {
    let asked = headers.session_expires().ok().flatten()?;
    Some(Terms {
        interval_s: asked.seconds.min(INTERVAL_S_MAX),
        refresher: asked.refresher.unwrap_or(Refresher::Uac),
    })
}

fn supports_timer(headers: &Headers) -> bool {
    let tags = headers.supported().into_iter().chain(headers.require());
    tags.into_iter().any(|tag| &*tag == "timer")
}

/// A running session timer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Session {
    interval_s: u32,
    /// We refresh.
    ours: bool,
    refresh_at: Option<Instant>,
    end_at: Instant,
}

/// What a [`Session`] wants at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Due {
    Refresh,
    End,
}

impl Session {
    /// Starts, or starts again, at a 2xx.
    pub(crate) fn start(now: Instant, interval_s: u32, ours: bool) -> Self {
        let margin = MARGIN_S.min(interval_s / 3);
        let seconds = |s: u32| Duration::from_secs(u64::from(s));
        Self {
            interval_s,
            ours,
            refresh_at: ours.then(|| now + seconds(interval_s / 2)),
            end_at: now + seconds(interval_s.saturating_sub(margin)),
        }
    }

    /// What a request of ours says to keep things as they are, at a peer that grants no less than `floor_s`.
    pub(crate) fn terms(&self, floor_s: u32) -> Terms {
        let refresher = if self.ours {
            Refresher::Uac
        } else {
            Refresher::Uas
        };
        Terms {
            interval_s: self.interval_s.max(floor_s),
            refresher,
        }
    }

    /// What becomes of it at an INVITE or UPDATE of the peer that names no interval: it goes on. Whoever knows session timers keeps its part,
    /// for one who does not we refresh (RFC 4028 section 9, table 2).
    pub(crate) fn carried_on(&self, headers: &Headers) -> Terms {
        let refresher = if self.ours || !supports_timer(headers) {
            Refresher::Uas
        } else {
            Refresher::Uac
        };
        Terms {
            interval_s: self.interval_s,
            refresher,
        }
    }

    /// The refresh is tried again at this time, if it is ours.
    pub(crate) fn refresh_at(&mut self, at: Instant) {
        self.refresh_at = self.ours.then_some(at);
    }

    pub(crate) fn next_timeout(&self) -> Instant {
        self.refresh_at
            .map_or(self.end_at, |at| at.min(self.end_at))
    }

    /// What is due at `now`; call until `None`.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Due> {
        if self.end_at <= now {
            return Some(Due::End);
        }
        self.refresh_at
            .take_if(|at| *at <= now)
            .map(|_| Due::Refresh)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use super::*;
    use crate::HeaderName;

    fn headers(lines: &[(HeaderName, &str)]) -> Headers {
        let mut headers = Headers::new();
        for (name, value) in lines {
            headers.push(name.clone(), *value);
        }
        headers
    }

    #[test]
    fn the_terms_of_sip_server_are_taken_as_they_are() {
        let asked = headers(&[
            (HeaderName::SESSION_EXPIRES, "1800;refresher=uac"),
            (HeaderName::SUPPORTED, "uui,100rel,timer"),
        ]);
        let terms = Terms::of_request(&asked).ok().flatten().expect("a timer");
        assert_eq!(terms.header(), b"1800;refresher=uac");
    }

    #[test]
    fn too_short_is_refused_and_a_peer_without_the_extension_gets_no_timer() {
        let short = headers(&[
            (HeaderName::SESSION_EXPIRES, "89"),
            (HeaderName::SUPPORTED, "timer"),
        ]);
        assert_eq!(Terms::of_request(&short), Err(TooShort));
        for asked in ["1800", "30"] {
            let alien = headers(&[(HeaderName::SESSION_EXPIRES, asked)]);
            assert_eq!(Terms::of_request(&alien), Ok(None));
        }
        assert_eq!(Terms::of_request(&Headers::new()), Ok(None));
    }

    #[test]
    fn the_refresher_refreshes_at_half_and_the_other_ends_before_the_end() {
        let now = Instant::now();
        let after = |s| now + Duration::from_secs(s);
        let mut theirs = Session::start(now, 1800, false);
        assert_eq!(theirs.next_timeout(), after(1768));
        assert_eq!(theirs.due(after(1767)), None);
        assert_eq!(theirs.due(after(1768)), Some(Due::End));
        let mut ours = Session::start(now, 90, true);
        assert_eq!(ours.due(after(45)), Some(Due::Refresh));
        assert_eq!(ours.due(after(45)), None);
        assert_eq!(ours.next_timeout(), after(60));
    }
}
