//! What the kernel says of a worker's time on the processors, and of the time that a control group lets the whole process have.
//!
//! A container is mostly given a part of the machine (`CPUQuota=` of systemd, `limits.cpu` of Kubernetes). A process that has used it up stands still until it is given
//! out anew, ten times a second by default: sound breaks off from one call to the next, while every thread seems to have time.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use super::load::Look;

/// Where control groups are, by the convention of systemd and of container runtimes.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";

/// Looks once, from the thread that it is about. It takes a few short files, which is nothing once a second; a quota may be changed while the process runs.
pub(super) fn look() -> Look {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    Look {
        thread: ran_or_waited(&schedstat),
        process: process_time(),
        quota: quota(&groups, Path::new(CONTROL_GROUPS)),
    }
}

/// How long a thread has run and has waited for a processor, together; `None` where the kernel does not tell (Documentation/scheduler/sched-stats in its sources).
fn ran_or_waited(schedstat: &str) -> Option<Duration> {
    let mut numbers = schedstat.split_whitespace().map(str::parse::<u64>);
    let (ran_ns, waited_ns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
    Some(Duration::from_nanos(ran_ns.saturating_add(waited_ns)))
}

/// How long all threads of this process have run together.
fn process_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default()
}

/// What the scarcest of the groups above a process lets it have in each second of the clock; `None` where none limits it. `groups` is what `/proc/self/cgroup` says.
fn quota(groups: &str, root: &Path) -> Option<Duration> {
    groups
        .lines()
        .filter_map(|line| group(line, root))
        .flat_map(|(tree, path)| {
            // What a container sees begins somewhere below what the path begins with, so that some steps of it may not be there.
            let all = path.ancestors().map(|step| tree.join(step));
            all.filter_map(|group| quota_of(&group)).collect::<Vec<_>>()
        })
        .min()
}

/// The tree that a line of `/proc/self/cgroup` is about and the way down in it (cgroups(7)): `0::/a/b` in the only tree, `4:cpu,cpuacct:/a/b` in one of several.
fn group<'a>(line: &'a str, root: &Path) -> Option<(PathBuf, &'a Path)> {
    let mut fields = line.splitn(3, ':').skip(1);
    let (controllers, path) = (fields.next()?, fields.next()?);
    let tree = match controllers {
        "" => root.to_path_buf(),
        some if some.split(',').any(|controller| controller == "cpu") => root.join("cpu"),
        _ => return None,
    };
    Some((tree, Path::new(path.trim_start_matches('/'))))
}

/// What one group sets: `max 100000` and -1 are no limit.
fn quota_of(group: &Path) -> Option<Duration> {
    let read = |file| fs::read_to_string(group.join(file)).ok();
    let (quota_us, period_us) = match read("cpu.max") {
        Some(line) => {
            let (quota, period) = line.trim().split_once(' ')?;
            (quota.parse().ok()?, period.parse().ok()?)
        }
        None => (
            read("cpu.cfs_quota_us")?.trim().parse().ok()?,
            read("cpu.cfs_period_us")?.trim().parse().ok()?,
        ),
    };
    per_second(quota_us, period_us)
}

fn per_second(quota_us: u64, period_us: u64) -> Option<Duration> {
    let us = quota_us.checked_mul(1_000_000)?.checked_div(period_us)?;
    Some(Duration::from_micros(us.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Control groups with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a directory");
        for (name, text) in files {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("it is below")).expect("a directory");
            fs::write(path, text).expect("a file");
        }
        root
    }

    fn quota_in(groups: &str, files: &[(&str, &str)]) -> Option<u128> {
        let root = tree(files);
        quota(groups, root.path()).map(|quota| quota.as_micros())
    }

    #[test]
    fn the_scarcest_group_on_the_way_counts() {
        let files = [
            ("a/cpu.max", "150000 100000\n"),
            ("a/b/cpu.max", "max 100000\n"),
            ("a/b/c/cpu.max", "200000 50000\n"),
            ("other/cpu.max", "1000 100000\n"),
        ];
        assert_eq!(quota_in("0::/a/b/c\n", &files), Some(1_500_000));
        assert_eq!(quota_in("0::/a/b\n", &files[1..]), None);
        assert_eq!(quota_in("0::/\n", &files), None);
    }

    /// A container sees its own group as the uppermost one, whatever the path says.
    #[test]
    fn a_container_finds_its_group_at_the_top() {
        let files = [("cpu.max", "20000 100000\n")];
        assert_eq!(quota_in("0::/\n", &files), Some(200_000));
        assert_eq!(quota_in("0::/../pod7/x\n", &files), Some(200_000));
    }

    #[test]
    fn each_of_several_trees_has_files_of_its_own() {
        let files = [
            ("cpu/pod/cpu.cfs_quota_us", "50000\n"),
            ("cpu/pod/cpu.cfs_period_us", "100000\n"),
            ("cpu/cpu.cfs_quota_us", "-1\n"),
            ("cpu/cpu.cfs_period_us", "100000\n"),
            ("memory/pod/cpu.max", "1 100000\n"),
        ];
        let groups = "5:memory:/pod\n4:cpuacct,cpu:/pod\n0::/\n";
        assert_eq!(quota_in(groups, &files), Some(500_000));
        assert_eq!(quota_in("4:cpu:/\n", &files), None);
    }

    #[test]
    fn what_cannot_be_read_is_no_limit() {
        for text in ["", "max", "1", "1 0", "1 x", "18446744073709551615 1"] {
            assert_eq!(quota_in("0::/\n", &[("cpu.max", text)]), None, "{text:?}");
        }
        assert_eq!(quota_in("nonsense\n\n1:cpu\n", &[]), None);
    }

    /// The kernel under this test tells both, and time that was spent shows.
    #[test]
    fn time_that_is_spent_shows() {
        let before = look();
        let mut after = look();
        while after.process < before.process + Duration::from_millis(5) {
            after = look();
        }
        assert!(after.thread > before.thread, "{before:?} {after:?}");
    }
}
