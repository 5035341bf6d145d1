#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::tone::level_db;

/// The tone that telephone engineers measure levels with (ITU-T O.6): at 1000 Hz sharp, 8 kHz would meet the same few steps of the
/// quantiser in every period.
const TEST_HZ: f64 = 1_020.0;

fn sine(rate: Rate, hz: f64, from: usize, len: usize) -> Vec<i16> {
    (from..from + len)
        .map(|n| {
            let turn = n as f64 * hz / f64::from(rate.hz());
            ((turn * std::f64::consts::TAU).sin() * 8_000.0) as i16
        })
        .collect()
}

/// A second of a tone through encoder and decoder.
fn through(codec: Codec, rate: Rate, hz: f64) -> Vec<i16> {
    let mut encoder = Encoder::new(codec, rate, OpusTuning::default()).unwrap();
    let mut decoder = Decoder::new(codec, rate).unwrap();
    let mut heard = Vec::new();
    for turn in 0..50 {
        let frame = sine(rate, hz, turn * rate.frame_len(), rate.frame_len());
        let mut payload = [0; 1_400];
        let octets = encoder.encode(&frame, &mut payload).unwrap();
        let mut out = [0; PACKET_LEN_MAX];
        let samples = decoder.decode(&payload[..octets], &mut out).unwrap();
        assert_eq!(samples, rate.frame_len());
        heard.extend_from_slice(&out[..samples]);
    }
    heard
}

/// 1020 Hz comes out as loud as it went in.
#[test]
fn levels_are_kept() {
    for codec in Codec::ALL {
        for rate in [Rate::Narrow, Rate::Wide] {
            if matches!(codec, Codec::G711(_)) && rate == Rate::Wide {
                continue;
            }
            let heard = through(codec, rate, TEST_HZ);
            let half = heard.len() / 2;
            let level = level_db(rate, TEST_HZ, &heard[half..]);
            let sent = level_db(rate, TEST_HZ, &sine(rate, TEST_HZ, 0, half));
            assert!(
                (level - sent).abs() < 0.1,
                "{codec:?} {rate:?}: {sent:.2} dB became {level:.2} dB"
            );
        }
    }
}

/// The lower band of G.722 says the same to somebody who listens at 16 kHz, and the other way round.
#[test]
fn the_lower_band_of_g722_is_heard_by_everybody() {
    for (from, to) in [(Rate::Narrow, Rate::Wide), (Rate::Wide, Rate::Narrow)] {
        let mut encoder = Encoder::new(Codec::G722, from, OpusTuning::default()).unwrap();
        let mut decoder = Decoder::new(Codec::G722, to).unwrap();
        let mut heard = Vec::new();
        for turn in 0..50 {
            let mut payload = [0; 200];
            let frame = sine(from, TEST_HZ, turn * from.frame_len(), from.frame_len());
            let octets = encoder.encode(&frame, &mut payload).unwrap();
            assert_eq!(octets, 160, "64 kbit/s");
            let mut out = [0; PACKET_LEN_MAX];
            let samples = decoder.decode(&payload[..octets], &mut out).unwrap();
            heard.extend_from_slice(&out[..samples]);
        }
        let half = heard.len() / 2;
        let level = level_db(to, TEST_HZ, &heard[half..]);
        let sent = level_db(from, TEST_HZ, &sine(from, TEST_HZ, 0, from.hz() as usize));
        assert!((level - sent).abs() < 0.1, "{from:?} {sent:.2} {level:.2}");
    }
}

#[test]
fn a_payload_says_how_long_it_lasts() {
    let decoder = |codec, rate| Decoder::new(codec, rate).unwrap();
    let g711 = decoder(Codec::G711(Law::A), Rate::Narrow);
    assert_eq!(g711.samples_of(&[0; 160]), Some(160));
    assert_eq!(g711.samples_of(&[]), None);
    assert_eq!(g711.samples_of(&[0; 1_000]), None, "longer than 120 ms");
    assert_eq!(
        decoder(Codec::G722, Rate::Wide).samples_of(&[0; 160]),
        Some(320)
    );
    assert_eq!(
        decoder(Codec::G722, Rate::Narrow).samples_of(&[0; 160]),
        Some(160)
    );
    let opus = decoder(Codec::Opus, Rate::Narrow);
    // SILK narrowband 20 ms; three CELT frames of 20 ms; a code that promises more than 120 ms.
    assert_eq!(opus.samples_of(&[1 << 3, 0]), Some(160));
    assert_eq!(opus.samples_of(&[31 << 3 | 3, 3, 0]), Some(480));
    assert_eq!(opus.samples_of(&[31 << 3 | 3, 63, 0]), None);
    assert_eq!(opus.samples_of(&[]), None);
}

/// Once losses are known, each packet repeats the one before it, so a single loss is no hole.
#[test]
fn opus_recovers_a_lost_packet_from_the_next() {
    let mut encoder = Encoder::new(Codec::Opus, Rate::Narrow, OpusTuning::default()).unwrap();
    encoder.set_loss_percent(20);
    let mut decoder = Decoder::new(Codec::Opus, Rate::Narrow).unwrap();
    let mut packets = Vec::new();
    for turn in 0..20 {
        // Speech-like: a buzz, because the repetition is of speech frames only.
        let frame: Vec<i16> = (0..160)
            .map(|n| {
                if (turn * 160 + n) % 80 < 8 {
                    9_000
                } else {
                    -900
                }
            })
            .collect();
        let mut payload = [0; 400];
        let octets = encoder.encode(&frame, &mut payload).unwrap();
        packets.push(payload[..octets].to_vec());
    }
    let mut out = [0; 160];
    let mut whole = [0; PACKET_LEN_MAX];
    for packet in &packets[..10] {
        decoder.decode(packet, &mut whole).unwrap();
    }
    assert!(decoder.recover(&packets[11], &mut out), "packet 10 is lost");
    let power: f64 = out.iter().map(|sample| f64::from(*sample).powi(2)).sum();
    assert!((power / 160.0).sqrt() > 500.0, "the buzz goes on");
    let mut plain = Decoder::new(Codec::G722, Rate::Narrow).unwrap();
    assert!(!plain.recover(&packets[11], &mut out));
    assert!(!plain.conceal(&mut out));
    assert!(decoder.conceal(&mut out));
    assert!(!decoder.conceal(&mut [0; 7]), "no step of Opus");
}

#[test]
fn nonsense_is_no_audio() {
    let mut out = [0; PACKET_LEN_MAX];
    for codec in Codec::ALL {
        let mut decoder = Decoder::new(codec, Rate::Narrow).unwrap();
        assert_eq!(decoder.decode(&[], &mut out), None);
        assert_eq!(decoder.decode(&[0xff; 1_400], &mut out), None);
        assert_eq!(decoder.decode(&[8, 1, 2], &mut []), None);
    }
    let mut opus = Decoder::new(Codec::Opus, Rate::Wide).unwrap();
    for len in 1..300_usize {
        let payload: Vec<u8> = (0..len).map(|n| (n * 37 % 256) as u8).collect();
        let _ = opus.decode(&payload, &mut out);
        let _ = opus.recover(&payload, &mut out[..320]);
    }
}
