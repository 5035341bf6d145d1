//! What the rounds amount to: medians and spreads, ratios round by round, a table and JSON.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use super::round::{CallSamples, Round, Way};
use super::samples::{Percentiles, Samples};
use super::subject::Kind;
use super::vitals::Machine;
use super::{Case, Plan};

/// A row of the table: its name, the figure it shows, digits after the point.
type Line = (&'static str, fn(&Round) -> f64, usize);

/// The middle of some values, and how far they reach.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// `None` when there is no value.
    pub fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let half = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[half - 1], values[half])
        } else {
            values[half]
        };
        Some(Self { median, min, max })
    }

    /// The median and, in parentheses, the reach.
    pub(super) fn shown(self, digits: usize) -> String {
        let Self { median, min, max } = self;
        format!("{median:.digits$} ({min:.digits$}-{max:.digits$})")
    }
}

/// Durations of all calls of all rounds of one program.
#[derive(Debug, Clone, Serialize)]
pub struct Calls {
    /// INVITE to 180.
    pub invite_to_ringing: Option<Percentiles>,
    /// NOTIFY talk to the 200 of the INVITE.
    pub talk_to_ok: Option<Percentiles>,
    /// NOTIFY talk to the first packet at the page.
    pub talk_to_agent: Option<Percentiles>,
    /// NOTIFY talk to the first packet at the telephone.
    pub talk_to_caller: Option<Percentiles>,
}

impl Calls {
    fn of(rounds: &[&Round]) -> Self {
        let pool = |pick: fn(&CallSamples) -> &Samples| {
            let mut pool = Samples::default();
            for round in rounds {
                pool.join(pick(&round.samples));
            }
            pool.percentiles()
        };
        Self {
            invite_to_ringing: pool(|samples| &samples.wire.invite_to_ringing),
            talk_to_ok: pool(|samples| &samples.wire.talk_to_ok),
            talk_to_agent: pool(|samples| &samples.talk_to_agent),
            talk_to_caller: pool(|samples| &samples.talk_to_caller),
        }
    }
}

/// One program against another, round by round.
#[derive(Debug, Clone, Serialize)]
pub struct Ratio {
    /// What stands above the line.
    pub of: Kind,
    /// What stands below it.
    pub to: Kind,
    /// Processor time per session.
    pub cpu: Option<Spread>,
    /// Processor time per session in each round.
    pub cpu_by_round: Vec<f64>,
    /// Memory per session.
    pub memory: Option<Spread>,
}

/// Everything that was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// What became of the audio.
    pub case: Case,
    /// Calls at a time.
    pub sessions: usize,
    /// Seconds of a steady window.
    pub window_s: u64,
    /// Media workers of talkbridge, threads of rtpengine and event loops of Janus; 0 is talkbridge's default.
    pub workers: u16,
    /// rtpengine had as many threads as it takes when it is told nothing.
    pub as_shipped: bool,
    /// Rivals that had no turns, or none any more, and why.
    pub absent: BTreeMap<Kind, String>,
    /// Durations of talkbridge's calls, all rounds together.
    pub calls: Calls,
    /// Comparisons.
    pub ratios: Vec<Ratio>,
    /// Every turn, in order.
    pub rounds: Vec<Round>,
}

impl Report {
    /// Sums the rounds of a plan up.
    pub fn of(plan: &Plan, rounds: Vec<Round>) -> Self {
        let of = |kind| rounds.iter().filter(move |round| round.kind == kind);
        let talkbridge: Vec<&Round> = of(Kind::Talkbridge).collect();
        let ratios = kinds(&rounds)
            .into_iter()
            .filter(|kind| *kind != Kind::Talkbridge)
            .map(|to| {
                let pairs = || {
                    let turns = of(Kind::Talkbridge).zip(of(to));
                    turns.filter(|(ours, its)| ours.kept_up() && its.kept_up())
                };
                let cpu_by_round: Vec<f64> = pairs()
                    // Too short a window for the system's clock ticks: nothing to compare with either.
                    .filter(|(_, its)| its.cpu_percent > 0.0)
                    .map(|(ours, its)| ours.cpu_percent / its.cpu_percent)
                    .collect();
                Ratio {
                    of: Kind::Talkbridge,
                    to,
                    cpu: Spread::of(cpu_by_round.iter().copied()),
                    cpu_by_round,
                    memory: Spread::of(
                        // The bare relay keeps nothing for a call: nothing to compare with.
                        pairs()
                            .filter(|(_, its)| its.memory_kib >= 1.0)
                            .map(|(ours, its)| ours.memory_kib / its.memory_kib),
                    ),
                }
            })
            .collect();
        Self {
            machine: Machine::here(),
            case: plan.case,
            sessions: plan.sessions,
            window_s: plan.window.as_secs(),
            workers: plan.workers,
            as_shipped: plan.as_shipped,
            absent: plan.absent.clone(),
            calls: Calls::of(&talkbridge),
            ratios,
            rounds,
        }
    }

    /// The table that people read.
    pub fn table(&self) -> String {
        let mut text = self.headline();
        let kinds = kinds(&self.rounds);
        let name = |kind: &Kind| format!(" {:>24}", kind.name());
        row(
            &mut text,
            "median (min-max) of the rounds",
            kinds.iter().map(name),
        );
        let lines: [Line; 11] = [
            (
                "processor per session, % of a core",
                |round| round.cpu_percent,
                3,
            ),
            ("  of it in its own code", |round| round.cpu_user_percent, 3),
            ("memory per session, KiB", |round| round.memory_kib, 1),
            ("to the agent: p50, ms", |round| p50(&round.to_agent), 3),
            ("to the agent: p99, ms", |round| p99(&round.to_agent), 3),
            ("to the caller: p50, ms", |round| p50(&round.to_caller), 3),
            ("to the caller: p99, ms", |round| p99(&round.to_caller), 3),
            ("lost, packets in a million", lost, 1),
            ("marks not heard", marks_lost, 0),
            ("the load's own lateness: p99, ms", lateness, 3),
            (
                "others on the machine, % of a core",
                |round| round.others_cpu_percent,
                1,
            ),
        ];
        for (label, value, digits) in lines {
            let cell = |kind: &Kind| {
                let spread = Spread::of(self.of_kind(*kind).map(value));
                format!(
                    " {:>24}",
                    spread.map_or_else(String::new, |it| it.shown(digits))
                )
            };
            row(&mut text, label, kinds.iter().map(cell));
        }
        self.tail(&mut text);
        text
    }

    fn headline(&self) -> String {
        let Machine {
            processor,
            cores,
            kernel,
            memory_mib,
        } = &self.machine;
        let audio = match self.case {
            Case::Relay => "PCMU 20 ms both ways",
            Case::Transcode => "Opus 20 ms at the pages, PCMU 20 ms at the telephones",
        };
        format!(
            "{} calls at a time, {audio}, windows of {} s; {cores} x {processor}, \
             {memory_mib} MiB, Linux {kernel}\n\n",
            self.sessions, self.window_s
        )
    }

    fn tail(&self, text: &mut String) {
        text.push('\n');
        for (label, percentiles) in [
            ("INVITE to 180", self.calls.invite_to_ringing),
            ("talk to 200 OK", self.calls.talk_to_ok),
            (
                "talk to the first packet at the agent",
                self.calls.talk_to_agent,
            ),
            (
                "talk to the first packet at the caller",
                self.calls.talk_to_caller,
            ),
        ] {
            if let Some(Percentiles {
                p50_ms,
                p99_ms,
                max_ms,
                count,
            }) = percentiles
            {
                let times = format!("p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, max {max_ms:.2} ms");
                line(text, &format!("{label:<40} {times} ({count} calls)"));
            }
        }
        text.push('\n');
        for ratio in &self.ratios {
            let by_round: Vec<String> = ratio
                .cpu_by_round
                .iter()
                .map(|ratio| format!("{ratio:.2}"))
                .collect();
            let shown = |spread: Option<Spread>| spread.map_or_else(String::new, |it| it.shown(2));
            let names = format!("{} / {}", ratio.of.name(), ratio.to.name());
            let cpu = match ratio.cpu {
                Some(_) => format!("processor {} [{}]", shown(ratio.cpu), by_round.join(" ")),
                None => "processor not compared: windows too short, or none that both kept up in"
                    .to_owned(),
            };
            let memory = ratio.memory.map_or_else(String::new, |spread| {
                format!(", memory {}", spread.shown(2))
            });
            line(text, &format!("{names:<28} {cpu}{memory}"));
        }
        self.left_behind(text);
        for kind in kinds(&self.rounds) {
            if let Some(round) = self.of_kind(kind).last() {
                let threads: Vec<String> = round
                    .threads_percent
                    .iter()
                    .filter(|(_, percent)| **percent >= 0.1)
                    .map(|(name, percent)| format!("{name} {percent:.1} %"))
                    .collect();
                line(
                    text,
                    &format!("threads of {}: {}", kind.name(), threads.join(", ")),
                );
            }
        }
        let stray: u64 = self.rounds.iter().map(|round| round.stray).sum();
        line(text, &format!("packets heard in a foreign call: {stray}"));
        for (kind, why) in &self.absent {
            let turns = match self.of_kind(*kind).count() {
                0 => "no turns".to_owned(),
                taken => format!("no turns after {taken}"),
            };
            line(text, &format!("{turns} of {}: {why}", kind.name()));
        }
    }

    /// Rounds in which a program did not keep up with its calls.
    fn left_behind(&self, text: &mut String) {
        for kind in kinds(&self.rounds) {
            let behind = self.of_kind(kind).filter(|round| !round.kept_up()).count();
            if behind > 0 {
                let of = self.of_kind(kind).count();
                let name = kind.name();
                let what =
                    "did not keep up (1 % lost, 200 ms late, or marks unheard): not compared";
                line(text, &format!("{name}: {behind} of {of} rounds {what}"));
            }
        }
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |round| round.kind == kind)
    }
}

/// The programs that had turns, in the order of the columns.
fn kinds(rounds: &[Round]) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = rounds.iter().map(|round| round.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}

fn row(text: &mut String, label: &str, cells: impl Iterator<Item = String>) {
    let cells: String = cells.collect();
    line(text, &format!("{label:<36}{cells}"));
}

fn line(text: &mut String, content: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{content}");
}

fn p50(way: &Way) -> f64 {
    way.latency.map_or(f64::NAN, |latency| latency.p50_ms)
}

fn p99(way: &Way) -> f64 {
    way.latency.map_or(f64::NAN, |latency| latency.p99_ms)
}

fn lateness(round: &Round) -> f64 {
    round
        .load_lateness
        .map_or(f64::NAN, |lateness| lateness.p99_ms)
}

fn lost(round: &Round) -> f64 {
    let sent = round.to_agent.sent + round.to_caller.sent;
    let lost = round.to_agent.lost + round.to_caller.lost;
    lost as f64 * 1e6 / sent.max(1) as f64
}

fn marks_lost(round: &Round) -> f64 {
    (round.to_agent.marks_lost + round.to_caller.marks_lost) as f64
}

/// Says on standard error how a turn went, for whoever waits.
#[expect(clippy::print_stderr, reason = "a command says what it does")]
pub fn progress(number: usize, rounds: usize, round: &Round) {
    eprintln!(
        "round {}/{rounds} {:<11} {}{:.3} % of a core and {:.1} KiB per session, p99 {:.2} / {:.2} ms, others {:.0} %",
        number + 1,
        round.kind.name(),
        if round.kept_up() {
            ""
        } else {
            "did not keep up: "
        },
        round.cpu_percent,
        round.memory_kib,
        p99(&round.to_agent),
        p99(&round.to_caller),
        round.others_cpu_percent,
    );
}

/// Says that a program could not take its turn, and has none any more.
#[expect(clippy::print_stderr, reason = "a command says what it does")]
pub fn left_out(kind: Kind, error: &dyn std::error::Error) {
    eprintln!("{}: {error}; it is left out from here on", kind.name());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_a_middle() {
        assert_eq!(Spread::of([]), None);
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of([4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(spread.shown(1), "2.0 (1.0-3.0)");
    }
}
