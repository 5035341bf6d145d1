//! A part of a core for a process, by the control groups of Linux: what takes a machine full of calls shows itself with a few hundred then.
//!
//! It takes root, or a control group that is the caller's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Result;

/// How often the share is given out anew, in microseconds: a process that has used it up waits for no longer than that.
const PERIOD_US: u64 = 5_000;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// A process has so much of a core, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    group: PathBuf,
    /// Of the period, in microseconds.
    quota_us: u64,
}

impl Share {
    /// Gives `pid`, and whatever it starts, so many percent of a core.
    ///
    /// # Errors
    /// When there are no control groups, or they are not ours to make.
    pub(super) fn of(pid: u32, percent: u16) -> Result<Self> {
        give(pid, percent).map_err(|error| {
            format!(
                "no share of a core can be given, which takes root and control groups in {ROOT}: {error}"
            )
            .into()
        })
    }

    /// Gives it back what it may have.
    ///
    /// # Errors
    /// When the group is gone.
    pub(super) fn hold(&self) -> Result<()> {
        Ok(self.set(Some(self.quota_us))?)
    }

    /// Lets it have all there is for a while.
    ///
    /// # Errors
    /// When the group is gone.
    pub(super) fn lift(&self) -> Result<()> {
        Ok(self.set(None)?)
    }

    fn set(&self, quota_us: Option<u64>) -> io::Result<()> {
        let quota =
            |unlimited: &str| quota_us.map_or_else(|| unlimited.into(), |us| us.to_string());
        if is_one_tree() {
            let max = format!("{} {PERIOD_US}", quota("max"));
            return fs::write(self.group.join("cpu.max"), max);
        }
        fs::write(self.group.join("cpu.cfs_period_us"), PERIOD_US.to_string())?;
        fs::write(self.group.join("cpu.cfs_quota_us"), quota("-1"))
    }
}

/// Whether all controllers share one tree (cgroups(7), version 2), or each has its own.
fn is_one_tree() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn give(pid: u32, percent: u16) -> io::Result<Share> {
    let tree = if is_one_tree() {
        fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+cpu")?;
        ""
    } else {
        "cpu"
    };
    let name = format!("talkbridge-load-{}", std::process::id());
    let group = Path::new(ROOT).join(tree).join(name);
    // One that was left by a process that was killed is as good.
    fs::create_dir_all(&group)?;
    let share = Share {
        group,
        quota_us: u64::from(percent) * PERIOD_US / 100,
    };
    share.set(Some(share.quota_us))?;
    fs::write(share.group.join("cgroup.procs"), pid.to_string())?;
    Ok(share)
}

impl Drop for Share {
    /// A group is gone when its last process is; one that is left is empty.
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.group));
    }
}
