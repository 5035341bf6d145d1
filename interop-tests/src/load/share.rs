//! A part of a core for a process, by the control groups of Linux: what takes a machine full of calls shows itself with a few hundred then.
//!
//! It takes root, or a control group that is the caller's own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Result;

/// Where control groups are.
const ROOT: &str = "/sys/fs/cgroup";

/// What a process gets of a core.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Part {
    /// So much of it.
    pub percent: u16,
    /// How often it is given out anew: a process that has used it up waits for the rest of that.
    pub period_ms: u16,
}

impl Part {
    fn period_us(self) -> u64 {
        u64::from(self.period_ms) * 1_000
    }

    fn quota_us(self) -> u64 {
        self.period_us() * u64::from(self.percent) / 100
    }
}

/// A process has so much of a core, until this is dropped.
#[derive(Debug)]
pub(super) struct Share {
    group: PathBuf,
    part: Part,
}

impl Share {
    /// Gives `pid`, and whatever it starts, this part of a core.
    ///
    /// # Errors
    /// When there are no control groups, or they are not ours to make.
    pub(super) fn of(pid: u32, part: Part) -> Result<Self> {
        give(pid, part).map_err(|error| {
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
        Ok(self.set(Some(self.part.quota_us()))?)
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
        let period_us = self.part.period_us().to_string();
        if is_one_tree() {
            let max = format!("{} {period_us}", quota("max"));
            return fs::write(self.group.join("cpu.max"), max);
        }
        fs::write(self.group.join("cpu.cfs_period_us"), period_us)?;
        fs::write(self.group.join("cpu.cfs_quota_us"), quota("-1"))
    }
}

/// Whether all controllers share one tree (cgroups(7), version 2), or each has its own.
fn is_one_tree() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

fn give(pid: u32, part: Part) -> io::Result<Share> {
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
    let share = Share { group, part };
    share.set(Some(part.quota_us()))?;
    fs::write(share.group.join("cgroup.procs"), pid.to_string())?;
    Ok(share)
}

impl Drop for Share {
    /// A group is gone when its last process is; one that is left is empty.
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.group));
    }
}
