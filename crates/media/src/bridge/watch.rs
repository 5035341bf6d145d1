//! Notices when one side of a call says nothing while the other does: one-way audio.

/// Who should be heard, and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the SIP side to the browser.
    ToAgent,
    /// From the browser to the SIP side.
    ToCaller,
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

/// Compares the counters at regular intervals.
#[derive(Debug, Default)]
pub(super) struct Watch {
    before: Seen,
    /// Both directions have been open for the whole interval.
    whole: bool,
    silent: Option<Direction>,
}

impl Watch {
    /// The plan has changed: the present interval says nothing.
    pub(super) fn interrupt(&mut self) {
        self.whole = false;
    }

    /// Ends an interval. Only where both directions are `open` and one flows is the other one missed.
    pub(super) fn tick(&mut self, open: bool, now: Seen) -> Option<Change> {
        let before = std::mem::replace(&mut self.before, now);
        if !std::mem::replace(&mut self.whole, open) || !open {
            self.silent = None;
            return None;
        }
        let heard = now.from_sip > before.from_sip;
        let said = now.from_browser > before.from_browser;
        let silent = match (heard, said) {
            (false, true) => Some(Direction::ToAgent),
            (true, false) => Some(Direction::ToCaller),
            (true, true) => None,
            // Nobody says anything: nothing is known about either.
            (false, false) => self.silent,
        };
        if silent == self.silent {
            return None;
        }
        let former = std::mem::replace(&mut self.silent, silent);
        let direction = silent.or(former)?;
        let missing = silent.map(|direction| match direction {
            Direction::ToAgent if now.other_address > before.other_address => Missing::OtherAddress,
            Direction::ToAgent if now.other_key > before.other_key => Missing::OtherKey,
            Direction::ToAgent if now.other_format > before.other_format => Missing::OtherFormat,
            Direction::ToAgent | Direction::ToCaller => Missing::Nothing,
        });
        Some(Change { direction, missing })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(from_sip: u64, from_browser: u64) -> Seen {
        Seen {
            from_sip,
            from_browser,
            ..Seen::default()
        }
    }

    fn change(direction: Direction, missing: Option<Missing>) -> Option<Change> {
        Some(Change { direction, missing })
    }

    #[test]
    fn one_way_audio_is_told_once_and_its_end_too() {
        let mut watch = Watch::default();
        assert_eq!(watch.tick(true, seen(0, 10)), None, "opened in between");
        let silent = change(Direction::ToAgent, Some(Missing::Nothing));
        assert_eq!(watch.tick(true, seen(0, 260)), silent);
        assert_eq!(watch.tick(true, seen(0, 510)), None);
        assert_eq!(watch.tick(true, seen(0, 510)), None, "nobody speaks");
        let again = change(Direction::ToAgent, None);
        assert_eq!(watch.tick(true, seen(100, 760)), again);
        let silent = change(Direction::ToCaller, Some(Missing::Nothing));
        assert_eq!(watch.tick(true, seen(350, 760)), silent);
    }

    #[test]
    fn hold_and_its_edges_are_no_fault() {
        let mut watch = Watch::default();
        watch.tick(true, seen(0, 0));
        assert_eq!(watch.tick(false, seen(0, 200)), None, "held at the end");
        assert_eq!(
            watch.tick(true, seen(0, 300)),
            None,
            "held at the beginning"
        );
        watch.interrupt();
        assert_eq!(watch.tick(true, seen(0, 400)), None, "held in between");
        assert!(watch.tick(true, seen(0, 500)).is_some());
    }

    #[test]
    fn the_likely_reason_is_named() {
        let packets = |other_address, other_key, other_format| Seen {
            from_browser: 500,
            other_address,
            other_key,
            other_format,
            ..Seen::default()
        };
        for (now, missing) in [
            (packets(7, 8, 9), Missing::OtherAddress),
            (packets(0, 8, 9), Missing::OtherKey),
            (packets(0, 0, 9), Missing::OtherFormat),
            (packets(0, 0, 0), Missing::Nothing),
        ] {
            let mut watch = Watch::default();
            watch.tick(true, Seen::default());
            assert_eq!(
                watch.tick(true, now),
                change(Direction::ToAgent, Some(missing))
            );
        }
    }
}
