//! What the steps amount to: the rate that is still served, and what a call costs at half of it.

use std::fmt::Write as _;

use serde::Serialize;

use super::super::report::Spread;
use super::super::samples::Percentiles;
use super::super::vitals::Machine;
use super::callers::Failures;

/// One rate, held for a window.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// Calls a second that were begun.
    pub rate_per_s: f64,
    /// Calls begun.
    pub begun: u64,
    /// Calls that got from INVITE to the 200 of BYE.
    pub completed: u64,
    /// Those that did not.
    pub failed: Failures,
    /// INVITE to 180.
    pub invite_to_ringing: Option<Percentiles>,
    /// NOTIFY talk to the 200 of the INVITE.
    pub talk_to_ok: Option<Percentiles>,
    /// Re-INVITE without SDP to its 200.
    pub reinvite_to_ok: Option<Percentiles>,
    /// Processor time of the gateway for each call, above what it takes with nobody calling, milliseconds.
    pub cpu_ms_per_call: f64,
    /// Of it on the thread that decides, milliseconds.
    pub control_ms_per_call: f64,
    /// How busy the thread that decides was, percent of a core.
    pub control_percent: f64,
    /// How late the load itself began calls.
    pub load_lateness: Option<Percentiles>,
    /// Processor time of others on the machine, percent of a core.
    pub others_cpu_percent: f64,
}

impl Step {
    /// Whether the rate was served: hardly a call lost, and answers before an agent notices.
    pub(super) fn held(&self) -> bool {
        let lost = self.failed.all() as f64 / self.begun.max(1) as f64;
        let late = self.talk_to_ok.is_none_or(|talk| talk.p99_ms > LATE_P99_MS);
        lost <= LOST_MAX && !late
    }

    /// How many calls a second a core of processor time would do at this price.
    fn calls_per_core_s(&self) -> Option<f64> {
        let cost_ms = Some(self.cpu_ms_per_call).filter(|ms| *ms > 0.0);
        cost_ms.map(|ms| 1000.0 / ms)
    }
}

/// More calls lost than this, and the rate is not served.
const LOST_MAX: f64 = 0.001;

/// An answer later than this at p99 is a queue that grows.
const LATE_P99_MS: f64 = 50.0;

/// One gateway, from the first rate to the one that it does not serve any more.
#[derive(Debug, Clone, Serialize)]
pub struct Round {
    /// Whether it is the build to compare with.
    pub baseline: bool,
    /// Rates upwards, the last of which was not served, or was the highest to be tried.
    pub steps: Vec<Step>,
    /// The highest rate that was served, calls a second; `None` when not even the first was.
    pub knee_per_s: Option<f64>,
    /// Half of that rate, once more.
    pub half: Option<Step>,
    /// Calls a second for each core of processor time, at the knee.
    pub knee_per_core_s: Option<f64>,
    /// The same at half of it, where the gateway has more to wait for and is woken more often for each call.
    pub half_per_core_s: Option<f64>,
}

impl Round {
    pub(super) fn of(baseline: bool, steps: Vec<Step>, half: Option<Step>) -> Self {
        let served = steps.iter().filter(|step| step.held());
        let knee = served.max_by(|one, other| one.rate_per_s.total_cmp(&other.rate_per_s));
        let knee_per_s = knee.map(|step| step.rate_per_s);
        Self {
            baseline,
            knee_per_s,
            knee_per_core_s: knee.and_then(Step::calls_per_core_s),
            half_per_core_s: half.as_ref().and_then(Step::calls_per_core_s),
            steps,
            half,
        }
    }
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// Agents that were signed in.
    pub agents: usize,
    /// Seconds of a step.
    pub window_s: u64,
    /// Every turn, in order.
    pub rounds: Vec<Round>,
    /// The highest rate that was served, calls a second.
    pub knee_per_s: Option<Spread>,
    /// Calls a second and core, at the highest rate that was served.
    pub knee_per_core_s: Option<Spread>,
    /// Calls a second and core, at half of it.
    pub half_per_core_s: Option<Spread>,
    /// Knee of this build by that of the baseline, round by round; empty without one.
    pub knee_ratio_by_round: Vec<f64>,
}

impl Report {
    pub(super) fn of(agents: usize, window_s: u64, rounds: Vec<Round>) -> Self {
        let ours = || rounds.iter().filter(|round| !round.baseline);
        let theirs = rounds.iter().filter(|round| round.baseline);
        let ratio = |(ours, theirs): (&Round, &Round)| Some(ours.knee_per_s? / theirs.knee_per_s?);
        Self {
            machine: Machine::here(),
            agents,
            window_s,
            knee_per_s: Spread::of(ours().filter_map(|round| round.knee_per_s)),
            knee_per_core_s: Spread::of(ours().filter_map(|round| round.knee_per_core_s)),
            half_per_core_s: Spread::of(ours().filter_map(|round| round.half_per_core_s)),
            knee_ratio_by_round: ours().zip(theirs).filter_map(ratio).collect(),
            rounds,
        }
    }

    /// The table that people read.
    pub fn table(&self) -> String {
        let mut text = format!(
            "{} agents, windows of {} s; {} x {}\n\n",
            self.agents, self.window_s, self.machine.cores, self.machine.processor
        );
        text += &format!("{HEAD}\n");
        for (number, round) in self.rounds.iter().enumerate() {
            let name = if round.baseline {
                "baseline"
            } else {
                "talkbridge"
            };
            line(&mut text, &format!("round {} {name}", number + 1));
            for step in &round.steps {
                line(
                    &mut text,
                    &row(step, if step.held() { "" } else { " not served" }),
                );
            }
            if let Some(half) = &round.half {
                line(&mut text, &row(half, " half of the knee"));
            }
        }
        let shown = |spread: Option<Spread>| {
            spread.map_or_else(
                || "not measured".to_owned(),
                |it| format!("{:.0} ({:.0}-{:.0})", it.median, it.min, it.max),
            )
        };
        for (what, spread) in [
            ("\nserved, calls a second", self.knee_per_s),
            (
                "calls a second and core, at that rate",
                self.knee_per_core_s,
            ),
            ("the same at half of it", self.half_per_core_s),
        ] {
            line(&mut text, &format!("{what}: {}", shown(spread)));
        }
        if !self.knee_ratio_by_round.is_empty() {
            let ratios: Vec<String> = self
                .knee_ratio_by_round
                .iter()
                .map(|ratio| format!("{ratio:.2}"))
                .collect();
            line(&mut text, &format!("by the baseline: {}", ratios.join(" ")));
        }
        text
    }
}

const HEAD: &str = "calls/s     done  failed   INVITE-180 p50/p99   talk-200 p50/p99   cpu ms/call (control)   control";

fn row(step: &Step, note: &str) -> String {
    let times = |percentiles: Option<Percentiles>| {
        percentiles.map_or_else(
            || "-".to_owned(),
            |it| format!("{:.2}/{:.2}", it.p50_ms, it.p99_ms),
        )
    };
    format!(
        "{:>7.0} {:>8} {:>7} {:>20} {:>18} {:>14.3} ({:.3}) {:>8.1} %{note}",
        step.rate_per_s,
        step.completed,
        step.failed.all(),
        times(step.invite_to_ringing),
        times(step.talk_to_ok),
        step.cpu_ms_per_call,
        step.control_ms_per_call,
        step.control_percent,
    )
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{content}");
}

/// Says on standard error how a step went, for whoever waits.
#[expect(clippy::print_stderr, reason = "a command says what it does")]
pub(super) fn progress(round: usize, step: &Step) {
    eprintln!("round {} {}", round + 1, row(step, ""));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(rate_per_s: f64, overdue: u64, p99_ms: f64) -> Step {
        let talk = Percentiles {
            p50_ms: 0.2,
            p99_ms,
            max_ms: p99_ms,
            count: 1000,
        };
        Step {
            rate_per_s,
            begun: 1000,
            completed: 1000 - overdue,
            failed: Failures {
                overdue,
                ..Failures::default()
            },
            invite_to_ringing: None,
            talk_to_ok: Some(talk),
            reinvite_to_ok: None,
            cpu_ms_per_call: 0.5,
            control_ms_per_call: 0.3,
            control_percent: 10.0,
            load_lateness: None,
            others_cpu_percent: 0.0,
        }
    }

    #[test]
    fn the_knee_is_the_last_rate_that_was_served() {
        let steps = vec![
            step(100.0, 0, 1.0),
            step(200.0, 1, 2.0),
            step(400.0, 20, 2.0),
        ];
        let mut half = step(100.0, 0, 1.0);
        half.cpu_ms_per_call = 0.8;
        let round = Round::of(false, steps, Some(half));
        assert_eq!(round.knee_per_s, Some(200.0));
        assert_eq!(round.knee_per_core_s, Some(2000.0));
        assert_eq!(round.half_per_core_s, Some(1250.0));
        let late = Round::of(true, vec![step(100.0, 0, 80.0)], None);
        assert_eq!((late.knee_per_s, late.knee_per_core_s), (None, None));
        assert_eq!(late.half_per_core_s, None);
        let report = Report::of(
            10,
            1,
            vec![
                round.clone(),
                late,
                round.clone(),
                Round {
                    baseline: true,
                    ..round
                },
            ],
        );
        assert_eq!(report.knee_ratio_by_round, [1.0]);
        assert!(report.table().contains("not served"));
    }
}
