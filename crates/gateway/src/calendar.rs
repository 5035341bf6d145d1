//! The calendar of this host: for tokens, certificates, credentials, records, and the timestamps of reports. Nothing waits by it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Time since 1970. A clock that stands before it shows its beginning.
#[must_use]
#[allow(clippy::disallowed_methods)] // The shell reads the clock.
pub fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// The same in whole milliseconds.
#[must_use]
pub fn since_epoch_ms() -> u64 {
    u64::try_from(since_epoch().as_millis()).unwrap_or(u64::MAX)
}
