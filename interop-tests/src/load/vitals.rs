//! Processor time, memory and threads of a process, as `/proc` tells them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::Result;

/// Clock ticks a second in `/proc` (`USER_HZ`), the same on every Linux of our architectures.
const TICKS_PER_S: f64 = 100.0;

/// Processor time used so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct CpuTime {
    /// In the program's own code, seconds.
    pub user_s: f64,
    /// In the kernel on its behalf, seconds.
    pub system_s: f64,
}

impl CpuTime {
    /// Both together, seconds.
    pub fn total_s(&self) -> f64 {
        self.user_s + self.system_s
    }

    /// What was used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            user_s: self.user_s - earlier.user_s,
            system_s: self.system_s - earlier.system_s,
        }
    }
}

/// Processor time of a process so far, ended threads included.
///
/// # Errors
/// When the process is gone.
pub fn cpu(pid: u32) -> Result<CpuTime> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    stat_cpu(&stat).ok_or_else(|| format!("/proc/{pid}/stat: {stat:?}").into())
}

/// Processor time of each living thread, summed over threads of one name.
///
/// # Errors
/// When the process is gone.
pub fn threads(pid: u32) -> Result<BTreeMap<String, CpuTime>> {
    let mut threads = BTreeMap::<String, CpuTime>::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while the list is read.
        let Ok(stat) = std::fs::read_to_string(entry?.path().join("stat")) else {
            continue;
        };
        if let (Some(name), Some(cpu)) = (stat_name(&stat), stat_cpu(&stat)) {
            let sum = threads.entry(name.to_owned()).or_default();
            sum.user_s += cpu.user_s;
            sum.system_s += cpu.system_s;
        }
    }
    Ok(threads)
}

/// Memory that is resident, in KiB.
///
/// # Errors
/// When the process is gone.
pub fn resident_kib(pid: u32) -> Result<u64> {
    status_kib(pid, "VmRSS")
}

/// A size that `/proc/PID/status` tells of a process, in KiB.
///
/// # Errors
/// When the process is gone, or nothing of this name is told.
pub fn status_kib(pid: u32, name: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let told = status.lines().find_map(|line| {
        let value = line.strip_prefix(name)?.strip_prefix(':')?;
        value.split_whitespace().next()?.parse().ok()
    });
    told.ok_or_else(|| format!("/proc/{pid}/status has no {name}").into())
}

/// Time that all processors of the machine were busy so far, whoever used them; stolen time is.
///
/// # Errors
/// When `/proc/stat` cannot be read.
pub fn machine_busy_s() -> Result<f64> {
    let stat = std::fs::read_to_string("/proc/stat")?;
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .filter_map(|field| field.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user.
    let busy: f64 = fields.iter().take(8).sum::<f64>() - fields.iter().skip(3).take(2).sum::<f64>();
    Ok(busy / TICKS_PER_S)
}

/// What the figures were measured on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// The processor's own name.
    pub processor: String,
    /// How many the system may use.
    pub cores: usize,
    /// The kernel's release.
    pub kernel: String,
    /// Memory, MiB.
    pub memory_mib: u64,
}

impl Machine {
    /// This one. What cannot be found out is empty.
    pub fn here() -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let memory_kib = memory.trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        Self {
            processor: field(&read("/proc/cpuinfo"), "model name").unwrap_or_default(),
            cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            memory_mib: memory_kib / 1024,
        }
    }
}

/// A thread's name may hold spaces and parentheses: it ends at the last one.
fn stat_name(stat: &str) -> Option<&str> {
    Some(stat.split_once('(')?.1.rsplit_once(')')?.0)
}

fn stat_cpu(stat: &str) -> Option<CpuTime> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    // After the name: state is field 3 of proc(5), utime 14, stime 15.
    let user: f64 = fields.nth(11)?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(CpuTime {
        user_s: user / TICKS_PER_S,
        system_s: system / TICKS_PER_S,
    })
}

/// A duration as a share of one core, in percent.
pub fn percent_of_core(cpu_s: f64, window: Duration) -> f64 {
    cpu_s / window.as_secs_f64() * 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_with_a_name_that_bites() {
        let stat = "77 (media) (0) S 1 77 77 0 -1 4194560 9 0 0 0 250 125 0 0 20 0 5 0 1 2 3";
        assert_eq!(stat_name(stat), Some("media) (0"));
        let cpu = stat_cpu(stat).unwrap();
        assert_eq!((cpu.user_s, cpu.system_s, cpu.total_s()), (2.5, 1.25, 3.75));
    }

    #[test]
    fn this_process_has_vitals() {
        let pid = std::process::id();
        assert!(resident_kib(pid).unwrap() > 0);
        assert!(!threads(pid).unwrap().is_empty());
        assert!(cpu(pid).unwrap().total_s() <= machine_busy_s().unwrap());
    }
}
