#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::time::Duration;

use super::*;
use crate::g711::Law;

#[test]
fn speech_is_played_as_it_came() {
    let start = Instant::now();
    let mut playout = Playout::new(Codec::G711(Law::Mu), Rate::Narrow).unwrap();
    for turn in 0..50_u16 {
        let at = start + Duration::from_millis(20 * u64::from(turn));
        let payload: Vec<u8> = (0..160).map(|n| (n + turn * 7) as u8).collect();
        let packet = Arrival {
            ssrc: 1,
            sequence: 65_530_u16.wrapping_add(turn),
            timestamp: 0_u32.wrapping_sub(800).wrapping_add(u32::from(turn) * 160),
            marker: false,
            payload: &payload,
        };
        assert_eq!(playout.insert(at, packet), Inserted::Taken);
        let mut frame = [0; 160];
        assert_eq!(
            playout.pull(at + Duration::from_millis(10), &mut frame),
            Pulled::Speech
        );
        assert_eq!(frame[5], Law::Mu.decode(payload[5]));
    }
}
