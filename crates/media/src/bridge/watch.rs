//! Notices when one side of a call says nothing while the other does: one-way audio.

use std::time::{Duration, Instant};

/// How long a direction may be without packets while the other one flows.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who should be heard, and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the SIP side to the browser.
    ToAgent,
    /// From the browser to the SIP side.
    ToCaller,
}

impl Direction {
    const fn flows(self, to_agent: bool, to_caller: bool) -> bool {
        match self {
            Self::ToAgent => to_agent,
            Self::ToCaller => to_caller,
        }
    }
}

/// The likely reason why nothing is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Packets come, but not from the address in the session description.
    OtherAddress,
    /// Packets come, but they are not secured with the key in the session description.
    OtherKey,
    /// Packets come, in a format that was not agreed.
    OtherFormat,
    /// Nothing comes at all.
    Nothing,
}

/// What has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Which way.
    pub direction: Direction,
    /// Why it is silent; `None`: it is heard again.
    pub missing: Option<Missing>,
}

/// Counters of a call, all since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) from_sip: u64,
    pub(super) from_browser: u64,
    pub(super) other_address: u64,
    pub(super) other_key: u64,
    pub(super) other_format: u64,
}

/// A direction, since it flowed last.
#[derive(Clone, Copy, Debug)]
struct Lack {
    /// The counters then.
    since: Seen,
    /// How long the other one has flowed without it.
    lasted: Duration,
}

/// Compares the counters from time to time.
#[derive(Debug, Default)]
pub(super) struct Watch {
    /// The last look, while both directions are open.
    before: Option<(Instant, Seen)>,
    /// To the agent, to the caller.
    lacks: [Option<Lack>; 2],
    silent: Option<Direction>,
}

impl Watch {
    /// The plan has changed: what was not heard before says nothing of now. Who was told of it is still to be told of its end.
    pub(super) fn interrupt(&mut self) {
        *self = Self {
            silent: self.silent,
            ..Self::default()
        };
    }

    /// Looks at the counters, once a second or so. Only where both directions are `open` and one flows is the other one missed.
    pub(super) fn look(&mut self, now: Instant, open: bool, seen: Seen) -> Option<Change> {
        if !open {
            self.interrupt();
            return None;
        }
        let (at, before) = self.before.replace((now, seen))?;
        let passed = now.saturating_duration_since(at);
        let heard = seen.from_sip > before.from_sip;
        let said = seen.from_browser > before.from_browser;
        for (lack, flows, other_flows) in [(0, heard, said), (1, said, heard)] {
            let lack = &mut self.lacks[lack];
            if flows {
                *lack = None;
            } else if other_flows {
                let lack = lack.get_or_insert(Lack {
                    since: before,
                    lasted: Duration::ZERO,
                });
                lack.lasted += passed;
            }
        }
        let [to_agent, to_caller] = self.lacks.map(|lack| lack.filter(Lack::is_long));
        let (silent, lack) = match (to_agent, to_caller) {
            (Some(lack), _) => (Some(Direction::ToAgent), Some(lack)),
            (None, Some(lack)) => (Some(Direction::ToCaller), Some(lack)),
            (None, None) => (
                self.silent.filter(|silent| !silent.flows(heard, said)),
                None,
            ),
        };
        if silent == self.silent {
            return None;
        }
        let former = std::mem::replace(&mut self.silent, silent);
        let direction = silent.or(former)?;
        let missing = lack.map(|lack| match direction {
            Direction::ToAgent => lack.likely_reason(&seen),
            Direction::ToCaller => Missing::Nothing,
        });
        Some(Change { direction, missing })
    }
}

impl Lack {
    fn is_long(&self) -> bool {
        self.lasted >= PATIENCE
    }

    fn likely_reason(&self, now: &Seen) -> Missing {
        if now.other_address > self.since.other_address {
            Missing::OtherAddress
        } else if now.other_key > self.since.other_key {
            Missing::OtherKey
        } else if now.other_format > self.since.other_format {
            Missing::OtherFormat
        } else {
            Missing::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]
    use super::*;

    /// A watch, what it has seen, and the time.
    struct Call {
        watch: Watch,
        seen: Seen,
        now: Instant,
    }

    impl Call {
        fn new() -> Self {
            Self {
                watch: Watch::default(),
                seen: Seen::default(),
                now: Instant::now(),
            }
        }

        /// So many seconds, with so many packets of each side in each; what is told, and in which second.
        fn passes(&mut self, seconds: u64, from_sip: u64, from_browser: u64) -> Vec<(u64, Change)> {
            let told = (1..=seconds).filter_map(|second| {
                self.now += Duration::from_secs(1);
                self.seen.from_sip += from_sip;
                self.seen.from_browser += from_browser;
                let change = self.watch.look(self.now, true, self.seen)?;
                Some((second, change))
            });
            told.collect()
        }

        fn is_held(&mut self) {
            self.now += Duration::from_secs(1);
            assert_eq!(self.watch.look(self.now, false, self.seen), None);
        }
    }

    fn change(direction: Direction, missing: Option<Missing>) -> Change {
        Change { direction, missing }
    }

    #[test]
    fn one_way_audio_is_told_once_and_its_end_too() {
        let mut call = Call::new();
        let silent = change(Direction::ToAgent, Some(Missing::Nothing));
        assert_eq!(
            call.passes(60, 0, 50),
            [(6, silent)],
            "5 s from the opening"
        );
        assert_eq!(call.passes(60, 0, 0), [], "nobody speaks");
        let again = change(Direction::ToAgent, None);
        assert_eq!(call.passes(60, 50, 50), [(1, again)]);
        let silent = change(Direction::ToCaller, Some(Missing::Nothing));
        assert_eq!(call.passes(60, 50, 0), [(5, silent)]);
        let again = change(Direction::ToCaller, None);
        assert_eq!(call.passes(60, 50, 50), [(1, again)]);
    }

    #[test]
    fn pauses_of_both_are_no_fault() {
        let mut call = Call::new();
        for _ in 0..10 {
            assert_eq!(call.passes(3, 50, 0), []);
            assert_eq!(call.passes(4, 0, 0), []);
            assert_eq!(
                call.passes(4, 0, 50),
                [],
                "he spoke long ago, and she just now"
            );
            assert_eq!(call.passes(1, 50, 50), []);
        }
    }

    #[test]
    fn hold_and_its_edges_are_no_fault() {
        let mut call = Call::new();
        assert_eq!(call.passes(5, 0, 50), []);
        call.is_held();
        assert_eq!(call.passes(5, 0, 50), [], "nothing came before the hold");
        call.watch.interrupt();
        assert_eq!(call.passes(5, 0, 50), [], "nor before the plan changed");
        assert_eq!(call.passes(1, 0, 50).len(), 1);
    }

    /// The agent reloads her page, or SIP Server corrects where the caller is, and that is the cure.
    #[test]
    fn what_a_change_of_plan_has_cured_is_told() {
        let mut call = Call::new();
        assert_eq!(call.passes(7, 0, 50).len(), 1);
        call.watch.interrupt();
        assert_eq!(call.passes(2, 0, 50), [], "not cured yet");
        call.is_held();
        let again = change(Direction::ToAgent, None);
        assert_eq!(call.passes(60, 50, 50), [(2, again)]);
    }

    #[test]
    fn the_likely_reason_is_named() {
        for (counter, missing) in [
            (0, Missing::OtherAddress),
            (1, Missing::OtherKey),
            (2, Missing::OtherFormat),
            (3, Missing::Nothing),
        ] {
            let mut call = Call::new();
            // What came astray before does not count.
            call.seen.other_address = 7;
            assert_eq!(call.passes(10, 50, 50), []);
            let mut nothing = 0;
            let seen = &mut call.seen;
            *[
                &mut seen.other_address,
                &mut seen.other_key,
                &mut seen.other_format,
                &mut nothing,
            ][counter] += 9;
            let told = change(Direction::ToAgent, Some(missing));
            assert_eq!(call.passes(10, 0, 50), [(5, told)]);
        }
    }
}
