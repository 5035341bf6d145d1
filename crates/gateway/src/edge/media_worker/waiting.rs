//! Commands that wait for a worker. Nothing that was promised to a call is lost while its worker is behind: what waits is kept, and where it has become
//! too much, what later commands have made needless goes. So it is bounded by the calls and legs there are, whatever peers do.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use media::limits::{DIGITS_QUEUED_MAX, REMOTE_CANDIDATES_MAX};
use switchboard::{BrowserLegId, CallId, MediaCommand, MediaPlan, TapId};

use crate::limits::MEDIA_COMMANDS_MAX;

/// The queue of one worker, between the deciding thread and the worker's.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    queue: Mutex<Queue>,
}

#[derive(Debug)]
struct Queue {
    commands: VecDeque<MediaCommand>,
    /// From how many on it is looked for needless ones: twice as many as were left the last time, so that a command costs the same however many wait.
    look_at: usize,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            commands: VecDeque::new(),
            look_at: MEDIA_COMMANDS_MAX,
        }
    }
}

impl Waiting {
    /// Lets a command wait; yields how many that waited were given up for it: digits, more than a worker takes at once for a call.
    pub(super) fn push(&self, command: MediaCommand) -> usize {
        let mut queue = self.lock();
        queue.commands.push_back(command);
        if queue.commands.len() < queue.look_at {
            return 0;
        }
        let given_up = leave_needless_out(&mut queue.commands);
        queue.look_at = MEDIA_COMMANDS_MAX.max(2 * queue.commands.len());
        given_up
    }

    /// The one that waits longest. `Err` while the other thread is at the queue: packets do not wait for it.
    pub(super) fn pop(&self) -> Result<Option<MediaCommand>, Engaged> {
        let mut queue = match self.queue.try_lock() {
            Ok(queue) => queue,
            Err(TryLockError::Poisoned(fallen)) => fallen.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Engaged),
        };
        let command = queue.commands.pop_front();
        if queue.commands.is_empty() && queue.look_at > MEDIA_COMMANDS_MAX {
            *queue = Queue::default();
        }
        Ok(command)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.lock().commands.len()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The queue is being written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Engaged;

/// Leaves out what changes nothing any more, and digits beyond what a worker takes at once for a call; yields how many commands with digits those were.
fn leave_needless_out(commands: &mut VecDeque<MediaCommand>) -> usize {
    let mut cleared = Cleared::default();
    for (index, command) in commands.iter().enumerate() {
        cleared.hear(index, command);
    }
    let mut later = Later {
        clearing: cleared.clearing,
        ..Later::default()
    };
    let mut kept: Vec<bool> = vec![true; commands.len()];
    for index in cleared.digits {
        kept[index] = false;
    }
    for index in (0..commands.len()).rev() {
        kept[index] = kept[index] && !later.overtakes(index, &commands[index]);
    }
    for index in later.undone {
        kept[index] = false;
    }
    let mut earlier = Earlier::default();
    let mut given_up = 0;
    let mut index = 0;
    commands.retain(|command| {
        let keep = kept[index] && !earlier.suffices(command);
        given_up +=
            usize::from(kept[index] && !keep && matches!(command, MediaCommand::SendDigits { .. }));
        index += 1;
        keep
    });
    given_up
}

/// Digits that a hold behind them has the worker forget, so that they are not pressed into what the call is after its retrieve: where hold and retrieve become
/// one plan, they would be. The commands are told from the first to the last.
#[derive(Default)]
struct Cleared {
    calls: HashMap<CallId, Pressed>,
    /// Where digits are that are forgotten.
    digits: Vec<usize>,
    /// Plans that stay, three for a call at most: they clear what the worker has been told before all this.
    clearing: HashSet<usize>,
}

/// The digits of a call.
#[derive(Default)]
struct Pressed {
    waiting: Vec<usize>,
    /// Whether the caller hears the agent; `None` where no plan has said it.
    to_caller: Option<bool>,
    last_plan: Option<usize>,
    /// The worker has none from before.
    is_clear: bool,
}

impl Cleared {
    fn hear(&mut self, index: usize, command: &MediaCommand) {
        match command {
            MediaCommand::OpenPort { call, .. } => {
                let begun = Pressed {
                    to_caller: Some(false),
                    is_clear: true,
                    ..Pressed::default()
                };
                self.calls.insert(*call, begun);
            }
            MediaCommand::SendDigits { call, .. } => {
                self.calls.entry(*call).or_default().waiting.push(index);
            }
            MediaCommand::Plan(plan) => self.hear_plan(index, plan),
            _ => {}
        }
    }

    fn hear_plan(&mut self, index: usize, plan: &MediaPlan) {
        let pressed = self.calls.entry(plan.call).or_default();
        let opened = pressed.last_plan.replace(index);
        match pressed.to_caller.replace(plan.to_caller) {
            Some(true) if !plan.to_caller => {
                self.digits.append(&mut pressed.waiting);
                if !std::mem::replace(&mut pressed.is_clear, true) {
                    self.clearing.extend(opened.into_iter().chain([index]));
                }
            }
            None if !plan.to_caller => {
                self.clearing.insert(index);
            }
            _ => {}
        }
    }
}

/// What the commands behind one make of it; they are told from the last to the first.
#[derive(Default)]
struct Later {
    /// Where the end of a call or a leg is.
    closed_calls: HashMap<CallId, usize>,
    closed_legs: HashMap<BrowserLegId, usize>,
    /// Calls whose next command is a plan.
    planned: HashSet<CallId>,
    /// Plans that clear digits.
    clearing: HashSet<usize>,
    closed_taps: HashSet<TapId>,
    /// Taps that are paused or resumed, and whether the pause that is ended so is still to be told: by it the worker discards what it has heard.
    paused_taps: HashMap<TapId, bool>,
    beeps: HashSet<CallId>,
    restarted: HashSet<BrowserLegId>,
    /// Ends of what the worker has never heard of.
    undone: Vec<usize>,
}

impl Later {
    /// Whether the command is needless for what comes behind it.
    fn overtakes(&mut self, index: usize, command: &MediaCommand) -> bool {
        match command {
            MediaCommand::OfferBrowser { leg, .. }
            | MediaCommand::AnswerBrowser { leg, .. }
            | MediaCommand::CandidateBrowser { leg, .. }
            | MediaCommand::CloseBrowser { leg } => self.overtakes_leg(index, *leg, command),
            MediaCommand::Plan(plan) => self.overtakes_call(index, plan.call, command),
            MediaCommand::OpenPort { call, .. }
            | MediaCommand::SendDigits { call, .. }
            | MediaCommand::Beep { call }
            | MediaCommand::OpenTap { call, .. }
            | MediaCommand::PauseTap { call, .. }
            | MediaCommand::CloseTap { call, .. }
            | MediaCommand::CloseCall { call } => self.overtakes_call(index, *call, command),
        }
    }

    fn overtakes_leg(&mut self, index: usize, leg: BrowserLegId, command: &MediaCommand) -> bool {
        if let MediaCommand::CloseBrowser { .. } = command {
            return *self.closed_legs.entry(leg).or_insert(index) != index;
        }
        let first = matches!(command, MediaCommand::OfferBrowser { restart: false, .. });
        if let Some(close) = self.closed_legs.get(&leg) {
            if first {
                self.undone.push(*close);
            }
            return true;
        }
        let restart = matches!(command, MediaCommand::OfferBrowser { restart: true, .. });
        restart && !self.restarted.insert(leg)
    }

    fn overtakes_call(&mut self, index: usize, call: CallId, command: &MediaCommand) -> bool {
        if let MediaCommand::CloseCall { .. } = command {
            return *self.closed_calls.entry(call).or_insert(index) != index;
        }
        if let Some(close) = self.closed_calls.get(&call) {
            if let MediaCommand::OpenPort { .. } = command {
                self.undone.push(*close);
            }
            return true;
        }
        let needless = match command {
            MediaCommand::Plan(_) => {
                self.planned.contains(&call) && !self.clearing.contains(&index)
            }
            MediaCommand::Beep { .. } => !self.beeps.insert(call),
            MediaCommand::OpenTap { tap, .. } => self.closed_taps.contains(tap),
            MediaCommand::PauseTap { tap, paused, .. } => {
                self.closed_taps.contains(tap) || self.overtakes_pause(*tap, *paused)
            }
            MediaCommand::CloseTap { tap, .. } => !self.closed_taps.insert(*tap),
            _ => false,
        };
        if !needless {
            match command {
                MediaCommand::Plan(_) => self.planned.insert(call),
                _ => self.planned.remove(&call),
            };
        }
        needless
    }

    fn overtakes_pause(&mut self, tap: TapId, paused: bool) -> bool {
        match self.paused_taps.get_mut(&tap) {
            Some(is_owed) => !(paused && std::mem::take(is_owed)),
            None => {
                self.paused_taps.insert(tap, !paused);
                false
            }
        }
    }
}

/// What the commands before one have had already.
#[derive(Default)]
struct Earlier {
    digits: HashMap<CallId, usize>,
    candidates: HashMap<BrowserLegId, usize>,
    /// Legs whose last offer has its answer: of two to one offer the worker takes the first.
    answered: HashSet<BrowserLegId>,
}

impl Earlier {
    fn suffices(&mut self, command: &MediaCommand) -> bool {
        match command {
            MediaCommand::SendDigits { call, digits, .. } => {
                let had = self.digits.entry(*call).or_default();
                let fits = *had + digits.len() <= DIGITS_QUEUED_MAX;
                *had += if fits { digits.len() } else { 0 };
                !fits
            }
            MediaCommand::CandidateBrowser { leg, .. } => {
                let had = self.candidates.entry(*leg).or_default();
                *had += 1;
                *had > REMOTE_CANDIDATES_MAX
            }
            MediaCommand::OfferBrowser { leg, .. } => {
                self.answered.remove(leg);
                false
            }
            MediaCommand::AnswerBrowser { leg, .. } => !self.answered.insert(*leg),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests;
