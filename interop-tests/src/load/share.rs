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
}

fn give(pid: u32, percent: u16) -> io::Result<Share> {
    let quota_us = u64::from(percent) * PERIOD_US / 100;
    let name = format!("talkbridge-load-{}", std::process::id());
    let one_tree = Path::new(ROOT).join("cgroup.controllers").exists();
    let settings = if one_tree {
        fs::write(Path::new(ROOT).join("cgroup.subtree_control"), "+cpu")?;
        vec![("cpu.max", format!("{quota_us} {PERIOD_US}"))]
    } else {
        vec![
            ("cpu.cfs_period_us", PERIOD_US.to_string()),
            ("cpu.cfs_quota_us", quota_us.to_string()),
        ]
    };
    let tree = if one_tree { "" } else { "cpu" };
    let group = Path::new(ROOT).join(tree).join(name);
    // One that was left by a process that was killed is as good.
    fs::create_dir_all(&group)?;
    let share = Share { group };
    for (name, value) in settings {
        fs::write(share.group.join(name), value)?;
    }
    fs::write(share.group.join("cgroup.procs"), pid.to_string())?;
    Ok(share)
}

impl Drop for Share {
    /// A group is gone when its last process is; one that is left is empty.
    fn drop(&mut self) {
        drop(fs::remove_dir(&self.group));
    }
}
