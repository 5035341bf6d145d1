//! What a browser and its leg tell each other about the packets between them (RTCP). The browser is the engine, which has no part in our reports.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use media::patchbay::Event;
use support::worker::Worker;
use support::{SECOND, World};

/// Each side learns what became of what it sent.
#[test]
fn each_side_is_told_what_the_other_lost() {
    let mut world = World::connected();
    world.lose_every = Some(10);
    for n in 0..1_000 {
        world.browser.speak(world.now, 0, n * 160, &[0x11; 160]);
        if n % 4 == 0 {
            // Every fourth packet of the browser is lost on its way.
            world.take_from_browser();
        }
        world.say(n * 160, &[0x22; 160]);
        world.run(Duration::from_millis(20));
    }
    let (loss, trip) = world.browser.told.unwrap();
    assert!((0.2..0.3).contains(&loss), "the browser is told {loss}");
    assert!(trip.is_some(), "our report echoes the browser's");
    let (percent, trip, lost) = *world.reported.last().unwrap();
    let percent = percent.unwrap();
    assert!((9..=12).contains(&percent), "the browser tells {percent}");
    assert!(trip.is_some_and(|trip| trip < SECOND), "{trip:?}");
    let lost = lost.unwrap();
    assert!((70..=100).contains(&lost), "{lost} of 1000");
}

/// A leg that only listens reports all the same, and one whose browser is silent says so.
#[test]
fn who_says_nothing_reports_too() {
    let mut world = World::connected();
    for n in 0..1_500 {
        world.browser.speak(world.now, 0, n * 160, &[0x11; 160]);
        world.run(Duration::from_millis(20));
    }
    let (loss, _) = world.browser.told.unwrap();
    assert!(loss < 0.01, "{loss}");
    assert!(world.reported.is_empty(), "nothing was sent to report on");
}

/// The agent's radio network is bad during one call and good during the next, which comes at once: what her browser lost of the former is in none of the latter's
/// figures, though its next report tells of both.
#[test]
fn what_was_lost_of_a_call_is_not_charged_to_the_next() {
    let mut worker = Worker::with_browsers(1);
    let told = |worker: &mut Worker, call: u64| {
        worker.close(call);
        worker.collect();
        let Some(Event::CallClosed { report, .. }) = worker.events.last() else {
            panic!("{:?}", worker.events.last());
        };
        report.to_agent.far_end.unwrap()
    };
    worker.lose_every = Some(5);
    worker.open(1);
    worker.plan(1, Some(0), true);
    worker.talk(&[1], 700);
    let first = told(&mut worker, 1);
    let share = first.lost as f64 / first.of as f64;
    assert!((0.15..0.25).contains(&share), "{first:?}");
    worker.lose_every = None;
    worker.open(2);
    worker.plan(2, Some(0), true);
    worker.talk(&[2], 700);
    let second = told(&mut worker, 2);
    assert_eq!(second.lost, 0, "{second:?}");
    assert!(second.of > 200, "{second:?}");
    // Everything was reported, so that the next report is of the next call alone.
    worker.run(10 * SECOND);
    worker.lose_every = Some(5);
    worker.open(3);
    worker.plan(3, Some(0), true);
    worker.talk(&[3], 400);
    let third = told(&mut worker, 3);
    assert!(third.lost >= 40 && third.of > 200, "{third:?}");
}
