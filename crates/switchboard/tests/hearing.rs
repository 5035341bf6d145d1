//! Who watches calls is told when one turns bad, while something can be done about it, and when it is well again.
#![allow(clippy::unwrap_used)]

mod common;

use common::World;
use control::GatewayMessage;
use switchboard::{CallId, DirectionReport, Fact, Input, MediaEvent, MediaReport};

/// A call, and what has been counted in it so far, each way.
struct Scene {
    world: World,
    page: u64,
    call: CallId,
    to_agent: DirectionReport,
    to_caller: DirectionReport,
}

impl Scene {
    fn talks() -> Self {
        let (mut world, page) = World::with_agent("1002");
        world.talking("1002");
        let call = CallId::parse(&world.call(page).id).unwrap();
        Self {
            world,
            page,
            call,
            to_agent: DirectionReport::default(),
            to_caller: DirectionReport::default(),
        }
    }

    /// Five seconds more, in which so many of 250 packets were lost each way; what is told of it.
    fn loses(&mut self, to_agent: u64, to_caller: u64) -> Vec<(bool, bool)> {
        for (way, lost) in [
            (&mut self.to_agent, to_agent),
            (&mut self.to_caller, to_caller),
        ] {
            way.packets += 250 - lost;
            *way.lost.get_or_insert(0) += lost;
        }
        let report = Box::new(MediaReport {
            to_agent: self.to_agent.clone(),
            to_caller: self.to_caller.clone(),
        });
        self.world.facts.clear();
        let call = self.call;
        self.world
            .input(Input::Media(MediaEvent::Quality { call, report }));
        let told = self.world.facts.iter().filter_map(|fact| match fact {
            Fact::HeardBadly { badly, .. } => Some((badly.to_agent, badly.to_caller)),
            _ => None,
        });
        told.collect()
    }

    /// What the page was told with the last measurement: whether she hears badly, and the other side.
    fn shown(&self) -> Option<(bool, bool)> {
        let messages = self.world.pages[&self.page].iter().rev();
        let told = messages.filter_map(|message| match message {
            GatewayMessage::Quality { heard_badly, .. } => Some(*heard_badly),
            _ => None,
        });
        let badly = told.into_iter().next().expect("a measurement");
        badly.map(|badly| (badly.to_agent, badly.to_caller))
    }
}

/// All that comes, comes twice: what does not come is missing all the same.
#[test]
fn repetitions_hide_no_loss() {
    let mut scene = Scene::talks();
    scene.to_agent.packets += 230;
    scene.to_agent.duplicates = Some(230);
    assert_eq!(scene.loses(20, 0), [(true, false)]);
    let messages = scene.world.pages[&scene.page].iter().rev();
    let loss = messages.filter_map(|message| match message {
        GatewayMessage::Quality { to_agent, .. } => to_agent.loss,
        _ => None,
    });
    assert_eq!(loss.into_iter().next(), Some(0.08));
}

/// A tenth of the caller's words is missing: that is said once, not every 5 s, and its end when it has lasted.
#[test]
fn a_call_that_turns_bad_says_so_once() {
    let mut scene = Scene::talks();
    assert_eq!(scene.loses(2, 0), []);
    assert_eq!(scene.loses(25, 0), [(true, false)]);
    assert_eq!(scene.loses(25, 0), []);
    assert_eq!(scene.loses(25, 20), [(true, true)], "the other side too");
    assert_eq!(scene.loses(0, 20), []);
    assert_eq!(scene.loses(0, 20), []);
    assert_eq!(scene.loses(0, 0), [(false, true)], "she hears well again");
    assert_eq!(scene.loses(0, 0), []);
    assert_eq!(scene.loses(0, 0), [(false, false)]);
    assert_eq!(scene.loses(0, 0), []);
}

/// The page judges nothing by itself: with each measurement it is told who hears badly, for as long as that is so.
#[test]
fn the_page_is_told_while_a_call_is_bad() {
    let mut scene = Scene::talks();
    let shown = [(0, 0), (25, 0), (0, 20), (0, 0), (0, 0), (0, 0)].map(|(agent, caller)| {
        scene.loses(agent, caller);
        scene.shown()
    });
    let (hers, both, theirs) = ((true, false), (true, true), (false, true));
    assert_eq!(
        shown,
        [None, Some(hers), Some(both), Some(both), Some(theirs), None]
    );
}

/// A line that drops out now and then is one fault, whatever it does to the events of those who watch a thousand calls.
#[test]
fn a_line_that_comes_and_goes_is_told_once() {
    let mut scene = Scene::talks();
    let told: Vec<_> = (0..60)
        .flat_map(|round| scene.loses(if round % 3 == 0 { 100 } else { 0 }, 0))
        .collect();
    assert_eq!(told, [(true, false)]);
}

/// A score is of the whole call: one that was bad in its first minute is not bad for ever, unless it is the delay.
#[test]
fn an_old_fault_is_not_a_present_one() {
    let mut scene = Scene::talks();
    scene.to_agent.mos = Some(2.9);
    assert_eq!(scene.loses(0, 0), []);
    assert_eq!(scene.loses(4, 0), [(true, false)], "and it goes on");
    let well: Vec<_> = (0..3).flat_map(|_| scene.loses(0, 0)).collect();
    assert_eq!(well, [(false, false)]);
    scene.to_agent.one_way_ms = Some(450.0);
    assert_eq!(scene.loses(0, 0), [(true, false)]);
}

/// Where speech is decoded here, what was guessed counts and not what was lost: a late packet is missing as well.
#[test]
fn guessed_speech_is_missing() {
    let mut scene = Scene::talks();
    scene.to_agent.concealed_ms = Some(0.0);
    assert_eq!(scene.loses(0, 0), []);
    scene.to_agent.concealed_ms = Some(500.0);
    assert_eq!(scene.loses(0, 0), [(true, false)]);
}

/// A call whose speech was decoded once, and is handed over now: what is lost of it is missing, though nothing is guessed any longer.
#[test]
fn what_is_lost_behind_guesses_is_missing() {
    let mut scene = Scene::talks();
    scene.to_agent.concealed_ms = Some(500.0);
    assert_eq!(scene.loses(0, 0), [(true, false)]);
    let well: Vec<_> = (0..3).flat_map(|_| scene.loses(0, 0)).collect();
    assert_eq!(well, [(false, false)]);
    scene.to_agent.relay_lost = Some(25);
    assert_eq!(scene.loses(25, 0), [(true, false)]);
}
