//! What a browser and its leg tell each other about the packets between them (RTCP). The browser is the engine, which has no part in our reports.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

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
