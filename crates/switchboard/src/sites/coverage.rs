//! What a SIP Server is to its site, and what happens to it, in the words of the simulation's tables.

use std::cmp::Ordering;

use super::Site;

impl Site {
    /// Something is about to happen to one of its servers.
    pub(super) fn cover(&self, index: usize, input: &str) {
        let home = &self.homes[index];
        let place = match index.cmp(&self.current) {
            Ordering::Equal => "in use",
            Ordering::Less => "preferred",
            Ordering::Greater => "in reserve",
        };
        let health = match (home.down, home.answering_since, home.doubted) {
            (false, _, false) => "well",
            (false, _, true) => "doubted",
            (true, None, _) => "away",
            (true, Some(_), _) => "back, to be trusted",
        };
        sip::coverage::note_words("SIP Server", format!("{place}, {health}"), input);
    }

    pub(super) fn cover_answer(&self, index: usize, probe: bool) {
        let input = if probe {
            "a probe is answered"
        } else {
            "a REGISTER is answered"
        };
        self.cover(index, input);
    }

    pub(super) fn cover_scout(&self, index: usize, welcome: bool) {
        let input = if welcome {
            "the first DN is welcome"
        } else {
            "the first DN is not welcome"
        };
        self.cover(index, input);
    }
}
