//! Recordings of calls: who may begin one, what it is called, when it pauses, and when its file is whole.
//!
//! The worker hands samples to the writer of files by itself; here is decided that it does. A recording's file is closed when the worker has said that its
//! tap is closed, so that nothing comes behind the end.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use control::{EndRecording, RecordAction, RecordingState};

use crate::Switchboard;
use crate::call::Call;
use crate::ids::{CallId, TapId, WorkerId};
use crate::io::{AdminRefusal, CallRef, Fact, MediaCommand, Output, RecordingFact};
use crate::limits::{LIVE_TAPS_A_CALL_MAX, RECORDINGS_A_CALL_MAX};

/// What the writer of recordings is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordingCommand {
    /// Begin a file; samples of this tap follow from the call's worker.
    Open {
        /// Whose samples it is for.
        tap: TapId,
        /// Of which call, for the log.
        call: CallRef,
        /// The file's name within the folder of recordings.
        name: String,
    },
    /// Nothing comes any more: complete the file.
    Close {
        /// Which.
        tap: TapId,
    },
}

/// The recordings of a call.
#[derive(Debug, Default)]
pub(crate) struct Recordings {
    now: Option<Recording>,
    before: Vec<EndRecording>,
    /// The last one was given up: the disk is full, or gone.
    failed: bool,
    /// What is said is for nobody's ears but the parties': neither the recording's nor those of whoever listens live. It is the call's own state, so that
    /// a recording that ends meanwhile, or fails, opens nobody's ears.
    paused: bool,
    /// Taps of those who listen live.
    listeners: BTreeSet<TapId>,
    /// Whether the call is recorded from its answer on; `None` is as the configuration says. Known of a call that takes the place of another one.
    wanted: Option<bool>,
}

/// A recording's file until it is settled.
#[derive(Debug)]
pub(crate) struct RecordingFile {
    call: CallId,
    name: String,
}

#[derive(Debug)]
struct Recording {
    tap: TapId,
    name: String,
    started: Instant,
    paused_since: Option<Instant>,
    paused: Duration,
}

impl Recordings {
    /// As the page and administrators are shown it.
    pub(crate) fn state(&self) -> Option<RecordingState> {
        match &self.now {
            Some(_) if self.paused => Some(RecordingState::Paused),
            Some(_) => Some(RecordingState::Recording),
            None => self.failed.then_some(RecordingState::Failed),
        }
    }

    /// Somebody listens live.
    pub(crate) fn is_listened(&self) -> bool {
        !self.listeners.is_empty()
    }

    /// Nobody but the parties hears what is said.
    pub(crate) const fn is_paused(&self) -> bool {
        self.paused
    }

    /// All of them, as the record of the call names them; none is under way any more.
    pub(crate) fn into_records(self) -> Vec<EndRecording> {
        self.before
    }

    fn none_yet(&self) -> bool {
        self.now.is_none() && self.before.is_empty()
    }

    /// Whether a call that takes this one's place is recorded. What was stopped stays so; what failed is tried again as the configuration says.
    fn is_wanted_still(&self) -> Option<bool> {
        if self.now.is_some() {
            return Some(true);
        }
        let stopped = !self.none_yet() && !self.failed;
        stopped.then_some(false).or(self.wanted)
    }
}

impl Switchboard {
    /// A page's wish. Whether pages may begin and end recordings is configured; a pause is the agent's in any case, as it is she who hears a card number coming.
    pub(crate) fn page_records(
        &mut self,
        now: Instant,
        id: CallId,
        action: RecordAction,
    ) -> Result<(), AdminRefusal> {
        let is_hers = matches!(action, RecordAction::Pause | RecordAction::Resume);
        match self.config.policy.recording.as_ref() {
            Some(policy) if !is_hers && !policy.agents_may => Err(AdminRefusal::NotAllowed),
            _ => self.record_call(now, id, action),
        }
    }

    /// Begins, ends, pauses or resumes the recording of a call; whoever listens live is paused and resumed with it, also where nothing is recorded.
    /// What is so already is what was asked for.
    pub(crate) fn record_call(
        &mut self,
        now: Instant,
        id: CallId,
        action: RecordAction,
    ) -> Result<(), AdminRefusal> {
        let call = self.calls.get(&id).ok_or(AdminRefusal::UnknownCall)?;
        let pauses = matches!(action, RecordAction::Pause | RecordAction::Resume);
        // Who listened may be gone by the time of `resume`.
        let is_about = pauses && (call.recordings.is_listened() || call.recordings.paused);
        if self.config.policy.recording.is_none() && !is_about {
            return Err(AdminRefusal::NoRecording);
        }
        if !call.is_up() {
            return Err(AdminRefusal::WrongState);
        }
        match action {
            RecordAction::Start => self.start_recording(now, id)?,
            RecordAction::Stop => self.stop_recording(now, id),
            RecordAction::Pause => self.pause_recording(now, id, true)?,
            RecordAction::Resume => self.pause_recording(now, id, false)?,
        }
        self.show(id);
        Ok(())
    }

    /// Where every call is recorded, this one is from now on; one that has taken another one's place where that was.
    pub(crate) fn record_by_policy(&mut self, now: Instant, id: CallId) {
        let Some(policy) = self.config.policy.recording.as_ref() else {
            return;
        };
        let always = policy.always;
        let first = |call: &&Call| call.is_up() && call.recordings.none_yet();
        if let Some(call) = self.calls.get(&id).filter(first)
            && call.recordings.wanted.unwrap_or(always)
        {
            // A call has room for its first recording.
            let _ = self.start_recording(now, id);
        }
    }

    /// To the agent a call that takes another one's place is the same conversation: what she has paused, begun or stopped stays so.
    pub(crate) fn inherit_recordings(&mut self, id: CallId) {
        let old = self.takes_place_of(id).and_then(|old| self.calls.get(&old));
        let Some(old) = old.filter(|old| !old.media_closed) else {
            return;
        };
        let (paused, wanted) = (old.recordings.paused, old.recordings.is_wanted_still());
        if let Some(call) = self.calls.get_mut(&id).filter(|call| !call.is_up()) {
            (call.recordings.paused, call.recordings.wanted) = (paused, wanted);
        }
    }

    /// This one ends, and whichever is to take its place may be answered later.
    pub(crate) fn bequeath_recordings(&mut self, old: CallId, dn: &str) {
        for id in self.calls_of(dn) {
            if self.takes_place_of(id) == Some(old) {
                self.inherit_recordings(id);
            }
        }
    }

    fn start_recording(&mut self, now: Instant, id: CallId) -> Result<(), AdminRefusal> {
        let started_ms = self.clock.ms(now);
        let Some(policy) = self.config.policy.recording.clone() else {
            return Err(AdminRefusal::NoRecording);
        };
        let tap = TapId(self.last_tap + 1);
        let call = self.calls.get_mut(&id).ok_or(AdminRefusal::UnknownCall)?;
        if call.recordings.now.is_some() {
            return Ok(());
        }
        if call.recordings.before.len() >= RECORDINGS_A_CALL_MAX {
            return Err(AdminRefusal::WrongState);
        }
        self.last_tap = tap.0;
        // Nothing that a peer chose is in it; a call id is never used twice.
        let name = format!("{started_ms}-{id}{}", policy.extension);
        call.recordings.failed = false;
        let paused = call.recordings.paused;
        call.recordings.now = Some(Recording {
            tap,
            name: name.clone(),
            started: now,
            paused_since: paused.then_some(now),
            paused: Duration::ZERO,
        });
        let (worker, call) = (call.worker, call.reference());
        self.taps.insert(tap, id);
        let file = RecordingFile {
            call: id,
            name: name.clone(),
        };
        self.files.insert(tap, file);
        // The file first: samples that come are for one that is there.
        self.emit(Output::Recording(RecordingCommand::Open {
            tap,
            call: call.clone(),
            name,
        }));
        self.tell_worker(
            worker,
            MediaCommand::OpenTap {
                call: id,
                tap,
                rate_hz: policy.rate_hz,
                beep: policy.beep,
                paused,
            },
        );
        self.recording_fact(call, RecordingFact::Started);
        Ok(())
    }

    fn pause_recording(
        &mut self,
        now: Instant,
        id: CallId,
        pause: bool,
    ) -> Result<(), AdminRefusal> {
        let taps = self.taps_of(id);
        let call = self.calls.get_mut(&id).ok_or(AdminRefusal::UnknownCall)?;
        let recordings = &mut call.recordings;
        if recordings.paused == pause {
            let is_anything = recordings.now.is_some() || !taps.is_empty();
            return is_anything.then_some(()).ok_or(AdminRefusal::WrongState);
        }
        // A pause of nothing would be forgotten by whoever asked for it; one that is over is over whatever there is.
        if pause && taps.is_empty() {
            return Err(AdminRefusal::WrongState);
        }
        recordings.paused = pause;
        if let Some(recording) = &mut recordings.now {
            if pause {
                recording.paused_since = Some(now);
            } else {
                recording.resume(now);
            }
        }
        let (worker, call) = (call.worker, call.reference());
        // Nobody who listens hears what is not to be recorded.
        for tap in taps {
            self.pause_tap(worker, id, tap, pause);
        }
        let fact = if pause {
            RecordingFact::Paused
        } else {
            RecordingFact::Resumed
        };
        self.recording_fact(call, fact);
        Ok(())
    }

    /// Ends what is recorded of a call; its file is closed when the worker has said its last.
    pub(crate) fn stop_recording(&mut self, now: Instant, id: CallId) {
        self.end_recording(now, id, false);
    }

    fn end_recording(&mut self, now: Instant, id: CallId, failed: bool) {
        let clock = self.clock;
        let Some(call) = self.calls.get_mut(&id) else {
            return;
        };
        let Some(mut recording) = call.recordings.now.take() else {
            return;
        };
        recording.resume(now);
        call.recordings.failed = failed;
        call.recordings.before.push(EndRecording {
            file: recording.name,
            started_ms: clock.ms(recording.started),
            ended_ms: clock.ms(now),
            paused_ms: u64::try_from(recording.paused.as_millis()).unwrap_or(u64::MAX),
            failed: failed.then_some(true),
        });
        let (worker, media_closed) = (call.worker, call.media_closed);
        let call = call.reference();
        if !media_closed {
            let tap = recording.tap;
            self.tell_worker(worker, MediaCommand::CloseTap { call: id, tap });
        }
        let fact = if failed {
            RecordingFact::Failed
        } else {
            RecordingFact::Stopped
        };
        self.recording_fact(call, fact);
    }

    /// Lets a consumer listen. While the call is paused it hears silence as well.
    pub(crate) fn open_live_tap(
        &mut self,
        id: CallId,
        tap: TapId,
        rate_hz: u32,
    ) -> Result<(), AdminRefusal> {
        let call = self.calls.get_mut(&id).ok_or(AdminRefusal::UnknownCall)?;
        if !call.is_up() || call.media_closed {
            return Err(AdminRefusal::WrongState);
        }
        let listeners = call.recordings.listeners.len();
        if listeners >= LIVE_TAPS_A_CALL_MAX || self.taps.contains_key(&tap) {
            return Err(AdminRefusal::TooMany);
        }
        call.recordings.listeners.insert(tap);
        let paused = call.recordings.paused;
        let worker = call.worker;
        self.taps.insert(tap, id);
        self.tell_worker(
            worker,
            MediaCommand::OpenTap {
                call: id,
                tap,
                rate_hz,
                beep: None,
                paused,
            },
        );
        self.show(id);
        Ok(())
    }

    fn pause_tap(&mut self, worker: WorkerId, call: CallId, tap: TapId, paused: bool) {
        self.tell_worker(worker, MediaCommand::PauseTap { call, tap, paused });
    }

    /// A consumer is gone; the worker says when nothing comes for it any more.
    pub(crate) fn close_live_tap(&mut self, tap: TapId) {
        let call = self.taps.get(&tap).and_then(|id| self.calls.get(id));
        if let Some(call) = call.filter(|call| !call.media_closed) {
            let (worker, call) = (call.worker, call.id);
            self.tell_worker(worker, MediaCommand::CloseTap { call, tap });
        }
    }

    /// Nothing comes of this tap any more.
    pub(crate) fn on_tap_closed(&mut self, tap: TapId) {
        let Some(id) = self.taps.remove(&tap) else {
            return;
        };
        self.emit(Output::Recording(RecordingCommand::Close { tap }));
        let listeners = self.calls.get_mut(&id);
        if listeners.is_some_and(|call| call.recordings.listeners.remove(&tap)) {
            self.show(id);
        }
    }

    /// Nothing comes of any tap of this call any more.
    pub(crate) fn close_taps_of(&mut self, id: CallId) {
        for tap in self.taps_of(id) {
            self.on_tap_closed(tap);
        }
    }

    fn taps_of(&self, id: CallId) -> Vec<TapId> {
        let taps = self.taps.iter();
        taps.filter(|(_, call)| **call == id)
            .map(|(tap, _)| *tap)
            .collect()
    }

    /// The writer has said its last about a file. One that failed in mid-call ends the recording: the call goes on, and its agent knows. One that fails at its
    /// end is told as well, to the page while the call is up, and in the record of the call.
    pub(crate) fn on_recording_settled(&mut self, now: Instant, tap: TapId, failed: bool) {
        let Some(RecordingFile { call: id, name }) = self.files.remove(&tap) else {
            return;
        };
        let Some(call) = self.calls.get_mut(&id) else {
            return self.settle_owed(id, &name, failed);
        };
        let recordings = &mut call.recordings;
        if recordings.now.as_ref().is_some_and(|now| now.tap == tap) {
            if failed {
                self.end_recording(now, id, true);
                self.show(id);
            }
            return;
        }
        settle(&mut recordings.before, &name, failed);
        if failed {
            recordings.failed = true;
            let call = call.reference();
            self.recording_fact(call, RecordingFact::Failed);
            self.show(id);
        }
    }

    /// Whether a file of this call is still written, or brought to the disk.
    pub(crate) fn has_files(&self, id: CallId) -> bool {
        self.files.values().any(|file| file.call == id)
    }

    /// Nobody waits for the files of this call any more.
    pub(crate) fn forget_files(&mut self, id: CallId) {
        self.files.retain(|_, file| file.call != id);
    }

    pub(crate) fn recording_fact(&mut self, call: CallRef, event: RecordingFact) {
        self.fact(Fact::Recording { call, event });
    }
}

impl Recording {
    fn resume(&mut self, now: Instant) {
        if let Some(since) = self.paused_since.take() {
            self.paused += now.saturating_duration_since(since);
        }
    }
}

/// What became of the file of this name.
pub(crate) fn settle(recordings: &mut [EndRecording], name: &str, failed: bool) {
    let mut named = recordings.iter_mut().filter(|made| made.file == name);
    if let Some(recording) = named.next_back() {
        recording.failed = Some(failed);
    }
}
