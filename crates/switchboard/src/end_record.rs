//! The record of a call that is over: one each, with the last measurements of its media worker where it has any.
//!
//! A call ends three times: its dialog at SIP Server, its media at the worker, and its recordings at the disk. The record is made when the dialog is gone and
//! leaves when the others have spoken as well, or have been waited for long enough.

use std::time::{Duration, Instant};

use control::{
    BrowserCounts, BrowserSpan, BrowserStats, CallDirection, CallState, EndDirection, EndMedia,
    EndReceived, EndRecord, EndScore, EndSent, Remote,
};

use crate::Switchboard;
use crate::call::{Call, End};
use crate::ids::CallId;
use crate::io::{CallRef, DirectionReport, Fact, MediaReport, RecordingFact};
use crate::limits::{LAST_WORD_WITHIN, LAST_WORDS_MAX};
use crate::recording::settle;
use crate::transfer::Transfer;

/// What a call keeps for its record.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    held_since: Option<Instant>,
    held: Duration,
    /// The last measurement of the worker.
    report: Option<Box<MediaReport>>,
    /// No other will follow.
    pub(crate) is_last: bool,
    /// Which counts of the page's connections are the call's, since its answer.
    counts: Option<BrowserSpan>,
    /// What the page said last.
    pub(crate) browser: Option<BrowserStats>,
}

impl Remembered {
    /// The call has this state from now on.
    pub(crate) fn state(&mut self, now: Instant, state: CallState) {
        if state == CallState::Held {
            self.held_since.get_or_insert(now);
        } else if let Some(since) = self.held_since.take() {
            self.held += now.saturating_duration_since(since);
        }
    }

    /// The call talks; the page's connection had counted this much when it first did.
    pub(crate) fn begins_at(&mut self, counts: BrowserCounts) {
        self.counts.get_or_insert(BrowserSpan::from(counts));
    }

    /// The page says how its connection is.
    pub(crate) fn page_says(&mut self, report: &serde_json::Value) {
        let span = self.counts.get_or_insert_default();
        self.browser = Some(BrowserStats::read(report, span));
    }

    pub(crate) fn measured(&mut self, report: Box<MediaReport>) {
        self.report = Some(report);
    }
}

/// A record that waits for the last word of the media worker, and then for that of the disk.
#[derive(Debug)]
pub(crate) struct Owed {
    call: CallRef,
    record: Box<EndRecord>,
    browser: Option<BrowserStats>,
    /// The worker has said it.
    is_measured: bool,
    until: Instant,
}

impl Switchboard {
    /// The call is gone: its record leaves, or waits for the worker.
    pub(crate) fn record_end(&mut self, now: Instant, mut call: Call, end: &End) {
        call.remembered.state(now, CallState::Ended);
        let reference = call.reference();
        let mut record = self.record(now, &call, end);
        record.recordings = std::mem::take(&mut call.recordings).into_records();
        let Remembered {
            report,
            is_last,
            browser,
            ..
        } = call.remembered;
        record.media = report.map(|report| media(&report, browser.clone()));
        let owed = Owed {
            call: reference,
            record: Box::new(record),
            browser,
            is_measured: is_last,
            until: now + LAST_WORD_WITHIN,
        };
        self.arm_last_word(owed.until, call.id);
        self.last_words.insert(call.id, owed);
        self.record_leaves(call.id);
        if self.last_words.len() > LAST_WORDS_MAX
            && let Some((first, _)) = self.last_words.first_key_value()
        {
            let first = *first;
            self.record_must_leave(first);
        }
    }

    /// The record of a call leaves unless somebody's word about it is still to come.
    fn record_leaves(&mut self, id: CallId) {
        let is_measured = self
            .last_words
            .get(&id)
            .is_some_and(|owed| owed.is_measured);
        if is_measured && !self.has_files(id) {
            self.record_must_leave(id);
        }
    }

    fn record_must_leave(&mut self, id: CallId) {
        self.forget_files(id);
        if let Some(owed) = self.last_words.remove(&id) {
            self.fact(Fact::EndRecord {
                record: owed.record,
            });
        }
    }

    /// A recording of a call that is over is on the disk, or will never be.
    pub(crate) fn settle_owed(&mut self, id: CallId, name: &str, failed: bool) {
        let Some(owed) = self.last_words.get_mut(&id) else {
            return;
        };
        settle(&mut owed.record.recordings, name, failed);
        if failed {
            let call = owed.call.clone();
            self.recording_fact(call, RecordingFact::Failed);
        }
        self.record_leaves(id);
    }

    fn record(&self, now: Instant, call: &Call, end: &End) -> EndRecord {
        let answered = call.talking.map(|(at, _)| at);
        let rang_until = answered.unwrap_or(now);
        let numbers = self.config.policy.record_numbers;
        let mut transfer = call.transfer.as_ref().map(Transfer::view);
        if let Some(transfer) = transfer.as_mut().filter(|_| !numbers) {
            transfer.to = None;
        }
        EndRecord {
            version: EndRecord::VERSION,
            call: call.id.to_string(),
            call_uuid: call.call_uuid.clone(),
            dn: call.dn.clone(),
            direction: call.direction,
            remote: Some(call.remote.clone()).filter(|_| numbers),
            created_ms: call.created_ms,
            answered_ms: call.talking.map(|(_, at_ms)| at_ms),
            ended_ms: self.clock.ms(now),
            ring_ms: milliseconds(rang_until.saturating_duration_since(call.created)),
            talk_ms: answered.map(|at| milliseconds(now.saturating_duration_since(at))),
            held_ms: answered.map(|_| milliseconds(call.remembered.held)),
            answered_by: call.answered_by,
            end: end.view(),
            transfer,
            srtp: call.secured(),
            media: None,
            recordings: Vec::new(),
        }
    }

    /// The record of a call that has never been more than an INVITE.
    pub(crate) fn record_of_refusal(
        &self,
        now: Instant,
        call: &CallRef,
        remote: Remote,
        end: &End,
    ) -> Box<EndRecord> {
        let at_ms = self.clock.ms(now);
        Box::new(EndRecord {
            version: EndRecord::VERSION,
            call: call.call.to_string(),
            call_uuid: call.call_uuid.clone(),
            dn: call.dn.clone(),
            direction: CallDirection::Inbound,
            remote: Some(remote).filter(|_| self.config.policy.record_numbers),
            created_ms: at_ms,
            answered_ms: None,
            ended_ms: at_ms,
            ring_ms: 0,
            talk_ms: None,
            held_ms: None,
            answered_by: None,
            end: end.view(),
            transfer: None,
            srtp: None,
            media: None,
            recordings: Vec::new(),
        })
    }

    /// The worker has measured a call for the last time.
    pub(crate) fn on_call_media_closed(&mut self, id: CallId, report: Box<MediaReport>) {
        self.close_taps_of(id);
        let call = if let Some(call) = self.calls.get_mut(&id) {
            call.remembered.measured(report.clone());
            call.remembered.is_last = true;
            let reference = call.reference();
            self.tell_figures(id, &report);
            self.say_farewell(self.turn, id);
            reference
        } else if let Some(owed) = self.last_words.get_mut(&id) {
            owed.record.media = Some(media(&report, owed.browser.take()));
            let reference = owed.call.clone();
            self.worker_has_spoken(self.turn, id);
            reference
        } else {
            return;
        };
        self.fact(Fact::CallMedia { call, report });
    }

    /// The disk has its own time from here on: what it is asked for, it is asked for by the worker's last word.
    fn worker_has_spoken(&mut self, now: Instant, id: CallId) {
        let Some(owed) = self.last_words.get_mut(&id) else {
            return;
        };
        owed.is_measured = true;
        owed.until = now + LAST_WORD_WITHIN;
        self.arm_last_word(now + LAST_WORD_WITHIN, id);
        self.record_leaves(id);
    }

    /// A worker that was to say its last word has been silent for too long, or the disk has.
    pub(crate) fn last_word_due(&mut self, now: Instant, id: CallId) {
        let Some(owed) = self.last_words.get(&id).filter(|owed| owed.until <= now) else {
            return;
        };
        if owed.is_measured {
            return self.record_must_leave(id);
        }
        self.close_taps_of(id);
        self.worker_has_spoken(now, id);
    }

    /// Records of calls that are over, and that wait for their media workers or for the disk.
    #[must_use]
    pub fn records_owed(&self) -> usize {
        self.last_words.len()
    }
}

fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

fn media(report: &MediaReport, browser: Option<BrowserStats>) -> EndMedia {
    EndMedia {
        to_agent: direction(&report.to_agent),
        to_caller: direction(&report.to_caller),
        browser,
    }
}

fn direction(report: &DirectionReport) -> EndDirection {
    let name = |codec: sdp::Codec| codec.encoding_name().to_ascii_lowercase();
    let score = report
        .r
        .zip(report.mos)
        .zip(report.one_way_ms.zip(report.scored_loss))
        .map(|((r, mos), (one_way_ms, loss))| EndScore {
            r,
            mos,
            one_way_ms,
            loss,
            far_loss: report.far_loss,
            burst_ratio: report.burst_ratio,
        });
    EndDirection {
        path: report.path,
        received: EndReceived {
            codec: report.codecs.map(|(came, _)| name(came)),
            packets: report.packets,
            lost: report.lost,
            late: report.late,
            duplicates: report.duplicates,
            jitter_ms: report.jitter_ms,
            rtt_ms: report.rtt_ms,
        },
        concealed_ms: report.concealed_ms,
        concealed: report.concealed,
        playout_ms: report.playout_ms,
        sent: EndSent {
            codec: report.codecs.map(|(_, left)| name(left)),
            packets: report.sent,
            lost: report.far_lost,
            lost_of: report.far_lost_of,
            jitter_ms: report.far_jitter_ms,
            voip: report.far_voip.clone(),
        },
        score,
    }
}
