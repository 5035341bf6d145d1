//! What a control group lets a process have, as the process reads it.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use tokio::process::Command;

/// The control group that a process finds itself in, as in a container. It says what it lets the process have, and does not hold it to that: so a
/// test needs no load to come to a limit. It takes root.
#[derive(Debug)]
pub struct ControlGroup(TempDir);

impl ControlGroup {
    /// One that sets no limit.
    ///
    /// # Panics
    /// When there is no room for its files.
    #[must_use]
    pub fn unlimited() -> Self {
        let group = Self(TempDir::new().expect("a directory"));
        group.sets("max 100000");
        group
    }

    /// From now on it says so of the processor: microseconds, or `max`, in a period of so many microseconds (`cpu.max`).
    ///
    /// # Panics
    /// When its files are gone.
    pub fn sets(&self, cpu_max: &str) {
        fs::write(self.0.path().join("cpu.max"), cpu_max).expect("a file");
    }

    /// Runs a program in it.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("unshare");
        let in_its_place = r#"mount --bind "$0" /sys/fs/cgroup && exec "$@""#;
        command.args(["--mount", "sh", "-c", in_its_place]);
        command.arg(self.0.path()).arg(program);
        command
    }
}
