//! An hour of a call costs no memory: the leak of the congestion control extension stays avoided.
//!
//! Alone in its file, because it looks at the memory of the whole process.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

mod support;

use std::time::Duration;

use media::browser_leg::{LegKind, LegState};
use support::World;

/// Packets of a call per hour.
const HOUR: u32 = 3_600 * 50;

/// What the allocator may take by its own ways over the hour. The leak would take at least 24 octets for each packet: 4.3 MB.
const GROWTH_MAX_KIB: u64 = 1_024;

/// Octets of the process in memory, in KiB; `None` where the system does not tell.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// The browser sends the extension although our offer does not name it, as one would that kept it from another connection.
#[test]
fn an_hour_of_packets_with_the_extension_leaves_no_trace() {
    let mut world = World::with(LegKind::Warm, true);
    world.negotiate();
    world.run(Duration::from_secs(2));
    assert_eq!(world.leg.state(), LegState::Connected);
    let mut before = None;
    for n in 0..HOUR + 5_000 {
        if n == 5_000 {
            before = resident_kib();
        }
        let timestamp = n.wrapping_mul(160);
        world.browser.speak(world.now, 0, timestamp, &[0x11; 160]);
        assert!(world.say(timestamp, &[0x22; 160]));
        world.now += Duration::from_millis(20);
        if world.leg.poll_timeout().is_some_and(|at| at <= world.now) {
            world.leg.handle_timeout(world.now);
        }
        world.exchange();
        assert_eq!(world.heard.drain(..).count(), 1);
        // The extension did travel: the engine of the browser writes it because its own map has it.
        assert_eq!(world.browser.heard.drain(..).count(), 1);
    }
    assert!(
        world.extension_seen > HOUR / 2,
        "{} packets had it",
        world.extension_seen
    );
    assert_eq!(world.leg.state(), LegState::Connected);
    let (Some(before), Some(after)) = (before, resident_kib()) else {
        return;
    };
    let growth = after.saturating_sub(before);
    assert!(growth < GROWTH_MAX_KIB, "{growth} KiB in an hour");
}
