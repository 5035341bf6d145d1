//! Calls that a REFER outside of any call asks for. Anybody may write one under SIP Server's address: the call has a voice when the news of it was taken.

use std::time::{Duration, Instant};

use switchboard::CallId;

use super::Reference;
use super::known::{Known, Stage};
use crate::world::wire::{self, Kind};

/// Shortly before a NOTIFY that nobody answers is given up (64*T1), and the call goes on like any other.
const OVERDUE: Duration = Duration::from_secs(31);

/// A REFER outside of any call: its Call-ID, which its news has too.
pub(super) fn asked_for(text: &str) -> Option<String> {
    let refer = text.starts_with("REFER ") && wire::tag(text, "To").is_none();
    wire::header(text, "Call-ID")
        .filter(|_| refer)
        .map(str::to_owned)
}

impl Reference {
    /// An INVITE leaves for such a call.
    pub(super) fn tells_of(&mut self, now: Instant, id: CallId, news: String) {
        if let Some(known) = self.calls.get_mut(&id) {
            known.unproven = true;
            self.news.insert(news, (id, now));
        }
    }

    /// SIP Server answers the news. Who knows of no REFER never sent one, and that call ends.
    pub(super) fn hears_of_the_news(&mut self, text: &str) {
        let Some(Kind::Response {
            status: status @ 200..,
        }) = wire::kind(text)
        else {
            return;
        };
        let of_notify = wire::cseq(text).is_some_and(|(_, method)| method == "NOTIFY");
        let news = wire::header(text, "Call-ID").filter(|_| of_notify);
        let Some((id, _)) = news.and_then(|news| self.news.remove(news)) else {
            return;
        };
        // A call that was answered before stays: SIP Server may have forgotten what it was for.
        let stays = |known: &Known| known.stage == Stage::Up;
        if status != 481 || self.calls.get(&id).is_some_and(stays) {
            self.prove(id);
        }
    }

    /// Nobody answers it: from now on the call may have its voice.
    pub(super) fn is_overdue(&mut self, now: Instant) {
        let overdue = |(_, at): &(CallId, Instant)| now.saturating_duration_since(*at) > OVERDUE;
        let mut late = Vec::new();
        self.news.retain(|_, news| {
            let goes = overdue(news);
            if goes {
                late.push(news.0);
            }
            !goes
        });
        for id in late {
            if let Some(known) = self.calls.get_mut(&id) {
                known.unproven = false;
                self.silence_others(id, false);
            }
        }
    }
}
