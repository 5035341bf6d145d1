//! A worker that is far behind is told everything that matters. Every rule here is held against a worker that obeys each command in its turn.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use switchboard::{CodecPolicy, MediaPlan, SipMedia};

use super::*;

const CALL: CallId = CallId(1);
const LEG: BrowserLegId = BrowserLegId(1);

fn plan(call: CallId, to_agent: bool, to_caller: bool) -> MediaCommand {
    MediaCommand::Plan(MediaPlan {
        call,
        sip: SipMedia {
            remote: None,
            remote_rtcp: None,
            codec: sdp::Codec::Pcmu,
            payload_type: 0,
            telephone_event: None,
            ours: sdp::Numbers {
                codec: 0,
                telephone_event: None,
            },
            srtp: None,
            voip_metrics: false,
            dtx: false,
            ptime_ms: None,
            maxptime_ms: None,
        },
        browser: Some(LEG),
        to_agent,
        to_caller,
    })
}

fn offer(leg: BrowserLegId, restart: bool) -> MediaCommand {
    MediaCommand::OfferBrowser {
        leg,
        restart,
        policy: CodecPolicy::RelayFirst,
    }
}

fn left(commands: &[MediaCommand]) -> Vec<MediaCommand> {
    let mut queue = commands.iter().cloned().collect();
    leave_needless_out(&mut queue);
    queue.into()
}

/// The worker hangs while a caller is held and retrieved over and over: it is told what holds in the end, and opens and closes what it was to.
#[test]
fn of_many_plans_the_last_is_kept() {
    let waiting = Waiting::default();
    let (call, port) = (CALL, 20_000);
    waiting.push(MediaCommand::OpenPort { call, port });
    waiting.push(MediaCommand::CloseCall { call: CallId(7) });
    for turn in 0..100_000 {
        let open = turn % 2 == 0;
        assert_eq!(waiting.push(plan(call, open, open)), 0);
        assert!(waiting.len() <= 2 * MEDIA_COMMANDS_MAX);
    }
    let mut told = Vec::new();
    while let Some(command) = waiting.pop().unwrap() {
        told.push(command);
    }
    assert_eq!(told[0], MediaCommand::OpenPort { call, port });
    assert_eq!(told[1], MediaCommand::CloseCall { call: CallId(7) });
    assert_eq!(told.last(), Some(&plan(call, false, false)));
    assert_eq!(waiting.len(), 0);
}

/// A call and a leg that came and went meanwhile leave nothing to do; one whose port is open has it closed.
#[test]
fn what_has_begun_and_ended_meanwhile_is_forgotten() {
    let (call, tap) = (CALL, TapId(3));
    let life = [
        offer(LEG, false),
        MediaCommand::OpenPort { call, port: 20_000 },
        plan(call, true, true),
        MediaCommand::OpenTap {
            call,
            tap,
            rate_hz: 8_000,
            beep: None,
            paused: false,
        },
        MediaCommand::CloseTap { call, tap },
        MediaCommand::CloseCall { call },
        MediaCommand::CloseBrowser { leg: LEG },
    ];
    assert_eq!(left(&life), []);
    assert_eq!(left(&life[2..]), life[5..]);
}

/// A worker takes so many digits at once for a call; it counts what is more, and so is what is given up for it.
#[test]
fn digits_beyond_what_is_taken_at_once_are_counted() {
    let digits = MediaCommand::SendDigits {
        call: CALL,
        digits: "0123456789".into(),
        tone: None,
    };
    let mut queue: VecDeque<_> = std::iter::repeat_n(digits, 20).collect();
    assert_eq!(leave_needless_out(&mut queue), 20 - DIGITS_QUEUED_MAX / 10);
    assert_eq!(queue.len(), DIGITS_QUEUED_MAX / 10);
}

/// Digits, a hold and a retrieve while the worker hangs: they are not pressed into what the caller is connected to by then, nor are those that the worker has
/// from before. Where no plan is before them, it alone knows whether the hold is one.
#[test]
fn digits_before_a_hold_are_not_pressed_after_it() {
    let digits = || MediaCommand::SendDigits {
        call: CALL,
        digits: "5".into(),
        tone: None,
    };
    let (open, closed) = (|| plan(CALL, true, true), || plan(CALL, false, false));
    let unknown = [digits(), closed(), open()];
    assert_eq!(left(&unknown), unknown);
    let known = [
        open(),
        digits(),
        closed(),
        open(),
        digits(),
        closed(),
        open(),
        digits(),
    ];
    assert_eq!(left(&known), [open(), closed(), open(), digits()]);
}

/// A card number is said, and heard by a worker that is far behind with what it is told: of a pause and its end it is told both, so that it discards what it heard until
/// then. Pauses before that are needless, and so is the end of one behind which the next has begun.
#[test]
fn the_end_of_a_pause_is_told_with_the_pause() {
    let (call, tap) = (CALL, TapId(3));
    let pause = |paused| MediaCommand::PauseTap { call, tap, paused };
    let [pauses, resumes] = [pause(true), pause(false)];
    let of = |waiting: &[bool]| {
        let waiting: Vec<_> = waiting.iter().copied().map(pause).collect();
        left(&waiting)
    };
    assert_eq!(of(&[true, false]), [pauses.clone(), resumes.clone()]);
    assert_eq!(
        of(&[false, true, false, true, false]),
        [pauses.clone(), resumes.clone()]
    );
    assert_eq!(of(&[true, false, true]), [pauses]);
    assert_eq!(of(&[false, false]), [resumes]);
}

/// A worker that obeys: what it has in the end, and what it has told.
#[derive(Debug, Default, PartialEq)]
struct Worker {
    calls: BTreeMap<u64, Calling>,
    legs: BTreeMap<u64, Leg>,
    /// Calls whose end it has told.
    closed: BTreeSet<u64>,
    closed_taps: BTreeSet<u64>,
}

#[derive(Debug, Default, PartialEq)]
struct Calling {
    plan: Option<(bool, bool)>,
    digits: String,
    taps: BTreeMap<u64, Listening>,
    beeped: bool,
}

/// A tap.
#[derive(Debug, Default, PartialEq)]
struct Listening {
    paused: bool,
    /// There was a pause, at whose end it discards what it has heard until then.
    discards: bool,
}

#[derive(Debug, Default, PartialEq)]
struct Leg {
    answer: Option<String>,
    restarted: bool,
    offer_is_open: bool,
    candidates: usize,
}

impl Worker {
    fn obey(&mut self, command: &MediaCommand) {
        match command {
            MediaCommand::OfferBrowser { leg, restart, .. } => {
                if !restart {
                    self.legs.insert(
                        leg.0,
                        Leg {
                            offer_is_open: true,
                            ..Leg::default()
                        },
                    );
                } else if let Some(leg) = self.legs.get_mut(&leg.0).filter(|leg| !leg.offer_is_open)
                {
                    leg.restarted = true;
                }
            }
            MediaCommand::AnswerBrowser { leg, sdp } => {
                if let Some(leg) = self.legs.get_mut(&leg.0).filter(|leg| leg.offer_is_open) {
                    leg.answer = Some(sdp.clone());
                    leg.offer_is_open = false;
                }
            }
            MediaCommand::CandidateBrowser { leg, .. } => {
                if let Some(leg) = self.legs.get_mut(&leg.0) {
                    leg.candidates = (leg.candidates + 1).min(REMOTE_CANDIDATES_MAX);
                }
            }
            MediaCommand::CloseBrowser { leg } => drop(self.legs.remove(&leg.0)),
            MediaCommand::OpenPort { call, .. } => {
                drop(self.calls.insert(call.0, Calling::default()))
            }
            MediaCommand::CloseCall { call } => {
                if self.calls.remove(&call.0).is_some() {
                    self.closed.insert(call.0);
                }
            }
            MediaCommand::Plan(plan) => {
                self.with(plan.call, |call| {
                    let was_open = call.plan.is_some_and(|(_, to_caller)| to_caller);
                    if was_open && !plan.to_caller {
                        call.digits.clear();
                    }
                    call.plan = Some((plan.to_agent, plan.to_caller));
                });
            }
            MediaCommand::SendDigits { call, digits, .. } => self.with(*call, |call| {
                // Without a plan it is not known how they go out.
                if call.plan.is_some() {
                    call.digits.push_str(digits);
                }
            }),
            MediaCommand::Beep { call } => self.with(*call, |call| call.beeped = true),
            MediaCommand::OpenTap {
                call, tap, paused, ..
            } => {
                let begun = Listening {
                    paused: *paused,
                    discards: *paused,
                };
                self.with(*call, |call| call.taps.insert(tap.0, begun));
            }
            MediaCommand::PauseTap { call, tap, paused } => self.with(*call, |call| {
                if let Some(tap) = call.taps.get_mut(&tap.0) {
                    tap.discards |= *paused;
                    tap.paused = *paused;
                }
            }),
            MediaCommand::CloseTap { call, tap } => {
                self.with(*call, |call| call.taps.remove(&tap.0));
                self.closed_taps.insert(tap.0);
            }
        }
    }

    fn with<T>(&mut self, call: CallId, change: impl FnOnce(&mut Calling) -> T) {
        self.calls.get_mut(&call.0).map(change);
    }
}

/// Lives of calls and legs, some of them begun before the worker was behind, their commands in between one another.
fn lives(rng: &mut SmallRng) -> (Vec<MediaCommand>, Vec<MediaCommand>) {
    let mut scripts: Vec<VecDeque<MediaCommand>> = Vec::new();
    for id in 0..4_u64 {
        scripts.push(life_of_call(rng, CallId(id), id * 100));
        scripts.push(life_of_leg(rng, BrowserLegId(id)));
    }
    let mut before = Vec::new();
    for script in &mut scripts {
        let done = rng.random_range(0..=script.len() / 2);
        before.extend(script.drain(..done));
    }
    let mut commands = Vec::new();
    while scripts.iter().any(|script| !script.is_empty()) {
        let script = rng.random_range(0..scripts.len());
        commands.extend(scripts[script].pop_front());
    }
    (before, commands)
}

fn life_of_call(rng: &mut SmallRng, call: CallId, mut tap: u64) -> VecDeque<MediaCommand> {
    let mut life = VecDeque::from([
        MediaCommand::OpenPort { call, port: 20_000 },
        plan(call, true, true),
    ]);
    let mut open: Option<TapId> = None;
    for _ in 0..rng.random_range(0..12) {
        life.push_back(match (rng.random_range(0..8), open) {
            (0 | 1, _) => plan(call, rng.random(), rng.random()),
            (2, _) => MediaCommand::SendDigits {
                call,
                digits: "5".repeat(rng.random_range(1..10)),
                tone: None,
            },
            (3, _) => MediaCommand::Beep { call },
            (4 | 5, Some(tap)) => MediaCommand::PauseTap {
                call,
                tap,
                paused: rng.random(),
            },
            (_, Some(tap)) => {
                open = None;
                MediaCommand::CloseTap { call, tap }
            }
            (_, None) => {
                tap += 1;
                open = Some(TapId(tap));
                MediaCommand::OpenTap {
                    call,
                    tap: TapId(tap),
                    rate_hz: 8_000,
                    beep: None,
                    paused: rng.random(),
                }
            }
        });
    }
    if rng.random() {
        life.extend(open.map(|tap| MediaCommand::CloseTap { call, tap }));
        life.push_back(MediaCommand::CloseCall { call });
    }
    life
}

fn life_of_leg(rng: &mut SmallRng, leg: BrowserLegId) -> VecDeque<MediaCommand> {
    let mut life = VecDeque::from([offer(leg, false)]);
    for turn in 0..rng.random_range(0..60) {
        life.push_back(match rng.random_range(0..8) {
            0 => offer(leg, true),
            1 | 2 => MediaCommand::AnswerBrowser {
                leg,
                sdp: turn.to_string(),
            },
            _ => MediaCommand::CandidateBrowser {
                leg,
                candidate: None,
            },
        });
    }
    if rng.random() {
        life.push_back(MediaCommand::CloseBrowser { leg });
    }
    life
}

/// Whatever waits: a worker that is told what is left has the same calls and legs in the same state as one that is told everything. It has told the end of
/// every call that it knew of, and of every tap of a call that is up.
#[test]
fn what_is_left_out_makes_no_difference() {
    for seed in 0..2_000 {
        let mut rng = SmallRng::seed_from_u64(seed);
        let (before, commands) = lives(&mut rng);
        let (mut one, mut other) = (Worker::default(), Worker::default());
        for command in &before {
            one.obey(command);
            other.obey(command);
        }
        let known: BTreeSet<u64> = one.calls.keys().copied().collect();
        for command in &commands {
            one.obey(command);
        }
        for command in &left(&commands) {
            other.obey(command);
        }
        one.closed
            .retain(|call| known.contains(call) || other.closed.contains(call));
        let of_living = |tap: &u64, worker: &Worker| worker.calls.contains_key(&(tap / 100));
        let mut taps = std::mem::take(&mut one.closed_taps);
        taps.retain(|tap| of_living(tap, &one));
        let mut told = std::mem::take(&mut other.closed_taps);
        told.retain(|tap| of_living(tap, &other));
        assert_eq!((one, taps), (other, told), "seed {seed}");
    }
}
