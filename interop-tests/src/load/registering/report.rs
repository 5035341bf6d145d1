//! What the turns amount to.

use serde::Serialize;

use super::super::report::Spread;
use super::super::vitals::Machine;
use super::Plan;
use crate::digest::{Algorithm, Proofs};

/// One turn.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Whether it is the build to compare with.
    pub baseline: bool,
    /// Memory of a DN that is registered, KiB.
    pub kib_per_dn: f64,
    /// Processor time of a first registration, milliseconds, all threads.
    pub cpu_ms_per_registration: f64,
    /// Processor time of a refresh with everything that goes on beside, milliseconds; `None` when the window saw none.
    pub cpu_ms_per_refresh: Option<f64>,
    /// Refreshes in the window.
    pub refreshes: u64,
    /// Those of them that were asked for the password anew, as their nonce was used up.
    pub stale_refreshes: u64,
    /// How all REGISTERs of the paced gateway fared whose password was asked for.
    pub proofs: Proofs,
    /// From the start of the process until all were registered at the pace asked for, seconds.
    pub paced_s: f64,
    /// The same at ten times that pace, seconds.
    pub fast_s: f64,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// DNs.
    pub dns: usize,
    /// How passwords were asked for; `None` when they were not.
    pub digest: Option<Algorithm>,
    /// Every turn, in order.
    pub rounds: Vec<Round>,
    /// Memory of a DN, KiB.
    pub kib_per_dn: Option<Spread>,
    /// Processor time of a first registration, milliseconds.
    pub cpu_ms_per_registration: Option<Spread>,
    /// Processor time of a refresh, milliseconds.
    pub cpu_ms_per_refresh: Option<Spread>,
    /// Seconds until all were registered, paced.
    pub paced_s: Option<Spread>,
    /// Seconds until all were registered, at ten times that pace.
    pub fast_s: Option<Spread>,
}

impl Report {
    pub(super) fn of(plan: &Plan, rounds: Vec<Round>) -> Self {
        let spread = |figure: fn(&Round) -> Option<f64>| {
            let ours = rounds.iter().filter(|round| !round.baseline);
            Spread::of(ours.filter_map(figure))
        };
        Self {
            machine: Machine::here(),
            dns: plan.dns,
            digest: plan.digest,
            kib_per_dn: spread(|round| Some(round.kib_per_dn)),
            cpu_ms_per_registration: spread(|round| Some(round.cpu_ms_per_registration)),
            cpu_ms_per_refresh: spread(|round| round.cpu_ms_per_refresh),
            paced_s: spread(|round| Some(round.paced_s)),
            fast_s: spread(|round| Some(round.fast_s)),
            rounds,
        }
    }

    /// The table that people read.
    pub fn table(&self) -> String {
        let shown = |spread: Option<Spread>, digits| {
            spread.map_or_else(|| "not measured".to_owned(), |it: Spread| it.shown(digits))
        };
        let mut lines = vec![
            format!(
                "{} DNs, {}, {} rounds; {} x {}",
                self.dns,
                self.digest.map_or_else(
                    || "no password asked for".to_owned(),
                    |digest| format!("password asked for by {digest}")
                ),
                self.rounds.iter().filter(|round| !round.baseline).count(),
                self.machine.cores,
                self.machine.processor
            ),
            format!("memory of a DN, KiB: {}", shown(self.kib_per_dn, 2)),
            format!(
                "processor time of a first registration, ms: {}",
                shown(self.cpu_ms_per_registration, 3)
            ),
            format!(
                "processor time of a refresh, ms: {}",
                shown(self.cpu_ms_per_refresh, 3)
            ),
            format!("all registered, paced, s: {}", shown(self.paced_s, 1)),
            format!(
                "all registered, ten times as fast, s: {}",
                shown(self.fast_s, 1)
            ),
        ];
        if self.digest.is_some() {
            let ours = self.rounds.iter().filter(|round| !round.baseline);
            let sum = |count: fn(&Round) -> u64| ours.clone().map(count).sum::<u64>();
            lines.push(format!(
                "challenged: {} without a password, {} with a stale nonce ({} of {} refreshes measured); refused: {}",
                sum(|round| round.proofs.missing),
                sum(|round| round.proofs.stale),
                sum(|round| round.stale_refreshes),
                sum(|round| round.refreshes),
                sum(|round| round.proofs.wrong),
            ));
        }
        let theirs = self.rounds.iter().filter(|round| round.baseline);
        lines.extend(theirs.map(|round| format!("baseline: {}", row(round))));
        lines.join("\n") + "\n"
    }
}

fn row(round: &Round) -> String {
    let refresh = round
        .cpu_ms_per_refresh
        .map_or_else(|| "-".to_owned(), |ms| format!("{ms:.3}"));
    format!(
        "{:.2} KiB, {:.3} ms a registration, {refresh} ms a refresh ({}), all after {:.1} s paced, {:.1} s at ten times the pace",
        round.kib_per_dn,
        round.cpu_ms_per_registration,
        round.refreshes,
        round.paced_s,
        round.fast_s
    )
}

/// Says on standard error how a turn went, for whoever waits.
#[expect(clippy::print_stderr, reason = "a command says what it does")]
pub(super) fn progress(number: usize, round: &Round) {
    let name = if round.baseline { " baseline" } else { "" };
    eprintln!("round {}{name}: {}", number + 1, row(round));
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn plan(digest: Option<Algorithm>) -> Plan {
        Plan {
            dns: 100,
            rate_per_s: 500,
            expires_s: 60,
            settle: Duration::ZERO,
            window: Duration::from_secs(1),
            digest,
            rounds: 1,
            baseline: None,
        }
    }

    #[test]
    fn what_was_not_seen_is_not_measured() {
        let round = Round {
            baseline: false,
            kib_per_dn: 4.0,
            cpu_ms_per_registration: 0.08,
            cpu_ms_per_refresh: None,
            refreshes: 0,
            stale_refreshes: 0,
            proofs: Proofs {
                missing: 100,
                ..Proofs::default()
            },
            paced_s: 10.0,
            fast_s: 1.0,
        };
        let other = Round {
            baseline: true,
            kib_per_dn: 9.0,
            ..round.clone()
        };
        let rounds = vec![round, other];
        let report = Report::of(&plan(None), rounds.clone());
        assert_eq!(report.kib_per_dn.unwrap().max, 4.0);
        let table = report.table();
        assert!(table.contains("refresh, ms: not measured"), "{table}");
        assert!(table.contains("baseline: 9.00 KiB"), "{table}");
        assert!(table.contains("no password asked for"), "{table}");
        let report = Report::of(&plan(Some(Algorithm::Md5)), rounds);
        let table = report.table();
        assert!(table.contains("asked for by MD5"), "{table}");
        assert!(table.contains("challenged: 100 without"), "{table}");
    }
}
