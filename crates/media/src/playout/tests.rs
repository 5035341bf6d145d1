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
        // The first 5 ms rise from silence.
        assert_eq!(frame[45], Law::Mu.decode(payload[45]));
    }
}

/// The longest packets there are, at both rates: every sample of each is played, whatever the room was made for.
#[test]
fn long_packets_are_played_whole() {
    for rate in [Rate::Narrow, Rate::Wide] {
        let start = Instant::now();
        let codec = match rate {
            Rate::Narrow => Codec::G711(Law::A),
            Rate::Wide => Codec::G722,
        };
        let mut playout = Playout::new(codec, rate).unwrap();
        let mut frame = vec![0; rate.frame_len()];
        for turn in 0..100_u16 {
            let at = start + Duration::from_millis(20 * u64::from(turn));
            if turn % 6 == 0 {
                let number = turn / 6;
                let packet = Arrival {
                    ssrc: 1,
                    sequence: number,
                    timestamp: u32::from(number) * 960,
                    marker: false,
                    payload: &[0x5a; 960],
                };
                assert_eq!(playout.insert(at, packet), Inserted::Taken, "{turn}");
            }
            let pulled = playout.pull(at + Duration::from_millis(10), &mut frame);
            assert_eq!(pulled, Pulled::Speech, "{rate:?} {turn}");
        }
    }
}
