//! The clock of a program's host: another time of day than ours, and it jumps when a test says so. Only the calendar is moved; time that passes is
//! the same everywhere.

use tempfile::TempDir;
use tokio::process::Command;

/// libfaketime, for programs with threads. Its loader knows in which folder this machine keeps libraries.
const PRELOADED: &str = "/usr/$LIB/faketime/libfaketimeMT.so.1";

/// The file in which libfaketime finds the time.
const TIME: &str = "time";

/// The clock of a host that is not this one.
#[derive(Debug)]
pub struct HostClock {
    dir: TempDir,
}

impl HostClock {
    /// A clock that is so many seconds ahead of ours; behind it where that is negative.
    ///
    /// # Panics
    /// When the disk takes no file.
    pub fn ahead_by(ahead_s: i64) -> Self {
        let dir = TempDir::new().expect("a folder");
        let clock = Self { dir };
        clock.set(ahead_s);
        clock
    }

    /// Sets it so many seconds ahead of ours. Whoever looks at it next sees that.
    ///
    /// # Panics
    /// When the disk takes no file.
    pub fn set(&self, ahead_s: i64) {
        let (fresh, time) = (self.dir.path().join("fresh"), self.dir.path().join(TIME));
        std::fs::write(&fresh, format!("{ahead_s:+}\n")).expect("a file of our own");
        // A file that is half written would be a time as well.
        std::fs::rename(fresh, time).expect("the same folder");
    }

    /// A program that is started by this command tells the time by this clock.
    pub(crate) fn rules(&self, command: &mut Command) {
        command
            .env("LD_PRELOAD", PRELOADED)
            .env("FAKETIME_TIMESTAMP_FILE", self.dir.path().join(TIME))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("NO_FAKE_STAT", "1");
    }
}
