//! What becomes of packets that do not simply come one after the other.

use std::time::Duration;

use media::codec::{Codec, Encoder, FRAME, OpusTuning, Rate};
use media::g711::Law;
use media::limits::PLAYOUT_WAITING_MS_MAX;
use media::playout::{Arrival, Inserted, Pulled};
use proptest::prelude::*;

use crate::line::{Heard, Line, PCMU, PULL_PHASE_US, Packet, packets, packets_of, play, voice};
use crate::network::{LATENCY_US, Network, arrivals};

/// What G.711 makes of a voice: bit by bit what is heard when nothing was lost.
fn decoded(packets: &[Packet]) -> Vec<i16> {
    let octets = packets.iter().flat_map(|packet| &packet.payload);
    octets.map(|octet| Law::Mu.decode(*octet)).collect()
}

/// Where `said` stands in `heard`.
fn found_at(said: &[i16], heard: &[i16]) -> Option<usize> {
    heard.windows(said.len()).position(|part| part == said)
}

fn concealed_ms(heard: &Heard) -> u128 {
    heard.report.concealed.as_millis()
}

/// A voice that is there at once rises for so many samples: 5 ms.
const EASED: usize = 40;

/// The first syllable is heard from its first sample on, within a frame and a half, and nothing is changed on the way but its edge.
#[test]
fn the_first_word_is_heard_whole() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
    let heard = play(
        PCMU,
        Rate::Narrow,
        &sent,
        &arrivals(Network::Quiet, &sent, 1),
    );
    let at = found_at(&decoded(&sent)[EASED..], &heard.samples).expect("every sample, in order");
    let delay_us = (at - EASED) as i64 * 125 + PULL_PHASE_US - LATENCY_US;
    assert!(delay_us < 30_000, "{delay_us}");
    let delay = heard.report.delay.unwrap().as_millis();
    assert!((5..30).contains(&delay), "{delay} ms in the buffer");
    assert_eq!(concealed_ms(&heard), 0);
    assert!(heard.inserted.iter().all(|what| *what == Inserted::Taken));
}

/// Packets that overtake each other within the playout delay, and some twice: nobody hears it.
#[test]
fn order_and_repetition_are_not_heard() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 3_000), 10, 0);
    let mut order: Vec<(i64, usize)> = (0..sent.len()).map(|n| (sent[n].sent_us, n)).collect();
    for n in (20..order.len() - 1).step_by(7) {
        // The later packet comes first, and the earlier one right behind it, twice.
        order[n].0 = order[n + 1].0 + 200;
        let again = (order[n].0 + 100, n);
        order.push(again);
    }
    order.sort_unstable();
    let heard = play(PCMU, Rate::Narrow, &sent, &order);
    let repeated = heard.report.duplicates;
    assert!(
        repeated > 30 && heard.report.late == 0,
        "{:?}",
        heard.report
    );
    assert!(concealed_ms(&heard) <= 10, "{:?}", heard.report);
    let tail = decoded(&sent[150..290]);
    assert!(found_at(&tail, &heard.samples).is_some());
}

/// A packet that comes when its time is over is counted as such, and what was played is not played again.
#[test]
fn late_is_told_from_twice() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 400), 20, 0);
    let mut line = Line::new(PCMU, Rate::Narrow);
    for n in (0..10).filter(|n| *n != 5) {
        line.bring(sent[n].sent_us, &sent[n]);
    }
    line.run_to(300_000);
    assert_eq!(line.bring(300_000, &sent[5]), Inserted::Late);
    assert_eq!(line.bring(300_000, &sent[7]), Inserted::Duplicate);
}

/// A speaker who falls silent and whose telephone sends nothing then: silence is heard, and no robot.
#[test]
fn silence_that_is_not_sent_is_silence() {
    let mut sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
    for (n, packet) in sent.iter_mut().enumerate().skip(50) {
        packet.timestamp = packet.timestamp.wrapping_add(8 * 700);
        packet.sent_us += 700_000;
        assert_eq!(packet.number, 65_500_u16.wrapping_add(n as u16));
    }
    let heard = play(
        PCMU,
        Rate::Narrow,
        &sent,
        &arrivals(Network::Quiet, &sent, 2),
    );
    // One frame is guessed before it is known that nothing comes, and none after 60 ms. Nothing was lost by that.
    assert!(heard.count(Pulled::Concealed) <= 6, "{:?}", heard.frames);
    assert_eq!(concealed_ms(&heard), 0, "{:?}", heard.report);
    assert_eq!(heard.report.concealments, 0);
    assert!(heard.count(Pulled::Silence) >= 30);
    assert!(found_at(&decoded(&sent[51..]), &heard.samples).is_some());
}

/// Digits of the caller go past: their numbers are no losses, their time is silent.
#[test]
fn digits_of_the_caller_are_no_losses() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
    let mut line = Line::new(PCMU, Rate::Narrow);
    for (n, packet) in sent.iter().enumerate() {
        if (40..50).contains(&n) {
            line.run_to(packet.sent_us);
            let at = line.at(packet.sent_us);
            // All of them carry the time of the first (RFC 4733 section 2.2.1).
            line.playout
                .pause(at, packet.ssrc, packet.number, sent[40].timestamp);
        } else {
            line.bring(packet.sent_us, packet);
        }
    }
    let heard = line.finish(2_000_000);
    assert!(
        (8..=11).contains(&heard.count(Pulled::Silence)),
        "{:?}",
        heard.frames
    );
    assert!(concealed_ms(&heard) <= 60);
    assert!(found_at(&decoded(&sent[51..]), &heard.samples).is_some());
}

/// A caller's line that tells of the noise in the room between words (RFC 3389), and again from time to time: nothing is guessed, and each word is heard from its first
/// packet on.
#[test]
fn comfort_noise_between_words_is_no_loss() {
    const WORD: usize = 25;
    const PAUSE: usize = 34;
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 3_000), 20, 0);
    let mut line = Line::new(PCMU, Rate::Narrow);
    let mut number = sent[0].number;
    for (n, packet) in sent.iter().enumerate() {
        let spoken = n % (WORD + PAUSE) < WORD;
        let told = (n % (WORD + PAUSE) - if spoken { 0 } else { WORD }).is_multiple_of(10);
        if spoken {
            let packet = Packet {
                number,
                ..packet.clone()
            };
            line.bring(packet.sent_us, &packet);
        } else if told {
            line.run_to(packet.sent_us);
            let at = line.at(packet.sent_us);
            line.playout
                .pause(at, packet.ssrc, number, packet.timestamp);
        }
        number = number.wrapping_add(u16::from(spoken || told));
    }
    let heard = line.finish(3_000_000);
    assert_eq!(concealed_ms(&heard), 0, "{:?}", heard.report);
    for word in sent
        .chunks(WORD + PAUSE)
        .map(|both| &both[..WORD.min(both.len())])
    {
        let said = decoded(word);
        assert!(found_at(&said[EASED..], &heard.samples).is_some());
    }
}

/// 10 to 60 ms, and another packet time from one packet to the next.
#[test]
fn every_packet_time_is_played() {
    for ms in [10, 20, 30, 40, 60] {
        let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 6_000), ms, 0);
        let heard = play(
            PCMU,
            Rate::Narrow,
            &sent,
            &arrivals(Network::Quiet, &sent, 3),
        );
        assert!(concealed_ms(&heard) <= 20, "{ms}: {:?}", heard.report);
        let delay = heard.report.delay.unwrap().as_millis();
        assert!(delay < 45, "{ms}: {delay}");
    }
    let speech = voice(Rate::Narrow, 3_000);
    let mut sent = packets(PCMU, Rate::Narrow, &speech, 20, 0);
    let second = packets(PCMU, Rate::Narrow, &speech, 60, 0);
    let (number, timestamp) = (sent[149].number, sent[149].timestamp);
    for (n, mut packet) in second.into_iter().enumerate() {
        packet.number = number.wrapping_add(1 + n as u16);
        packet.timestamp = timestamp.wrapping_add(160 + 480 * n as u32);
        // A packet of 60 ms leaves when it is full.
        packet.sent_us += 3_040_000;
        sent.push(packet);
    }
    let heard = play(
        PCMU,
        Rate::Narrow,
        &sent,
        &arrivals(Network::Quiet, &sent, 4),
    );
    assert!(concealed_ms(&heard) <= 60, "{:?}", heard.report);
    assert!(heard.report.late == 0);
}

/// Every packet time that Opus has (RFC 7587 section 6.1), and what G.711 may be cut into: all of it is played, none of it is guessed.
#[test]
fn the_shortest_and_the_longest_packets_are_played() {
    for us in [
        2_500, 5_000, 10_000, 20_000, 40_000, 60_000, 80_000, 100_000, 120_000,
    ] {
        for (codec, rate) in [(Codec::Opus, Rate::Wide), (PCMU, Rate::Narrow)] {
            let sent = packets_of(codec, rate, &voice(rate, 6_000), us, |_| 0);
            let heard = play(codec, rate, &sent, &arrivals(Network::Quiet, &sent, 3));
            let report = heard.report;
            // What waits still when the last packet comes was not asked for.
            let said = Duration::from_micros((us * (sent.len() - 1)) as u64);
            assert!(
                report.speech + 2 * FRAME >= said,
                "{us} {codec:?}: {report:?}"
            );
            let spoilt = [report.concealments, report.late, report.discarded];
            assert_eq!(spoilt, [0, 0, 0], "{us} {codec:?}: {report:?}");
        }
    }
}

/// Another source takes over in the middle of a sentence, with other numbers: no hole.
#[test]
fn another_source_takes_over_without_a_hole() {
    let mut sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
    for packet in &mut sent[50..] {
        packet.ssrc = 7;
        packet.number = packet.number.wrapping_add(12_345);
        packet.timestamp = packet.timestamp.wrapping_add(0x4000_0000);
    }
    let heard = play(
        PCMU,
        Rate::Narrow,
        &sent,
        &arrivals(Network::Quiet, &sent, 5),
    );
    assert_eq!(concealed_ms(&heard), 0);
    assert!(found_at(&decoded(&sent[51..]), &heard.samples).is_some());
    let silent = heard.frames[4..90]
        .iter()
        .filter(|frame| **frame != Pulled::Speech);
    assert_eq!(silent.count(), 0);
}

/// A peer that begins its numbers anew under the same SSRC, or whose clock stood still, costs a packet at most.
#[test]
fn numbers_and_clocks_may_jump() {
    for (number, ticks) in [
        (20_000_u16, 0_u32),
        (0, 0x1234_5678),
        (0, 0_u32.wrapping_sub(80_000)),
    ] {
        let mut sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
        for packet in &mut sent[50..] {
            packet.number = packet.number.wrapping_add(number);
            packet.timestamp = packet.timestamp.wrapping_add(ticks);
        }
        let heard = play(
            PCMU,
            Rate::Narrow,
            &sent,
            &arrivals(Network::Quiet, &sent, 6),
        );
        assert!(
            concealed_ms(&heard) <= 40,
            "{number} {ticks}: {:?}",
            heard.report
        );
        assert!(heard.report.discarded <= 1);
        assert!(found_at(&decoded(&sent[55..]), &heard.samples).is_some());
    }
}

/// The codec changes in the middle of a call: what waits is still read by its own.
#[test]
fn the_codec_changes_in_mid_call() {
    let speech = voice(Rate::Narrow, 1_000);
    let mut line = Line::new(PCMU, Rate::Narrow);
    let (mut number, mut ticks, mut at_us) = (100_u16, 0_u32, 0);
    for codec in [
        PCMU,
        Codec::Opus,
        Codec::G722,
        Codec::G711(Law::A),
        Codec::Opus,
    ] {
        line.playout.set_codec(codec).unwrap();
        for mut packet in packets(codec, Rate::Narrow, &speech, 20, 0) {
            (packet.number, packet.timestamp) = (number, ticks);
            number += 1;
            ticks = ticks.wrapping_add(20 * codec.ticks_per_ms());
            assert_eq!(line.bring(at_us, &packet), Inserted::Taken);
            at_us += 20_000;
        }
    }
    let heard = line.finish(at_us);
    assert!(concealed_ms(&heard) <= 20, "{:?}", heard.report);
    assert!(heard.count(Pulled::Speech) >= 247);
    let power: f64 = heard.samples[1_000..]
        .iter()
        .map(|s| f64::from(*s).powi(2))
        .sum();
    let said: f64 = speech.iter().map(|s| f64::from(*s).powi(2)).sum::<f64>() * 5.0;
    assert!((0.8..1.2).contains(&(power / said)), "{}", power / said);
    let wide = Line::new(Codec::Opus, Rate::Wide).playout.set_codec(PCMU);
    assert!(wide.is_err(), "G.711 is not of this path");
}

/// A network that is gone for 200 ms: the guess fades after 60, and yet all of it counts as not heard.
#[test]
fn a_long_loss_is_counted_whole() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
    let brought = arrivals(Network::Quiet, &sent, 8);
    let some: Vec<_> = brought
        .into_iter()
        .filter(|(_, n)| !(50..60).contains(n))
        .collect();
    let heard = play(PCMU, Rate::Narrow, &sent, &some);
    assert_eq!(concealed_ms(&heard), 200, "{:?}", heard.report);
    assert_eq!(heard.report.concealments, 1);
    assert!(found_at(&decoded(&sent[61..]), &heard.samples).is_some());
}

/// Each packet of Opus repeats the one before it: a single loss is no guess.
#[test]
fn opus_finds_lost_speech_in_the_next_packet() {
    let sent = packets(Codec::Opus, Rate::Narrow, &crate::line::phrase(), 20, 20);
    let all: Vec<(i64, usize)> = (0..sent.len()).map(|n| (sent[n].sent_us, n)).collect();
    // The network is a little late now and then, so that the next packet is there when it is needed.
    let mut some: Vec<_> = all.iter().copied().filter(|(_, n)| n % 10 != 5).collect();
    for (at_us, n) in &mut some {
        *at_us += if *n % 4 == 1 { 30_000 } else { 0 };
    }
    some.sort_unstable();
    let heard = play(Codec::Opus, Rate::Narrow, &sent, &some);
    assert!(
        heard.report.recovered.as_millis() > 300,
        "{:?}",
        heard.report
    );
}

/// A network that stops for two seconds and then brings everything at once: the oldest goes, the rest is talked down to a normal delay.
#[test]
fn a_backlog_is_bounded_and_worked_off() {
    for ms in [20, 60] {
        let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 20_000), ms, 0);
        let mut line = Line::new(PCMU, Rate::Narrow);
        for packet in &sent {
            let stopped = (1_000_000..3_000_000).contains(&packet.sent_us);
            line.bring(if stopped { 3_000_000 } else { packet.sent_us }, packet);
            if stopped {
                let delay = line.playout.measured().delay.unwrap().as_millis();
                assert!(delay < PLAYOUT_WAITING_MS_MAX as u128, "{ms}: {delay}");
            }
        }
        assert!(line.heard.inserted.contains(&Inserted::Full), "{ms}");
        let heard = line.finish(20_000_000);
        // 2 s came, and 600 ms of it are heard.
        let dropped = heard.report.discarded * ms as u64;
        assert!(
            (1_200..1_600).contains(&dropped),
            "{ms}: {:?}",
            heard.report
        );
        let delay = heard.report.delay.unwrap().as_millis();
        assert!(delay < 40 + ms as u128, "{ms}: {:?}", heard.report);
        assert!(heard.report.compressed.as_millis() > 300);
    }
}

/// The first packet comes just before our clock asks, and those behind it are a little slower: the first syllable has no hole.
#[test]
fn a_first_packet_at_the_last_moment_is_not_played_too_early() {
    let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 2_000), 20, 0);
    let at_us = |n: usize| sent[n].sent_us + PULL_PHASE_US - 500 + n as i64 % 4 * 1_000;
    let brought: Vec<(i64, usize)> = (0..sent.len()).map(|n| (at_us(n), n)).collect();
    let heard = play(PCMU, Rate::Narrow, &sent, &brought);
    assert_eq!(concealed_ms(&heard), 0, "{:?}", heard.report);
    assert!(found_at(&decoded(&sent)[EASED..], &heard.samples).is_some());
}

/// Hold: what waits is never heard, and the next caller is heard from his first packet on.
#[test]
fn an_interruption_forgets_what_waits() {
    let loud: Vec<i16> = vec![12_000; 16_000];
    let sent = packets(PCMU, Rate::Narrow, &loud, 20, 0);
    let mut line = Line::new(PCMU, Rate::Narrow);
    for packet in &sent[..20] {
        line.bring(packet.sent_us, packet);
    }
    for packet in &sent[20..30] {
        line.bring(400_000, packet);
    }
    line.playout.interrupt();
    let before = line.heard.samples.len();
    line.run_to(1_000_000);
    // 5 ms of fade.
    assert!(
        line.heard.samples[before + 40..]
            .iter()
            .all(|sample| sample.abs() < 16)
    );
    assert_eq!(*line.heard.frames.last().unwrap(), Pulled::Silence);
    let mut next = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 500), 20, 0);
    for packet in &mut next {
        packet.ssrc = 99;
        line.bring(1_000_000 + packet.sent_us, packet);
    }
    let heard = line.finish(1_600_000);
    assert!(found_at(&decoded(&next[1..]), &heard.samples).is_some());
}

/// A browser that sends nothing while its page is silent (Opus DTX): silence, and speech that begins on time.
#[test]
fn opus_may_keep_still() {
    let tuning = OpusTuning {
        dtx: true,
        ..OpusTuning::default()
    };
    let mut encoder = Encoder::new(Codec::Opus, Rate::Wide, tuning).unwrap();
    let mut speech = voice(Rate::Wide, 4_000);
    speech[16_000..48_000].fill(0);
    let mut line = Line::new(Codec::Opus, Rate::Wide);
    let (mut number, mut kept_still) = (0_u16, 0);
    for (n, frame) in speech.chunks_exact(320).enumerate() {
        let mut payload = [0; 1_400];
        let Some(octets) = encoder.encode(frame, &mut payload) else {
            kept_still += 1;
            continue;
        };
        let packet = Packet {
            ssrc: 1,
            number,
            timestamp: n as u32 * 960,
            sent_us: n as i64 * 20_000,
            payload: payload[..octets].to_vec(),
        };
        number += 1;
        line.bring(packet.sent_us, &packet);
    }
    let heard = line.finish(4_000_000);
    assert!(kept_still > 50);
    // Each time DTX sends its one packet of background in 400 ms, a guess ends it, of nothing that was said.
    assert_eq!(concealed_ms(&heard), 0, "{:?}", heard.report);
    assert_eq!(heard.report.burst_ratio(), None);
    assert!(heard.count(Pulled::Silence) > 40, "{:?}", heard.frames);
    let again = &heard.frames[153..195];
    assert!(
        again.iter().all(|frame| *frame == Pulled::Speech),
        "{again:?}"
    );
}

/// Speech with pauses of which nothing is sent, on a network that loses some of it: what was lost counts, in the middle of a word, at its end and behind a pause, and
/// what the network brings late does; the pauses do not.
#[test]
fn losses_count_between_pauses() {
    let mut sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 4_000), 20, 0);
    for (n, packet) in sent.iter_mut().enumerate() {
        // A pause of half a second behind each second of speech.
        let pauses = (n / 50) as u32;
        packet.timestamp = packet.timestamp.wrapping_add(8 * 500 * pauses);
        packet.sent_us += 500_000 * i64::from(pauses);
    }
    let heard_without = |lost: &[usize], late: &[usize]| {
        let mut brought = arrivals(Network::Quiet, &sent, 2);
        brought.retain(|(_, n)| !lost.contains(n));
        for (at_us, n) in &mut brought {
            *at_us += if late.contains(n) { 150_000 } else { 0 };
        }
        brought.sort_unstable();
        play(PCMU, Rate::Narrow, &sent, &brought).report
    };
    let counted = |lost: &[usize], late: &[usize]| {
        let report = heard_without(lost, late);
        (report.concealed.as_millis(), report.concealments)
    };
    assert_eq!(counted(&[], &[]), (0, 0));
    assert_eq!(counted(&[70, 71], &[]), (40, 1), "in the middle of a word");
    assert_eq!(counted(&[99], &[]), (20, 1), "at its end");
    assert_eq!(counted(&[50], &[]), (20, 1), "at its beginning");
    let behind: Vec<usize> = (70..78).collect();
    let (ms, begun) = counted(&[], &behind);
    assert!((60..=160).contains(&ms) && begun >= 1, "late: {ms} ms");
}

#[derive(Clone, Debug)]
enum Act {
    Insert(u8, u16, u32, Vec<u8>),
    Pause(u8, u16, u32),
    Pull(usize),
    Interrupt,
    SetCodec(u8),
}

fn act() -> impl Strategy<Value = Act> {
    let near = prop_oneof![any::<u16>(), 0..40_u16];
    let ticks = prop_oneof![any::<u32>(), (0..40_u32).prop_map(|n| n * 160)];
    let payload = prop::collection::vec(any::<u8>(), 0..400);
    prop_oneof![
        8 => (0..3_u8, near.clone(), ticks.clone(), payload).prop_map(|(s, n, t, p)| Act::Insert(s, n, t, p)),
        1 => (0..3_u8, near, ticks).prop_map(|(s, n, t)| Act::Pause(s, n, t)),
        6 => (0..400_usize).prop_map(Act::Pull),
        1 => Just(Act::Interrupt),
        1 => (0..4_u8).prop_map(Act::SetCodec),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever a peer sends and however our clock runs: no panic, and a frame each time.
    #[test]
    fn nothing_that_a_peer_sends_breaks_it(acts in prop::collection::vec((act(), 0..60_000_i64), 1..200)) {
        let codecs = [PCMU, Codec::G711(Law::A), Codec::G722, Codec::Opus];
        let mut line = Line::new(Codec::Opus, Rate::Narrow);
        let mut now_us = 0;
        for (act, passed_us) in acts {
            now_us += passed_us;
            let at = line.at(now_us);
            match act {
                Act::Insert(ssrc, sequence, timestamp, payload) => {
                    let ssrc = u32::from(ssrc);
                    line.playout.insert(at, Arrival { ssrc, sequence, timestamp, marker: false, payload: &payload });
                }
                Act::Pause(ssrc, sequence, timestamp) => line.playout.pause(at, u32::from(ssrc), sequence, timestamp),
                Act::Pull(len) => {
                    let mut frame = vec![0; len];
                    line.playout.pull(at, &mut frame);
                }
                Act::Interrupt => line.playout.interrupt(),
                Act::SetCodec(n) => line.playout.set_codec(codecs[usize::from(n)]).unwrap(),
            }
        }
        // After all of that an honest source is heard.
        now_us += 2_000_000;
        line.playout.set_codec(PCMU).unwrap();
        let sent = packets(PCMU, Rate::Narrow, &voice(Rate::Narrow, 1_000), 20, 0);
        let mut spoken = 0;
        for packet in &sent {
            let at = line.at(now_us + packet.sent_us);
            let payload = &packet.payload;
            line.playout.insert(at, Arrival { ssrc: 77, sequence: packet.number, timestamp: packet.timestamp, marker: false, payload });
            let mut frame = [0; 160];
            let pulled = line.playout.pull(line.at(now_us + packet.sent_us + 10_000), &mut frame);
            spoken += usize::from(pulled == Pulled::Speech);
        }
        prop_assert!(spoken > 25, "{} of 50 frames", spoken);
    }
}
