//! What the gateway holds at a moment, by its own metrics and by the system's tables.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::load::vitals;
use crate::{Gateway, Result};

/// Metrics that count what comes and goes. Rest after use is part of it: ports, and transactions for the sake of repetitions.
const METRICS: [&str; 7] = [
    "talkbridge_calls_active",
    "talkbridge_dns_registered",
    "talkbridge_pages_signed_in",
    "talkbridge_ports_in_use",
    "talkbridge_ports_quarantined",
    "talkbridge_tasks",
    "talkbridge_ws_connections",
];

/// Its entries are counted one by one.
const TABLES: &str = "talkbridge_table_entries{table=\"";

/// Everything that must come back to where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Holdings {
    /// Counts by name: gauges, and tables of the switchboard.
    pub counts: BTreeMap<String, u64>,
    /// Open files by what they are: sockets, pipes, and files by their names.
    pub files: BTreeMap<String, usize>,
    /// Threads.
    pub threads: usize,
}

impl Holdings {
    /// What it holds now.
    ///
    /// # Errors
    /// When the process is gone.
    pub(super) async fn of(gateway: &Gateway, pid: u32) -> Result<Self> {
        let page = gateway.get("/metrics").await.body;
        let mut counts = BTreeMap::new();
        for line in page.lines().filter(|line| !line.starts_with('#')) {
            let Some((name, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let table = name
                .strip_prefix(TABLES)
                .and_then(|rest| rest.split('"').next());
            let bare = name.split('{').next().unwrap_or(name);
            let name = match table {
                Some(table) => table,
                None if METRICS.contains(&bare) => bare,
                None => continue,
            };
            // A gauge of a count is whole.
            *counts.entry(name.to_owned()).or_default() += value.parse::<f64>()? as u64;
        }
        Ok(Self {
            counts,
            files: files(pid)?,
            threads: std::fs::read_dir(format!("/proc/{pid}/task"))?.count(),
        })
    }

    /// What is there now and was not, or the other way round.
    pub(super) fn difference(&self, before: &Self) -> Vec<String> {
        let mut differences = changes(&before.counts, &self.counts);
        differences.extend(changes(&before.files, &self.files));
        if before.threads != self.threads {
            let (was, is) = (before.threads, self.threads);
            differences.push(format!("threads: {was} became {is}"));
        }
        differences
    }

    /// All open files.
    pub(super) fn open_files(&self) -> usize {
        self.files.values().sum()
    }

    /// One of the counts; 0 where it was never counted.
    pub(super) fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }
}

/// What is there in another number than before.
fn changes<N: Copy + Default + PartialEq + std::fmt::Display>(
    before: &BTreeMap<String, N>,
    now: &BTreeMap<String, N>,
) -> Vec<String> {
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let count = |of: &BTreeMap<String, N>, name: &String| of.get(name).copied().unwrap_or_default();
    names
        .into_iter()
        .map(|name| (name, count(before, name), count(now, name)))
        .filter(|(_, was, is)| was != is)
        .map(|(name, was, is)| format!("{name}: {was} became {is}"))
        .collect()
}

/// What `/proc` says of each descriptor; numbers of sockets and pipes say nothing.
fn files(pid: u32) -> Result<BTreeMap<String, usize>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed while the list is read.
        let Ok(target) = std::fs::read_link(entry?.path()) else {
            continue;
        };
        let target = target.to_string_lossy();
        let kind = match target.split_once(":[") {
            Some((kind @ ("socket" | "pipe"), _)) => kind,
            _ => &target,
        };
        *files.entry(kind.to_owned()).or_default() += 1;
    }
    Ok(files)
}

/// A line of the report: the gateway at a moment.
#[derive(Debug, Clone, Serialize)]
pub struct Minute {
    /// Seconds since the churn began.
    pub at_s: u64,
    /// Resident memory, KiB.
    pub resident_kib: u64,
    /// What it holds.
    pub holdings: Holdings,
    /// Things done so far, by name.
    pub done: BTreeMap<&'static str, u64>,
}

impl Minute {
    pub(super) async fn of(
        gateway: &Gateway,
        pid: u32,
        at_s: u64,
        done: BTreeMap<&'static str, u64>,
    ) -> Result<Self> {
        Ok(Self {
            at_s,
            resident_kib: vitals::resident_kib(pid)?,
            holdings: Holdings::of(gateway, pid).await?,
            done,
        })
    }

    /// As people read it.
    pub fn line(&self) -> String {
        let held = &self.holdings;
        let done: u64 = self.done.values().sum();
        format!(
            "{:>6} s {:>8} KiB {:>5} files {:>3} threads {:>4} tasks {:>4} calls {:>4} ports {:>4} legs {:>4} sessions {:>5} transactions {:>7} done",
            self.at_s,
            self.resident_kib,
            held.open_files(),
            held.threads,
            held.count("talkbridge_tasks"),
            held.count("calls"),
            held.count("talkbridge_ports_in_use"),
            held.count("legs"),
            held.count("sessions"),
            held.count("sip_transactions"),
            done,
        )
    }
}
