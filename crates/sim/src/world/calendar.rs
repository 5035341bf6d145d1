//! The clock on the wall of talkbridge's host: what it says, when it is set, and what may go by it.

use std::time::{Duration, Instant};

use control::{EndRecord, IceServer};
use rand::RngExt;
use switchboard::Input;

use super::{Step, World, site};

/// How long credentials for TURN are good for.
pub(super) const TURN_LIFE: Duration = Duration::from_secs(40);
/// The times of a record are rounded to the millisecond, each for itself.
const ROUNDED_MS: u64 = 2;
/// What is less is no jump.
const LEAST_MS: u64 = 1_000;
/// Two days.
const DAYS_MS: u64 = 2 * 86_400_000;

/// What the clock says.
#[derive(Debug)]
pub(super) struct Calendar {
    at: Instant,
    epoch_ms: u64,
    /// It has been put back: what was made before lives longer by it.
    put_back: bool,
}

impl Calendar {
    pub(super) const fn new(at: Instant, epoch_ms: u64) -> Self {
        Self {
            at,
            epoch_ms,
            put_back: false,
        }
    }

    fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.at).as_millis();
        self.epoch_ms + u64::try_from(since).unwrap_or(u64::MAX)
    }
}

impl World {
    /// Somebody sets the clock, a virtual machine is moved to a host with another one, or time comes from the network at last. Nobody is to
    /// notice: nothing leaves for SIP Server.
    pub(super) fn clock_jumps(&mut self) -> Step {
        let was_ms = self.calendar.ms(self.now);
        let epoch_ms = match self.rng.random_range(0..6) {
            0 => 0,
            1 => site::FAR_FUTURE_MS,
            2 => site::EPOCH_MS,
            3 => was_ms + self.rng.random_range(1_000..60_000),
            4 => was_ms + self.rng.random_range(1_000..DAYS_MS),
            _ => was_ms.saturating_sub(self.rng.random_range(1_000..DAYS_MS)),
        };
        if was_ms.abs_diff(epoch_ms) < LEAST_MS {
            return Ok(());
        }
        self.note(|| format!("the clock jumps from {was_ms} to {epoch_ms}"));
        self.report.mishaps += 1;
        self.calendar = Calendar {
            at: self.now,
            epoch_ms,
            put_back: self.calendar.put_back || epoch_ms < was_ms,
        };
        let before = self.report.datagrams;
        self.board_handles(Input::Clock(epoch_ms))?;
        if self.report.datagrams > before {
            return Err("a clock that was set made talkbridge send something".to_owned());
        }
        Ok(())
    }

    /// Credentials for TURN are made by the clock as it is now.
    pub(super) fn credentials_are_fresh(
        &self,
        servers: &[IceServer],
    ) -> Result<Option<u64>, String> {
        let Some(ends_s) = servers.iter().find_map(ends_s) else {
            return Ok(None);
        };
        let right = self.calendar.ms(self.now) / 1000 + TURN_LIFE.as_secs();
        if ends_s != right {
            return Err(format!(
                "credentials end at {ends_s}, and were to end at {right}"
            ));
        }
        Ok(Some(ends_s))
    }

    /// Whoever is there has credentials that a TURN server takes: half of their life is left, at every moment.
    pub(super) fn credentials_are_good(&self) -> Step {
        let now_s = self.calendar.ms(self.now) / 1000;
        for page in self.browsers.open() {
            let Some(ends_s) = page.turn_ends_s else {
                continue;
            };
            let least = now_s + TURN_LIFE.as_secs() / 2;
            let most = now_s + TURN_LIFE.as_secs();
            if ends_s + 1 < least || ends_s > most && !self.calendar.put_back {
                return Err(format!(
                    "it is {now_s}, and the page of {} has credentials that end at {ends_s}",
                    page.dn
                ));
            }
        }
        Ok(())
    }

    /// The times of a record are of one clock.
    pub(super) fn record_is_of_one_clock(&self, record: &EndRecord) -> Step {
        let lasted = record.ring_ms + record.talk_ms.unwrap_or(0);
        let began = record.ended_ms.saturating_sub(lasted);
        if began.abs_diff(record.created_ms) > ROUNDED_MS {
            return Err(format!("the times of a record do not agree: {record:?}"));
        }
        Ok(())
    }
}

/// The end that the name of credentials tells.
fn ends_s(server: &IceServer) -> Option<u64> {
    server.username.as_deref()?.split_once(':')?.0.parse().ok()
}
