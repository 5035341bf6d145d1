//! The clock of the gateway's host is set while agents work, or the machine slept: no agent notices.
#![allow(clippy::unwrap_used)]

mod common;

use std::time::Duration;

use common::{OFFER, World, config};
use control::{CallState, GatewayMessage};
use switchboard::{Fact, Input, TurnConfig};

const BORN_MS: u64 = 1_700_000_000_000;
const HOUR: Duration = Duration::from_secs(3_600);

impl World {
    /// The clock says something else from now on.
    fn clock(&mut self, epoch_ms: u64) {
        self.input(Input::Clock(epoch_ms));
    }

    fn clock_jumps(&self) -> usize {
        let jump = |fact: &&Fact| matches!(fact, Fact::ClockJumped { .. });
        self.facts.iter().filter(jump).count()
    }
}

fn with_turn() -> (World, u64) {
    let mut config = config(&["1002"]);
    config.turn = Some(TurnConfig {
        urls: vec!["turn:turn.example.com".to_owned()],
        secret: "a shared secret".into(),
        life: HOUR,
    });
    let mut world = World::with_config(config);
    let page = world.sign_in("1002", None);
    (world, page)
}

/// When the credentials end that a page was given last, in seconds since 1970, and how often it was given any.
fn credentials(world: &World, page: u64) -> (u64, usize) {
    let names = world.pages[&page].iter().filter_map(|message| {
        let servers = match message {
            GatewayMessage::Welcome(welcome) => &welcome.ice_servers,
            GatewayMessage::IceServers { ice_servers } => ice_servers,
            _ => return None,
        };
        servers.last()?.username.clone()
    });
    let names: Vec<String> = names.collect();
    let (ends, _) = names.last().unwrap().split_once(':').unwrap();
    (ends.parse().unwrap(), names.len())
}

/// The host had no time at its start and gets it from the network later. What the TURN server checks is made by the right time at once: an agent
/// behind a firewall is heard.
#[test]
fn relays_take_her_after_the_clock_was_set_right() {
    let (mut world, page) = with_turn();
    world.advance(Duration::from_secs(60));
    let now_ms = BORN_MS + 5 * 365 * 24 * 3_600_000;
    world.clock(now_ms);
    assert_eq!(credentials(&world, page), (now_ms / 1000 + 3_600, 2));
    world.advance(HOUR / 2);
    assert_eq!(credentials(&world, page), (now_ms / 1000 + 5_400, 3));
}

/// A laptop or a virtual machine sleeps for ten minutes: only the calendar has seen them, and credentials are renewed so much earlier.
#[test]
fn credentials_age_while_the_machine_sleeps() {
    let (mut world, page) = with_turn();
    world.advance(Duration::from_secs(600));
    world.clock(BORN_MS + 1_200_000);
    assert_eq!(credentials(&world, page), (BORN_MS / 1000 + 3_600, 1));
    world.advance(Duration::from_secs(600));
    assert_eq!(credentials(&world, page), (BORN_MS / 1000 + 5_400, 2));
}

/// The clock is put back: what the page has is good for longer, and is renewed as if nothing had happened.
#[test]
fn credentials_outlive_a_clock_that_is_put_back() {
    let (mut world, page) = with_turn();
    world.advance(Duration::from_secs(600));
    world.clock(BORN_MS - 7_200_000);
    assert_eq!(credentials(&world, page).1, 1);
    world.advance(HOUR / 2);
    assert_eq!(credentials(&world, page).1, 2);
}

/// In the middle of a call the clock jumps, ahead or back: the call goes on, SIP Server hears nothing of it, and the record has one clock from its
/// first to its last moment.
#[test]
fn a_record_is_told_by_one_clock() {
    for now_ms in [BORN_MS + 86_400_000, BORN_MS - 86_400_000, 0] {
        let (mut world, page) = World::with_agent("1002");
        let mut dialog = world.invite("1002", Some(OFFER));
        world.advance(Duration::from_secs(4));
        world.notify(&mut dialog, "talk");
        world.ack(&dialog, 1, None);
        world.advance(Duration::from_secs(10));
        let sent = world.sent.len();
        world.clock(now_ms);
        assert_eq!(world.sent.len(), sent, "nothing moves");
        assert_eq!(world.call(page).state, CallState::Talking);
        assert_eq!(world.clock_jumps(), 1);
        world.advance(Duration::from_secs(20));
        world.in_dialog(&mut dialog, "BYE", "", None);
        world.advance(Duration::from_secs(5));
        let record = world.facts.iter().find_map(|fact| match fact {
            Fact::EndRecord { record } => Some(record),
            _ => None,
        });
        let record = record.expect("the record of the call");
        assert_eq!(record.ended_ms, now_ms + 20_000);
        assert_eq!((record.ring_ms, record.talk_ms), (4_000, Some(30_000)));
        assert_eq!(record.created_ms, record.ended_ms.saturating_sub(34_000));
    }
}

/// The two clocks are never read at one moment: what is less than a second apart is no jump.
#[test]
fn a_clock_that_is_right_is_left_alone() {
    let (mut world, page) = World::with_agent("1002");
    world.talking("1002");
    let before = world.call(page);
    world.clock(BORN_MS + 999);
    assert_eq!(world.call(page), before);
    assert_eq!(world.clock_jumps(), 0);
}
