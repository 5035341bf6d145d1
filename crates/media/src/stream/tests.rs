//! The numbers of an outgoing stream.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn packet(ssrc: u32, sequence: u16, timestamp: u32) -> Incoming {
    Incoming {
        ssrc,
        sequence,
        timestamp,
        marker: false,
    }
}

#[test]
fn a_new_source_follows_the_last_packet_by_the_clock() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 5_000, 1_000);
    let first = stream.stamp(now, packet(1, 65_535, 70), 160).unwrap();
    assert_eq!(
        first,
        Stamp {
            sequence: 5_000,
            timestamp: 1_000,
            marker: true
        }
    );
    let second = stream.stamp(now, packet(1, 0, 230), 160).unwrap();
    assert_eq!(
        second,
        Stamp {
            sequence: 5_001,
            timestamp: 1_160,
            marker: false
        }
    );
    // Another call a second later: next number, a second further, talk-spurt.
    stream.interrupt();
    let later = now + Duration::from_secs(1);
    let third = stream
        .stamp(later, packet(2, 77, 3_000_000_000), 160)
        .unwrap();
    assert_eq!(
        third,
        Stamp {
            sequence: 5_002,
            timestamp: 9_160,
            marker: true
        }
    );
    assert_eq!(stream.sent(), (3, 480));
}

#[test]
fn loss_stays_visible_and_lateness_is_in_its_place() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    let number = |stream: &mut OutgoingStream, sequence: u16| {
        let timestamp = u32::from(sequence) * 160;
        stream
            .stamp(now, packet(1, sequence, timestamp), 160)
            .map(|stamp| stamp.sequence)
    };
    assert_eq!(number(&mut stream, 10), Some(100));
    assert_eq!(number(&mut stream, 13), Some(103));
    assert_eq!(number(&mut stream, 11), Some(101));
    assert_eq!(
        number(&mut stream, 11),
        None,
        "a repetition would repeat a key stream"
    );
    assert_eq!(
        number(&mut stream, 9),
        None,
        "nothing lies before the first packet"
    );
}

#[test]
fn a_skipped_packet_leaves_no_gap() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    stream.stamp(now, packet(1, 10, 0), 160).unwrap();
    stream.skip(packet(1, 11, 160));
    stream.skip(packet(1, 12, 320));
    let next = stream.stamp(now, packet(1, 13, 480), 160).unwrap();
    assert_eq!((next.sequence, next.timestamp), (101, 480));
}

#[test]
fn our_own_packets_lie_between() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    stream.stamp(now, packet(1, 10, 0), 160).unwrap();
    assert_eq!(stream.insert(now, 160, 4), 101);
    assert_eq!(stream.insert(now, 160, 4), 102);
    stream.skip(packet(1, 11, 160));
    assert_eq!(
        stream.stamp(now, packet(1, 12, 320), 160).unwrap().sequence,
        103
    );
}

/// A beep takes the place of speech: to the ear behind it the stream has no seam, no gap and no packet too many.
#[test]
fn audio_of_our_own_takes_the_place_of_the_source() {
    let now = Instant::now();
    let at = |ms: u64| now + Duration::from_millis(ms);
    let mut stream = OutgoingStream::new(9, 100, 0);
    let mut sent = Vec::new();
    let speak = |stream: &mut OutgoingStream, turn: u16, sounding: bool| {
        let speech = packet(1, turn, u32::from(turn) * 160);
        if sounding {
            stream.skip(speech);
            return None;
        }
        stream.stamp(at(u64::from(turn) * 20), speech, 160)
    };
    for turn in 0..12_u16 {
        let sounding = (3..8).contains(&turn);
        sent.extend(speak(&mut stream, turn, sounding));
        // Our frames come 5 ms after speech of their time would: from the third turn on.
        if (2..8).contains(&turn) {
            sent.push(stream.insert_audio(at(u64::from(turn) * 20 + 5), 160));
        }
    }
    let numbers: Vec<(u64, u32)> = sent
        .iter()
        .map(|stamp| (stamp.sequence, stamp.timestamp))
        .collect();
    let seamless: Vec<(u64, u32)> = (0..12).map(|n| (100 + n, n as u32 * 160)).collect();
    assert_eq!(numbers, seamless);
    assert!(sent.iter().skip(1).all(|stamp| !stamp.marker));
}

/// Nobody speaks, and has not for a second: a notice is heard now, not in the past.
#[test]
fn audio_of_our_own_after_silence_follows_the_clock() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    stream.stamp(now, packet(1, 10, 0), 160).unwrap();
    let later = now + Duration::from_secs(1);
    let first = stream.insert_audio(later, 160);
    assert_eq!(
        (first.sequence, first.timestamp, first.marker),
        (101, 8_000, true)
    );
    let second = stream.insert_audio(later + Duration::from_millis(20), 160);
    assert_eq!((second.timestamp, second.marker), (8_160, false));
}

/// From G.711 to Opus and back within one stream: time goes on, counted in the ticks of the codec that speaks.
#[test]
fn another_clock_begins_a_talk_spurt() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    stream.stamp(now, packet(1, 10, 0), 160).unwrap();
    stream.set_clock(48);
    let later = now + Duration::from_millis(20);
    let opus = stream.stamp(later, packet(1, 11, 960), 60).unwrap();
    assert_eq!(
        (opus.sequence, opus.timestamp, opus.marker),
        (101, 960, true)
    );
    let own = stream.insert_audio(later + Duration::from_millis(20), 60);
    assert_eq!(
        (own.sequence, own.timestamp, own.marker),
        (102, 1_920, false)
    );
    stream.set_clock(8);
    let last = later + Duration::from_millis(40);
    let back = stream.stamp(last, packet(1, 90, 7), 160).unwrap();
    assert_eq!(
        (back.sequence, back.timestamp, back.marker),
        (103, 2_080, true)
    );
}

#[test]
fn a_jump_begins_anew() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    stream.stamp(now, packet(1, 10, 0), 160).unwrap();
    let jumped = stream.stamp(now, packet(1, 9_000, 1_600_000), 160).unwrap();
    assert_eq!(
        jumped,
        Stamp {
            sequence: 101,
            timestamp: 160,
            marker: true
        }
    );
}

/// One packet that took two seconds by another way is not said in the middle of a word, and what follows goes on where it was. A caller whose numbers begin anew is
/// heard from the second of them on.
#[test]
fn one_packet_far_behind_is_too_late() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    let mut say = |sequence: u16| {
        let at = now + Duration::from_millis(u64::from(sequence) * 20);
        let timestamp = u32::from(sequence) * 160;
        let stamp = stream.stamp(at, packet(1, sequence, timestamp), 160);
        stamp.map(|stamp| (stamp.sequence, stamp.timestamp, stamp.marker))
    };
    assert_eq!(say(1_000), Some((100, 0, true)));
    assert_eq!(say(899), None);
    assert_eq!(say(1_001), Some((101, 160, false)));
    assert_eq!(say(900), None, "it does not follow the other one");
    assert_eq!(say(1_002), Some((102, 320, false)));
    let later = now + Duration::from_millis(1_003 * 20);
    let mut restarts = |sequence: u16| {
        let late = later + Duration::from_millis(u64::from(sequence) * 20);
        let stamp = stream.stamp(late, packet(1, sequence, 77), 160);
        stamp.map(|stamp| (stamp.sequence, stamp.timestamp, stamp.marker))
    };
    assert_eq!(restarts(0), None);
    assert_eq!(restarts(1), Some((103, 640, true)));
    assert_eq!(restarts(2).map(|(sequence, ..)| sequence), Some(104));
}

/// The same while a notice sounds: what comes behind it is heard from its first packet on.
#[test]
fn a_row_that_begins_anew_while_it_is_skipped_is_heard_behind() {
    let now = Instant::now();
    let mut stream = OutgoingStream::new(9, 100, 0);
    stream.stamp(now, packet(1, 1_000, 0), 160).unwrap();
    stream.skip(packet(1, 899, 0));
    stream.skip(packet(1, 1_001, 160));
    let third = stream.stamp(now, packet(1, 1_002, 320), 160).unwrap();
    assert_eq!((third.sequence, third.marker), (101, false));
    stream.skip(packet(1, 5, 0));
    stream.skip(packet(1, 6, 160));
    let anew = stream.stamp(now, packet(1, 7, 320), 160).unwrap();
    assert_eq!((anew.sequence, anew.marker), (102, true));
}

proptest! {
    /// Whatever the sources do, no number leaves twice, and the stream never runs ahead by more than a drop-out.
    #[test]
    fn no_number_is_used_twice(
        packets in proptest::collection::vec((0_u32..3, any::<u16>(), any::<u32>(), 0_u8..8), 1..300)
    ) {
        let now = Instant::now();
        let mut stream = OutgoingStream::new(9, 3_000, 0);
        let mut seen = std::collections::BTreeSet::new();
        for (ssrc, sequence, timestamp, what) in packets {
            // Most steps are small, as they are on the wire.
            let near = packet(ssrc, sequence % 40, timestamp);
            let number = match what {
                0 => { stream.interrupt(); None }
                1 => Some(stream.insert(now, timestamp, 4)),
                2 => { stream.skip(near); None }
                3 => stream.stamp(now, packet(ssrc, sequence, timestamp), 1).map(|s| s.sequence),
                _ => stream.stamp(now, near, 1).map(|s| s.sequence),
            };
            if let Some(number) = number {
                prop_assert!(seen.insert(number), "{number} twice");
                prop_assert!(number >= 3_000);
            }
        }
    }
}
