//! A browser that a NAT moves without its knowledge, and somebody who overhears one and plays the same.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use media::browser_leg::{LegState, Received, Refusal};
use support::{SECOND, World, consent, stranger};

/// A home's router gets another address, and the browser nominates nothing: to it nothing has changed. It is heard from its next check on, and is followed by what
/// it says; where it says nothing, as between calls, by its checks.
#[test]
fn a_browser_that_is_moved_without_its_knowledge_is_followed() {
    for speaks in [true, false] {
        let mut world = World::connected();
        world.talk(50);
        world.consents_by = Some(world.password.clone());
        world.browser.address = "198.51.100.99:4000".parse().unwrap();
        if speaks {
            world.talk(250);
        } else {
            world.mute = true;
            world.run(20 * SECOND);
        }
        // What is said to it arrives before it has said anything more.
        let before = world.browser.heard.len();
        for n in 0..50 {
            world.say(n * 160, &[0x22; 160]);
            world.run(Duration::from_millis(20));
        }
        let heard = world.browser.heard.len() - before;
        assert_eq!(heard, 50, "speaks: {speaks}");
        world.mute = false;
        assert_eq!(world.heard_of(50).0, 50);
        assert_eq!(world.leg.state(), LegState::Connected);
    }
}

/// Somebody overhears a browser, and says all of it again from elsewhere, before the network has carried it: a check takes him in, and what is said to the browser
/// still goes to the browser, which does not fall silent for him.
#[test]
fn an_echo_from_elsewhere_is_not_followed() {
    let mut world = World::connected();
    world.talk(50);
    world.consents_by = Some(world.password.clone());
    world.echo = Some(stranger());
    // Behind a pause his word is the first.
    for _ in 0..20 {
        world.run(Duration::from_millis(1_900));
        world.talk(5);
    }
    assert_eq!(world.heard_of(1_000), (1_000, 1_000));
    let replays = |refusal: &&Refusal| **refusal == Refusal::Srtp;
    let replayed = world.refused.iter().filter(replays).count();
    assert!(replayed > 500, "{replayed} of his words were taken first");
    // He has an answer to each of his checks, and nothing else.
    world.astray.retain(|to| *to == stranger());
    assert!((1..100).contains(&world.astray.len()));
}

/// The browser's network stalls, and somebody who overhears it does not: he is taken for the browser, until its next check comes.
#[test]
fn the_browser_comes_back_to_the_address_that_it_named() {
    let mut world = World::connected();
    world.consents_by = Some(world.password.clone());
    world.echo = Some(stranger());
    world.stalls = true;
    world.talk(500);
    assert_eq!(world.heard_of(50).1, 0, "he has it");
    world.stalls = false;
    world.talk(250);
    assert_eq!(world.heard_of(100).1, 100);
}

/// A router that takes 20 s to get its new address. This browser gives its path up by then; Firefox goes on to check whether it is wanted.
#[test]
fn a_browser_that_is_moved_by_an_outage_comes_back() {
    let mut world = World::connected();
    world.talk(50);
    let consents = consent::of(&world.check, &world.password).unwrap();
    world.cut = true;
    world.run(20 * SECOND);
    assert_eq!(world.leg.state(), LegState::Disconnected);
    world.cut = false;
    world.browser.address = "198.51.100.99:4000".parse().unwrap();
    assert_eq!(
        world.deliver(world.browser.address, &consents),
        Received::Taken
    );
    world.talk(100);
    assert_eq!(world.leg.state(), LegState::Connected);
    assert_eq!(world.heard_of(100), (100, 100));
}
